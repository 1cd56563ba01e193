"""Findings for the alerts themselves: messages that do not arrive, dead-man pings without an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.health import Limits, check
from hk_tick_collector.ops.findings.remedies import is_command

if TYPE_CHECKING:
    from tests.ops.conftest import MakeStatus

LIMITS = Limits(drift_warn_s=2, lag_critical_s=300, disk_min_free_mb=100, queue_warn_rows=1000)
REFUSED = "Failed to send JSON POST notification: HTTP 403 <b>no\x1b[2J</b>"


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        (
            {"alerts_failing": {"2:tgram://***": NOW_MS - 60_000, "1:json://***": NOW_MS}, "alerts_error": REFUSED},
            "alerts_failing",
            "alerts to 1:json://***, 2:tgram://*** are not delivered since 09:59:00 HKT: ",
        ),
        (
            {"deadman_failing_ms": NOW_MS - 60_000, "deadman_error": REFUSED},
            "deadman_failing",
            "the dead-man pings are not answered since 09:59:00 HKT, so the outside watcher will raise an alarm: ",
        ),
    ],
)
def test_what_does_not_arrive_is_a_warning(
    make_status: MakeStatus, changes: dict[str, Any], code: str, text: str
) -> None:
    """Since when and why, the server's words cleaned, and a command to paste; nothing once it works again."""
    (finding,) = check(make_status(**changes), NOW_MS, LIMITS)
    assert (finding.code, finding.severity, finding.since_ms) == (code, Severity.WARNING, NOW_MS - 60_000)
    assert finding.text == f"{text}{REFUSED}".replace("\x1b", "\\x1b")
    assert is_command(finding.remedy)
    assert check(make_status(), NOW_MS, LIMITS) == []

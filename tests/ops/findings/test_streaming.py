"""What `status` and alerts say of the stream between publish and merge, and of either."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.ops.findings.stream_states import MINUTE_MS, NOW_MS, merge, publish

from hk_tick_collector.ops.findings.finding import Severity


def test_nothing_is_said_when_all_is_well() -> None:
    """Connected, three servers, hardly behind: no finding."""
    assert publish() == []
    assert publish(written_ms=NOW_MS - 10_900) == publish(written_ms=NOW_MS + 5_000) == []
    assert merge(disk_free_mb=50_000) == []


AWAY: Final = {"server": "", "away_since_ms": NOW_MS - MINUTE_MS, "fault": "no NATS server at nats://10.0.0.1:4222"}


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"written_ms": NOW_MS - 30_000}, "stream_not_reporting", Severity.CRITICAL),
        ({"written_ms": NOW_MS + 7 * 60 * MINUTE_MS}, "stream_not_reporting", Severity.CRITICAL),
        ({"state": "stopped", "written_ms": NOW_MS - MINUTE_MS}, "stream_stopped", Severity.WARNING),
        (AWAY, "stream_away", Severity.WARNING),
        (AWAY | {"away_since_ms": NOW_MS - 20 * MINUTE_MS}, "stream_away", Severity.CRITICAL),
        (AWAY | {"refused": True, "fault": "2.9.10 is too old"}, "stream_refuses", Severity.CRITICAL),
        ({"stream_servers": 2}, "stream_servers", Severity.WARNING),
        ({"stream_differences": ["deny_purge is off"]}, "stream_settings", Severity.WARNING),
        ({"unsynced": True}, "stream_unsynced", Severity.WARNING),
        ({"stream_max_age_s": 3600.0}, "stream_retention_short", Severity.WARNING),
        ({"stream_bytes": 8 * 2**30 - 1}, "stream_retention_short", Severity.WARNING),
        ({"behind_since_ms": NOW_MS - 2 * MINUTE_MS}, "stream_behind", Severity.WARNING),
        ({"losses": 2, "loss_ms": NOW_MS - MINUTE_MS, "loss_detail": "x"}, "stream_lost_data", Severity.WARNING),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_both_may_have(changes: dict[str, Any], code: str, severity: Severity) -> None:
    """The same trouble has the same code in both; the text names the process."""
    for found, process in ((publish(**changes), "publish"), (merge(**changes), "merge")):
        (finding,) = found
        assert (finding.code, finding.severity) == (code, severity)
        names_process = code not in ("stream_servers", "stream_settings", "stream_retention_short", "stream_unsynced")
        assert (process in finding.text) == names_process or not names_process
        assert "{" not in finding.text + finding.zh + finding.remedy


def test_events_are_forgotten_after_a_while() -> None:
    """What happened an hour ago and was repaired is no finding any more."""
    hour_ago_ms = NOW_MS - 60 * MINUTE_MS
    assert publish(losses=1, loss_ms=hour_ago_ms) == []
    assert merge(losses=1, loss_ms=hour_ago_ms, expired=1, expired_ms=hour_ago_ms, wrong_name=1, wrong_name_ms=0) == []

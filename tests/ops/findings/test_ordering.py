"""The order of findings: a cause comes before its consequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector.ops.findings.health import Finding, Limits, Severity, check, in_order, summary

if TYPE_CHECKING:
    from tests.ops.conftest import MakeStatus

NOW_MS: Final = 1_795_140_000_000  # 2026-11-20 10:00 in Hong Kong
LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=2048, queue_warn_rows=50_000)
MINUTE: Final = 60_000
# What a writer that waits leads to: rows wait, are spooled and dropped, the newest stored tick grows old.
BEHIND: Final[dict[str, Any]] = {
    "waiting": 90_000, "spooled": 9_000, "dropped": 5, "dropped_lately": 5, "stalls": 1, "stalls_lately": 1,
    "newest_ts_ms": NOW_MS - 6 * MINUTE, "last_commit_ms": NOW_MS - 6 * MINUTE, "gaps_open": 1, "gaps_healing": 1,
}  # fmt: skip
# And what an OpenD that sends nothing leads to.
SILENT: Final[dict[str, Any]] = {
    "newest_ts_ms": NOW_MS - 6 * MINUTE, "last_tick_ms": NOW_MS - 6 * MINUTE, "gaps_open": 1, "gaps_healing": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "consequences", "first"),
    [
        (
            {"writer_trouble": "disk_full", "writer_trouble_since_ms": NOW_MS, "disk_free_mb": 0},
            BEHIND,
            "writer_disk_full",
        ),
        ({"writer_trouble": "read_only", "writer_trouble_since_ms": NOW_MS}, BEHIND, "writer_read_only"),
        ({"writer_trouble": "busy", "writer_trouble_since_ms": NOW_MS - 5_000}, BEHIND, "writer_busy"),
        (
            {"held_rows": {"20261120": 7}, "held_causes": {"20261120": "foreign_file"}},
            {"waiting": 7, "newest_ts_ms": NOW_MS - 6 * MINUTE},
            "day_held",
        ),
        ({"writer_alive_ms": NOW_MS - MINUTE}, BEHIND, "writer_stuck"),
        ({"disk_wait_s": 3.0}, BEHIND, "writer_slow_disk"),
        ({}, BEHIND, "persistent_stall"),
        ({"descriptors": 1024, "descriptors_limit": 1024, "writer_trouble": "no_descriptors"}, BEHIND, "descriptors"),
        ({"trouble": {"kicked_out": ""}, "quote_logged_in": False}, SILENT, "opend_kicked_out"),
        ({"trouble": {"quote_right_none": ""}}, SILENT, "opend_quote_right_none"),
        ({"program": "needs_sms_code", "quote_logged_in": False}, SILENT, "opend_not_ready"),
        ({"subscribed": 1, "refused": {"HK.00005": "no quota"}}, {}, "symbols_refused"),
        ({}, SILENT, "no_ticks"),
        ({"drift_s": 9.0}, {"rejected_lately": 3}, "clock_drift"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_line_names_the_cause(
    make_status: MakeStatus, cause: dict[str, Any], consequences: dict[str, Any], first: str
) -> None:
    """However severe the consequences: the line names the cause, the exit code is that of the worst."""
    findings = check(make_status(**{**consequences, **cause}), NOW_MS, LIMITS)
    assert findings[0].code == first
    severity, line = summary(findings)
    assert severity == max(finding.severity for finding in findings)
    assert findings[0].text in line
    assert line.endswith(findings[0].remedy)


def test_unrelated_findings_are_sorted_by_severity() -> None:
    """A wrong clock does not explain a full disk, and does not come before it."""
    clock = Finding("clock_drift", Severity.WARNING, "clock", "x")
    disk = Finding("disk", Severity.CRITICAL, "disk", "x")
    refused = Finding("symbols_refused", Severity.WARNING, "refused", "x")
    assert in_order([clock, refused, disk]) == [disk, clock, refused]


def test_critical_comes_before_unknown() -> None:
    """An unreadable day file does not hide that the service is down."""
    unknown = Finding("day_file", Severity.UNKNOWN, "day", "x")
    down = Finding("opend_away", Severity.CRITICAL, "away", "x")
    severity, line = summary(in_order([unknown, down]))
    assert (severity, line.split(":")[0]) == (Severity.CRITICAL, "CRITICAL")

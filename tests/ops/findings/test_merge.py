"""What `status` and alerts say of merge alone."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.ops.findings.stream_states import MINUTE_MS, NOW_MS, merge

from hk_tick_collector.ops.findings.finding import Severity

TROUBLE: Final = {"trouble": "disk_full", "trouble_day": "20261120", "trouble_since_ms": NOW_MS - 5000}


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        (TROUBLE, "merge_not_written", Severity.CRITICAL),
        ({"files_since_ms": NOW_MS - 200_000}, "merge_disk_hangs", Severity.CRITICAL),
        ({"damaged_files": ["20261120.db is damaged"]}, "merge_day_replaced", Severity.WARNING),
        ({"not_sealed": {"20261119": "waits for b"}}, "merge_not_sealed", Severity.WARNING),
        ({"disk_free_mb": 900}, "merge_disk_low", Severity.WARNING),
        ({"disk_free_mb": 100}, "merge_disk_low", Severity.CRITICAL),
        ({"expired": 1, "expired_ms": NOW_MS - MINUTE_MS}, "merge_expired", Severity.WARNING),
        (
            {"wrong_name": 3, "wrong_name_ms": NOW_MS - 1, "wrong_name_last": "message 7 on hk.ticks.x.b"},
            "merge_wrong_name",
            Severity.CRITICAL,
        ),
        (
            {"refused_messages": 1, "refused_message_ms": NOW_MS - 1, "refused_message": "cut"},
            "merge_message_refused",
            Severity.WARNING,
        ),
        ({"disagreement": "HK.00700"}, "sequence_disagrees", Severity.CRITICAL),
        ({"conflicts": 2, "newest_day": "20261120"}, "merge_conflicts", Severity.WARNING),
        ({"sums_differ": {"20261120 a": 4}}, "merge_sums_differ", Severity.WARNING),
        ({"sources": {"a": NOW_MS - 500, "b": NOW_MS - 11 * MINUTE_MS}}, "stream_source_silent", Severity.WARNING),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_merge_may_have(changes: dict[str, Any], code: str, severity: Severity) -> None:
    """One cause, one finding."""
    (finding,) = merge(**changes)
    assert (finding.code, finding.severity) == (code, severity)
    assert "{" not in finding.text + finding.zh + finding.remedy


def test_a_quiet_market_makes_no_silent_collector() -> None:
    """At night nobody sends: a collector is silent only while others send."""
    assert merge(sources={"a": NOW_MS - 20 * MINUTE_MS, "b": NOW_MS - 120 * MINUTE_MS}) == []


def test_conflicts_are_shown_from_the_file_of_their_day() -> None:
    """Also when the merge is at a later day."""
    (finding,) = merge(
        conflicts=2, conflicts_first="HK.00700 7 of 20261119", conflicts_day="20261119", newest_day="20261120"
    )
    assert finding.remedy.startswith("sqlite3 -readonly ")
    assert "/20261119.db " in finding.remedy

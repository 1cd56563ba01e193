"""The findings of this second: the live state's own, and what `status` alone finds."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.live_state import live_state

from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.health import Limits
from hk_tick_collector.ops.findings.words import NO_WORDS
from hk_tick_collector.web.judging import judged, no_report
from hk_tick_collector.web.live_file import Read
from hk_tick_collector.web.site import Examination

from .conftest import WELL

NOW_MS: Final = time.time_ns() // 10**6
LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=100, queue_warn_rows=50_000)
DAY_FILE: Final = Finding("day_file", Severity.WARNING, "foreign", "")
AWAY: Final = Finding("opend_away", Severity.CRITICAL, "away, ten seconds ago", "")
STUCK: Final = Finding("service_hung", Severity.CRITICAL, "its disk is frozen", "")


def read(**values: Any) -> Read:
    times = {"written_ms": NOW_MS, "started_ms": NOW_MS - 3_600_000, "link_since_ms": NOW_MS - 3_600_000}
    return Read(live_state(**{**WELL, **times, "newest_ts_ms": NOW_MS, **values}), None, 0.0)


def examined(*findings: Finding, silent: bool = False) -> Examination:
    return Examination(list(findings), NO_WORDS, {}, None, silent, NOW_MS)


def test_the_live_state_is_judged_anew_and_the_day_file_is_taken_over() -> None:
    """What `status` found in the live state ten seconds ago may be over; what it found in files is still the newest."""
    found = judged(read(), examined(AWAY, DAY_FILE), NOW_MS, LIMITS)
    assert [finding.code for finding in found] == ["day_file"]
    found = judged(read(connected=False), examined(DAY_FILE), NOW_MS, LIMITS)
    assert [finding.code for finding in found] == ["opend_away", "day_file"]


def test_of_a_silent_service_status_knows_more() -> None:
    """It has looked at process, unit and disk; but only if it has seen the silence too."""
    silent = read(written_ms=NOW_MS - 60_000)
    assert judged(silent, examined(STUCK, silent=True), NOW_MS, LIMITS) == [STUCK]
    (own,) = judged(silent, examined(DAY_FILE), NOW_MS, LIMITS)
    assert own.severity is Severity.CRITICAL
    assert judged(read(), examined(STUCK, silent=True), NOW_MS, LIMITS) == []


def test_what_cannot_be_read_is_unknown_and_never_fine() -> None:
    """Not readable, and not read yet because the disk hangs from the start."""
    for unread in (Read(None, StoreError("cannot read it"), 0.0), Read(None, None, 0.0, is_first=True)):
        assert no_report(unread, NOW_MS)
        (found,) = judged(unread, None, NOW_MS, LIMITS)
        assert (found.code, found.severity) == ("live_state", Severity.UNKNOWN)
        assert found.remedy

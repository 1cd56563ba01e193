"""What `status` and alerts say of publish, merge and the stream between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.streaming import check_merge, check_publish
from hk_tick_collector.ops.live.merge_state import MergeState
from hk_tick_collector.ops.live.publish_state import PublishState

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.finding import Finding

NOW_MS: Final = 1_795_140_000_000
MINUTE_MS: Final = 60_000
GOOD_STREAM: Final[dict[str, Any]] = {
    "server": "nats://10.0.0.1:4222",
    "stream_bytes": 2**30,
    "stream_max_bytes": 8 * 2**30,
    "stream_max_age_s": 7 * 86_400.0,
    "stream_replicas": 3,
    "stream_servers": 3,
}


def publish(**changes: Any) -> list[Finding]:
    fields = {**GOOD_STREAM, "behind_rows": 12, **changes}
    state = {"written_ms": NOW_MS - 900, "state": "publishing", **fields}
    return check_publish(PublishState(started_ms=0, pid=1, version="1", source="a", data_root="/data", **state), NOW_MS)


def merge(**changes: Any) -> list[Finding]:
    fields = {**GOOD_STREAM, "behind": 1, "sources": {"a": NOW_MS - 500, "b": NOW_MS - 800}, **changes}
    state = {"written_ms": NOW_MS - 900, "state": "running", **fields}
    made = MergeState(started_ms=0, pid=1, version="1", instance="m", data_root="/merged", **state)
    return check_merge(made, NOW_MS, 1000)


def test_nothing_is_said_when_all_is_well() -> None:
    """Connected, three servers, hardly behind: no finding."""
    assert publish() == []
    assert merge(disk_free_mb=50_000) == []


AWAY: Final = {"server": "", "away_since_ms": NOW_MS - MINUTE_MS, "fault": "no NATS server at nats://10.0.0.1:4222"}


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"written_ms": NOW_MS - 30_000}, "stream_not_reporting", Severity.CRITICAL),
        ({"state": "stopped", "written_ms": NOW_MS - MINUTE_MS}, "stream_stopped", Severity.WARNING),
        (AWAY, "stream_away", Severity.WARNING),
        (AWAY | {"away_since_ms": NOW_MS - 20 * MINUTE_MS}, "stream_away", Severity.CRITICAL),
        (AWAY | {"refused": True, "fault": "2.9.10 is too old"}, "stream_refuses", Severity.CRITICAL),
        ({"stream_servers": 2}, "stream_servers", Severity.WARNING),
        ({"stream_differences": ["deny_purge is off"]}, "stream_settings", Severity.WARNING),
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
        names_process = code not in ("stream_servers", "stream_settings", "stream_retention_short")
        assert (process in finding.text) == names_process or not names_process
        assert "{" not in finding.text + finding.zh + finding.remedy


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"name_taken_by": "host-2, pid 77"}, "publish_name_taken", Severity.CRITICAL),
        ({"days_unread": {"20261120": "is damaged"}}, "publish_day_unread", Severity.CRITICAL),
        ({"cursors_unsaved": "No space left"}, "publish_cursors_unsaved", Severity.WARNING),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_publish_may_have(changes: dict[str, Any], code: str, severity: Severity) -> None:
    """One cause, one finding."""
    (finding,) = publish(**changes)
    assert (finding.code, finding.severity) == (code, severity)


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


def test_events_are_forgotten_after_a_while() -> None:
    """What happened an hour ago and was repaired is no finding any more."""
    hour_ago_ms = NOW_MS - 60 * MINUTE_MS
    assert publish(losses=1, loss_ms=hour_ago_ms) == []
    assert merge(losses=1, loss_ms=hour_ago_ms, expired=1, expired_ms=hour_ago_ms, wrong_name=1, wrong_name_ms=0) == []


def test_a_quiet_market_makes_no_silent_collector() -> None:
    """At night nobody sends: a collector is silent only while others send."""
    assert merge(sources={"a": NOW_MS - 20 * MINUTE_MS, "b": NOW_MS - 120 * MINUTE_MS}) == []

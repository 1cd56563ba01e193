"""Live states of `publish` and `merge` for the tests of their findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.ops.findings.merge import check_merge
from hk_tick_collector.ops.findings.publish import check_publish
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
    """What is found in the live state of a publish in which all is well but for these fields."""
    fields = {**GOOD_STREAM, "behind_rows": 12, **changes}
    state = {"written_ms": NOW_MS - 900, "state": "publishing", **fields}
    return check_publish(PublishState(started_ms=0, pid=1, version="1", source="a", data_root="/data", **state), NOW_MS)


def merge(**changes: Any) -> list[Finding]:
    """The same of a merge."""
    fields = {**GOOD_STREAM, "behind": 1, "sources": {"a": NOW_MS - 500, "b": NOW_MS - 800}, **changes}
    state = {"written_ms": NOW_MS - 900, "state": "running", **fields}
    made = MergeState(started_ms=0, pid=1, version="1", instance="m", data_root="/merged", **state)
    return check_merge(made, NOW_MS, 1000)

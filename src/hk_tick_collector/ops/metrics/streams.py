"""Metrics of `publish` and `merge`, from their live states. The service shows those of its host; a merge on a host
without a service shows its own.

Input: both live states, None where there is none. Output: metrics, and findings for `hktc_finding`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from hk_tick_collector.ops.findings.merge import check_merge
from hk_tick_collector.ops.findings.publish import check_publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.ops.live.merge_state import MergeState
    from hk_tick_collector.ops.live.publish_state import PublishState


class Streams(NamedTuple):
    """The live states of one host."""

    publish: PublishState | None = None
    merge: MergeState | None = None

    def findings(self, now_ms: int, min_free_mb: int) -> list[Finding]:
        """What is wrong with both."""
        found = check_publish(self.publish, now_ms) if self.publish else []
        return [*found, *(check_merge(self.merge, now_ms, min_free_mb) if self.merge else [])]

    def metrics(self) -> Iterator[Metric]:
        """The metrics of the processes that are there."""
        for state, plain in ((self.publish, _PUBLISH), (self.merge, _MERGE)):
            for name, words, read in plain if state is not None else ():
                kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                yield kind(name, words, read(state))
        if self.merge is not None:
            last = GaugeMetricFamily(
                "hktc_merge_source_timestamp_seconds",
                "When the last message of a collector was merged.",
                labels=("source",),
            )
            for source, last_ms in sorted(self.merge.sources.items()):
                last.add_metric((source,), last_ms / 1000)
            yield last


def _since_s(moment_ms: int | None) -> float | None:
    return None if moment_ms is None else moment_ms / 1000


_Plain = tuple[str, str, "Callable[[Any], float | None]"]
_PUBLISH: Final[tuple[_Plain, ...]] = (
    ("hktc_publish_connected", "1 while publish is connected to a NATS server.", lambda state: bool(state.server)),
    (
        "hktc_publish_behind_ticks",
        "Stored ticks that the engine has not acknowledged.",
        lambda state: state.behind_rows,
    ),
    ("hktc_publish_ticks_total", "Ticks acknowledged since the start of publish.", lambda state: state.published_rows),
    (
        "hktc_publish_last_ack_timestamp_seconds",
        "When the engine last acknowledged a message.",
        lambda state: _since_s(state.last_ack_ms),
    ),
    ("hktc_publish_losses_total", "How often the engine had lost acknowledged messages.", lambda state: state.losses),
)
_MERGE: Final[tuple[_Plain, ...]] = (
    ("hktc_merge_connected", "1 while merge is connected to a NATS server.", lambda state: bool(state.server)),
    ("hktc_merge_behind_messages", "Messages of the stream that are not merged.", lambda state: state.behind),
    ("hktc_merge_stored_total", "Ticks stored by this run of merge.", lambda state: state.stored),
    ("hktc_merge_duplicate_total", "Ticks that were already merged.", lambda state: state.duplicate),
    ("hktc_merge_conflicts_total", "Ticks whose key another tick has.", lambda state: state.conflicts),
    (
        "hktc_merge_delay_p99_seconds",
        "From a collector's socket to the commit, 99th percentile of the last minute.",
        lambda state: None if state.delay_ms_p99 is None else state.delay_ms_p99 / 1000,
    ),
    (
        "hktc_merge_gaps_open",
        "Open gaps of the newest merged day: no collector has their ticks.",
        lambda state: state.gaps_open,
    ),
    ("hktc_merge_gaps_missing_ticks", "Ticks missing in these gaps.", lambda state: state.gaps_missing),
    ("hktc_merge_losses_total", "How often the engine had lost messages that were read.", lambda state: state.losses),
    (
        "hktc_merge_last_commit_timestamp_seconds",
        "When merge last committed.",
        lambda state: _since_s(state.last_commit_ms),
    ),
    ("hktc_stream_bytes", "Size of the stream.", lambda state: state.stream_bytes),
    ("hktc_stream_servers", "NATS servers that hold all of the stream.", lambda state: state.stream_servers),
)

"""The metrics of `publish` and `merge`: those of docs/metrics.md, with the figures of their live states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hk_tick_collector.ops.live.merge_state import MergeState
from hk_tick_collector.ops.live.publish_state import PublishState
from hk_tick_collector.ops.metrics.streams import Streams

DOCS = Path(__file__).parents[3] / "docs"
_ROW = re.compile(r"^\| `(hktc_(?:publish|merge|stream)_\w+)(?:\{\w+\})?` \| (\w+) \|", re.MULTILINE)


def streams() -> Streams:
    """Both processes of a host at work."""
    server = "nats://10.0.0.1:4222"
    publish = PublishState(2000, 1000, 1, "1", "a", "/data", "publishing", server=server, last_ack_ms=1950)
    merge = MergeState(2000, 1000, 2, "1", "m", "running", "/merged", server=server)
    merge.sources, merge.delay_ms_p99, merge.gaps_missing = {"a": 1500, "b": 1750}, 420.0, 7
    merge.last_commit_ms = 1900
    return Streams(publish, merge)


@pytest.mark.parametrize("page", ["metrics.md", "metrics.en.md"])
def test_each_metric_has_a_row_of_the_page(page: str) -> None:
    """By name and type, no more and no fewer."""
    rows = dict(_ROW.findall((DOCS / page).read_text("utf-8")))
    families = {family.name + "_total" * (family.type == "counter"): family.type for family in streams().metrics()}
    assert rows == families


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """The row of several hosts; the others are asked for in tests/e2e/test_metrics.py."""
    board = (DOCS.parent / "deploy" / "grafana" / "hk-tick-collector.json").read_text("utf-8")
    asked = set(re.findall(r"hktc_(?:publish|merge|stream)_\w+", board))
    names = {family.name + "_total" * (family.type == "counter") for family in streams().metrics()}
    assert len(asked) > 8
    assert asked - names == set()


def test_the_figures_are_those_of_the_live_states() -> None:
    """Times in seconds, one sample for each collector; a process that is not there has no metric."""
    found = {
        (sample.name, sample.labels.get("source", "")): sample.value
        for family in streams().metrics()
        for sample in family.samples
    }
    assert found["hktc_publish_connected", ""] == found["hktc_merge_connected", ""] == 1
    assert found["hktc_merge_delay_p99_seconds", ""] == 0.42
    assert found["hktc_merge_gaps_missing_ticks", ""] == 7
    assert found["hktc_publish_last_ack_timestamp_seconds", ""] == 1.95
    assert found["hktc_merge_source_timestamp_seconds", "b"] == 1.75
    assert list(Streams().metrics()) == []

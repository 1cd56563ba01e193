"""The text of a scrape, parsed by the library: its values for a live state, and its maximum length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ops.conftest import NOW_MS

from hk_tick_collector.ops.findings.health import Limits
from hk_tick_collector.ops.metrics.exposition import Metrics, OwnProcess
from hk_tick_collector.stats import Latencies, Stats

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ops.conftest import MakeStatus

    from hk_tick_collector.ops.live.status import LiveStatus

LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=2048, queue_warn_rows=50_000)


class Scrapes:
    """Scrapes of a service whose live state a test sets."""

    def __init__(self, live: LiveStatus | None, stats: Stats | None = None) -> None:
        self.live = live
        self.metrics = Metrics(lambda: self.live, stats or Stats(), LIMITS, lambda: NOW_MS)

    def read(self) -> dict[str, float]:
        """Every sample of ours by name, with its labels as written."""
        found = {}
        for family in text_string_to_metric_families(self.metrics.render().decode("utf-8")):
            for sample in family.samples:
                labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found


def test_a_healthy_service(make_status: MakeStatus) -> None:
    """Base units, timestamps instead of ages, the parts of the ledger, no findings."""
    live = make_status(received=100, stored=90, duplicate=5, rejected=2, dropped=1, waiting=2, disk_free_mb=10)
    found = Scrapes(live).read()
    assert found["hktc_build_info{instance_id=one,version=1.0}"] == 1
    assert found["hktc_newest_tick_timestamp_seconds"] == (NOW_MS - 1000) / 1000
    assert found["hktc_disk_free_bytes"] == 10 * 2**20
    assert found["hktc_market_state{state=morning}"] == 1
    assert sum(value for name, value in found.items() if name.startswith("hktc_market_state{")) == 1
    parts = [value for name, value in found.items() if name.startswith("hktc_ticks_total{")]
    assert found["hktc_ticks_received_total"] == sum(parts) + found["hktc_queue_rows"] == 100
    assert found["hktc_finding{code=disk}"] == 2  # 10 MB


def test_an_unknown_figure_has_no_sample(make_status: MakeStatus) -> None:
    """An unknown figure is not shown as 0: a time of 0 would be a lag of half a century."""
    live = make_status(newest_ts_ms=None, drift_s=None, disk_free_mb=None, last_commit_ms=None, market_state="state_77")
    found = Scrapes(live).read()
    for name in ("newest_tick_timestamp_seconds", "clock_drift_seconds", "disk_free_bytes"):
        assert f"hktc_{name}" not in found
    assert found["hktc_market_state{state=other}"] == 1


def test_before_the_first_live_state() -> None:
    """The process's own figures are there, ours are not yet."""
    found = Scrapes(None).read()
    assert found["process_resident_memory_bytes"] > 0
    assert not [name for name in found if name.startswith("hktc_")]


def test_a_finding_opens_and_ends(make_status: MakeStatus) -> None:
    """2 while it is critical, 0 when it is over, so that a graph shows the end."""
    scrapes = Scrapes(make_status())
    name = "hktc_finding{code=opend_away}"
    assert name not in scrapes.read()
    scrapes.live = make_status(connected=False, link_since_ms=NOW_MS - 120_000)
    found = scrapes.read()
    assert (found[name], found["hktc_findings{severity=critical}"]) == (2, 1)
    scrapes.live = make_status()
    found = scrapes.read()
    assert (found[name], found["hktc_findings{severity=critical}"]) == (0, 0)


def test_a_service_whose_heartbeat_has_stopped(make_status: MakeStatus) -> None:
    """Scrapes still work while the event loop is stuck, and show it."""
    assert Scrapes(make_status(written_ms=NOW_MS - 40_000)).read()["hktc_finding{code=service_hung}"] == 2


def test_the_number_of_series_is_bounded(make_status: MakeStatus) -> None:
    """With 2,000 refused symbols and 100 unknown notices there are only a few hundred series."""
    symbols = {f"HK.{number:05}": "quota" for number in range(2000)}
    scrapes = Scrapes(make_status(refused=symbols, subscribed=5))
    for notice in range(100):
        scrapes.live = make_status(refused=symbols, trouble={f"gateway_event_{notice}": "?"})
        scrapes.read()
    found = scrapes.read()
    assert len(found) < 250
    assert found["hktc_symbols_refused"] == 2000
    assert found["hktc_finding{code=other}"] == 2
    assert not [name for name in found if "HK." in name]


def test_a_finding_with_a_long_text_stays_one_line(make_status: MakeStatus) -> None:
    """Text of an operator or of OpenD cannot break the format."""
    live = make_status(trouble={'a"b\\c\nd': "?"}, version='1"\n\\')
    found = Scrapes(live).read()
    assert found['hktc_finding{code=opend_a"b\\c\nd}'] == 2


def test_text_from_outside_is_cleaned(make_status: MakeStatus) -> None:
    """Text from outside has no effect on a terminal or a dashboard."""
    scrapes = Scrapes(make_status(trouble={"a\x1b[2J\u202e": "?"}, version="1\x1b", instance="訂閱\ud800"))
    text = scrapes.metrics.render().decode("utf-8")
    assert text.replace("\n", "").isprintable()
    assert scrapes.read()["hktc_finding{code=opend_a\\x1b[2J\\u202e}"] == 2


@pytest.mark.parametrize(
    ("took_ms", "bound"), [(0.0, "0.001"), (1.0, "0.001"), (1.01, "0.0025"), (-5.0, "0.001"), (10**6, "+Inf")]
)
def test_a_histogram_counts_up_to_and_with_its_bound(make_status: MakeStatus, took_ms: float, bound: str) -> None:
    """`le` is less or equal; with a clock that was set back the wait is 0; larger values are in +Inf."""
    stats = Stats()
    stats.commit_times.add(took_ms)
    found = Scrapes(make_status(), stats).read()
    buckets = {name: value for name, value in found.items() if name.startswith("hktc_commit_duration_seconds_bucket")}
    first = next(name for name, value in buckets.items() if value)
    assert first == f"hktc_commit_duration_seconds_bucket{{le={bound}}}"
    assert found["hktc_commit_duration_seconds_count"] == 1
    assert found["hktc_commit_duration_seconds_sum"] == max(0.0, took_ms) / 1000


def test_latencies_are_counted_by_bound() -> None:
    """Counts are kept for each bound, once each."""
    latencies = Latencies()
    for took_ms in (0.5, 3.0, 3.0, 7.0):
        latencies.add(took_ms)
    assert latencies.counts[:4] == [1, 0, 2, 1]
    assert sum(latencies.counts) == 4
    assert latencies.sum_ms == 13.5


def test_the_process_has_metrics_where_proc_stat_is_hidden(tmp_path: Path) -> None:
    """Under ProcSubset=pid only /proc/self is visible: memory, CPU, descriptors and start time are still shown."""
    (tmp_path / "self").symlink_to("/proc/self")
    hidden = {
        family.name: family.samples[0].value for family in OwnProcess(proc=str(tmp_path), registry=None).collect()
    }
    shown = {family.name: family.samples[0].value for family in OwnProcess(registry=None).collect()}
    assert hidden.keys() == shown.keys()
    assert len(hidden) == 6
    assert hidden["process_max_fds"] == shown["process_max_fds"]

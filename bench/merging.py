"""All stages over several hosts: OpenD, `run`, `publish`, three nats-servers with `sync_interval: always`, `merge`.

Live: a market of 5,000 ticks a second; `merge` itself measures the time from the collector's read of a tick from its
socket to the commit of the merged file. Catching up: a day of a million ticks, none of which was sent before. A trial
whose union is not complete at its end gives no figure.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.bigday import make_big_day
from tests.nats_servers import NatsServers
from tools.cluster.cluster import Cluster, Layout
from tools.cluster.hosts import Market, last_weekday, rows_of

from .publishing import moment
from .report import Figure, Target
from .trial import BrokenRunError, cpu_s, memory_mb, process

if TYPE_CHECKING:
    from pathlib import Path

ROWS: Final = 1_000_000
RUNS: Final = 3
RATE: Final = 5_000
WAITS_MS: Final = (200, 20)  # MAX_WAIT_MS of the collector: its default, and one for a strategy
_NODES: Final = 3
_LEAD_S: Final = 5.0  # after the start, and before the market's end, nothing is measured
_CAP_S: Final = 600.0
_LAYOUT: Final = Layout(sources=("a",))


@dataclass(frozen=True, slots=True)
class Live:
    """One live market."""

    p50_ms: float
    p99_ms: float
    publish_cores: float
    merge_cores: float
    servers_cores: float  # of all three
    server_mb: float  # the largest, at its peak


def measure_live(scratch: Path, seconds: float, max_wait_ms: int) -> Live:
    """The figures of `seconds` of a market, without its first and last seconds."""
    market = Market(symbols=500, rate=RATE, seconds=seconds + 2 * _LEAD_S)
    with Cluster(scratch, market, _LAYOUT) as cluster:
        host = cluster.sources["a"]
        for program in (host.collector, host.publish):  # one `.env`, as on a host
            program.environ["MAX_WAIT_MS"] = str(max_wait_ms)
        cluster.start()
        cluster.wait_collecting()
        time.sleep(_LEAD_S)
        parts = [[host.publish.pid], [cluster.merger.merge.pid], [node.process.pid for node in cluster.nodes]]
        begun_s, before = time.monotonic(), [sum(map(cpu_s, pids)) for pids in parts]
        time.sleep(seconds)
        took_s = time.monotonic() - begun_s
        publish_cores, merge_cores, servers_cores = (
            (sum(map(cpu_s, pids)) - used) / took_s for pids, used in zip(parts, before, strict=True)
        )
        state = cluster.merger.state()
        server_mb = max(memory_mb(pid, peak=True) for pid in parts[2])
        cluster.wait_market(_CAP_S)
        cluster.settle(_CAP_S)
        union = cluster.judge_union()
        if not union.is_whole:
            raise BrokenRunError(f"the union lacks {union.missing} of {union.made} ticks: {union.line}")
    return Live(state["delay_ms_p50"], state["delay_ms_p99"], publish_cores, merge_cores, servers_cores, server_mb)


def measure_catching_up(scratch: Path, rows: int) -> float:
    """Ticks a second, from the moment at which `publish` is connected until the whole day is merged."""
    day = last_weekday()
    data, merged = scratch / "data", scratch / "merged"
    data.mkdir()
    merged.mkdir()
    stored = make_big_day(data / f"{day}.db", rows)
    with NatsServers(scratch / "nats", _NODES) as servers:
        common = {"STREAM_URL": servers.url, "METRICS_ADDR": "", "DISK_MIN_FREE_MB": "1"}
        verb = ["--env-file", os.devnull]
        to = {**common, "MERGE_ROOT": str(merged), "DATA_ROOT": str(scratch), "INSTANCE_ID": "m"}
        source = {**common, "DATA_ROOT": str(data), "INSTANCE_ID": "a"}
        with process(["hk_tick_collector", "merge", *verb], to, scratch / "merge.log") as merge:
            begun_s = time.monotonic()
            publish = ["hk_tick_collector", "publish", "--since", day, *verb]
            with process(publish, source, scratch / "publish.log") as running:
                while rows_of(merged, day) < stored:
                    if time.monotonic() - begun_s > _CAP_S or merge.poll() is not None or running.poll() is not None:
                        logs = [(scratch / f"{name}.log").read_text()[-1000:] for name in ("publish", "merge")]
                        raise BrokenRunError(f"merged {rows_of(merged, day)} of {stored} ticks\n" + "\n".join(logs))
                    time.sleep(0.02)
                merged_s = time.time()
                return stored / (merged_s - moment((scratch / "publish.log").read_text(), "publish_connected"))


def figures(live: dict[int, list[Live]], rates: list[float], rows: int) -> list[Figure]:
    """Rate of catching up, delays, cores and memory."""
    topic, usual = "merging", live[WAITS_MS[0]]
    found = [
        Figure(topic, f"{rows:,} stored ticks → merged", "ticks/s", rates, Target(80_000, at_least=True)),
        Figure(topic, f"{RATE:,} ticks/s, socket → merged: p50", "ms", [run.p50_ms for run in usual], Target(250)),
        Figure(topic, "  p99", "ms", [run.p99_ms for run in usual], Target(1_000)),
    ]
    for wait_ms in WAITS_MS[1:]:
        runs = live[wait_ms]
        found += [
            Figure(topic, f"  with MAX_WAIT_MS={wait_ms}: p50", "ms", [run.p50_ms for run in runs], Target(50)),
            Figure(topic, "  p99", "ms", [run.p99_ms for run in runs]),
        ]
    total = [run.publish_cores + run.merge_cores + run.servers_cores for run in usual]
    return [
        *found,
        Figure(topic, "  CPU of `publish`, `merge` and three servers", "cores", total, Target(0.3)),
        Figure(topic, "  of it `publish`", "cores", [run.publish_cores for run in usual]),
        Figure(topic, "  of it `merge`", "cores", [run.merge_cores for run in usual]),
        Figure(topic, "  peak memory of a server", "MB", [run.server_mb for run in usual], Target(100, worst=True)),
    ]

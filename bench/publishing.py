"""`publish` alone: a day of a million ticks to three nats-servers on this host, each with `sync_interval: always`.

The time runs from the connection until the last acknowledgement: the process's own start is left out, everything that
it does with a tick is in. At the end the stream's own count of messages is compared with what was sent.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tests.bigday import make_big_day
from tests.nats_servers import NatsServers

from hk_tick_collector.config import environment_without_settings

from .report import Figure, Target
from .trial import ROOT, BrokenRunError, memory_mb

if TYPE_CHECKING:
    from pathlib import Path

ROWS: Final = 1_000_000
RUNS: Final = 3
_DAY: Final = "20261120"
_NODES: Final = 3
_CAP_S: Final = 600


@dataclass(frozen=True, slots=True)
class Published:
    """One run."""

    rows: int
    took_s: float
    cpu_s: float  # of `publish`, its start included
    peak_mb: float  # of `publish`
    node_mb: float  # the largest of the servers
    bytes: int  # of the stream


def measure(scratch: Path, rows: int) -> Published:
    """One run in an empty directory."""
    data = scratch / "data"
    data.mkdir()
    stored = make_big_day(data / f"{_DAY}.db", rows)
    with NatsServers(scratch / "nats", _NODES) as servers:
        settings = {"STREAM_URL": servers.url, "INSTANCE_ID": "bench", "DATA_ROOT": str(data)}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak_mb = 0.0
        with (
            (scratch / "publish.log").open("w") as log,
            subprocess.Popen(
                [sys.executable, "-m", "hk_tick_collector", "publish", "--once", "--env-file", os.devnull],
                env={**environment_without_settings(), **settings},
                stderr=log,
                cwd=ROOT,
            ) as running,
        ):
            begun_s = time.monotonic()
            # Not ru_maxrss: it is that of the largest child so far, and counts what this process had at the fork.
            while running.poll() is None and time.monotonic() - begun_s < _CAP_S:
                with suppress(OSError):  # it has just ended
                    peak_mb = max(peak_mb, memory_mb(running.pid, peak=True))
                time.sleep(0.02)
            running.kill()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        node_mb = max(memory_mb(servers.pid(node), peak=True) for node in range(_NODES))
    state: dict[str, Any] = json.loads((data / "publish.json").read_text("utf-8"))
    said = (scratch / "publish.log").read_text("utf-8")
    if running.returncode or state["published_rows"] != stored or state["behind_rows"]:
        raise BrokenRunError(f"{stored} ticks stored, {state['published_rows']} published:\n{said[-2000:]}")
    took_s = state["last_ack_ms"] / 1000 - moment(said, "publish_connected")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Published(stored, took_s, cpu_s, peak_mb, node_mb, state["stream_bytes"])


def moment(log: str, event: str) -> float:
    """When the first line of an event was written to a log, UTC epoch s. BrokenRunError if there is none."""
    match = re.search(rf"^(\S+) \w+ {event} ", log, re.MULTILINE)
    if match is None:
        raise BrokenRunError(f"no {event} in the log:\n{log[-2000:]}")
    return datetime.fromisoformat(match[1]).timestamp()


def figures(runs: list[Published]) -> list[Figure]:
    """Rate, CPU time, memory."""
    rows = f"{runs[0].rows:,}"
    rates = [run.rows / run.took_s for run in runs]
    return [
        Figure("publishing", f"{rows} ticks to three servers", "ticks/s", rates, Target(120_000, at_least=True)),
        Figure("publishing", "  CPU time of `publish` a tick", "µs", [run.cpu_s / run.rows * 1e6 for run in runs]),
        Figure(
            "publishing", "  peak memory of `publish`", "MB", [run.peak_mb for run in runs], Target(150, worst=True)
        ),
        Figure("publishing", "  peak memory of a server", "MB", [run.node_mb for run in runs], Target(100, worst=True)),
    ]

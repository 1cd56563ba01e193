"""How long the collector needs to catch up: 500,000 rows wait behind a write lock of another process, then the lock is
released while ticks keep coming. Also the peak memory, compared with a burst of the same size without a lock.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector.simulator.exchange.listing import default_symbols

from .report import Figure, Target
from .stream import Preparation
from .trial import Trial, memory_mb

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS: Final = 500
RATE: Final = 5_000
_EMPTY_ROWS: Final = RATE // 5  # rows that wait at any moment with the default MAX_WAIT_MS
_KEEP_COMING_S: Final = 15


@dataclass(slots=True)
class Backlog:
    """The results for one backlog."""

    rows: int
    caught_up_s: float
    rows_per_s: float
    peak_locked_mb: float
    peak_burst_mb: float = 0.0


def measure(scratch: Path, ticks: int) -> Backlog:
    """Lock, burst, release."""
    preparation = Preparation(default_symbols(SYMBOLS), 1)
    parts = [preparation.part(ticks), preparation.part(RATE * _KEEP_COMING_S, RATE)]
    sent = len(parts[0].rows)
    with Trial(scratch, preparation.symbols, parts) as trial:
        with closing(sqlite3.connect(trial.path, isolation_level=None, timeout=30)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            trial.go()
            trial.sent()
            trial.go()
            time.sleep(1.0)  # time for data in the sockets to reach the queue
            foreign.execute("COMMIT")
        released_s = time.monotonic()
        for _ in trial.until(lambda seen: seen.stored >= sent and seen.waiting <= _EMPTY_ROWS):
            pass
        took_s, stored = time.monotonic() - released_s, trial.seen().stored
        peak_mb = memory_mb(trial.pid, peak=True)
        trial.wait_stored(sum(len(part.rows) for part in parts))
        trial.verify(parts)
    return Backlog(sent, took_s, stored / took_s, peak_mb)


def measure_burst(scratch: Path, ticks: int) -> float:
    """Peak resident memory of a burst without a lock, MB."""
    preparation = Preparation(default_symbols(SYMBOLS), 1)
    parts = [preparation.part(ticks)]
    with Trial(scratch, preparation.symbols, parts) as trial:
        trial.go()
        trial.wait_stored(len(parts[0].rows))
        peak_mb = memory_mb(trial.pid, peak=True)
        trial.verify(parts)
    return peak_mb


def figures(backlogs: list[Backlog]) -> list[Figure]:
    """Time, rate and memory."""
    rows = f"{backlogs[0].rows:,}"
    return [
        Figure(
            "catching up",
            f"{rows} rows waiting, {RATE:,}/s coming: until the queue is empty",
            "s",
            [backlog.caught_up_s for backlog in backlogs],
        ),
        Figure("catching up", "  stored meanwhile", "ticks/s", [backlog.rows_per_s for backlog in backlogs]),
        Figure(
            "catching up",
            f"peak memory, burst of {rows}",
            "MB",
            [backlog.peak_burst_mb for backlog in backlogs],
            Target(350, worst=True),
        ),
        Figure(
            "catching up",
            f"peak memory, burst of {rows} behind a lock",
            "MB",
            [backlog.peak_locked_mb for backlog in backlogs],
            Target(350, worst=True),
        ),
    ]

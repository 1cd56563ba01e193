"""One day file of 1, 5 and 20 million rows: the time of an insert, of the runbook's queries and of `status`.

The rows in between are inserted inside SQLite and synced to the disk; the measured ones go through the collector's own
writer. Queries use the system's SQLite on a file that nobody writes; `status` runs while a collector has the file open.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.simulator.exchange.listing import default_symbols
from hk_tick_collector.store.dayfile import Batch

from .bigday import CYCLE_ROWS, BigDay
from .report import Figure, Target
from .runbook import QUERIES
from .trial import Trial, read_only

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.store.dayfile import DayFile

SYMBOLS: Final = 2000
SIZES: Final = (1_000_000, 5_000_000, 20_000_000)
JUDGED_ROWS: Final = 5_000_000  # the size at which queries and `status` have a target
_RUNS: Final = 3


@dataclass(slots=True)
class Size:
    """The results at one size."""

    rows: int
    inserted: list[float] = field(default_factory=list)  # rows/s
    shares: list[float] = field(
        default_factory=list
    )  # divided by the rate of a file of the first size at the same moment
    queries: dict[str, list[float]] = field(default_factory=dict)  # s
    status_s: list[float] = field(default_factory=list)
    start_s: float = 0.0  # of a collector that starts with the file
    bytes_per_tick: float = 0.0


def measure(scratch: Path, sizes: Sequence[int]) -> Iterator[Size]:
    """Each size in turn, in one growing file."""
    symbols = default_symbols(SYMBOLS)
    trial = Trial(scratch, symbols, [])
    trial.data.mkdir()
    day, small = BigDay(trial.path, symbols), BigDay(scratch / trial.path.name, symbols)
    small.fill(sizes[0] - _RUNS * CYCLE_ROWS)
    for rows in sizes:
        day.fill(rows - _RUNS * CYCLE_ROWS)
        size = Size(rows)
        with closing(day.open()) as file, closing(small.open()) as small_file:
            for _ in range(_RUNS):
                base = _insert(small_file, small)
                size.inserted.append(_insert(file, day))
                size.shares.append(size.inserted[-1] / base)
        _ask(trial.path, size)
        with closing(read_only(trial.path)) as db:
            (used,) = db.execute(
                "SELECT (SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count)"
                " * (SELECT page_size FROM pragma_page_size)"
            ).fetchone()
        size.bytes_per_tick = used / day.rows
        if rows == JUDGED_ROWS:
            with trial:
                size.start_s = trial.start_s
                size.status_s = [_status_s(trial) for _ in range(_RUNS)]
        yield size


def _insert(file: DayFile, day: BigDay) -> float:
    """Rows/s of one cycle."""
    batches = list(day.batches())
    begun_s = time.monotonic()
    for batch in batches:
        file.write(Batch(rows=batch), 0)
    return CYCLE_ROWS / (time.monotonic() - begun_s)


def _ask(path: Path, size: Size) -> None:
    for name, query in QUERIES.items():
        size.queries[name] = []
        for _ in range(_RUNS):
            begun_s = time.monotonic()
            with closing(read_only(path)) as db:
                db.execute(query).fetchall()
            size.queries[name].append(time.monotonic() - begun_s)


def _status_s(trial: Trial) -> float:
    """The time of `status`."""
    command = [sys.executable, "-m", "hk_tick_collector", "status", "--env-file", os.devnull]
    environment = {**environment_without_settings(), **trial.settings}
    begun_s = time.monotonic()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    return time.monotonic() - begun_s


def figures(sizes: list[Size]) -> list[Figure]:
    """The curves. Ratios are of two files that were written in turn, so that other load affects both."""
    found = []
    for size in sizes:
        name = f"{size.rows // 1_000_000} million rows"
        asked = size.rows == JUDGED_ROWS
        found.append(Figure("growth", f"{name}: insert", "rows/s", size.inserted))
        if size is not sizes[0]:
            target = Target(0.8, at_least=True) if size.rows == SIZES[-1] else None
            at_first = f"insert ÷ at {sizes[0].rows // 1_000_000} million"
            found.append(Figure("growth", f"{name}: {at_first}", "ratio", size.shares, target))
        for query, took in size.queries.items():
            found.append(Figure("growth", f"{name}: {query}", "s", took, Target(1, worst=True) if asked else None))
        if size.status_s:
            found.append(Figure("growth", f"{name}: status", "s", size.status_s, Target(0.5)))
            found.append(Figure("growth", f"{name}: start to subscribed, 2,000 symbols", "s", [size.start_s]))
        target = Target(96) if asked else None
        found.append(Figure("growth", f"{name}: a stored tick", "bytes", [size.bytes_per_tick], target))
    return found

"""What a researcher waits for: one symbol's month and one symbol of a day that is open, as frames; and a day as CSV.

The month is one archived day under 21 dates. The open day is a day file as the collector leaves it, read through its
whole way: `hk_tick_collector.open`, `ticks`, a frame. Each is read once before, so that the page cache is warm.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import hk_tick_collector
from hk_tick_collector.simulator.exchange.listing import default_symbols

from . import bars
from .bigday import BigDay
from .report import Figure, Target
from .trial import ROOT, BrokenRunError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.data.store import Store

_DAYS: Final = 21
_OPEN_ROWS: Final = 5_000_000
_CSV_ROWS: Final = 1_000_000
_SYMBOL_ROWS: Final = 205_000  # of the symbol that is read, a day
_RUNS: Final = 3
_NAME: Final = "20261120"


def measure(scratch: Path, scale: float) -> list[Figure]:
    """All figures of this topic."""
    topic = "reading"
    month = hk_tick_collector.open(archive=_month(scratch / "archive", int(bars.ROWS * scale)))
    symbol = _symbol(month, scale)
    rows = month.ticks(symbol, gaps="ignore", columns=["seq"]).polars().height / 1e6
    of_month = _timed(lambda: month.ticks(symbol, gaps="ignore").polars().height)
    opened = hk_tick_collector.open(_open_day(scratch / "open", int(_OPEN_ROWS * scale)))
    of_day = _symbol(opened, scale)
    of_open = _timed(lambda: len(opened.ticks(of_day).pandas()))
    small = _open_day(scratch / "small", int(_CSV_ROWS * scale))
    ratios = [_cpu_s(small, "ticks", scratch) / _cpu_s(small, "export", scratch) for _ in range(_RUNS)]
    return [
        Figure(topic, f"one symbol's month, {rows:.1f} million rows, into polars", "s", of_month, Target(1)),
        Figure(topic, "one symbol of an open day of 5 million rows, into pandas", "s", of_open, Target(0.5)),
        Figure(topic, "a day as CSV: CPU of ticks ÷ CPU of export", "ratio", ratios, Target(3, at_least=True)),
    ]


def _month(archive: Path, rows: int) -> Path:
    file = archive / "day.parquet"
    archive.mkdir()
    bars.make_day(file, rows)
    weekdays = [
        day for day in (date(2026, 11, 2) + timedelta(days=number) for number in range(40)) if day.weekday() < 5
    ]
    for day in weekdays[:_DAYS]:
        folder = archive / "ticks" / f"date={day}"
        folder.mkdir(parents=True)
        os.link(file, folder / f"ticks-{0:016x}.parquet")
    return archive


def _open_day(root: Path, rows: int) -> Path:
    root.mkdir()
    BigDay(root / f"{_NAME}.db", default_symbols(2000)).fill(rows)
    return root


def _symbol(store: Store, scale: float) -> str:
    """The symbol whose number of ticks on the first day is nearest to what is wanted."""
    ticks = store.ticks(day=store.days()[0], columns=["symbol"], gaps="ignore").polars()
    counts: list[tuple[str, int]] = ticks["symbol"].value_counts().rows()
    return min(counts, key=lambda each: abs(each[1] - _SYMBOL_ROWS * scale))[0]


def _timed(read: Callable[[], int]) -> list[float]:
    read()
    found = []
    for _ in range(_RUNS):
        began_s = time.monotonic()
        read()
        found.append(time.monotonic() - began_s)
    return found


def _cpu_s(root: Path, verb: str, scratch: Path) -> float:
    """CPU seconds of a verb that writes the day as CSV, its child processes included."""
    out = scratch / "out.csv"
    form = ["--format", "csv", *(["--out", str(out)] if verb == "export" else [])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (scratch / "stdout.csv").open("wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "hk_tick_collector", verb, "--day", _NAME, *form],
            cwd=ROOT,
            env={**os.environ, "DATA_ROOT": str(root)},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    out.unlink(missing_ok=True)
    if done.returncode:
        raise BrokenRunError(done.stderr.strip()[-500:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

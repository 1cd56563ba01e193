"""The collector's cost with little traffic: start, idle memory. Other costs are measured in other runs."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector.simulator.exchange.listing import default_symbols

from .report import Figure, Target
from .trial import Trial, memory_mb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .latency import Paced
    from .throughput import Cell

SYMBOLS: Final = 2000
START_SYMBOLS: Final = 500
MEAN_RATE: Final = 500  # ticks/s, the market's mean
_IMPORT: Final = "import hk_tick_collector.collect.service, hk_tick_collector.config"
_LOOKS: Final = 3
_RUNS: Final = 5


def idle_memory_mb(scratch: Path) -> list[float]:
    """Resident memory with 2,000 symbols and no ticks, read several times at intervals of seconds, MB."""
    with Trial(scratch, default_symbols(SYMBOLS), []) as trial:
        looks = []
        for _ in range(_LOOKS):
            time.sleep(2.0)
            looks.append(memory_mb(trial.pid, peak=False))
    return looks


def import_s() -> list[float]:
    """The cost of a start, and of Python's own start."""
    return [_run_s(_IMPORT) for _ in range(_RUNS)]


def python_s() -> list[float]:
    """Python's own start."""
    return [_run_s("pass") for _ in range(_RUNS)]


def start_s(scratches: Sequence[Path]) -> list[float]:
    """From the start of the process to its last subscription, 500 symbols."""
    taken = []
    for scratch in scratches:
        with Trial(scratch, default_symbols(START_SYMBOLS), []) as trial:
            taken.append(trial.start_s)
    return taken


def figures(
    idle_mb: Sequence[float],
    imports_s: Sequence[float],
    pythons_s: Sequence[float],
    starts_s: Sequence[float],
    paced: Sequence[Paced],
    cells: dict[tuple[int, int], Cell],
) -> list[Figure]:
    """Each cost; CPU and written bytes come from the paced runs and the bursts."""
    found = [
        Figure("cost", "memory, 2,000 symbols idle", "MB", idle_mb, Target(90, worst=True)),
        Figure("cost", "start to subscribed, 500 symbols", "s", starts_s, Target(1.5)),
        Figure("cost", "import of the service, Python's start included", "s", imports_s),
        Figure("cost", "Python's start alone", "s", pythons_s),
    ]
    for each in paced:
        if not each.beside:
            target = Target(4) if each.rate == MEAN_RATE else None
            shares = [cores * 100 for cores in each.cores]
            found.append(Figure("cost", f"{each.rate:,} ticks/s: share of one core", "%", shares, target))
            written = [each.written_per_tick]
            found.append(Figure("cost", f"{each.rate:,} ticks/s: written a tick", "bytes", written))
    if cell := cells.get((1, START_SYMBOLS)):
        found.append(Figure("cost", "burst: written a tick", "bytes", [cell.written_per_tick]))
    return found


def _run_s(code: str) -> float:
    begun_s = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - begun_s

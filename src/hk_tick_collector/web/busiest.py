"""The busiest symbols of the last ten minutes: differences of the day file's own counters. Bounded."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from pathlib import Path

STEP_S: Final = 10
STEPS: Final = 60
SHOWN: Final = 10


class Busy(NamedTuple):
    """One symbol: its ticks today, in the last minute, and in each step, the oldest first; None where unknown."""

    symbol: str
    rows: int
    last_minute: int
    steps: list[int | None]


def count_rows(path: Path) -> dict[str, int]:
    """The number of stored ticks of each symbol, from a day file's counters. Raises the errors of DayReader."""
    with DayReader(path) as reader, reader.snapshot():
        return {symbol.symbol: symbol.rows for symbol in reader.symbols()}


class Busiest:
    """Keeps what was counted in the last ten minutes."""

    def __init__(self) -> None:
        self._day = ""
        self._rows: dict[str, int] | None = None
        self._steps: deque[dict[str, int] | None] = deque(maxlen=STEPS)

    def add(self, day: str, rows: dict[str, int] | None) -> None:
        """The counts of one step; None if they could not be read."""
        if day != self._day:
            self._day, self._rows = day, None
            self._steps.clear()
        if rows is None or self._rows is None:
            self._steps.append(None)
        else:
            self._steps.append({name: new for name, now in rows.items() if (new := now - self._rows.get(name, 0)) > 0})
        self._rows = rows

    @property
    def known_s(self) -> int:
        """How long the page has been counting, at most ten minutes (s)."""
        return STEP_S * sum(step is not None for step in self._steps)

    def top(self) -> list[Busy]:
        """The symbols with the most ticks in that time, the busiest first."""
        sums: dict[str, int] = {}
        for step in self._steps:
            for name, new in (step or {}).items():
                sums[name] = sums.get(name, 0) + new
        names = sorted(sums, key=lambda name: (-sums[name], name))[:SHOWN]
        return [self._of(name) for name in names]

    def _of(self, name: str) -> Busy:
        steps = [None if step is None else step.get(name, 0) for step in self._steps]
        minute = sum(new or 0 for new in steps[-60 // STEP_S :])
        unknown: list[int | None] = [None] * (STEPS - len(steps))
        return Busy(name, (self._rows or {}).get(name, 0), minute, unknown + steps)

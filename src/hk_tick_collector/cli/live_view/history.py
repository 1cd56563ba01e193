"""How many ticks of each symbol came within the last seconds, from the day's counters as they were read. Pure."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hk_tick_collector.store.query import SymbolCount

SPAN_S: Final = 10.0  # a rate is the mean of this time
_KEPT: Final = 31  # counters of a symbol that are remembered


class History:
    """The counters of each symbol, as they were read about once a second."""

    def __init__(self) -> None:
        self._day = ""
        self._rows: dict[str, deque[tuple[float, int]]] = {}  # symbol → (when it was read, ticks of the day)

    def add(self, day: str, at_s: float, symbols: Iterable[SymbolCount]) -> None:
        """Remembers counters read at `at_s`, a monotonic clock's seconds. Another day begins anew."""
        if day != self._day:
            self._day, self._rows = day, {}
        for symbol in symbols:
            known = self._rows.setdefault(symbol.symbol, deque(maxlen=_KEPT))
            if known and symbol.rows < known[-1][1]:  # a damaged file was replaced by a new one
                known.clear()
            if not known or at_s > known[-1][0]:
                known.append((at_s, symbol.rows))

    def rate(self, symbol: str) -> float | None:
        """The mean number of ticks a second over the last ten seconds; None before the second reading."""
        known = self._rows.get(symbol) or deque[tuple[float, int]]()
        if len(known) < 2:
            return None
        end_s, end = known[-1]
        begin_s, begin = next(each for each in known if each[0] >= end_s - SPAN_S - 0.5)
        if begin_s == end_s:
            begin_s, begin = known[-2]
        return (end - begin) / (end_s - begin_s)

    def trend(self, symbol: str) -> list[float]:
        """Ticks a second between each two readings, oldest first."""
        known = list(self._rows.get(symbol, ()))
        return [(new - old) / (new_s - old_s) for (old_s, old), (new_s, new) in pairwise(known)]

"""Which waiting rows of a held day repeat a tick: OpenD sends the same tick in every answer.

Enters: rows that begin to wait. Leaves: how many of their ticks were already waiting. Only the newest sequences of a
symbol are remembered, 8 bytes each, because OpenD returns only the latest ticks again.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import WINDOW_ROWS, seq_of, symbol_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hk_tick_collector.model import TickRow

_KEPT: Final = WINDOW_ROWS + 100


class HeldRepeats:
    """The waiting ticks of one day. For one thread."""

    def __init__(self) -> None:
        self.again = 0  # rows of ticks that waited before
        self._newest: dict[str, array[int]] = {}  # by symbol, in order of arrival

    def add(self, rows: Iterable[TickRow]) -> None:
        """Adds rows that now wait."""
        by_symbol: dict[str, list[int]] = {}
        for row in rows:
            by_symbol.setdefault(symbol_of(row), []).append(seq_of(row))
        for symbol, seqs in by_symbol.items():
            newest = self._newest.setdefault(symbol, array("q"))
            news = dict.fromkeys(seqs)
            if newest and min(news) <= max(newest):
                known = set(newest)
                news = dict.fromkeys(seq for seq in news if seq not in known)
            self.again += len(seqs) - len(news)
            newest.extend(news)
            if len(newest) > 2 * _KEPT:
                del newest[:-_KEPT]

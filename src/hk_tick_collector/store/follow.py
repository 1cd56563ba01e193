"""Follows a day file that is being written: returns the new ticks since the last call, each exactly once.

Ticks arrive late and out of order, and a table without rowids does not show what is new. But `symbols.rows` is exact.
If a symbol has more rows than are known, the sequences above the highest known one are read. If these are fewer than
the new rows, there are late ticks: they are found by comparing sequences, first the recent ones, then all of them.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from .query import DayReader, SymbolCount, demand_own_day

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.model import Tick

_LOWEST_SEQ: Final = -(2**63)
_RECENT_TICKS: Final = 2_000  # twice the ticks of one answer to GetTicker


class Follower:
    """Follows one day file. Needs 8 bytes of memory for each known tick.

    Each call opens its own connection, so that the file can be sealed, or set aside and replaced, between calls. If a
    replaced file has fewer ticks, no tick is returned twice.
    """

    def __init__(self, path: Path, symbols: Sequence[str] = (), *, most_ticks: int = 50_000) -> None:
        """Follows these symbols or all. One call returns at most `most_ticks`, to limit memory after a backfill."""
        self.path = path
        self._symbols = tuple(symbols)
        self._most_ticks = most_ticks
        self._known: dict[str, array[int]] = {}  # symbol → its known sequences in order
        self._gone: dict[str, int] = {}  # symbol → how many of them the file no longer has

    def begin(self, latest: int) -> list[Tick]:
        """The latest ticks of the file. All other ticks that it has now count as known.

        StoreError if the file is of another day than its name says; so `poll`.
        """
        with DayReader(self.path) as reader, reader.snapshot():
            demand_own_day(reader)
            for symbol in reader.symbols(self._symbols):
                self._known[symbol.symbol] = array("q", reader.seqs(symbol.symbol, _LOWEST_SEQ))
            return reader.latest(latest, self._symbols)

    def poll(self) -> list[Tick]:
        """The new ticks, in the order of (ts_ms, symbol, seq). If there are `most_ticks`, call it again at once."""
        found: list[Tick] = []
        with DayReader(self.path) as reader, reader.snapshot():
            demand_own_day(reader)
            for symbol in reader.symbols(self._symbols):
                room = self._most_ticks - len(found)
                if room == 0:
                    break
                if not self._is_complete(symbol):
                    found += self._new_of(reader, symbol, room)
        return sorted(found, key=lambda tick: (tick.ts_ms, tick.symbol, tick.seq))

    def _is_complete(self, symbol: SymbolCount) -> bool:
        return len(self._known.get(symbol.symbol, ())) - self._gone.get(symbol.symbol, 0) == symbol.rows

    def _new_of(self, reader: DayReader, symbol: SymbolCount, room: int) -> list[Tick]:
        known = self._known.setdefault(symbol.symbol, array("q"))
        new = reader.ticks_after(symbol.symbol, known[-1] if known else _LOWEST_SEQ, room)
        known.extend(tick.seq for tick in new)
        if len(new) < room and not self._is_complete(symbol):
            late = self._late_of(reader, symbol)[: room - len(new)]
            new += [reader.tick(symbol.symbol, seq) for seq in late]
            self._known[symbol.symbol] = array("q", sorted([*known, *late]))
        return new

    def _late_of(self, reader: DayReader, symbol: SymbolCount) -> list[int]:
        """The sequences of late ticks: in the file, not known, and below the highest known one."""
        known = self._known[symbol.symbol]
        gone = self._gone.get(symbol.symbol, 0)
        if len(known) > _RECENT_TICKS:
            late = _unknown(reader, symbol.symbol, known[-_RECENT_TICKS:], known[-_RECENT_TICKS])
            if len(known) + len(late) - gone == symbol.rows:
                return late
        late = _unknown(reader, symbol.symbol, known, _LOWEST_SEQ)
        self._gone[symbol.symbol] = len(known) + len(late) - symbol.rows
        return late


def _unknown(reader: DayReader, symbol: str, known: array[int], from_seq: int) -> list[int]:
    """The sequences of the file from `from_seq` on that are not known; both lists are in order."""
    unknown = []
    position, end = 0, len(known)
    for seq in reader.seqs(symbol, from_seq):
        while position < end and known[position] < seq:
            position += 1
        if position == end or known[position] != seq:
            unknown.append(seq)
    return unknown

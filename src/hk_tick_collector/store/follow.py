"""Follows a day file that is being written: the ticks it has gained since the last look, each exactly once.

Ticks come late and out of order, and a table without rowids does not tell what is new. But `symbols.rows` counts
exactly: where a symbol has more rows than are known, the sequences above the highest known one are read; when those do
not account for the difference, late ticks are found by comparing sequences, the recent ones first, then all of them.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from .query import DayReader, SymbolCount

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.model import Tick

_LOWEST_SEQ: Final = -(2**63)
_RECENT_TICKS: Final = 2_000  # twice what one GetTicker brings back


class Follower:
    """One day file, followed. Costs 8 bytes of memory for every tick that it knows.

    Every look is a connection of its own: following never keeps a file from being sealed, or set aside and replaced.
    A file that shrank because it was replaced tells nothing twice.
    """

    def __init__(self, path: Path, symbols: Sequence[str] = (), *, most_ticks: int = 50_000) -> None:
        """Follows these symbols or all; one look returns at most `most_ticks`, so that a back-fill needs no memory."""
        self.path = path
        self._symbols = tuple(symbols)
        self._most_ticks = most_ticks
        self._known: dict[str, array[int]] = {}  # per symbol its sequences in order
        self._gone: dict[str, int] = {}  # per symbol how many of them the file no longer has

    def begin(self, latest: int) -> list[Tick]:
        """The latest ticks of the file as it is; all others that it holds now count as told."""
        with DayReader(self.path) as reader, reader.snapshot():
            for symbol in reader.symbols(self._symbols):
                self._known[symbol.symbol] = array("q", reader.seqs(symbol.symbol, _LOWEST_SEQ))
            return reader.latest(latest, self._symbols)

    def look(self) -> list[Tick]:
        """What is new, in the order of (ts_ms, symbol, seq). Look again at once when it is a full `most_ticks`."""
        found: list[Tick] = []
        with DayReader(self.path) as reader, reader.snapshot():
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
        """The sequences that the file has and we do not, none above the highest known one."""
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
    """The file's sequences from one on that are not among the known ones; both come in order."""
    unknown = []
    position, end = 0, len(known)
    for seq in reader.seqs(symbol, from_seq):
        while position < end and known[position] < seq:
            position += 1
        if position == end or known[position] != seq:
            unknown.append(seq)
    return unknown

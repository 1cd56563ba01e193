"""Reads a backlog in windows of time over all symbols, so that their ticks come in nearly the order of the market.

A window is a range of the high 32 bits of sequences, which are seconds. If sequences do not have seconds there, symbols
may be read one after the other instead. The order within a symbol is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.store.live_reading import HIGHEST_SEQ

from .found import in_time_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hk_tick_collector.model import Tick
    from hk_tick_collector.store.live_reading import LiveReader

_WANTED: Final = 10_000  # ticks of one window
_FIRST_S: Final = 60
_LONGEST_S: Final = 2**31


class Read(NamedTuple):
    """The ticks of one window."""

    through: int  # the sequence up to which they were read
    short: dict[str, int]  # the same for symbols of which less was read
    ticks: list[Tick]


class Window:
    """Remembers how long the last window was, so that the next one has about as many ticks as wanted."""

    def __init__(self) -> None:
        self._seconds = _FIRST_S

    def read(self, reader: LiveReader, above: Mapping[str, int], most: int) -> Read | None:
        """The ticks of these symbols that are higher than `above`, up to some sequence. None if there are none at all.

        At most `most` ticks: then those of some symbols are left for the next window.
        """
        nexts = {symbol: seq for symbol, high in above.items() if (seq := reader.next_seq(symbol, high)) is not None}
        if not nexts:
            return None
        through = min((((min(nexts.values()) >> 32) + self._seconds) << 32) - 1, HIGHEST_SEQ)
        room, short = most, {}
        found: list[list[Tick]] = []
        for symbol, seq in nexts.items():
            if seq > through:
                continue
            ticks = reader.between(symbol, seq - 1, through, room) if room else []
            room -= len(ticks)
            found.append(ticks)
            if not room:
                short[symbol] = ticks[-1].seq if ticks else seq - 1
        if most - room < _WANTED // 2:
            self._seconds = min(self._seconds * 2, _LONGEST_S)
        elif most - room > _WANTED * 2:
            self._seconds = max(self._seconds // 2, 1)
        return Read(through, short, in_time_order(found))

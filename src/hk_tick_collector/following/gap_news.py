"""Which gaps of a day are reported, and when: an open gap with the first tick after it, a change when it is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.model import GAP_OPEN

from .bound import Bound
from .found import first_seq

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from hk_tick_collector.model import Gap
    from hk_tick_collector.store.live_reading import LiveReader

_AGAIN_S: Final = 1.0  # between two reads of all told gaps; those of a symbol with late ticks are read at once


class Reached(NamedTuple):
    """How far the ticks are read."""

    through: int  # the highest sequence
    short: Mapping[str, int]  # the same for symbols of which less was read

    def includes(self, gap: Gap) -> bool:
        """Whether a gap begins before that."""
        return first_seq(gap) <= self.short.get(gap.symbol, self.through)


class GapNews:
    """The gaps of one day file. `missing` of an open gap changes with the ticks that fill it."""

    def __init__(
        self, bound: Bound, known: Mapping[int, int | None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`known`: the open gaps that a saved position says were told, and how many ticks each missed."""
        self.open: dict[int, int | None] = dict(known or {})  # told: id → ticks missing
        self._symbols: dict[int, str] = {}  # of the told ones, where known
        self._waiting: list[Gap] = []  # open, in the order of their beginning; not told yet
        self._found: tuple[Gap, ...] = ()
        self._highest = -1  # id of the last one that was read
        self._bound = bound
        self._clock = clock
        self._read_s: float | None = None
        self._passed_over = False

    def begin(self, reader: LiveReader, symbols: Sequence[str]) -> None:
        """Takes note of the open gaps. Those that end before the bound are not told; what fills them is."""
        self._highest, self._waiting = reader.highest_gap_id(), []
        for gap in reader.open_gaps(symbols):
            if gap.id in self.open:
                self._symbols[gap.id] = gap.symbol
            elif self._is_before(gap):
                self._note(gap)
            else:
                self._waiting.append(gap)

    def begin_again(self, reader: LiveReader, symbols: Sequence[str]) -> None:
        """Another file: its gaps have other numbers, and what it lacks is told."""
        self.open, self._symbols = {}, {}
        self.go_on(reader, symbols)

    def go_on(self, reader: LiveReader, symbols: Sequence[str]) -> None:
        """After a failed look: every open gap that was not told is told."""
        self._bound = Bound(self._bound.day)
        self.begin(reader, symbols)

    def is_due(self) -> bool:
        """Whether a change may have been passed over, and it is time to look for it."""
        return self._passed_over and self._is_time()

    def look(self, reader: LiveReader, symbols: Sequence[str], reached: Reached, late: Set[str]) -> tuple[Gap, ...]:
        """The gaps to tell with the ticks that are read now: `late` are the symbols of late ticks."""
        if (highest := reader.highest_gap_id()) > self._highest:
            new = reader.gaps_after(self._highest, symbols)
            self._waiting += [gap for gap in new if gap.status == GAP_OPEN and gap.id not in self.open]
            self._highest = highest
        news = [gap for gap in self._changed(reader, late) if self._differs(gap)]
        if ids := {gap.id for gap in self._waiting if reached.includes(gap)}:
            self._waiting = [gap for gap in self._waiting if gap.id not in ids]
            news += [gap for gap in reader.gaps_with_ids(ids) if gap.status == GAP_OPEN]
        self._found = tuple(news)
        return self._found

    def told(self) -> None:
        """What `look` returned last was delivered."""
        for gap in self._found:
            if gap.status == GAP_OPEN:
                self._note(gap)
            else:
                self.open.pop(gap.id, None)
                self._symbols.pop(gap.id, None)
        self._found = ()

    def _changed(self, reader: LiveReader, late: Set[str]) -> list[Gap]:
        """The told gaps as they are now, or those of symbols with late ticks alone."""
        if not self.open:
            return []
        self._passed_over = not self._is_time()
        if not self._passed_over:
            self._read_s = self._clock()
            return reader.gaps_with_ids(self.open)
        ids = [each for each in self.open if self._symbols.get(each) in late]
        return reader.gaps_with_ids(ids) if ids else []

    def _is_time(self) -> bool:
        return self._read_s is None or self._clock() - self._read_s >= _AGAIN_S

    def _note(self, gap: Gap) -> None:
        self.open[gap.id] = gap.missing
        self._symbols[gap.id] = gap.symbol

    def _differs(self, gap: Gap) -> bool:
        return gap.status != GAP_OPEN or gap.missing != self.open.get(gap.id)

    def _is_before(self, gap: Gap) -> bool:
        return self._bound.only_new or self._bound.excludes(gap)

"""Follows one day file from any point: each tick once, in order of sequence within its symbol, and its gaps.

`symbols.rows` of the day file is exact, so a symbol is read only if it has another number of ticks than are known.
Ticks above its highest delivered sequence are in order. If there are more new ticks than these, the others are late:
they are between the delivered stretches of sequences, which are few.

What is stored already is delivered first, in windows of time over all symbols. Each look is one short transaction: a
long one keeps SQLite from emptying the WAL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import seq_of
from hk_tick_collector.store.live_reading import HIGHEST_SEQ

from .delivered import NOTHING, Delivered
from .found import Found, in_time_order, seqs_by_symbol
from .gap_news import GapNews, Reached
from .position import DayPosition
from .watched_file import WatchedFile
from .window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hk_tick_collector.model import Tick
    from hk_tick_collector.store.live_reading import LiveReader

    from .bound import Bound

MOST_TICKS: Final = 50_000  # of one look, which limits memory
_SMALL: Final = 20_000  # a backlog that needs no windows
_FEW_SPACES: Final = 64


class Day:
    """One day. Call `deliver` with what `look` found before the next `look`: only then it counts as delivered."""

    def __init__(self, path: Path, bound: Bound, symbols: Sequence[str], known: DayPosition | None = None) -> None:
        """`known`: what a saved position says was delivered; None begins at the bound."""
        self.bound = bound
        self.delivered: dict[str, Delivered] = dict(known.delivered) if known else {}
        self.gaps = GapNews(bound, known.open_gaps if known else None)
        self.is_finished = False  # it is sealed, and everything of it was found
        self._file = WatchedFile(path)
        self._symbols = tuple(symbols)
        self._is_resumed = known is not None
        self._begun = False
        self._is_unsure = False
        self._uncounted: set[str] = set()  # symbols of a file that was replaced, until they are compared
        # symbol → how many ticks the file has if nothing is new. Differs from the delivered ones if the file was
        # replaced by another one, which has others.
        self._stored = {symbol: each.ticks for symbol, each in self.delivered.items()}
        self._window: Window | None = None if bound.only_new else Window()
        self._has_more = True

    @property
    def has_more(self) -> bool:
        """Whether the last look left something: the next one need not wait."""
        return self._has_more

    @property
    def is_failing(self) -> bool:
        """Whether the last look failed, so that it is not known what is left. The next look tries again."""
        return self._file.is_failing

    @property
    def is_failing_briefly(self) -> bool:
        """Whether it failed with an error that `look` raises if it lasts for seconds."""
        return self._file.is_failing_briefly

    @property
    def is_active(self) -> bool:
        """Whether its file changed within the last second."""
        return self._file.is_open

    @property
    def position(self) -> DayPosition:
        """What was delivered, as a value that later changes do not touch."""
        return DayPosition(dict(self.delivered), dict(self.gaps.open))

    def look(self) -> Found | None:
        """What is new; None if nothing is. Raises StoreError if the file cannot be read for seconds."""
        if self.is_finished:
            return None
        reader = self._file.reader(demanded=self._has_more or self.gaps.is_due())
        if reader is None:
            self._has_more = False  # there is no file, or nothing new in it
            return None
        try:
            with reader.snapshot():
                found = self._look_within(reader)
        except StoreError as error:
            self._is_unsure = True
            self._file.failed(error)
            return None
        self._file.succeeded()
        return found

    def _look_within(self, reader: LiveReader) -> Found | None:
        """A look within one transaction."""
        if not self._begun:
            if self.bound.only_new and reader.is_sealed():
                self.is_finished, self._has_more = True, False
                return None
            self._begin(reader)
        elif self._file.is_replaced:
            self._stored, self._uncounted = {}, set(self.delivered)
            self.gaps.begin_again(reader, self._symbols)
        elif self._is_unsure:  # the last look failed, and gaps that it found were not told
            self.gaps.go_on(reader, self._symbols)
        self._begun, self._file.is_replaced, self._is_unsure = True, False, False
        return self._look(reader)

    def deliver(self, ticks: Iterable[Tick], late: Iterable[Tick], gaps: bool = False) -> None:
        """Takes note that these ticks of what was found are delivered, and with `gaps` its gaps."""
        for symbol, seqs in seqs_by_symbol(ticks).items():
            self.delivered[symbol] = self.delivered.get(symbol, NOTHING).with_higher(seqs)
            self._stored[symbol] = self._stored.get(symbol, 0) + len(seqs)
        for symbol, seqs in seqs_by_symbol(late).items():
            self.delivered[symbol] = self.delivered.get(symbol, NOTHING).with_any(seqs)
            self._stored[symbol] = self._stored.get(symbol, 0) + len(seqs)
        if gaps:
            self.gaps.told()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _begin(self, reader: LiveReader) -> None:
        """Takes note of the stored ticks that lie before the bound."""
        self.gaps.begin(reader, self._symbols)
        if self._is_resumed or (self.bound.is_open and not self.bound.only_new):
            return
        for symbol in reader.rows_by_symbol(self._symbols):
            through = HIGHEST_SEQ
            if self.bound.from_seq is not None:
                through = self.bound.from_seq - 1
            elif self.bound.from_ms is not None:
                first = reader.first_seq_from(symbol, self.bound.from_ms)
                through = HIGHEST_SEQ if first is None else first - 1
            self.delivered[symbol] = found = Delivered(*reader.stretches(symbol, through))
            self._stored[symbol] = found.ticks

    def _look(self, reader: LiveReader) -> Found | None:
        counts = reader.rows_by_symbol(self._symbols)
        changed = dict(sorted(counts.items() - self._stored.items()))
        through, short = HIGHEST_SEQ, dict[str, int]()
        ticks: list[Tick] = []
        late: list[Tick] = []
        if sum(changed.values()) - sum(self._stored.get(symbol, 0) for symbol in changed) <= min(_SMALL, MOST_TICKS):
            self._window = None  # all of it in one look
        if self._window is not None:
            symbols = {symbol: self.delivered.get(symbol, NOTHING).highest for symbol in changed}
            found = self._window.read(reader, symbols, MOST_TICKS)
            if found is None:
                self._window = None
            else:
                through, short, ticks = found
        self._has_more = self._window is not None
        if self._window is None:
            ticks, late = self._read_new(reader, changed)
        gaps = self.gaps.look(reader, self._symbols, Reached(through, short), {tick.symbol for tick in late})
        if not self._has_more and reader.is_sealed():
            self._has_more = bool(ticks or late)  # the next look finds nothing, and then the day is finished
            self.is_finished = not self._has_more
        return Found(ticks, late, gaps) if ticks or late or gaps else None

    def _read_new(self, reader: LiveReader, changed: Mapping[str, int]) -> tuple[list[Tick], list[Tick]]:
        """The ticks above the delivered ones, and the late ones, of symbols whose number of ticks is another one."""
        highest = {symbol: self.delivered.get(symbol, NOTHING).highest for symbol in changed}
        above = reader.above_each(highest, MOST_TICKS)
        late: list[list[Tick]] = []
        room = MOST_TICKS - sum(map(len, above.values()))
        for symbol, rows in changed.items():
            if room <= 0:
                break
            new, below = len(above.get(symbol, ())), []
            if count := rows - self._stored.get(symbol, 0) - new:
                below = self._late(reader, symbol, count, room)
                late.append(below)
                room -= len(below)
            if room > 0:
                self._uncounted.discard(symbol)
                self._stored[symbol] = rows - new - len(below)
        if room <= 0:  # a long backlog: in windows, so that no symbol waits for another
            self._window, self._has_more = Window(), True
        return in_time_order(above.values()), in_time_order(late)

    def _late(self, reader: LiveReader, symbol: str, count: int, room: int) -> list[Tick]:
        """At most `room` stored ticks below the highest delivered one that were not delivered; `count` is expected."""
        known = self.delivered.get(symbol, NOTHING)
        found: list[Tick] = []
        for place, (above, through) in enumerate(known.spaces()):
            if place == _FEW_SPACES:
                unknown = [seq for seq in reader.seqs(symbol) if seq < known.highest and seq not in known]
                found = reader.with_seqs(symbol, unknown[-room:])
                break
            found += reader.between(symbol, above, through, room - len(found))
            if len(found) >= min(count, room) > 0:
                break
        if len(found) < count and len(found) < room:
            found += self._within_stretches(reader, symbol, count - len(found), known)
        return sorted(found, key=seq_of)

    def _within_stretches(self, reader: LiveReader, symbol: str, count: int, known: Delivered) -> list[Tick]:
        """New ticks within stretches, where by the counter there can be none: those received last.

        Only in a file whose ticks were counted: in one that replaced it, all of them may be known.
        """
        if symbol in self._uncounted:
            return []
        latest = reader.latest_received(symbol, known.highest, 2 * count + _FEW_SPACES)
        return [tick for tick in latest if tick.seq in known][:count]

"""What is missing: sees every tick and tells, from the feed's own sequence, which ticks never came.

Enters: rows in order of arrival. Leaves: changes of the table `gaps`, for the transaction that stores those rows, and
the answer to "what should OpenD be asked for". Pure: no clock, no I/O. A tick is never rejected or held back for a
guess made here.

The sequence of a Hong Kong tick is `epoch second << 32 | counter`, and the counter steps by one per tick of a symbol
and day, from 1. So a jump is a hole of known size, the first tick of a day tells how many came before it, and a symbol
is complete when it has as many rows as its counter says. Whether a sequence follows that pattern is judged at every
tick that is not simply the next one. A symbol that breaks it is judged by time for the rest of the day: what happened
while nobody listened is a doubt, until a pull reaches back to what was known.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import Rejected, TickRow

COUNTER_MASK: Final = 0xFFFF_FFFF
SEQ_MAX: Final = 2**63 - 1
_NEAR_S: Final = 10  # how far the second in a sequence may stand from the tick's own time
_COUNTER_MAX: Final = 10_000_000  # more ticks than any symbol has a day: beyond it the low half is no counter
_JUMP_MAX: Final = 1_000_000

CAUSE_BEFORE_START: Final = "before_start"
CAUSE_PUSH_LOST: Final = "push_lost"
CAUSE_DROPPED: Final = "dropped"
CAUSE_REJECTED: Final = "rejected"


@dataclass(slots=True)
class Hole:
    """Missing ticks of one symbol with counters `first` to `last`; their sequences lie within from_seq and to_seq."""

    id: int
    first: int
    last: int
    from_seq: int
    to_seq: int
    from_ts_ms: int
    to_ts_ms: int
    cause: str
    opened_ms: int
    final: bool = False  # OpenD can no longer give these ticks
    written: bool = False  # the day file knows this hole

    @property
    def missing(self) -> int | None:
        """How many ticks are missing; None for a doubt, where only time tells that some may be."""
        return self.last - self.first + 1 if self.first else None


@dataclass(slots=True)
class Track:
    """One symbol on one day: the counter that comes next, and the holes behind it."""

    symbol: str
    next: int = 0  # 0 before the first tick, -1 once the sequence has broken the pattern
    last_seq: int = 0
    last_ts_ms: int = 0
    holes: list[Hole] = field(default_factory=list)  # by counter, never adjacent
    doubt: Hole | None = None  # without the pattern: a stretch of time in which ticks may be missing
    interrupted: str = ""  # why ticks may be missing since the last one: the cause of the next jump

    @property
    def patterned(self) -> bool:
        """Whether the sequence tells what is missing."""
        return self.next > 0


@dataclass(slots=True)
class Day:
    """All symbols of one Hong Kong day."""

    number: int
    tracks: dict[str, Track] = field(default_factory=dict)
    next_gap_id: int = 1
    dirty: dict[int, tuple[str, Hole, bool]] = field(default_factory=dict)  # hole id → symbol, hole, still open

    def new_gap_id(self) -> int:
        """The number of a new row of `gaps`."""
        self.next_gap_id += 1
        return self.next_gap_id - 1


class Holes:
    """Sees every tick that is accepted for storing, and every one that is not.

    `load` gives what a day's file knows when its first tick is seen; `now_ms` is the wall clock in UTC epoch ms.
    """

    def __init__(self, load: Callable[[int], Day], now_ms: Callable[[], int]) -> None:
        self._load = load
        self._now_ms = now_ms
        self._days: dict[int, Day] = {}
        self._current: dict[str, Track] = {}  # the tracks of the day that ticks are of now
        self._from_ms = self._to_ms = 0  # and when that day begins and ends
        self._interrupted = CAUSE_BEFORE_START

    def see(self, rows: list[TickRow]) -> None:
        """Takes rows that will be stored. Nearly every row is the next of its symbol: that way is short."""
        tracks, from_ms, to_ms = self._current, self._from_ms, self._to_ms
        for row in rows:
            track = tracks.get(row[0])
            seq, ts_ms = row[1], row[2]
            if track is not None and seq & COUNTER_MASK == track.next and from_ms <= ts_ms < to_ms:
                track.next += 1
                track.last_seq, track.last_ts_ms = seq, ts_ms
            else:
                self._place(row[0], seq, ts_ms, stored=True)
                tracks, from_ms, to_ms = self._current, self._from_ms, self._to_ms

    def lose(self, rows: Iterable[TickRow]) -> None:
        """Takes rows that were received but find no place: their absence is known at once, to the tick."""
        for row in rows:
            self._place(row[0], row[1], row[2], stored=False)

    def reject(self, rejected: Iterable[Rejected]) -> None:
        """Takes ticks that cannot be stored: they are not missing, asking for them again would bring the same."""
        now_ms = self._now_ms()
        for tick in rejected:
            ts_ms = (tick.seq >> 32) * 1000
            if not _plausible(tick.seq, ts_ms) or abs(ts_ms - tick.recv_ts_ms) > 2 * market.DAY_MS:
                continue
            if not self._place(tick.symbol, tick.seq, ts_ms, stored=True):
                continue  # it came before, and came again because we asked for its neighbours
            day, counter = self._day(market.day_number(ts_ms)), tick.seq & COUNTER_MASK
            mark = Hole(day.new_gap_id(), counter, counter, tick.seq, tick.seq, ts_ms, ts_ms, CAUSE_REJECTED, now_ms)
            mark.written = True
            day.dirty[mark.id] = (tick.symbol, mark, False)

    def resume(self, day: int) -> None:
        """Begins with what a day's file knows, before its first tick arrives."""
        self._make_current(self._day(day))

    def interrupt(self, cause: str) -> None:
        """From now on ticks may have passed us by: a jump that shows is blamed on `cause`."""
        self._interrupted = cause
        for track in self._current.values():
            track.interrupted = cause
            if track.next < 0:
                self._doubt(track, track.last_seq + 1, track.last_ts_ms, cause)

    def settle(self) -> None:
        """The interruption is over for every symbol: what jumps from now on was lost on the way."""
        self._interrupted = ""
        for track in self._current.values():
            track.interrupted = ""

    def take_changes(self) -> list[GapChange]:
        """The rows of `gaps` that changed since the last call, for the transaction of the rows seen since."""
        changes: list[GapChange] = []
        for day in self._days.values():
            if not day.dirty:
                continue
            now_ms = self._now_ms()
            for symbol, hole, is_open in day.dirty.values():
                # A hole that opened and closed before anybody wrote it was only ticks out of order.
                if is_open or hole.written:
                    changes.append(GapChange(day.number, _gap(symbol, hole, now_ms, is_open=is_open)))
                hole.written = True
            day.dirty = {}
        return changes

    def replace_day(self, number: int, make: Callable[[Day], Day]) -> None:
        """Puts what `make` builds from a day in its place; what was known to be open there is open no more."""
        old = self._days.get(number) or Day(number)
        new = make(old)
        for track in old.tracks.values():
            for hole in track.holes:
                if hole.written:
                    new.dirty[hole.id] = (track.symbol, hole, False)
        self._days[number] = new
        if old.tracks is self._current:
            self._make_current(new)

    def open_holes(self) -> Iterable[tuple[Track, Hole]]:
        """Every hole and doubt that is open, of every day that was seen."""
        for day in self._days.values():
            for track in day.tracks.values():
                for hole in track.holes:
                    yield track, hole
                if track.doubt:
                    yield track, track.doubt

    def track(self, symbol: str) -> Track | None:
        """What is known of a symbol on the day that ticks are of now."""
        return self._current.get(symbol)

    def tracks(self) -> Iterable[Track]:
        """Every symbol of the day that ticks are of now."""
        return self._current.values()

    def missing(self, symbol: str) -> int:
        """How many ticks of a symbol are missing that OpenD may still have; a doubt counts as one."""
        tracks = [day.tracks[symbol] for day in self._days.values() if symbol in day.tracks]
        doubts = sum(1 for track in tracks if track.doubt and not track.doubt.final)
        return doubts + sum(hole.missing or 0 for track in tracks for hole in track.holes if not hole.final)

    def resolve(self, symbol: str, lowest_seq: int | None, *, everything: bool) -> None:
        """A pull has answered a doubt: healed when it reaches back to what was known, or to OpenD's beginning."""
        track = self._current.get(symbol)
        doubt = track.doubt if track else None
        if track is None or doubt is None or doubt.final:
            return
        reaches = everything or (lowest_seq is not None and lowest_seq < doubt.from_seq)
        if reaches:
            track.doubt = None
        else:
            doubt.final = True
            if lowest_seq is not None:
                doubt.to_seq = lowest_seq - 1
        day = self._days[market.day_number(self._from_ms)]
        day.dirty[doubt.id] = (symbol, doubt, not reaches)

    def out_of_reach(self, symbol: str, below_seq: int) -> list[Hole]:
        """OpenD has nothing of a symbol before this sequence: holes before it can heal no more. Returns those."""
        found = []
        for day in self._days.values():
            track = day.tracks.get(symbol)
            for hole in list(track.holes) if track else ():
                if hole.from_seq >= below_seq or hole.final:
                    continue
                if hole.to_seq >= below_seq:
                    self._split(day, symbol, hole, below_seq & COUNTER_MASK, below_seq, hole.to_ts_ms)
                hole.final = True
                found.append(hole)
        return found

    def forget_days_before(self, number: int) -> None:
        """Lets go of finished days."""
        for day in [day for day in self._days if day < number]:
            del self._days[day]

    def _day(self, number: int) -> Day:
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = self._load(number)
        return day

    def _make_current(self, day: Day) -> None:
        self._current = day.tracks
        self._from_ms, self._to_ms = market.day_start_ms(day.number), market.day_start_ms(day.number + 1)

    def _place(self, symbol: str, seq: int, ts_ms: int, *, stored: bool) -> bool:
        """Any tick that is not simply the next one of its symbol on the current day; whether it is known to be new."""
        number = market.day_number(ts_ms)
        day = self._day(number)
        if market.day_start_ms(number) > self._from_ms:
            self._make_current(day)  # a later day begins; an earlier one only had a late tick
        track = day.tracks.get(symbol)
        if track is None:
            track = day.tracks[symbol] = Track(symbol, interrupted=self._interrupted)
        counter = seq & COUNTER_MASK
        if not _plausible(seq, ts_ms) or (track.next > 0 and counter - track.next > _JUMP_MAX):
            self._give_up_pattern(day, track)
        if track.next < 0:
            track.last_seq, track.last_ts_ms = max(track.last_seq, seq), max(track.last_ts_ms, ts_ms)
        elif counter >= max(track.next, 1):
            self._advance(day, track, seq, ts_ms, stored=stored)
            return True
        elif stored:
            return self._fill(day, track, seq, ts_ms)
        return False

    def _advance(self, day: Day, track: Track, seq: int, ts_ms: int, *, stored: bool) -> None:
        """A tick beyond all that were seen: what it skips is a hole, and so is itself when it is not stored."""
        counter = seq & COUNTER_MASK
        first = max(track.next, 1)
        last = counter - 1 if stored else counter
        if first <= last:
            start_s = market.day_start_ms(day.number) // 1000
            from_seq = track.last_seq + 1 if track.last_seq else start_s << 32 | 1
            from_ms = track.last_ts_ms or start_s * 1000
            to_seq = seq - 1 if stored else seq
            cause = (track.interrupted or CAUSE_PUSH_LOST) if stored else CAUSE_DROPPED
            previous = track.holes[-1] if track.holes else None
            if previous and previous.last == first - 1 and not previous.final:
                previous.last, previous.to_seq, previous.to_ts_ms = last, to_seq, ts_ms
                day.dirty[previous.id] = (track.symbol, previous, True)
            else:
                opened_ms = self._now_ms()
                hole = Hole(day.new_gap_id(), first, last, from_seq, to_seq, from_ms, ts_ms, cause, opened_ms)
                track.holes.append(hole)
                day.dirty[hole.id] = (track.symbol, hole, True)
        track.interrupted = ""
        track.next = counter + 1
        track.last_seq, track.last_ts_ms = seq, ts_ms

    def _fill(self, day: Day, track: Track, seq: int, ts_ms: int) -> bool:
        """A tick behind the newest: late, or pulled, or seen before; whether it was missing."""
        counter = seq & COUNTER_MASK
        index = bisect_right(track.holes, counter, key=_first) - 1
        if index < 0 or track.holes[index].last < counter:
            return False  # no hole there: the key of the table recognises the duplicate
        hole = track.holes[index]
        if hole.first == hole.last:
            del track.holes[index]
            day.dirty[hole.id] = (track.symbol, hole, False)
            return True
        if counter == hole.first:
            hole.first, hole.from_seq, hole.from_ts_ms = counter + 1, seq + 1, ts_ms
        elif counter == hole.last:
            hole.last, hole.to_seq, hole.to_ts_ms = counter - 1, seq - 1, ts_ms
        else:
            self._split(day, track.symbol, hole, counter + 1, seq + 1, ts_ms)
            hole.last, hole.to_seq = counter - 1, seq - 1
        day.dirty[hole.id] = (track.symbol, hole, True)
        return True

    def _split(self, day: Day, symbol: str, hole: Hole, first: int, from_seq: int, ts_ms: int) -> Hole:
        """Cuts a hole in two; it keeps what is before counter `first`, the new one begins there."""
        right = replace(hole, id=day.new_gap_id(), first=first, from_seq=from_seq, from_ts_ms=ts_ms, written=False)
        hole.last, hole.to_seq, hole.to_ts_ms = first - 1, from_seq - 1, ts_ms
        holes = day.tracks[symbol].holes
        holes.insert(bisect_right(holes, first, key=_first), right)
        day.dirty[hole.id] = (symbol, hole, True)
        day.dirty[right.id] = (symbol, right, True)
        return right

    def _give_up_pattern(self, day: Day, track: Track) -> None:
        """The sequence does not mean what we thought: how many ticks are missing is unknown from here on."""
        if track.next < 0:
            return
        for hole in track.holes:
            hole.final = True
        if track.next == 0:
            start_s = market.day_start_ms(day.number) // 1000
            track.next = -1
            if day.tracks is self._current:
                self._doubt(track, start_s << 32, start_s * 1000, track.interrupted or CAUSE_PUSH_LOST)
        track.next = -1

    def _doubt(self, track: Track, from_seq: int, from_ts_ms: int, cause: str) -> None:
        """Ticks may be missing from here on, nobody knows how many: until a pull tells."""
        if track.doubt and not track.doubt.final:
            return
        day = self._days[market.day_number(self._from_ms)]
        now_ms = self._now_ms()
        track.doubt = Hole(day.new_gap_id(), 0, 0, from_seq, SEQ_MAX, from_ts_ms, now_ms, cause, now_ms)
        day.dirty[track.doubt.id] = (track.symbol, track.doubt, True)


def _first(hole: Hole) -> int:
    return hole.first


def _plausible(seq: int, ts_ms: int) -> bool:
    """Whether a sequence can be `epoch second << 32 | counter` of a tick of that moment."""
    return abs((seq >> 32) - ts_ms // 1000) <= _NEAR_S and 1 <= seq & COUNTER_MASK <= _COUNTER_MAX


def _gap(symbol: str, hole: Hole, now_ms: int, *, is_open: bool) -> Gap:
    return Gap(
        symbol=symbol,
        from_seq=hole.from_seq,
        to_seq=hole.to_seq,
        from_ts_ms=hole.from_ts_ms,
        to_ts_ms=hole.to_ts_ms,
        missing=hole.missing if is_open else 0,
        cause=hole.cause,
        status=GAP_OPEN if is_open else GAP_HEALED,
        opened_ms=hole.opened_ms,
        closed_ms=None if is_open else now_ms,
        id=hole.id,
    )

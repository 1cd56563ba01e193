"""What is missing: sees every tick and tells, from the feed's own sequence, which ticks never came.

Enters: rows in order of arrival. Leaves: changes of the table `gaps`, for the transaction that stores those rows, and
the answer to "what should OpenD be asked for". Pure: no clock, no I/O. A tick is never rejected or held back for a
guess made here.

The sequence of a Hong Kong tick is `epoch second << 32 | counter`, and the counter steps by one per tick of a symbol
and day, from 1. So a jump is a hole of known size, the first tick of a day tells how many came before it, and a symbol
is complete when it has as many rows as its counter says. Whether a sequence follows that pattern is judged at every
tick that is not simply the next one. A symbol that breaks it is judged by time for the rest of the day: what happened
while nobody listened is a doubt, until a pull reaches back to what was known.

The bounds of a hole are made of its neighbours' seconds and its own counters, so the counters can be read back from
them. Each symbol has its own idea of today, the day of the last tick that was its newest: a single tick with the date
of tomorrow leads nobody else astray.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange

from .track import (
    CAUSE_BEFORE_START,
    CAUSE_DROPPED,
    CAUSE_PUSH_LOST,
    CAUSE_REJECTED,
    CAUSE_RESTART,
    COUNTER_MASK,
    SEQ_MAX,
    Day,
    Hole,
    Track,
    fits,
    is_lost,
    plausible,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import Rejected, TickRow


class Holes:
    """Sees every tick that is accepted for storing, and every one that is not.

    `load` gives what a day's file knows when its first tick is seen; `now_ms` is the wall clock in UTC epoch ms.
    """

    def __init__(self, load: Callable[[int], Day], now_ms: Callable[[], int]) -> None:
        self._load = load
        self._now_ms = now_ms
        self._days: dict[int, Day] = {}
        self._latest: dict[str, Track] = {}  # each symbol on the day of the last tick that was its newest
        self._interrupted = CAUSE_BEFORE_START
        self.deaf = False  # OpenD itself does not hear of every tick now: its answers prove nothing

    def see(self, rows: list[TickRow]) -> None:
        """Takes rows that will be stored. Nearly every row is the next of its symbol: that way is short."""
        latest = self._latest
        for row in rows:
            track = latest.get(row[0])
            seq, ts_ms = row[1], row[2]
            if track is not None and seq & COUNTER_MASK == track.next and track.from_ms <= ts_ms < track.to_ms:
                track.next += 1
                if seq > track.last_seq:
                    track.last_seq, track.last_ts_ms = seq, ts_ms
            else:
                self._place(row[0], seq, ts_ms, stored=True)

    def lose(self, rows: Iterable[TickRow]) -> None:
        """Takes rows that were received but find no place: their absence is known at once, to the tick."""
        for row in rows:
            self._place(row[0], row[1], row[2], stored=False)

    def reject(self, rejected: Iterable[Rejected]) -> None:
        """Takes ticks that cannot be stored: they are not missing, asking for them again would bring the same."""
        now_ms = self._now_ms()
        for tick in rejected:
            ts_ms = (tick.seq >> 32) * 1000
            if not plausible(tick.seq, ts_ms) or abs(ts_ms - tick.recv_ts_ms) > 2 * market.DAY_MS:
                continue
            if not self._place(tick.symbol, tick.seq, ts_ms, stored=True):
                continue  # it came before, and came again because we asked for its neighbours
            day, counter = self._day(market.day_number(ts_ms)), tick.seq & COUNTER_MASK
            mark = Hole(day.new_gap_id(), counter, counter, tick.seq, tick.seq, ts_ms, ts_ms, CAUSE_REJECTED, now_ms)
            mark.written = True
            day.dirty[mark.id] = (tick.symbol, mark, False)

    def resume(self, number: int) -> None:
        """Begins with what a day's file knows, before its first tick arrives."""
        day = self._day(number)
        for track in day.tracks.values():
            if track.next < 0:
                self._doubt(day, track, track.last_seq + 1, track.last_ts_ms, track.interrupted)

    def resume_unfinished(self, number: int, symbols: Iterable[str]) -> None:
        """An earlier day whose close nobody heard: how many ticks of its end are missing, no later tick will tell.

        Of these symbols all of that day may be missing, where nothing of it was stored before the end. A day without
        any tick was none of trading, for all that its file can tell.
        """
        day = self._day(number)
        if day.sealed or not day.tracks:
            return
        for symbol in symbols:
            if symbol not in day.tracks:
                day.keep(Track(symbol, interrupted=CAUSE_RESTART))
        for track in day.tracks.values():
            known_ms = track.last_ts_ms or day.start_s * 1000
            from_seq = track.last_seq + 1 if track.last_seq else day.start_s << 32
            self._doubt(day, track, from_seq, known_ms, track.interrupted)

    def interrupt(self, cause: str) -> None:
        """From now on ticks may pass us by: a jump that shows is blamed on `cause`, or on what it comes on top of."""
        self.deaf = True
        self._interrupted = self._interrupted or cause
        for track in self._latest.values():
            if not track.interrupted or track.interrupted_at != track.next:
                track.interrupted, track.interrupted_at = cause, track.next
            if track.next < 0:
                self._doubt(self._day_of(track), track, track.last_seq + 1, track.last_ts_ms, cause)

    def listen(self) -> None:
        """Ticks reach us again: from now on an answer of OpenD's tells what passed us by."""
        self.deaf = False

    def settle(self) -> None:
        """Every symbol has been looked at since the interruption: what jumps from now on was lost on the way."""
        self._interrupted = ""
        for track in self._latest.values():
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
        old = self._days.get(number) or self._load(number)
        new = make(old)
        for track in old.tracks.values():
            if new.tracks.get(track.symbol) is track:
                continue
            for hole in (*track.holes, *([track.doubt] if track.doubt else [])):
                if hole.written:
                    new.dirty[hole.id] = (track.symbol, hole, False)
        self._days[number] = new
        self._adopt(new)

    def open_days(self) -> list[int]:
        """The days that were seen and are not finished."""
        return [day.number for day in self._days.values() if not day.sealed]

    def open_holes(self) -> Iterable[tuple[Track, Hole]]:
        """Every hole and doubt that is open, of every day that was seen."""
        for day in self._days.values():
            for track in day.tracks.values():
                for hole in track.holes:
                    yield track, hole
                if track.doubt:
                    yield track, track.doubt

    def track(self, symbol: str) -> Track | None:
        """What is known of a symbol on the day of its newest tick."""
        return self._latest.get(symbol)

    def tracks(self) -> Iterable[Track]:
        """Every symbol on the day of its newest tick."""
        return self._latest.values()

    def missing(self, symbol: str) -> int:
        """How many ticks of a symbol are missing that OpenD may still have; a doubt counts as one."""
        return sum(hole.missing or 1 for hole in self._hopeful(symbol))

    def tries(self, symbol: str) -> int:
        """How many answers at most left something of a symbol missing that they should have held."""
        return max((hole.tries for hole in self._hopeful(symbol)), default=0)

    def doubt(self, symbol: str, from_seq: int, from_ts_ms: int, cause: str) -> None:
        """Ticks of a symbol may be missing from here on. Only for a symbol that does not follow the pattern."""
        track = self._latest.get(symbol)
        if track is not None and track.next < 0:
            self._doubt(self._day_of(track), track, from_seq, from_ts_ms, cause)

    def answered(self, symbol: str, lowest_seq: int | None, *, exhausted: bool, complete: bool) -> list[Hole]:
        """OpenD's answer for a symbol has been seen; returns the holes that can heal no more.

        `lowest_seq` is the lowest sequence in the answer, None without any; `exhausted` says that nothing older can be
        had, `complete` that this is all OpenD has at all. A hole older than that is lost, one that the answer should
        have filled is lost when that happens again. A doubt is healed when the answer reaches back to what is known.
        """
        lost = []
        for day in self._days.values():
            track = day.tracks.get(symbol)
            if track is None:
                continue
            lost += [hole for hole in track.holes if not hole.final and is_lost(hole, lowest_seq, exhausted)]
            doubt = track.doubt
            if doubt and not doubt.final and not self.deaf:
                from_the_beginning = (
                    complete and doubt.from_ts_ms <= day.start_s * 1000 and self._tells_of(day, lowest_seq)
                )
                # With the pattern all up to the newest is stored or a hole: an answer that meets it leaves no doubt.
                known_seq = track.last_seq if track.patterned else doubt.from_seq
                is_known = lowest_seq is not None and (lowest_seq <= known_seq or from_the_beginning)
                if is_known:
                    track.doubt = None
                elif is_lost(doubt, lowest_seq, exhausted):
                    doubt.to_seq = max(doubt.from_seq, track.last_seq if lowest_seq is None else lowest_seq - 1)
                    lost.append(doubt)
                day.dirty[doubt.id] = (symbol, doubt, not is_known)
        for hole in lost:
            hole.lost_ms = hole.lost_ms or self._now_ms()
        return lost

    def give_up(self, symbol: str) -> list[Hole]:
        """Nobody may be asked about a symbol; returns its holes, which heal no more unless `hope` says otherwise."""
        lost = list(self._hopeful(symbol))
        for hole in lost:
            hole.final, hole.lost_ms = True, hole.lost_ms or self._now_ms()
        return lost

    def _tells_of(self, day: Day, lowest_seq: int | None) -> bool:
        """Whether all that OpenD has, from `lowest_seq` on, can tell of a whole day: it may begin anew every day."""
        if lowest_seq is None:
            return day.number == max(self._days)
        return lowest_seq >> 32 < day.start_s + market.DAY_MS // 1000

    def hope(self, symbol: str, window_rows: int) -> None:
        """Another connection may know more: holes among the latest `window_rows` ticks of a symbol may heal again."""
        track = self._latest.get(symbol)
        for hole in track.holes if track else ():
            if track and hole.last >= track.next - window_rows:
                hole.final, hole.tries = False, 0

    def forget_days_before(self, number: int) -> None:
        """Lets go of finished days. A tick that still comes for one has its file read again."""
        finished = [day for day in self._days if day < number]
        if not finished:
            return
        for day in finished:
            del self._days[day]
        from_ms = market.day_start_ms(number)
        self._latest = {symbol: track for symbol, track in self._latest.items() if track.from_ms >= from_ms}

    def _hopeful(self, symbol: str) -> Iterable[Hole]:
        """The holes and doubts of a symbol that may heal."""
        for day in self._days.values():
            track = day.tracks.get(symbol)
            if track is not None:
                yield from (hole for hole in track.holes if not hole.final)
                if track.doubt and not track.doubt.final:
                    yield track.doubt

    def _day(self, number: int) -> Day:
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = self._load(number)
            self._adopt(day)
        return day

    def _day_of(self, track: Track) -> Day:
        return self._days[market.day_number(track.from_ms)]

    def _adopt(self, day: Day) -> None:
        """Makes a day's tracks the latest of their symbols, where they are."""
        for track in day.tracks.values():
            day.keep(track)
            latest = self._latest.get(track.symbol)
            if latest is None or latest.from_ms <= track.from_ms:
                self._latest[track.symbol] = track

    def _place(self, symbol: str, seq: int, ts_ms: int, *, stored: bool) -> bool:
        """Any tick that is not simply the next one of its symbol on its latest day; whether it is known to be new."""
        day = self._day(market.day_number(ts_ms))
        if day.sealed:
            return False
        track = day.tracks.get(symbol)
        if track is None:
            track = Track(symbol, interrupted=self._interrupted)
            day.keep(track)
        if track.next >= 0 and not fits(track, seq, ts_ms):
            self._give_up_pattern(day, track)
        if track.next < 0:
            self._follow(day, track, seq, ts_ms, stored=stored)
            return False
        if seq & COUNTER_MASK < max(track.next, 1):
            return stored and self._fill(day, track, seq, ts_ms)
        self._advance(day, track, seq, ts_ms, stored=stored)
        return True

    def _advance(self, day: Day, track: Track, seq: int, ts_ms: int, *, stored: bool) -> None:
        """A tick beyond all that were seen: what it skips is a hole, and so is itself when it is not stored."""
        counter = seq & COUNTER_MASK
        first = max(track.next, 1)
        last = counter - 1 if stored else counter
        if first <= last:
            seconds = (track.last_seq >> 32 if track.last_seq else day.start_s, seq >> 32)
            from_seq, to_seq = min(seconds) << 32 | first, max(seconds) << 32 | last
            previous = track.holes[-1] if track.holes else None
            if previous and previous.last == first - 1:
                previous.last, previous.to_seq, previous.to_ts_ms = last, to_seq, ts_ms
                previous.final, previous.tries = False, 0
                day.dirty[previous.id] = (track.symbol, previous, True)
            else:
                from_ms, opened_ms = track.last_ts_ms or day.start_s * 1000, self._now_ms()
                cause = self._blame(track) if stored else CAUSE_DROPPED
                hole = Hole(day.new_gap_id(), first, last, from_seq, to_seq, from_ms, ts_ms, cause, opened_ms)
                track.holes.append(hole)
                day.dirty[hole.id] = (track.symbol, hole, True)
        track.interrupted = ""
        track.next = counter + 1
        if seq > track.last_seq:
            track.last_seq, track.last_ts_ms = seq, ts_ms
        self._latest[track.symbol] = track

    def _blame(self, track: Track) -> str:
        """Why a jump: what interrupted us, unless ticks came in order since."""
        return track.interrupted if track.interrupted and track.interrupted_at == track.next else CAUSE_PUSH_LOST

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
        second = min(max(seq >> 32, hole.from_seq >> 32), hole.to_seq >> 32) << 32
        if counter == hole.first:
            hole.first, hole.from_seq, hole.from_ts_ms = counter + 1, second | counter + 1, ts_ms
        else:
            if counter != hole.last:
                right = replace(hole, id=day.new_gap_id(), first=counter + 1, from_seq=second | counter + 1)
                right.from_ts_ms, right.written = ts_ms, False
                track.holes.insert(index + 1, right)
                day.dirty[right.id] = (track.symbol, right, True)
            hole.last, hole.to_seq, hole.to_ts_ms = counter - 1, second | counter - 1, ts_ms
        day.dirty[hole.id] = (track.symbol, hole, True)
        return True

    def _give_up_pattern(self, day: Day, track: Track) -> None:
        """The sequence does not mean what we thought: how many ticks are missing is unknown, also of known holes."""
        holes, track.holes = track.holes, []
        for hole in holes:
            day.dirty[hole.id] = (track.symbol, hole, False)
        if holes:
            self._doubt(day, track, holes[0].from_seq, holes[0].from_ts_ms, holes[0].cause)
        elif track.next == 0 and track.interrupted:
            before = self._latest.get(track.symbol)
            self._doubt(day, track, before.last_seq + 1 if before else 0, day.start_s * 1000, track.interrupted)
        track.next = -1

    def _follow(self, day: Day, track: Track, seq: int, ts_ms: int, *, stored: bool) -> None:
        """A tick of a symbol without the pattern."""
        if not stored:
            self._doubt(day, track, seq, ts_ms, CAUSE_DROPPED)
        if not track.last_ts_ms or seq > track.last_seq:
            track.last_seq = seq
        if ts_ms >= track.last_ts_ms:
            track.last_ts_ms = ts_ms
            self._latest[track.symbol] = track

    def _doubt(self, day: Day, track: Track, from_seq: int, from_ts_ms: int, cause: str) -> None:
        """Ticks may be missing from here on, nobody knows how many: until a pull tells."""
        from_seq, doubt = min(from_seq, SEQ_MAX), track.doubt
        if doubt is None or doubt.final:
            now_ms = self._now_ms()
            doubt = track.doubt = Hole(day.new_gap_id(), 0, 0, from_seq, SEQ_MAX, from_ts_ms, now_ms, cause, now_ms)
        elif from_seq < doubt.from_seq:
            doubt.from_seq, doubt.from_ts_ms = from_seq, from_ts_ms
        day.dirty[doubt.id] = (track.symbol, doubt, True)


def _first(hole: Hole) -> int:
    return hole.first


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

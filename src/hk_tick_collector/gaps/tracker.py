"""What is missing: sees every tick and every answer of OpenD's, and tells which ticks never came.

Enters: rows in order of arrival, answers to GetTicker. Leaves: changes of the table `gaps` and of each symbol's rule,
for the transaction that stores those rows, and the answer to "what should OpenD be asked for". No I/O: the clock and
what a day's file knows are asked of functions that are given.

A tick is never rejected or held back for a guess made here.

The sequence of a Hong Kong tick is `epoch second << 32 | counter`, and the counter steps by one per tick of a symbol
and day, from 1. That rule is inferred, and it is judged here alone, tick by tick and for each symbol:

- a jump of the counter is a gap of known size; the first tick of a day tells how many came before it;
- a counter that falls begins a new run: what lies between the runs is a doubt, a gap of unknown size;
- a tick that does not fit costs itself only; after several in a row the rule does not hold;
- OpenD's answers are the second witness (`answer`). An answer that shows the neighbours of a gap side by side
  contradicts it: many at once end the rule, a single one must be repeated. A full answer that begins after a gap says
  that it is lost.

A symbol without the rule is judged by answers alone: each must overlap the one before, or what was known when ticks
began to pass us by; otherwise there is a doubt.

The bounds of a gap are made of its neighbours' seconds and its own counters, so the counters can be read back from
them. Each symbol has its own idea of today, the day of the last tick that was its newest: a wrong date affects only
its own symbol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import LATELY_MS

from . import changes
from .gap import first_counter
from .judging import Judging
from .placing import Placing
from .symbol_day import (
    CAUSE_BEFORE_START,
    CAUSE_FUTURE,
    CAUSE_REJECTED,
    CAUSE_RESTART,
    COUNTER_MASK,
    Day,
    SymbolDay,
    Unwitnessed,
    plausible,
)
from .symbol_days import SymbolDays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import GapChange, Rejected, RuleChange, TickRow

    from .answer import Answer
    from .gap import OpenGap

# A tick whose sequence is further ahead is looked at with care; a symbol that was quiet for longer as well.
_REACH: Final = 600 << 32
# Rejected ticks of a day that are remembered one by one. What comes beyond is missing like any other tick.
_MARKS_MOST: Final = 50_000


class GapTracker:
    """Sees every tick that is accepted for storing, and every one that is not.

    `load` gives what a day's file knows when its first tick is seen, None while it is being read: then `adopt` must
    follow. `now_ms` is the wall clock in UTC epoch ms. `known` answers what is known; nobody else changes it.
    """

    def __init__(self, load: Callable[[int], Day | None], now_ms: Callable[[], int]) -> None:
        self._load = load
        self.known = SymbolDays(now_ms)
        self._placing = Placing(self.known)
        self._judging = Judging(self.known)
        self._interrupted = CAUSE_BEFORE_START

    # --- ticks ---

    def see(self, rows: list[TickRow]) -> None:
        """Takes rows that will be stored. Nearly every row is the next of its symbol: that way is short."""
        latest = self.known.latest
        for row in rows:
            track = latest.get(row[0])
            seq, ts_ms = row[1], row[2]
            if (
                track is not None
                and seq & COUNTER_MASK == track.next
                and 0 < seq - track.last_seq < _REACH
                and track.from_ms <= ts_ms < track.to_ms
            ):
                track.next += 1
                track.last_seq, track.last_ts_ms = seq, ts_ms
            else:
                self._place(row[0], seq, ts_ms, stored=True)

    def lose(self, rows: Iterable[TickRow]) -> None:
        """Takes rows that were received but find no place: their absence is known at once, to the tick."""
        for row in rows:
            self._place(row[0], row[1], row[2], stored=False)

    def reject(self, rejected: Iterable[Rejected]) -> None:
        """Takes ticks that cannot be stored: they are not missing, asking for them again would bring the same."""
        for tick in rejected:
            ts_ms = (tick.seq >> 32) * 1000
            if not plausible(tick.seq, ts_ms) or abs(ts_ms - tick.recv_ts_ms) > 2 * market.DAY_MS:
                continue
            if tick.cause == CAUSE_FUTURE or market.day_number(ts_ms) > market.day_number(tick.recv_ts_ms):
                continue  # a tick that is not stored begins no day that is still to come
            day = self._day(market.day_number(ts_ms))
            if day.marked >= _MARKS_MOST:
                continue
            if self._place(tick.symbol, tick.seq, ts_ms, stored=True):
                day.marked += 1
                self.known.mark(day, tick.symbol, tick.seq, CAUSE_REJECTED)

    def _place(self, symbol: str, seq: int, ts_ms: int, *, stored: bool) -> bool:
        """Any tick that is not simply the next one of its symbol on its latest day; whether it is known to be new."""
        day = self._day(market.day_number(ts_ms))
        if day.loading:
            day.pending.append((symbol, seq, ts_ms, stored))
        if day.loading or day.sealed:
            return False
        return self._placing.place(day, symbol, seq, ts_ms, self._interrupted, stored=stored)

    # --- days ---

    def resume(self, number: int) -> None:
        """Begins with what a day's file knows, before its first tick arrives."""
        self._doubt_restarted(self._day(number))

    def open(self, number: int) -> None:
        """Begins with what a day's file knows and lacks, of a day of which no more is awaited."""
        self._day(number)

    def adopt(self, day: Day) -> None:
        """A day that was being read is here: what came meanwhile is placed now."""
        before = self.known.days.get(day.number)
        pending = before.pending if before is not None else []
        day.loading = False
        self.known.days[day.number] = day
        self._adopt(day)
        self._doubt_restarted(day)
        for symbol, seq, ts_ms, stored in pending:
            self._place(symbol, seq, ts_ms, stored=stored)

    def lend(self, number: int) -> Day:
        """Gives a day away, to be made anew from its file; `adopt` must follow, what comes meanwhile waits for it."""
        day = self.known.days.get(number) or Day(number)
        self.known.days[number] = Day(number, loading=True, sealed=day.sealed)
        self.known.latest = {
            symbol: track for symbol, track in self.known.latest.items() if day.tracks.get(symbol) is not track
        }
        return day

    def is_loading(self, number: int) -> bool:
        """Whether a day's file is being read."""
        day = self.known.days.get(number)
        return day is not None and day.loading

    def _doubt_restarted(self, day: Day) -> None:
        for track in day.tracks.values():
            if track.next <= 0 and track.interrupted == CAUSE_RESTART:
                # What was lost before the end, since OpenD's last answer, nobody has told of either.
                last_ms = track.last_ts_ms
                from_ms = track.recent.unproved_ms(last_ms) if track.recent else last_ms
                self.known.doubt(day, track, None, from_ms, track.interrupted)
            elif track.next > 0 and track.unwitnessed is None and track.interrupted == CAUSE_RESTART:
                track.unwitnessed = Unwitnessed(track.next, track.last_seq, track.last_ts_ms, track.interrupted)

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
                day.keep(SymbolDay(symbol, interrupted=CAUSE_RESTART))
        for track in day.tracks.values():
            known_ms = track.last_ts_ms or day.start_s * 1000
            from_seq = track.last_seq + 1 if track.last_seq else day.start_s << 32
            self.known.doubt(day, track, None if track.next < 0 else from_seq, known_ms, track.interrupted)

    def open_days(self) -> list[int]:
        """The days that were seen and are not finished."""
        return [day.number for day in self.known.days.values() if not day.sealed]

    def unread_days(self) -> list[int]:
        """The days whose file could not be read: nothing is known of them but what was seen since."""
        return [day.number for day in self.known.days.values() if day.unread]

    def forget_days_before(self, number: int) -> None:
        """Lets go of finished days. A tick that still comes for one has its file read again."""
        finished = [day for day in self.known.days if day < number]
        if not finished:
            return
        for day in finished:
            del self.known.days[day]
        from_ms = market.day_start_ms(number)
        self.known.latest = {symbol: track for symbol, track in self.known.latest.items() if track.from_ms >= from_ms}

    def _day(self, number: int) -> Day:
        day = self.known.days.get(number)
        if day is None:
            day = self._load(number)
            if day is None:
                day = Day(number, loading=True)
            self.known.days[number] = day
            self._adopt(day)
        return day

    def _adopt(self, day: Day) -> None:
        after_ms = self.known.now_ms() - LATELY_MS
        for track in list(day.tracks.values()):
            day.keep(track)
            self.known.losses.recall(track.lost, after_ms)
            latest = self.known.latest.get(track.symbol)
            if latest is None or latest.from_ms <= track.from_ms:
                self.known.latest[track.symbol] = track

    # --- interruptions ---

    def interrupt(self, cause: str) -> None:
        """From now on ticks may pass us by: a jump that shows is blamed on `cause`, or on what it comes on top of."""
        self.known.deaf = True
        self._interrupted = self._interrupted or cause
        for track in self.known.latest.values():
            if not track.interrupted or track.interrupted_at != track.next:
                track.interrupted, track.interrupted_at = cause, track.next
            if track.next <= 0:
                self.known.doubt(self.known.day_of(track), track, None, track.last_ts_ms, cause)
            elif track.unwitnessed is None:
                track.unwitnessed = Unwitnessed(track.next, track.last_seq, track.last_ts_ms, track.interrupted)

    def listen(self) -> None:
        """Ticks reach us again: from now on an answer of OpenD's tells what passed us by."""
        self.known.deaf = False

    def settle(self) -> None:
        """Every symbol has been looked at since the interruption: what jumps from now on was lost on the way."""
        self._interrupted = ""
        for track in self.known.latest.values():
            track.interrupted = ""

    def doubt(self, symbol: str, from_ts_ms: int, cause: str) -> None:
        """Ticks of a symbol may be missing from here on. Only for a symbol that does not follow the rule."""
        track = self.known.latest.get(symbol)
        if track is not None and track.next < 0:
            self.known.doubt(self.known.day_of(track), track, None, from_ts_ms, cause)

    def recall(self, rows: Iterable[TickRow]) -> None:
        """Rows that were seen came from the spool of an earlier run: they were known before ticks could pass us by."""
        for symbol, seq, ts_ms, *_ in rows:
            day = self.known.days.get(market.day_number(ts_ms))
            track = day.tracks.get(symbol) if day else None
            if track is not None:
                track.recall(seq)

    # --- changes ---

    def take_changes(self) -> list[GapChange]:
        """The rows of `gaps` that changed since the last call, for the transaction of the rows seen since."""
        return changes.take_gaps(self.known)

    def take_rules(self) -> list[RuleChange]:
        """What was judged of symbols' sequences since the last call, for the same transaction."""
        return changes.take_rules(self.known)

    # --- answers ---

    def answered(self, symbol: str, answer: Answer) -> list[OpenGap]:
        """OpenD's answer for a symbol, whose ticks have been seen; returns the gaps that are lost by it."""
        return self._judging.answered(symbol, answer)

    def give_up(self, symbol: str) -> list[OpenGap]:
        """Nobody may be asked about a symbol; returns its gaps, which are lost unless `hope` says otherwise."""
        lost = list(self.known.hopeful(symbol))
        for gap in lost:
            gap.final, gap.lost_ms = True, gap.lost_ms or self.known.now_ms()
        self.known.losses.add(lost, self.known.now_ms())
        return lost

    def hope(self, symbol: str, window_rows: int) -> None:
        """Another connection may know more: gaps among the latest `window_rows` ticks of a symbol may be filled again.

        So may the doubts of a symbol that could not be asked about.
        """
        track = self.known.latest.get(symbol)
        if track is None:
            return
        if track.lost and track.next > 0:
            track.gaps[:0] = track.lost.take_from(track.next - window_rows)
            track.gaps.sort(key=first_counter)
        for gap in track.gaps:
            if gap.last >= track.next - window_rows:
                gap.final, gap.tries, gap.contradicted_s = False, 0, None
        for gap in (*track.past, *([track.doubt] if track.doubt else [])):
            gap.tries = 0

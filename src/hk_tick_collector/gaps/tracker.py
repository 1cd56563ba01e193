"""What is missing: sees every tick and every answer of OpenD's, and tells which ticks never came.

Enters: rows in order of arrival, answers to GetTicker. Leaves: changes of the table `gaps` and of each symbol's rule,
for the transaction that stores those rows, and the answer to "what should OpenD be asked for". Pure: no clock, no I/O.
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
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange, RuleChange

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
    from collections import deque
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import Rejected, TickRow

    from .answer import Answer
    from .gap import OpenGap
    from .losses import Losses

# A tick whose sequence is further ahead is looked at with care; a symbol that was quiet for longer as well.
_REACH: Final = 600 << 32
LOST_LATELY_MS: Final = 15 * 60_000  # for so long a loss is a warning
# Rejected ticks of a day that are remembered one by one. What comes beyond is missing like any other tick.
_MARKS_MOST: Final = 50_000


class GapTracker:
    """Sees every tick that is accepted for storing, and every one that is not.

    `load` gives what a day's file knows when its first tick is seen, None while it is being read: then `adopt` must
    follow. `now_ms` is the wall clock in UTC epoch ms.
    """

    def __init__(self, load: Callable[[int], Day | None], now_ms: Callable[[], int]) -> None:
        self._load = load
        self._known = SymbolDays(now_ms)
        self._placing = Placing(self._known)
        self._judging = Judging(self._known)
        self._interrupted = CAUSE_BEFORE_START

    @property
    def deaf(self) -> bool:
        """Whether OpenD itself may not hear of every tick now: its answers prove nothing."""
        return self._known.deaf

    @property
    def events(self) -> deque[tuple[str, str, int]]:
        """What was found of symbols and is to be told: symbol, what, sequence."""
        return self._known.events

    # --- ticks ---

    def see(self, rows: list[TickRow]) -> None:
        """Takes rows that will be stored. Nearly every row is the next of its symbol: that way is short."""
        latest = self._known.latest
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
                self._known.mark(day, tick.symbol, tick.seq, CAUSE_REJECTED)

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
        before = self._known.days.get(day.number)
        pending = before.pending if before is not None else []
        day.loading = False
        self._known.days[day.number] = day
        self._adopt(day)
        self._doubt_restarted(day)
        for symbol, seq, ts_ms, stored in pending:
            self._place(symbol, seq, ts_ms, stored=stored)

    def lend(self, number: int) -> Day:
        """Gives a day away, to be made anew from its file; `adopt` must follow, what comes meanwhile waits for it."""
        day = self._known.days.get(number) or Day(number)
        self._known.days[number] = Day(number, loading=True, sealed=day.sealed)
        self._known.latest = {
            symbol: track for symbol, track in self._known.latest.items() if day.tracks.get(symbol) is not track
        }
        return day

    def is_loading(self, number: int) -> bool:
        """Whether a day's file is being read."""
        day = self._known.days.get(number)
        return day is not None and day.loading

    def _doubt_restarted(self, day: Day) -> None:
        for track in day.tracks.values():
            if track.next <= 0 and track.interrupted == CAUSE_RESTART:
                # What was lost before the end, since OpenD's last answer, nobody has told of either.
                last_ms = track.last_ts_ms
                from_ms = track.recent.unproved_ms(last_ms) if track.recent else last_ms
                self._known.doubt(day, track, None, from_ms, track.interrupted)
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
            self._known.doubt(day, track, None if track.next < 0 else from_seq, known_ms, track.interrupted)

    def open_days(self) -> list[int]:
        """The days that were seen and are not finished."""
        return [day.number for day in self._known.days.values() if not day.sealed]

    def unread_days(self) -> list[int]:
        """The days whose file could not be read: nothing is known of them but what was seen since."""
        return [day.number for day in self._known.days.values() if day.unread]

    def forget_days_before(self, number: int) -> None:
        """Lets go of finished days. A tick that still comes for one has its file read again."""
        finished = [day for day in self._known.days if day < number]
        if not finished:
            return
        for day in finished:
            del self._known.days[day]
        from_ms = market.day_start_ms(number)
        self._known.latest = {symbol: track for symbol, track in self._known.latest.items() if track.from_ms >= from_ms}

    def _day(self, number: int) -> Day:
        day = self._known.days.get(number)
        if day is None:
            day = self._load(number)
            if day is None:
                day = Day(number, loading=True)
            self._known.days[number] = day
            self._adopt(day)
        return day

    def _adopt(self, day: Day) -> None:
        after_ms = self._known.now_ms() - LOST_LATELY_MS
        for track in list(day.tracks.values()):
            day.keep(track)
            self._known.losses.recall(track.lost, after_ms)
            latest = self._known.latest.get(track.symbol)
            if latest is None or latest.from_ms <= track.from_ms:
                self._known.latest[track.symbol] = track

    # --- interruptions ---

    def interrupt(self, cause: str) -> None:
        """From now on ticks may pass us by: a jump that shows is blamed on `cause`, or on what it comes on top of."""
        self._known.deaf = True
        self._interrupted = self._interrupted or cause
        for track in self._known.latest.values():
            if not track.interrupted or track.interrupted_at != track.next:
                track.interrupted, track.interrupted_at = cause, track.next
            if track.next <= 0:
                self._known.doubt(self._known.day_of(track), track, None, track.last_ts_ms, cause)
            elif track.unwitnessed is None:
                track.unwitnessed = Unwitnessed(track.next, track.last_seq, track.last_ts_ms, track.interrupted)

    def listen(self) -> None:
        """Ticks reach us again: from now on an answer of OpenD's tells what passed us by."""
        self._known.deaf = False

    def settle(self) -> None:
        """Every symbol has been looked at since the interruption: what jumps from now on was lost on the way."""
        self._interrupted = ""
        for track in self._known.latest.values():
            track.interrupted = ""

    def doubt(self, symbol: str, from_ts_ms: int, cause: str) -> None:
        """Ticks of a symbol may be missing from here on. Only for a symbol that does not follow the rule."""
        track = self._known.latest.get(symbol)
        if track is not None and track.next < 0:
            self._known.doubt(self._known.day_of(track), track, None, from_ts_ms, cause)

    def recall(self, rows: Iterable[TickRow]) -> None:
        """Rows that were seen came from the spool of an earlier run: they were known before ticks could pass us by."""
        for symbol, seq, ts_ms, *_ in rows:
            day = self._known.days.get(market.day_number(ts_ms))
            track = day.tracks.get(symbol) if day else None
            if track is not None:
                track.recall(seq)

    # --- what is known ---

    def take_changes(self) -> list[GapChange]:
        """The rows of `gaps` that changed since the last call, for the transaction of the rows seen since."""
        changes: list[GapChange] = []
        for day in self._known.days.values():
            if not day.dirty or day.unread:
                continue  # the numbers of an unread day's gaps may be those of other rows in its file
            now_ms = self._known.now_ms()
            for symbol, gap, is_open in day.dirty.values():
                # A gap that opened and closed before anybody wrote it was only ticks out of order.
                if is_open or gap.written:
                    changes.append(GapChange(day.number, _gap(symbol, gap, now_ms, is_open=is_open)))
                gap.written = True
            day.dirty = {}
        return changes

    def take_rules(self) -> list[RuleChange]:
        """What was judged of symbols' sequences since the last call, for the same transaction."""
        changes: list[RuleChange] = []
        for day in self._known.days.values():
            if day.rules and not day.unread:
                changes += [
                    RuleChange(day.number, symbol, rule, day.tracks[symbol].run_seq)
                    for symbol, rule in day.rules.items()
                ]
                day.rules = {}
        return changes

    def open_gaps(self) -> Iterable[tuple[SymbolDay, OpenGap]]:
        """Every gap and doubt that may still be filled, or was lost lately, of every day that was seen."""
        for day in self._known.days.values():
            for track in day.tracks.values():
                for gap in track.gaps:
                    yield track, gap
                for gap in track.past:
                    yield track, gap
                if track.doubt:
                    yield track, track.doubt

    def lost_holes(self) -> Iterable[tuple[SymbolDay, OpenGap]]:
        """Every gap of known size that OpenD can no longer give."""
        for day in self._known.days.values():
            for track in day.tracks.values():
                yield from ((track, gap) for gap in track.lost)

    @property
    def losses(self) -> Losses:
        """What was found to be lost."""
        return self._known.losses

    def recount_losses(self) -> None:
        """Ticks came from elsewhere that OpenD no longer had: only gaps that are still there were lost."""
        there = [gap for _, gap in self.open_gaps() if gap.lost_ms]
        self._known.losses.recount([*there, *(gap for _, gap in self.lost_holes())])

    def track(self, symbol: str) -> SymbolDay | None:
        """What is known of a symbol on the day of its newest tick."""
        return self._known.latest.get(symbol)

    def tracks(self) -> Iterable[SymbolDay]:
        """Every symbol on the day of its newest tick."""
        return self._known.latest.values()

    def unwitnessed(self) -> Iterable[SymbolDay]:
        """Symbols of which no answer has reached yet what was known when ticks may have begun to pass us by."""
        return [track for track in self._known.latest.values() if track.unwitnessed is not None]

    def without_rule(self) -> list[str]:
        """The symbols whose sequence does not tell what is missing."""
        return [track.symbol for track in self._known.latest.values() if track.next < 0]

    def missing(self, symbol: str) -> int:
        """How many ticks of a symbol are missing that OpenD may still have; a doubt counts as one."""
        return sum(gap.missing or 1 for gap in self._hopeful(symbol))

    def tries(self, symbol: str) -> int:
        """How many answers at most left something of a symbol missing that they should have held."""
        return max((gap.tries for gap in self._hopeful(symbol)), default=0)

    def _hopeful(self, symbol: str) -> Iterable[OpenGap]:
        """The gaps and doubts of a symbol that may be filled."""
        for day in self._known.days.values():
            track = day.tracks.get(symbol)
            if track is not None:
                yield from (gap for gap in (*track.gaps, *track.past) if not gap.final)
                if track.doubt and not track.doubt.final:
                    yield track.doubt

    # --- answers ---

    def answered(self, symbol: str, answer: Answer) -> list[OpenGap]:
        """OpenD's answer for a symbol, whose ticks have been seen; returns the gaps that are lost by it."""
        return self._judging.answered(symbol, answer)

    def give_up(self, symbol: str) -> list[OpenGap]:
        """Nobody may be asked about a symbol; returns its gaps, which are lost unless `hope` says otherwise."""
        lost = list(self._hopeful(symbol))
        for gap in lost:
            gap.final, gap.lost_ms = True, gap.lost_ms or self._known.now_ms()
        self._known.losses.add(lost, self._known.now_ms())
        return lost

    def hope(self, symbol: str, window_rows: int) -> None:
        """Another connection may know more: gaps among the latest `window_rows` ticks of a symbol may be filled again.

        So may the doubts of a symbol that could not be asked about.
        """
        track = self._known.latest.get(symbol)
        if track is None:
            return
        if track.lost and track.next > 0:
            track.gaps[:0] = track.lost.take_from(track.next - window_rows)
            track.gaps.sort(key=_first)
        for gap in track.gaps:
            if gap.last >= track.next - window_rows:
                gap.final, gap.tries, gap.contradicted_s = False, 0, None
        for gap in (*track.past, *([track.doubt] if track.doubt else [])):
            gap.tries = 0


def _first(gap: OpenGap) -> int:
    return gap.first


def _gap(symbol: str, gap: OpenGap, now_ms: int, *, is_open: bool) -> Gap:
    return Gap(
        symbol=symbol,
        from_seq=gap.from_seq,
        to_seq=gap.to_seq,
        from_ts_ms=gap.from_ts_ms,
        to_ts_ms=gap.to_ts_ms,
        missing=gap.missing if is_open else 0,
        cause=gap.cause,
        status=GAP_OPEN if is_open else GAP_HEALED,
        opened_ms=gap.opened_ms,
        closed_ms=None if is_open else now_ms,
        id=gap.id,
    )

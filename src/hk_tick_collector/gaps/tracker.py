"""Finds missing ticks. It sees every received tick and every answer of OpenD's.

Enters: rows in order of arrival, answers to GetTicker. Leaves: changes of the table `gaps` and of each symbol's rule,
for the transaction that stores those rows, and the gaps that OpenD should be asked for. No I/O: functions given to the
constructor read the clock and the day files.

Nothing decided here delays or rejects a tick.

The sequence of a Hong Kong tick is `epoch second << 32 | counter`. The counter of a symbol starts at 1 each day and
increases by one with each tick. This rule is not documented: it was inferred, so it is checked for each symbol with
each tick.

- A jump of the counter is a gap of known size. The first tick of a day shows how many came before it.
- A counter that falls begins a new run. Between two runs there is a doubt, a gap of unknown size.
- A single tick that does not follow the rule affects nothing else. After several in a row the rule no longer holds.
- OpenD's answers confirm or contradict a gap (`answer.py`). An answer contradicts a gap if it has the tick before the
  gap and the tick after it, and none between. If it contradicts many gaps, the rule ends; a single contradiction must
  be repeated by a later answer. A gap is lost if an answer is full and starts after the gap.

For a symbol without the rule only answers count: each must overlap the one before, or reach a tick that was known when
an interruption began. Otherwise there is a doubt.

The bounds of a gap consist of the seconds of the ticks around it and of its own counters, so the counters can be read
from the bounds again. The current day is kept per symbol: it is the day of the symbol's newest tick. So a wrong date
affects only its own symbol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import CAUSE_REJECTED, LATELY_MS

from . import changes
from .gap import first_counter
from .judging import Judging
from .placing import Placing
from .symbol_day import (
    CAUSE_BEFORE_START,
    CAUSE_FUTURE,
    CAUSE_RESTART,
    COUNTER_MASK,
    Day,
    SymbolDay,
    Unconfirmed,
    plausible,
)
from .symbol_days import SymbolDays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import GapChange, Rejected, RuleChange, TickRow

    from .answer import Answer
    from .gap import OpenGap

# A tick that is more than 600 s after the last one of its symbol goes through all checks.
_REACH: Final = 600 << 32
# Rejected ticks of a day that are remembered one by one. Further ones count as missing, like any other tick.
_MARKS_MOST: Final = 50_000


class GapTracker:
    """Sees every tick that will be stored, and every one that will not.

    `load` is called with the number of a day when its first tick is seen. It returns what the day's file has, or None
    while the file is being read: then `adopt` must be called. `now_ms` is the wall clock in UTC epoch ms. Others may
    read `known`, but must not change it.
    """

    def __init__(self, load: Callable[[int], Day | None], now_ms: Callable[[], int]) -> None:
        self._load = load
        self.known = SymbolDays(now_ms)
        self._placing = Placing(self.known)
        self._judging = Judging(self.known)
        self._interrupted = CAUSE_BEFORE_START

    # --- ticks ---

    def see(self, rows: list[TickRow]) -> None:
        """Processes rows that will be stored. Nearly every row is the next of its symbol: that case must be fast."""
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
        """Processes rows that were received but are dropped for lack of space. Each becomes part of a gap at once."""
        for row in rows:
            self._place(row[0], row[1], row[2], stored=False)

    def reject(self, rejected: Iterable[Rejected]) -> None:
        """Processes ticks that cannot be stored. They are not missing: a backfill would bring the same ticks again."""
        for tick in rejected:
            ts_ms = (tick.seq >> 32) * 1000
            if not plausible(tick.seq, ts_ms) or abs(ts_ms - tick.recv_ts_ms) > 2 * market.DAY_MS:
                continue
            if tick.cause == CAUSE_FUTURE or market.day_number(ts_ms) > market.day_number(tick.recv_ts_ms):
                continue  # a tick that is not stored must not begin a future day
            self._place(tick.symbol, tick.seq, ts_ms, stored=True, rejected=True)

    def _place(self, symbol: str, seq: int, ts_ms: int, *, stored: bool, rejected: bool = False) -> None:
        """Places a tick that is not simply the next one of its symbol. A rejected tick is marked if it is new."""
        day = self._day(market.day_number(ts_ms))
        if day.loading:
            day.pending.append((symbol, seq, ts_ms, stored, rejected))
        if day.loading or day.sealed or (rejected and day.marked >= _MARKS_MOST):
            return
        is_new = self._placing.place(day, symbol, seq, ts_ms, self._interrupted, stored=stored)
        if is_new and rejected:
            day.marked += 1
            self.known.mark(day, symbol, seq, CAUSE_REJECTED)

    # --- days ---

    def resume(self, number: int) -> None:
        """Loads a day from its file before its first tick arrives. Ticks since the last run may be missing."""
        _doubt_restarted(self.known, self._day(number))

    def open(self, number: int) -> None:
        """Loads a day from its file; no further ticks of it are expected."""
        self._day(number)

    def adopt(self, day: Day) -> None:
        """A day's file has been read. The ticks that arrived meanwhile are placed now."""
        before = self.known.days.get(day.number)
        pending, recalled = (before.pending, before.recalled) if before is not None else ([], [])
        day.loading = False
        self.known.days[day.number] = day
        self._adopt(day)
        _doubt_restarted(self.known, day, self.known.forgotten.get(day.number))
        for symbol, seq, ts_ms, stored, rejected in pending:
            self._place(symbol, seq, ts_ms, stored=stored, rejected=rejected)
        for symbol, seq in recalled:
            if symbol in day.tracks:
                day.tracks[symbol].recall(seq)

    def begin_rebuild(self, number: int) -> Day:
        """Removes a day and returns it, to be built again from its file. `adopt` must be called afterwards; ticks that
        arrive meanwhile wait for that.
        """
        self.known.forgotten.pop(number, None)  # the file is another one now, or damaged
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

    def resume_unfinished(self, number: int, symbols: Iterable[str]) -> None:
        """Reopens an earlier day whose close was not observed: ticks may be missing at its end, and no later tick of
        that day will show it.

        For each of `symbols` without a stored tick, the whole day may be missing. A day without any tick is left out:
        its file does not show that there was trading.
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
        """The loaded days that are not sealed."""
        return [day.number for day in self.known.days.values() if not day.sealed]

    def unread_days(self) -> list[int]:
        """The days whose file could not be read: only ticks seen since then are known."""
        return [day.number for day in self.known.days.values() if day.unread]

    def forget_days_before(self, number: int, now_s: float, committed_s: float) -> None:
        """Removes finished days from memory: see SymbolDays.forget_before."""
        self.known.forget_before(number, now_s, committed_s)

    def _day(self, number: int) -> Day:
        day = self.known.days.get(number)
        if day is None:
            day = self._load(number)
            if day is None:
                day = Day(number, loading=True)
            self.known.days[number] = day
            self._adopt(day)
        day.idle_s = None
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
        """From now on ticks may be missed. A gap that shows later gets this cause, or that of an earlier interruption
        that has not ended.
        """
        self.known.is_interrupted = True
        self._interrupted = self._interrupted or cause
        for track in self.known.latest.values():
            if not track.interrupted or track.interrupted_at != track.next:
                track.interrupted, track.interrupted_at = cause, track.next
            if track.next <= 0:
                self.known.doubt(self.known.day_of(track), track, None, track.last_ts_ms, cause)
            elif track.unconfirmed is None:
                track.unconfirmed = Unconfirmed(track.next, track.last_seq, track.last_ts_ms, track.interrupted)

    def resume_receiving(self) -> None:
        """Ticks arrive again: from now on OpenD's answers show what was missed."""
        self.known.is_interrupted = False

    def end_interruption(self) -> None:
        """Every symbol has been checked since the interruption: it is not the cause of a gap that opens from now on."""
        self._interrupted = ""
        for track in self.known.latest.values():
            track.interrupted = ""

    def doubt(self, symbol: str, from_ts_ms: int, cause: str) -> None:
        """Ticks of a symbol may be missing from this time on. Without effect for a symbol that follows the rule."""
        track = self.known.latest.get(symbol)
        if track is not None and track.next < 0:
            self.known.doubt(self.known.day_of(track), track, None, from_ts_ms, cause)

    def recall(self, rows: Iterable[TickRow]) -> None:
        """These rows came from the spool of an earlier run: they count as known before the interruption."""
        for symbol, seq, ts_ms, *_ in rows:
            day = self.known.days.get(market.day_number(ts_ms))
            if day is None:
                continue
            if day.loading:
                day.recalled.append((symbol, seq))
            elif symbol in day.tracks:
                day.tracks[symbol].recall(seq)

    # --- changes ---

    def take_changes(self) -> list[GapChange]:
        """The rows of `gaps` that changed since the last call, for the transaction of the rows seen since."""
        return changes.take_gaps(self.known)

    def take_rules(self) -> list[RuleChange]:
        """The symbols whose rule changed since the last call, for the same transaction."""
        return changes.take_rules(self.known)

    # --- answers ---

    def answered(self, symbol: str, answer: Answer) -> list[OpenGap]:
        """Evaluates OpenD's answer for a symbol, whose ticks have been seen. Returns the gaps found to be lost."""
        return self._judging.answered(symbol, answer)

    def give_up(self, symbol: str) -> list[OpenGap]:
        """OpenD cannot be asked for a symbol. Returns its gaps, which are lost until `reopen_gaps` reopens them."""
        lost = list(self.known.fillable_gaps(symbol))
        for gap in lost:
            gap.final, gap.lost_ms = True, gap.lost_ms or self.known.now_ms()
        self.known.losses.add(lost, self.known.now_ms())
        return lost

    def reopen_gaps(self, symbol: str, window_rows: int) -> None:
        """Reopens lost gaps among the latest `window_rows` ticks of a symbol: a new connection may be able to fill
        them.

        The doubts of the symbol are asked for again without delay.
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


def _doubt_restarted(known: SymbolDays, day: Day, only: set[str] | None = None) -> None:
    """Ticks may be missing since the run that wrote the file. `only` are the symbols of a day that this run has
    seen before: there was no other run, and the others were confirmed.
    """
    for track in day.tracks.values():
        if only is not None and track.symbol not in only:
            continue
        if track.next <= 0 and track.interrupted == CAUSE_RESTART:
            # Ticks that were missed before the end of that run, after OpenD's last answer, are not known either.
            last_ms = track.last_ts_ms
            from_ms = track.recent.unproved_ms(last_ms) if track.recent else last_ms
            known.doubt(day, track, None, from_ms, track.interrupted)
        elif track.next > 0 and track.unconfirmed is None and track.interrupted == CAUSE_RESTART:
            track.unconfirmed = Unconfirmed(track.next, track.last_seq, track.last_ts_ms, track.interrupted)

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

from bisect import bisect_right
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange, RuleChange

from . import answer as answers
from .hole import Hole
from .track import (
    CAUSE_BEFORE_START,
    CAUSE_DROPPED,
    CAUSE_ELSEWHERE,
    CAUSE_PUSH_LOST,
    CAUSE_REJECTED,
    CAUSE_RESTART,
    CAUSE_SEQUENCE,
    CAUSE_SKIPPED,
    COUNTER_MASK,
    MARGIN_MS,
    NEAR_S,
    OURS,
    RULE_COUNTER,
    RULE_NONE,
    Day,
    Track,
    Unwitnessed,
    begins_anew,
    continues,
    follows,
    plausible,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import Rejected, TickRow

    from .answer import Answer, Part, Reach

# A tick whose sequence is further ahead is looked at with care; a symbol that was quiet for longer as well.
_REACH: Final = 600 << 32
_AGAIN_S: Final = 10.0  # so long after the first answer that contradicts a gap, another one must do it again
_EXCEPTIONS: Final = 3  # contradicted jumps, one at a time, before the rule does not hold


class Holes:
    """Sees every tick that is accepted for storing, and every one that is not.

    `load` gives what a day's file knows when its first tick is seen, None while it is being read: then `adopt` must
    follow. `now_ms` is the wall clock in UTC epoch ms.
    """

    def __init__(self, load: Callable[[int], Day | None], now_ms: Callable[[], int]) -> None:
        self._load = load
        self._now_ms = now_ms
        self._days: dict[int, Day] = {}
        self._latest: dict[str, Track] = {}  # each symbol on the day of the last tick that was its newest
        self._interrupted = CAUSE_BEFORE_START
        self._lost_ms: deque[int] = deque(maxlen=100_000)  # when gaps were found to be lost, the latest last
        self.events: deque[tuple[str, str, int]] = deque(maxlen=10_000)  # symbol, what was found, sequence: to be told
        self.deaf = False  # OpenD itself does not hear of every tick now: its answers prove nothing

    # --- ticks ---

    def see(self, rows: list[TickRow]) -> None:
        """Takes rows that will be stored. Nearly every row is the next of its symbol: that way is short."""
        latest = self._latest
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
            if self._place(tick.symbol, tick.seq, ts_ms, stored=True):
                self._mark(self._day(market.day_number(ts_ms)), tick.symbol, tick.seq, CAUSE_REJECTED)

    def _mark(self, day: Day, symbol: str, seq: int, cause: str) -> None:
        """Notes in the file of a day that this tick came and is not in it: its counter is no gap."""
        counter, ts_ms = seq & COUNTER_MASK, (seq >> 32) * 1000
        mark = Hole(day.new_gap_id(), counter, counter, seq, seq, ts_ms, ts_ms, cause, self._now_ms(), written=True)
        day.dirty[mark.id] = (symbol, mark, False)

    # --- days ---

    def resume(self, number: int) -> None:
        """Begins with what a day's file knows, before its first tick arrives."""
        self._doubt_restarted(self._day(number))

    def adopt(self, day: Day) -> None:
        """A day that was being read is here: what came meanwhile is placed now."""
        before = self._days.get(day.number)
        pending = before.pending if before is not None else []
        day.loading = False
        self._days[day.number] = day
        self._adopt(day)
        self._doubt_restarted(day)
        for symbol, seq, ts_ms, stored in pending:
            self._place(symbol, seq, ts_ms, stored=stored)

    def lend(self, number: int) -> Day:
        """Gives a day away, to be made anew from its file; `adopt` must follow, what comes meanwhile waits for it."""
        day = self._days.get(number) or Day(number)
        self._days[number] = Day(number, loading=True, sealed=day.sealed)
        self._latest = {symbol: track for symbol, track in self._latest.items() if day.tracks.get(symbol) is not track}
        return day

    def is_loading(self, number: int) -> bool:
        """Whether a day's file is being read."""
        day = self._days.get(number)
        return day is not None and day.loading

    def has(self, number: int) -> bool:
        """Whether a day was seen."""
        return number in self._days

    def _doubt_restarted(self, day: Day) -> None:
        for track in day.tracks.values():
            if track.next <= 0 and track.interrupted == CAUSE_RESTART:
                self._doubt(day, track, None, track.last_ts_ms, track.interrupted)
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
                day.keep(Track(symbol, interrupted=CAUSE_RESTART))
        for track in day.tracks.values():
            known_ms = track.last_ts_ms or day.start_s * 1000
            from_seq = track.last_seq + 1 if track.last_seq else day.start_s << 32
            self._doubt(day, track, None if track.next < 0 else from_seq, known_ms, track.interrupted)

    def open_days(self) -> list[int]:
        """The days that were seen and are not finished."""
        return [day.number for day in self._days.values() if not day.sealed]

    def forget_days_before(self, number: int) -> None:
        """Lets go of finished days. A tick that still comes for one has its file read again."""
        finished = [day for day in self._days if day < number]
        if not finished:
            return
        for day in finished:
            del self._days[day]
        from_ms = market.day_start_ms(number)
        self._latest = {symbol: track for symbol, track in self._latest.items() if track.from_ms >= from_ms}

    def _day(self, number: int) -> Day:
        day = self._days.get(number)
        if day is None:
            day = self._load(number)
            if day is None:
                day = Day(number, loading=True)
            self._days[number] = day
            self._adopt(day)
        return day

    def _adopt(self, day: Day) -> None:
        for track in list(day.tracks.values()):
            day.keep(track)
            latest = self._latest.get(track.symbol)
            if latest is None or latest.from_ms <= track.from_ms:
                self._latest[track.symbol] = track

    def _day_of(self, track: Track) -> Day:
        return self._days[market.day_number(track.from_ms)]

    # --- interruptions ---

    def interrupt(self, cause: str) -> None:
        """From now on ticks may pass us by: a jump that shows is blamed on `cause`, or on what it comes on top of."""
        self.deaf = True
        self._interrupted = self._interrupted or cause
        for track in self._latest.values():
            if not track.interrupted or track.interrupted_at != track.next:
                track.interrupted, track.interrupted_at = cause, track.next
            if track.next <= 0:
                self._doubt(self._day_of(track), track, None, track.last_ts_ms, cause)
            elif track.unwitnessed is None:
                track.unwitnessed = Unwitnessed(track.next, track.last_seq, track.last_ts_ms, track.interrupted)

    def listen(self) -> None:
        """Ticks reach us again: from now on an answer of OpenD's tells what passed us by."""
        self.deaf = False

    def settle(self) -> None:
        """Every symbol has been looked at since the interruption: what jumps from now on was lost on the way."""
        self._interrupted = ""
        for track in self._latest.values():
            track.interrupted = ""

    def doubt(self, symbol: str, from_ts_ms: int, cause: str) -> None:
        """Ticks of a symbol may be missing from here on. Only for a symbol that does not follow the rule."""
        track = self._latest.get(symbol)
        if track is not None and track.next < 0:
            self._doubt(self._day_of(track), track, None, from_ts_ms, cause)

    # --- what is known ---

    def take_changes(self) -> list[GapChange]:
        """The rows of `gaps` that changed since the last call, for the transaction of the rows seen since."""
        changes: list[GapChange] = []
        for day in self._days.values():
            if not day.dirty:
                continue
            now_ms = self._now_ms()
            for symbol, hole, is_open in day.dirty.values():
                # A gap that opened and closed before anybody wrote it was only ticks out of order.
                if is_open or hole.written:
                    changes.append(GapChange(day.number, _gap(symbol, hole, now_ms, is_open=is_open)))
                hole.written = True
            day.dirty = {}
        return changes

    def take_rules(self) -> list[RuleChange]:
        """What was judged of symbols' sequences since the last call, for the same transaction."""
        changes: list[RuleChange] = []
        for day in self._days.values():
            if day.rules:
                changes += [
                    RuleChange(day.number, symbol, rule, day.tracks[symbol].run_seq)
                    for symbol, rule in day.rules.items()
                ]
                day.rules = {}
        return changes

    def open_holes(self) -> Iterable[tuple[Track, Hole]]:
        """Every gap and doubt that may still be filled, or was lost lately, of every day that was seen."""
        for day in self._days.values():
            for track in day.tracks.values():
                for hole in track.holes:
                    yield track, hole
                for hole in track.past:
                    yield track, hole
                if track.doubt:
                    yield track, track.doubt

    def lost_holes(self) -> Iterable[tuple[Track, Hole]]:
        """Every gap of known size that OpenD can no longer give."""
        for day in self._days.values():
            for track in day.tracks.values():
                yield from ((track, hole) for hole in track.lost)

    def lost_since(self, moment_ms: int) -> int:
        """How many gaps were found to be lost since a moment (UTC epoch ms)."""
        return sum(1 for at_ms in self._lost_ms if at_ms > moment_ms)

    def track(self, symbol: str) -> Track | None:
        """What is known of a symbol on the day of its newest tick."""
        return self._latest.get(symbol)

    def tracks(self) -> Iterable[Track]:
        """Every symbol on the day of its newest tick."""
        return self._latest.values()

    def unwitnessed(self) -> Iterable[Track]:
        """Symbols of which no answer has reached yet what was known when ticks may have begun to pass us by."""
        return [track for track in self._latest.values() if track.unwitnessed is not None]

    def without_rule(self) -> list[str]:
        """The symbols whose sequence does not tell what is missing."""
        return [track.symbol for track in self._latest.values() if track.next < 0]

    def missing(self, symbol: str) -> int:
        """How many ticks of a symbol are missing that OpenD may still have; a doubt counts as one."""
        return sum(hole.missing or 1 for hole in self._hopeful(symbol))

    def tries(self, symbol: str) -> int:
        """How many answers at most left something of a symbol missing that they should have held."""
        return max((hole.tries for hole in self._hopeful(symbol)), default=0)

    def _hopeful(self, symbol: str) -> Iterable[Hole]:
        """The gaps and doubts of a symbol that may be filled."""
        for day in self._days.values():
            track = day.tracks.get(symbol)
            if track is not None:
                yield from (hole for hole in (*track.holes, *track.past) if not hole.final)
                if track.doubt and not track.doubt.final:
                    yield track.doubt

    # --- answers ---

    def answered(self, symbol: str, answer: Answer) -> list[Hole]:
        """OpenD's answer for a symbol, whose ticks have been seen; returns the gaps that are lost by it."""
        lost: list[Hole] = []
        for day in list(self._days.values()):
            track = day.tracks.get(symbol)
            if track is None or day.loading:
                continue
            part = answers.part_of(answer, day.number)
            reached = answers.reach(day, track, answer, part) if track.patterned and answer.is_fresh else None
            why = self._why_no_rule(day, track, answer, reached)
            if why:
                self._break_rule(day, track, answer, why)
            elif reached:
                lost += self._judge_holes(day, track, answer, reached)
            elif answer.full and part.from_after and not part.seqs:
                lost += self._lose_all(track)  # the window begins on a later day
            if reached and track.patterned:
                lost += self._judge_witness(day, track, answer, part)
            lost += self._judge_past(day, track, answer, part)
            lost += self._judge_doubt(day, track, answer, part, reached)
            if track.next < 0 and not self.deaf:
                lost += self._judge_overlap(day, track, answer, part)
            self._count_tries(track, answer, part)
        now_ms = self._now_ms()
        for hole in lost:
            hole.lost_ms = hole.lost_ms or now_ms
            self._lost_ms.append(hole.lost_ms)
        return lost

    def _why_no_rule(self, day: Day, track: Track, answer: Answer, reached: Reach | None) -> str:
        """How an answer contradicts the rule of a symbol as a whole, empty when it does not."""
        if self.deaf or not track.patterned or not answer.is_fresh:
            return ""
        if reached and answers.steps(reached, track.holes):
            return "steps"
        return "restarts" if answers.began_anew(day, track, answer) else ""

    def _count_tries(self, track: Track, answer: Answer, part: Part) -> None:
        """Notes for each gap that is left that this answer should have told of it."""
        lowest = part.lowest_seq
        for hole in (*track.holes, *track.past, *([track.doubt] if track.doubt else [])):
            reaches = lowest is not None and hole.from_seq is not None and lowest <= hole.from_seq
            if answer.full or answer.complete or reaches:
                hole.tries, hole.tried_s = hole.tries + 1, answer.now_s

    def _judge_holes(self, day: Day, track: Track, answer: Answer, reached: Reach) -> list[Hole]:
        """What an honest answer says of the gaps of a symbol that follows the rule."""
        lost: list[Hole] = []
        for hole in list(track.holes):
            if hole.final:
                continue
            if answer.full and hole.last < reached.low:
                lost.append(hole)
            elif reached.contradicts(hole) and not self.deaf:
                if hole.contradicted_s is None:
                    hole.contradicted_s = answer.now_s
                elif answer.now_s - hole.contradicted_s < _AGAIN_S:
                    pass
                elif hole.cause in OURS:
                    self._contradict(day, track, hole)
                else:
                    hole.final = True  # OpenD never had these ticks: its own connection was away
                    lost.append(hole)
                    hole.lost_ms = self._now_ms()
        for hole in lost:
            if hole.last < reached.low:
                self._put_lost(track, hole)
        if track.contradicted >= _EXCEPTIONS:
            self._break_rule(day, track, answer, "jumps")
            return []
        return lost

    def _judge_witness(self, day: Day, track: Track, answer: Answer, part: Part) -> list[Hole]:
        """Ticks may have passed us by: the counter alone does not tell, it may have begun anew meanwhile.

        Where no answer reaches what was known before, and no gap tells of it, there is a doubt.
        """
        before = track.unwitnessed
        if before is None or self.deaf:
            return []
        if answers.witnesses(track, day, answer, before) or part.from_before:
            track.unwitnessed = None
            return []
        track.unwitnessed = before._replace(answers=before.answers + 1)
        told = answers.tells_of(track, before.next)
        if answer.full:
            track.unwitnessed = None
        if told or not (answer.full or before.answers):
            return []
        if track.doubt is None or track.doubt.final:
            self._doubt(day, track, before.last_seq + 1, before.last_ts_ms, before.cause)
        return []

    def _contradict(self, day: Day, track: Track, hole: Hole) -> None:
        """No tick is missing there, by OpenD's word, twice: the counter jumped without one."""
        track.holes.remove(hole)
        track.contradicted += 1
        hole.cause = CAUSE_SKIPPED
        track.skipped.add(hole)
        day.dirty[hole.id] = (track.symbol, hole, False)
        self.events.append((track.symbol, "gap_contradicted", hole.from_seq or 0))

    def _put_lost(self, track: Track, hole: Hole) -> None:
        track.holes.remove(hole)
        hole.final, hole.lost_ms = True, hole.lost_ms or self._now_ms()
        track.lost.add(hole)

    def _lose_all(self, track: Track) -> list[Hole]:
        lost = [hole for hole in track.holes if not hole.final]
        for hole in lost:
            self._put_lost(track, hole)
        return lost

    def _judge_past(self, day: Day, track: Track, answer: Answer, part: Part) -> list[Hole]:
        """The same for gaps of the counter's earlier runs, which only have their sequences as bounds."""
        lost: list[Hole] = []
        lowest = part.lowest_seq
        for hole in list(track.past):
            if hole.final or not answer.is_fresh or (lowest is None and not part.from_after):
                continue
            if answer.full and not part.from_before and (lowest is None or (hole.to_seq or 0) < lowest):
                hole.final = True
                lost.append(hole)
            elif lowest is not None and lowest < (hole.from_seq or 0) and not self.deaf:
                if hole.contradicted_s is None:
                    hole.contradicted_s = answer.now_s
                elif answer.now_s - hole.contradicted_s >= _AGAIN_S:
                    track.past.remove(hole)
                    day.dirty[hole.id] = (track.symbol, hole, False)
        return lost

    def _judge_doubt(self, day: Day, track: Track, answer: Answer, part: Part, reached: Reach | None) -> list[Hole]:
        """A doubt ends when an honest answer reaches back to what was known, or tells of the whole day."""
        doubt = track.doubt
        if doubt is None or doubt.final or self.deaf or not answer.is_fresh:
            return []
        honest = answers.has_all_recent(track, part, answer) if track.next <= 0 else reached is not None
        if not honest and part.seqs:
            return []
        from_the_start = doubt.from_ts_ms <= day.start_s * 1000 and day.number == max(self._days)
        if part.seqs and (answers.knows(day, track, doubt, part) or (part.from_before and not part.from_after)):
            return self._end_doubt(day, track, part)
        if from_the_start and answers.is_whole_day(track, part, answer):
            return self._end_doubt(day, track, part)
        if part.from_before and part.from_after:
            return self._end_doubt(day, track, part)  # OpenD has ticks on both sides of this day
        sized = doubt.from_seq is not None and doubt.from_seq > track.run_seq and track.patterned
        if answer.full and sized and answers.tells_of(track, (track.known_seq & COUNTER_MASK) + 1):
            return self._end_doubt(day, track, part)  # a gap of known size begins there
        if answer.full and (part.seqs or part.from_after):
            doubt.final = True
            end_ms = part.oldest_ms if part.seqs else doubt.to_ts_ms
            doubt.to_ts_ms = min(doubt.to_ts_ms, max(doubt.from_ts_ms, end_ms + MARGIN_MS))
            if doubt.from_seq is not None and part.lowest_seq is not None:
                # Where the counter began anew within a second, what is missing may have a higher one than what is not.
                doubt.to_seq = max(doubt.from_seq, part.lowest_seq | COUNTER_MASK)
            day.dirty[doubt.id] = (track.symbol, doubt, True)
            track.proved, track.proved_ms = part.seqs, part.newest_ms
            return [doubt]
        return []

    def _end_doubt(self, day: Day, track: Track, part: Part) -> list[Hole]:
        if track.doubt is not None:
            day.dirty[track.doubt.id] = (track.symbol, track.doubt, False)
        track.doubt, track.known = None, frozenset()
        track.proved, track.proved_ms = part.seqs, part.newest_ms
        return []

    def _judge_overlap(self, day: Day, track: Track, answer: Answer, part: Part) -> list[Hole]:
        """Without the rule each answer must overlap the one before it: what lies between them is stored then."""
        doubt = track.doubt
        if not answer.is_fresh or not part.seqs or (doubt and not doubt.final and doubt.to_ts_ms >= track.to_ms - 1):
            return []
        if not answers.has_all_recent(track, part, answer):
            return []
        if track.proved and answer.full and not part.from_before and not part.seqs & track.proved:
            gap_ms = part.oldest_ms + MARGIN_MS
            lost = self._doubt(day, track, None, track.proved_ms, CAUSE_PUSH_LOST)
            lost.final, lost.to_ts_ms = True, max(lost.from_ts_ms, gap_ms)
            track.proved, track.proved_ms = part.seqs, part.newest_ms
            return [lost]
        if answer.full or not track.proved or part.seqs & track.proved:
            track.proved, track.proved_ms = part.seqs, part.newest_ms
        return []

    def give_up(self, symbol: str) -> list[Hole]:
        """Nobody may be asked about a symbol; returns its gaps, which are lost unless `hope` says otherwise."""
        lost = list(self._hopeful(symbol))
        for hole in lost:
            hole.final, hole.lost_ms = True, hole.lost_ms or self._now_ms()
            self._lost_ms.append(hole.lost_ms)
        return lost

    def hope(self, symbol: str, window_rows: int) -> None:
        """Another connection may know more: gaps among the latest `window_rows` ticks of a symbol may be filled again.

        So may the doubts of a symbol that could not be asked about.
        """
        track = self._latest.get(symbol)
        if track is None:
            return
        if track.lost and track.next > 0:
            track.holes[:0] = track.lost.take_from(track.next - window_rows)
            track.holes.sort(key=_first)
        for hole in track.holes:
            if hole.last >= track.next - window_rows:
                hole.final, hole.tries, hole.contradicted_s = False, 0, None
        for hole in (*track.past, *([track.doubt] if track.doubt else [])):
            hole.tries = 0

    # --- placing a tick ---

    def _place(self, symbol: str, seq: int, ts_ms: int, *, stored: bool) -> bool:
        """Any tick that is not simply the next one of its symbol on its latest day; whether it is known to be new."""
        number = market.day_number(ts_ms)
        day = self._day(number)
        if day.loading:
            day.pending.append((symbol, seq, ts_ms, stored))
            return False
        if day.sealed:
            return False
        near = plausible(seq, ts_ms)
        if not near and self._is_of_another_day(symbol, seq, number, stored=stored):
            return False
        track = day.tracks.get(symbol)
        if track is None:
            track = Track(symbol, interrupted=self._interrupted)
            day.keep(track)
        if track.next < 0:
            self._follow(day, track, seq, ts_ms, stored=stored)
            return False
        return self._place_by_rule(day, track, seq, ts_ms, stored=stored, near=near)

    def _place_by_rule(self, day: Day, track: Track, seq: int, ts_ms: int, *, stored: bool, near: bool) -> bool:
        counter, in_day = seq & COUNTER_MASK, day.start_s <= seq >> 32 <= day.last_seq >> 32
        in_run = seq >= track.run_seq or not track.run_seq
        if counter >= max(track.next, 1) and (near if track.next == 0 else in_run and continues(track, seq, near=near)):
            self._advance(day, track, seq, ts_ms, stored=stored)
            return True
        if in_day and (not in_run or (counter < track.next and not (near and begins_anew(track, seq)))):
            # It came before, or it was missing: in this run of the counter or in an earlier one.
            return stored and self._fill(day, track, seq, ts_ms)
        if in_day and stored and self._fill(day, track, seq, ts_ms):
            return True
        if near and self._is_run(track, seq):
            self._begin_run(day, track, seq, ts_ms, stored=stored)
            return True
        if near and track.next > 0:
            track.candidate = seq
            self._doubt(day, track, track.last_seq + 1, track.last_ts_ms, CAUSE_SEQUENCE)
            return False
        if track.next == 0:
            self._doubt_unknown(day, track, ts_ms)
        if not stored:
            self._doubt(day, track, None if track.next <= 0 else seq, ts_ms, CAUSE_DROPPED)
        if track.note_strange(seq):
            self._give_up_rule(day, track, seq, ts_ms)
        elif track.next == 0 and ts_ms >= track.last_ts_ms:
            track.last_ts_ms = ts_ms
            self._latest.setdefault(track.symbol, track)
        return False

    def _is_of_another_day(self, symbol: str, seq: int, number: int, *, stored: bool) -> bool:
        """Whether a tick has the sequence of another day than its own time: nothing is concluded for the latter."""
        home = market.day_number((seq >> 32) * 1000)
        day = self._days.get(home)
        track = day.tracks.get(symbol) if day and home != number else None
        if day is None or track is None or track.next <= 0 or day.sealed or day.loading:
            return False
        fits_in = continues(track, seq, near=False) or self._find(track, seq) is not None
        if not fits_in and (seq & COUNTER_MASK >= track.next or seq < track.run_seq):
            return False
        if fits_in and stored and self._place_by_rule(day, track, seq, track.last_ts_ms, stored=True, near=False):
            self._mark(day, symbol, seq, CAUSE_ELSEWHERE)
        return True

    def _advance(self, day: Day, track: Track, seq: int, ts_ms: int, *, stored: bool) -> None:
        """A tick beyond all that were seen: what it skips is a gap, and so is itself when it is not stored."""
        counter = seq & COUNTER_MASK
        first = max(track.next, 1)
        last = counter - 1 if stored else counter
        if track.next == 0:
            day.rules[track.symbol] = RULE_COUNTER
        if first <= last:
            self._open(day, track, (first, last), seq, ts_ms, CAUSE_DROPPED if not stored else self._blame(track))
        track.interrupted = ""
        track.next = counter + 1
        track.candidate = 0
        if seq > track.last_seq:
            track.last_seq, track.last_ts_ms = seq, ts_ms
        self._latest[track.symbol] = track

    def _open(self, day: Day, track: Track, counters: tuple[int, int], seq: int, ts_ms: int, cause: str) -> None:
        """A gap up to this tick; one that ends where it begins grows instead."""
        first, last = counters
        seconds = (track.last_seq >> 32 if track.last_seq else day.start_s, seq >> 32)
        from_seq, to_seq = min(seconds) << 32 | first, max(seconds) << 32 | last
        previous = track.holes[-1] if track.holes else None
        if track.lost.last == first - 1 >= 1:
            previous = track.lost.take(first - 1)
            if previous is not None:
                track.holes.append(previous)
        if previous and previous.last == first - 1:
            previous.last, previous.to_seq, previous.to_ts_ms = last, to_seq, ts_ms
            previous.final, previous.tries, previous.contradicted_s = False, 0, None
            day.dirty[previous.id] = (track.symbol, previous, True)
            return
        from_ms, opened_ms = track.last_ts_ms or day.start_s * 1000, self._now_ms()
        hole = Hole(day.new_gap_id(), first, last, from_seq, to_seq, from_ms, ts_ms, cause, opened_ms)
        track.holes.append(hole)
        day.dirty[hole.id] = (track.symbol, hole, True)

    def _blame(self, track: Track) -> str:
        """Why a jump: what interrupted us, unless ticks came in order since."""
        return track.interrupted if track.interrupted and track.interrupted_at == track.next else CAUSE_PUSH_LOST

    def _find(self, track: Track, seq: int) -> Hole | None:
        """The gap that a sequence lies in; taken out of those that are lost."""
        counter = seq & COUNTER_MASK
        if seq < track.run_seq:
            return next(
                (hole for hole in track.past if hole.first <= counter <= hole.last and _spans(track, hole, seq)), None
            )
        index = bisect_right(track.holes, counter, key=_first) - 1
        if index >= 0 and track.holes[index].last >= counter:
            return track.holes[index] if _spans(track, track.holes[index], seq) else None
        hole = track.lost.take(counter)
        if hole is not None and not _spans(track, hole, seq):
            track.lost.add(hole)
            return None
        if hole is not None:
            track.holes.append(hole)
            track.holes.sort(key=_first)
        return hole

    def _fill(self, day: Day, track: Track, seq: int, ts_ms: int) -> bool:
        """A tick behind the newest: late, or asked for, or seen before; whether it was missing."""
        hole = self._find(track, seq)
        if hole is None:
            return False  # no gap there: the key of the table recognises the duplicate
        counter, among = seq & COUNTER_MASK, track.past if seq < track.run_seq else track.holes
        if hole.first == hole.last:
            among.remove(hole)
            day.dirty[hole.id] = (track.symbol, hole, False)
            return True
        second = min(max(seq >> 32, (hole.from_seq or 0) >> 32), (hole.to_seq or 0) >> 32) << 32
        if counter == hole.first:
            hole.first, hole.from_seq, hole.from_ts_ms = counter + 1, second | counter + 1, ts_ms
        else:
            if counter != hole.last:
                right = replace(hole, id=day.new_gap_id(), first=counter + 1, from_seq=second | counter + 1)
                right.from_ts_ms, right.written = ts_ms, False
                among.insert(among.index(hole) + 1, right)
                day.dirty[right.id] = (track.symbol, right, True)
            hole.last, hole.to_seq, hole.to_ts_ms = counter - 1, second | counter - 1, ts_ms
        day.dirty[hole.id] = (track.symbol, hole, True)
        return True

    # --- the rule ---

    def _is_run(self, track: Track, seq: int) -> bool:
        """Whether a tick follows the one before it that may have begun another run of the counter."""
        return track.candidate > track.last_seq and follows(seq, track.candidate)

    def _begin_run(self, day: Day, track: Track, seq: int, ts_ms: int, *, stored: bool) -> None:
        """The counter began anew, or leapt: its ticks have another order from here on."""
        began = track.candidate
        if began & COUNTER_MASK >= track.next:  # a leap within the run: the gap that it opens has a size
            if track.doubt and track.doubt.cause == CAUSE_SEQUENCE:
                self._take_doubt(day, track)
            self._advance(day, track, began, track.last_ts_ms, stored=True)
            self._advance(day, track, seq, ts_ms, stored=stored)
            return
        track.past += track.holes
        track.past += [hole for hole in track.lost.clear() if not hole.final]
        track.holes, track.run_seq = [], began
        track.skipped.clear()
        track.next, track.last_seq, track.candidate = (began & COUNTER_MASK) + 1, began, 0
        day.rules[track.symbol] = RULE_COUNTER
        self.events.append((track.symbol, CAUSE_SEQUENCE, began))
        self._advance(day, track, seq, ts_ms, stored=stored)

    def _break_rule(self, day: Day, track: Track, answer: Answer, why: str) -> None:
        """OpenD's own answer shows that the counter does not step by one: the sizes that it seemed to tell are void.

        Within the answer nothing is missing. What is missing before it is unknown.
        """
        part = answers.part_of(answer, day.number)
        open_before = [hole for hole in (*track.past, *track.holes) if hole.from_ts_ms < part.oldest_ms]
        lost_before = track.lost.clear()
        for hole in (*track.past, *track.holes, *lost_before):
            day.dirty[hole.id] = (track.symbol, hole, False)
        before = [*open_before, *lost_before]
        track.holes, track.past, track.next = [], [], -1
        for seq, ts_ms in answer.ticks:
            if seq in part.seqs:
                track.remember(seq, ts_ms)
        self._without_rule(day, track, why)
        before += self._take_doubt(day, track)
        unheard, track.unwitnessed = track.unwitnessed, None
        if unheard and not answers.witnesses(track, day, answer, unheard):
            since = (unheard.last_seq + 1, unheard.last_ts_ms, unheard.cause)
        else:
            since = (day.last_seq, track.to_ms, "")
        if before:
            first = min(before, key=_from_ms)
            since = min(since, (first.from_seq or 0, first.from_ts_ms, first.cause))
        if since[2]:
            doubt = self._doubt(day, track, max(since[0], day.start_s << 32), since[1], since[2], known=frozenset())
            if not part.from_before:
                doubt.to_ts_ms = max(doubt.from_ts_ms, part.oldest_ms + MARGIN_MS)
                doubt.to_seq = max(doubt.from_seq or 0, (part.lowest_seq or day.last_seq) | COUNTER_MASK)
        track.proved, track.proved_ms = part.seqs, part.newest_ms

    def _give_up_rule(self, day: Day, track: Track, seq: int, ts_ms: int) -> None:
        """Several ticks in a row do not follow the rule: how many are missing is unknown, also of known gaps."""
        holes = [*track.past, *track.holes, *track.lost.clear()]
        for hole in holes:
            day.dirty[hole.id] = (track.symbol, hole, False)
        holes += self._take_doubt(day, track)
        track.holes, track.past, track.next = [], [], -1
        self._without_rule(day, track, "order")
        if holes:
            first = min(holes, key=_from_ms)
            self._doubt(day, track, None, first.from_ts_ms + MARGIN_MS, first.cause, known=frozenset())
        for strange in track.strange:
            track.remember(strange, track.last_ts_ms or ts_ms)
        self._latest.setdefault(track.symbol, track)
        if ts_ms >= track.last_ts_ms:
            track.last_seq, track.last_ts_ms = seq, ts_ms
            self._latest[track.symbol] = track

    def _take_doubt(self, day: Day, track: Track) -> list[Hole]:
        """Ends a doubt that becomes part of another."""
        doubt, track.doubt = track.doubt, None
        if doubt is None:
            return []
        day.dirty[doubt.id] = (track.symbol, doubt, False)
        return [doubt]

    def _without_rule(self, day: Day, track: Track, why: str) -> None:
        day.rules[track.symbol] = RULE_NONE
        self.events.append((track.symbol, f"rule_{why}", track.last_seq))

    def _doubt_unknown(self, day: Day, track: Track, ts_ms: int) -> None:
        """The first tick of a symbol on a day does not follow the rule: what came before it is unknown."""
        if track.interrupted and not track.last_ts_ms:
            before = self._latest.get(track.symbol)
            known_ms = before.last_ts_ms if before and before.last_ts_ms >= day.start_s * 1000 else day.start_s * 1000
            self._doubt(day, track, None, min(known_ms, ts_ms), track.interrupted)
            track.interrupted = ""

    def _follow(self, day: Day, track: Track, seq: int, ts_ms: int, *, stored: bool) -> None:
        """A tick of a symbol without the rule."""
        if stored:
            track.remember(seq, ts_ms)
        else:
            self._doubt(day, track, None, ts_ms, CAUSE_DROPPED)
        if ts_ms >= track.last_ts_ms:
            track.last_seq, track.last_ts_ms = seq, ts_ms
            self._latest[track.symbol] = track

    def _doubt(
        self,
        day: Day,
        track: Track,
        from_seq: int | None,
        from_ts_ms: int,
        cause: str,
        known: frozenset[int] | None = None,
    ) -> Hole:
        """Ticks may be missing from here on, nobody knows how many: until an answer tells.

        With the rule it has sequences as bounds, from the second of the last known one on: the counter may begin anew
        within it. Without the rule it has only times. It lasts to the end of the day until then.
        """
        day_start_ms, doubt = day.start_s * 1000, track.doubt
        if known is None:
            known = track.recent.until(from_ts_ms) if track.recent else frozenset()
        if from_seq is None:
            from_ts_ms = from_ts_ms - MARGIN_MS if from_ts_ms else day_start_ms
        from_ts_ms = max(from_ts_ms, day_start_ms)
        if from_seq is not None:
            track.known_seq = from_seq - 1 if doubt is None or doubt.final else min(track.known_seq, from_seq - 1)
            from_seq &= ~COUNTER_MASK
        if doubt is None or doubt.final:
            to_seq = None if from_seq is None else max(from_seq, day.last_seq)
            doubt = track.doubt = Hole(
                day.new_gap_id(), 0, 0, from_seq, to_seq, from_ts_ms, track.to_ms - 1, cause, self._now_ms()
            )
            track.known, track.oldest = known, None
        elif from_seq is None or doubt.from_seq is None:
            doubt.from_seq = doubt.to_seq = None
            doubt.from_ts_ms, doubt.to_ts_ms = min(doubt.from_ts_ms, from_ts_ms), track.to_ms - 1
        elif from_seq < doubt.from_seq:
            doubt.from_seq, doubt.from_ts_ms = from_seq, min(from_ts_ms, doubt.from_ts_ms)
        day.dirty[doubt.id] = (track.symbol, doubt, True)
        return doubt


def _from_ms(hole: Hole) -> int:
    return hole.from_ts_ms


def _first(hole: Hole) -> int:
    return hole.first


def _spans(track: Track, hole: Hole, seq: int) -> bool:
    """Whether the second of a sequence can be one of a gap's; a late report carries an older one."""
    spare_s = NEAR_S if seq <= track.last_seq else 0  # a later one than all that were seen may begin the counter anew
    return (seq >> 32) <= ((hole.to_seq or 0) >> 32) + spare_s


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

"""Decides whether a tick is the next of its symbol, fills a gap, was seen before, or breaks the rule. No I/O.

A single tick that does not follow the rule affects nothing else. Several in a row end the rule for the symbol. A
counter that falls and continues from the lower value begins a new run.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import CAUSE_ELSEWHERE

from .gap import OpenGap, first_counter
from .symbol_day import (
    CAUSE_DROPPED,
    CAUSE_PUSH_LOST,
    CAUSE_SEQUENCE,
    COUNTER_MASK,
    MARGIN_MS,
    RULE_COUNTER,
    RUNS_MOST,
    Day,
    SymbolDay,
    continues,
    follows,
    is_restart,
    plausible,
)

if TYPE_CHECKING:
    from .symbol_days import SymbolDays


TOO_MANY: Final = "gaps"  # why the rule of a symbol ended: it has more gaps than memory allows
_ORDER_S: Final = 1  # the second of a tick may be this much lower than that of the tick before it


class Placing:
    """Places ticks one by one and changes their days accordingly."""

    def __init__(self, known: SymbolDays) -> None:
        self._known = known

    def place(self, day: Day, symbol: str, seq: int, ts_ms: int, interrupted: str, *, stored: bool) -> bool:
        """Places a tick that is not simply the next one of its symbol. Returns whether it is certainly new.

        `interrupted` is used for the first tick of a symbol: why ticks before it may be missing, empty if none can be.
        """
        near = plausible(seq, ts_ms)
        home = market.day_number((seq >> 32) * 1000)
        if home != day.number and self._is_of_another_day(symbol, seq, home, stored=stored, near=near):
            return False
        track = day.tracks.get(symbol)
        if track is None:
            track = SymbolDay(symbol, interrupted=interrupted)
            day.keep(track)
        if track.next < 0:
            self._follow(day, track, seq, ts_ms, stored=stored)
            return False
        is_new = self._place_by_rule(day, track, seq, ts_ms, stored=stored, near=near)
        if is_new and track.patterned and self._known.has_too_many(track):
            if stored:
                track.remember(seq, ts_ms)
            self._give_up_rule(day, track, seq, ts_ms, TOO_MANY)
        return is_new

    def _place_by_rule(self, day: Day, track: SymbolDay, seq: int, ts_ms: int, *, stored: bool, near: bool) -> bool:
        counter, in_day = seq & COUNTER_MASK, day.start_s <= seq >> 32 <= day.last_seq >> 32
        in_run = seq >= track.run_seq or not track.run_seq
        if counter >= max(track.next, 1) and (near if track.next == 0 else in_run and _goes_on(track, seq, near=near)):
            self._advance(day, track, seq, ts_ms, stored=stored)
            return True
        if in_day and (not in_run or (counter < track.next and not (near and is_restart(track, seq)))):
            # It was seen before, or it was missing, in this run of the counter or in an earlier one.
            if stored and self._fill(day, track, seq, ts_ms):
                return True
            if near and in_run:
                self._note_fall(day, track, seq)
            return False
        if in_day and stored and self._fill(day, track, seq, ts_ms):
            return True
        if near and self._is_run(track, seq):
            self._begin_run(day, track, seq, ts_ms, stored=stored)
            return True
        if near and track.next > 0:
            track.candidate = seq
            self._known.doubt(day, track, track.last_seq + 1, track.last_ts_ms, CAUSE_SEQUENCE)
            return False
        if track.next == 0:
            self._doubt_unknown(day, track, ts_ms)
        if not stored:
            self._known.doubt(day, track, None if track.next <= 0 else seq, ts_ms, CAUSE_DROPPED)
        if track.note_strange(seq):
            self._give_up_rule(day, track, seq, ts_ms)
        elif track.next == 0 and ts_ms >= track.last_ts_ms:
            track.last_ts_ms = ts_ms
            self._known.latest.setdefault(track.symbol, track)
        return False

    def _is_of_another_day(self, symbol: str, seq: int, home: int, *, stored: bool, near: bool) -> bool:
        """Whether the sequence of a tick belongs to another day, `home`, than its time. It is then placed in `home`.

        Around midnight the two days can differ although time and sequence agree. The tick must then fit in `home`: it
        is one of the next ticks there, or it fills a gap.
        """
        day = self._known.days.get(home)
        track = day.tracks.get(symbol) if day else None
        if day is None or track is None or track.next <= 0 or day.sealed or day.loading:
            return False
        fits_in = _goes_on(track, seq, near=near) or self._find(track, seq) is not None
        if near and not fits_in:
            return False
        if not fits_in and (seq & COUNTER_MASK >= track.next or seq < track.run_seq):
            return False
        if fits_in and stored and self._place_by_rule(day, track, seq, track.last_ts_ms, stored=True, near=near):
            self._known.mark(day, symbol, seq, CAUSE_ELSEWHERE)
        return True

    def _advance(self, day: Day, track: SymbolDay, seq: int, ts_ms: int, *, stored: bool) -> None:
        """A tick with a higher counter than all before it. The counters that it skips are a gap. If the tick is not
        stored, its own counter is part of the gap.
        """
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
        if stored:
            track.note_first(seq)
        before_s = track.last_seq >> 32 if track.last_seq else day.start_s
        if seq > track.last_seq:
            track.last_seq, track.last_ts_ms = seq, ts_ms
        self._known.latest[track.symbol] = track
        # Late reports with counters in this gap, which arrived before the gap opened.
        for strange in list(track.strange) if first < counter else ():
            if first <= strange & COUNTER_MASK < counter and before_s - _ORDER_S <= strange >> 32 <= seq >> 32:
                self._fill(day, track, strange, (strange >> 32) * 1000)

    def _open(self, day: Day, track: SymbolDay, counters: tuple[int, int], seq: int, ts_ms: int, cause: str) -> None:
        """Opens a gap before this tick. If it would directly follow another gap, that gap is extended instead."""
        first, last = counters
        seconds = (track.last_seq >> 32 if track.last_seq else day.start_s, seq >> 32)
        from_seq, to_seq = min(seconds) << 32 | first, max(seconds) << 32 | last
        previous = track.gaps[-1] if track.gaps else None
        if track.lost.last == first - 1 >= 1:
            previous = track.lost.take(first - 1)
            if previous is not None:
                track.gaps.append(previous)
        if previous and previous.last == first - 1:
            previous.last, previous.to_seq, previous.to_ts_ms = last, to_seq, ts_ms
            previous.final, previous.tries, previous.contradicted_s = False, 0, None
            day.dirty[previous.id] = (track.symbol, previous, True)
            return
        # A tick that did not follow the rule has a time, but nothing is known of what came before it.
        from_ms, opened_ms = track.last_ts_ms if track.last_seq else day.start_s * 1000, self._known.now_ms()
        gap = OpenGap(day.new_gap_id(), first, last, from_seq, to_seq, from_ms, ts_ms, cause, opened_ms)
        track.gaps.append(gap)
        day.dirty[gap.id] = (track.symbol, gap, True)

    def _blame(self, track: SymbolDay) -> str:
        """The cause of a jump: the interruption, unless ticks arrived in order since."""
        return track.interrupted if track.interrupted and track.interrupted_at == track.next else CAUSE_PUSH_LOST

    def _find(self, track: SymbolDay, seq: int) -> OpenGap | None:
        """The gap that contains a sequence. A lost gap is moved to the open gaps."""
        counter = seq & COUNTER_MASK
        if seq < track.run_seq:
            return next((gap for gap in track.past if gap.first <= counter <= gap.last and _spans(gap, seq)), None)
        index = bisect_right(track.gaps, counter, key=first_counter) - 1
        if index >= 0 and track.gaps[index].last >= counter:
            return track.gaps[index] if _spans(track.gaps[index], seq) else None
        gap = track.lost.take(counter)
        if gap is not None and not _spans(gap, seq):
            track.lost.add(gap)
            return None
        if gap is not None:
            track.gaps.append(gap)
            track.gaps.sort(key=first_counter)
        return gap

    def _fill(self, day: Day, track: SymbolDay, seq: int, ts_ms: int) -> bool:
        """A tick whose counter is not the highest: late, backfilled or a duplicate. Returns whether it was missing."""
        gap = self._find(track, seq)
        if gap is None:
            return False  # not in a gap: the primary key of `ticks` detects the duplicate
        track.note_first(seq)
        if seq in track.strange:  # for example a late report, which fits into a gap that opened after it arrived
            track.strange.remove(seq)
        counter, among = seq & COUNTER_MASK, track.past if seq < track.run_seq else track.gaps
        if gap.first == gap.last:
            among.remove(gap)
            day.dirty[gap.id] = (track.symbol, gap, False)
            return True
        second = min(max(seq >> 32, (gap.from_seq or 0) >> 32), (gap.to_seq or 0) >> 32) << 32
        if counter == gap.first:
            gap.first, gap.from_seq, gap.from_ts_ms = counter + 1, second | counter + 1, ts_ms
        else:
            if counter != gap.last:
                right = replace(gap, id=day.new_gap_id(), first=counter + 1, from_seq=second | counter + 1)
                right.from_ts_ms, right.written = ts_ms, False
                among.insert(among.index(gap) + 1, right)
                day.dirty[right.id] = (track.symbol, right, True)
            gap.last, gap.to_seq, gap.to_ts_ms = counter - 1, second | counter - 1, ts_ms
        day.dirty[gap.id] = (track.symbol, gap, True)
        return True

    def _note_fall(self, day: Day, track: SymbolDay, seq: int) -> None:
        """Handles a counter lower than those of a gap, in a tick later than the start of the gap.

        Then the counter restarted within the gap, and the first tick of the new run looked like a jump of the old run.
        How many ticks are missing is unknown, so a doubt begins.
        """
        index = bisect_right(track.gaps, seq & COUNTER_MASK, key=first_counter)
        if index == len(track.gaps):
            return
        gap = track.gaps[index]
        if not gap.from_seq or seq >> 32 <= (gap.from_seq >> 32) + _ORDER_S:
            return
        if track.doubt is None or track.doubt.final:
            self._known.events.append((track.symbol, CAUSE_SEQUENCE, seq))
            self._known.doubt(day, track, gap.from_seq, gap.from_ts_ms, CAUSE_SEQUENCE)

    def _is_run(self, track: SymbolDay, seq: int) -> bool:
        """Whether a tick follows `candidate`, the tick before it that may have begun another run of the counter."""
        return track.candidate > track.last_seq and follows(seq, track.candidate)

    def _begin_run(self, day: Day, track: SymbolDay, seq: int, ts_ms: int, *, stored: bool) -> None:
        """Two ticks confirm that the counter restarted, or that it jumped far ahead in the same run."""
        began = track.candidate
        if began & COUNTER_MASK >= track.next:  # a jump within the run: the size of the gap is known
            if track.doubt and track.doubt.cause == CAUSE_SEQUENCE:
                self._known.take_doubt(day, track)
            self._advance(day, track, began, track.last_ts_ms, stored=True)
            self._advance(day, track, seq, ts_ms, stored=stored)
            return
        track.past += track.gaps
        track.past += [gap for gap in track.lost.clear() if not gap.final]
        track.gaps, track.run_seq = [], began
        track.skipped.clear()
        track.runs += 1
        track.next, track.last_seq, track.candidate = (began & COUNTER_MASK) + 1, began, 0
        day.rules[track.symbol] = RULE_COUNTER
        self._known.events.append((track.symbol, CAUSE_SEQUENCE, began))
        self._advance(day, track, seq, ts_ms, stored=stored)
        if track.runs > RUNS_MOST:  # it restarts too often: it is not a counter
            self._give_up_rule(day, track, seq, ts_ms)

    def _give_up_rule(self, day: Day, track: SymbolDay, seq: int, ts_ms: int, why: str = "order") -> None:
        """Ends the rule of a symbol. How many ticks are missing is then unknown, also in the gaps found so far."""
        # Ticks from before the end of the rule may be missing too, so an answer must reach back to a tick known before.
        gaps, unconfirmed = self._known.end_rule(day, track, why)
        since = [(gap.from_ts_ms + MARGIN_MS, gap.cause) for gap in gaps]
        if unconfirmed is not None:
            since.append((unconfirmed.last_ts_ms, unconfirmed.cause))
        if since:
            from_ts_ms, cause = min(since)
            self._known.doubt(day, track, None, from_ts_ms, cause, known=set())
            track.known_seq = unconfirmed.last_seq if unconfirmed and not gaps else 0
        for strange in track.strange:
            track.remember(strange, track.last_ts_ms or ts_ms)
        self._known.latest.setdefault(track.symbol, track)
        if ts_ms >= track.last_ts_ms:
            track.last_seq, track.last_ts_ms = seq, ts_ms
            self._known.latest[track.symbol] = track

    def _doubt_unknown(self, day: Day, track: SymbolDay, ts_ms: int) -> None:
        """The first tick of a symbol on a day does not follow the rule: ticks before it may be missing."""
        if track.interrupted and not track.last_ts_ms:
            before = self._known.latest.get(track.symbol)
            known_ms = before.last_ts_ms if before and before.last_ts_ms >= day.start_s * 1000 else day.start_s * 1000
            self._known.doubt(day, track, None, min(known_ms, ts_ms), track.interrupted)
            track.interrupted = ""

    def _follow(self, day: Day, track: SymbolDay, seq: int, ts_ms: int, *, stored: bool) -> None:
        """A tick of a symbol without the rule."""
        if stored:
            track.remember(seq, ts_ms)
        else:
            self._known.doubt(day, track, None, ts_ms, CAUSE_DROPPED)
        if ts_ms >= track.last_ts_ms:
            track.last_seq, track.last_ts_ms = seq, ts_ms
            self._known.latest[track.symbol] = track


def _goes_on(track: SymbolDay, seq: int, *, near: bool) -> bool:
    """Whether a tick continues the run of its symbol, directly or after a jump.

    If the tick's time does not match its sequence, as with a late report, a jump must be confirmed by another tick that
    it follows. Otherwise one wrong sequence would open a gap.
    """
    if not continues(track, seq, near=near):
        return False
    if near or seq & COUNTER_MASK == track.next:
        return True
    return track.strange_at == track.next and any(follows(seq, strange) for strange in track.strange[-track.in_a_row :])


def _spans(gap: OpenGap, seq: int) -> bool:
    """Whether a sequence can belong to a gap by its second, which must not be later than the tick after the gap.

    A later second with such a counter may come from a new run that is not known yet. An earlier second is allowed,
    because a late report has one.
    """
    return seq >> 32 <= ((gap.to_seq or 0) >> 32) + _ORDER_S

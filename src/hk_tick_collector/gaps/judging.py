"""Acts on an answer of OpenD's: finds gaps that are lost, closes contradicted gaps, ends doubts and rules.

`answer` evaluates the answer. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import answer as answers
from .symbol_day import (
    CAUSE_DROPPED,
    CAUSE_PUSH_LOST,
    CAUSE_SKIPPED,
    CONTRADICTED,
    COUNTER_MASK,
    MARGIN_MS,
    OURS,
    Day,
    SymbolDay,
)

if TYPE_CHECKING:
    from .answer import Answer, Part, Reach
    from .gap import OpenGap
    from .symbol_days import SymbolDays

_AGAIN_S: Final = 10.0  # a gap is closed if a second answer contradicts it, at least this long after the first
# Contradicted gaps until the rule ends. A counter that skips numbers may also do so during an outage, and then skipped
# numbers look like missing ticks.
_EXCEPTIONS: Final = 1


class Judging:
    """Evaluates answers whose ticks have been placed."""

    def __init__(self, known: SymbolDays) -> None:
        self._known = known

    def answered(self, symbol: str, answer: Answer) -> list[OpenGap]:
        """Evaluates OpenD's answer for a symbol. Returns the gaps found to be lost."""
        lost: list[OpenGap] = []
        for day in list(self._known.days.values()):
            track = day.tracks.get(symbol)
            if track is None or day.loading:
                continue
            part = answers.part_of(answer, day.number)
            reached = answers.reach(day, track, answer, part) if track.patterned and answer.is_fresh else None
            why = self._why_no_rule(day, track, answer, reached)
            if why:
                self._break_rule(day, track, answer, why)
            elif reached:
                lost += self._judge_gaps(day, track, answer, reached)
                lost += self._judge_start(day, track, answer, part)
            elif answer.full and part.from_after and not part.seqs:
                lost += self._lose_all(track)  # OpenD's window starts on a later day
            if reached and track.patterned:
                self._judge_unconfirmed(day, track, answer, part)
            lost += self._judge_past(day, track, answer, part)
            lost += self._judge_doubt(day, track, answer, part, reached)
            if track.next < 0 and not self._known.is_interrupted:
                lost += self._judge_overlap(day, track, answer, part)
            self._count_tries(track, answer, part)
        now_ms = self._known.now_ms()
        for gap in lost:
            gap.lost_ms = gap.lost_ms or now_ms
        self._known.losses.add(lost, now_ms)
        return lost

    def _why_no_rule(self, day: Day, track: SymbolDay, answer: Answer, reached: Reach | None) -> str:
        """Why an answer ends the rule of a symbol, empty if it does not."""
        if self._known.is_interrupted or not track.patterned or not answer.is_fresh:
            return ""
        if reached and answers.steps(reached, track.gaps):
            return "steps"
        return "restarts" if answers.shows_restart(day, track, answer) else ""

    def _count_tries(self, track: SymbolDay, answer: Answer, part: Part) -> None:
        """Counts, for each remaining gap, the answers that should have contained its ticks."""
        lowest = part.lowest_seq
        for gap in (*track.gaps, *track.past, *([track.doubt] if track.doubt else [])):
            reaches = lowest is not None and gap.from_seq is not None and lowest <= gap.from_seq
            if answer.full or answer.complete or reaches:
                gap.tries, gap.tried_s = gap.tries + 1, answer.now_s

    def _judge_gaps(self, day: Day, track: SymbolDay, answer: Answer, reached: Reach) -> list[OpenGap]:
        """Applies an honest answer to the gaps of a symbol that follows the rule. Returns the lost ones."""
        lost: list[OpenGap] = []
        for gap in list(track.gaps):
            if gap.final:
                continue
            if answer.full and gap.last < reached.low:
                lost.append(gap)
            elif reached.contradicts(gap) and not self._known.is_interrupted:
                if gap.contradicted_s is None:
                    gap.contradicted_s = answer.now_s
                elif answer.now_s - gap.contradicted_s < _AGAIN_S and not reached.is_last_word(gap, answer):
                    pass
                elif gap.cause in OURS:
                    self._contradict(day, track, gap)
                else:
                    gap.final = True  # OpenD itself missed these ticks, because its own connection was down
                    lost.append(gap)
                    gap.lost_ms = self._known.now_ms()
        for gap in lost:
            if gap.last < reached.low:
                self._put_lost(track, gap)
        if track.contradicted >= _EXCEPTIONS:
            self._break_rule(day, track, answer, "jumps")
            return []
        return lost

    def _judge_start(self, day: Day, track: SymbolDay, answer: Answer, part: Part) -> list[OpenGap]:
        """Handles the gap before the first tick of the day when several answers show that OpenD has no earlier tick.

        OpenD may have started after the first tick, or the counter may not start at 1. How many ticks are missing is
        unknown, so the gap is replaced by a lost doubt.
        """
        first = track.gaps[0] if track.gaps and track.gaps[0].first == 1 and not track.run_seq else None
        if first is None or track.doubt or part.from_before or self._known.is_interrupted:
            return []
        if not answers.is_whole_day(track, part, answer):
            return []
        cause, first.cause = first.cause, CAUSE_SKIPPED
        track.gaps.remove(first)
        track.skipped.add(first)
        day.dirty[first.id] = (track.symbol, first, False)
        doubt = self._known.doubt(day, track, day.start_s << 32, first.from_ts_ms, cause)
        doubt.final, doubt.to_seq, doubt.to_ts_ms = True, first.to_seq, first.to_ts_ms
        return [doubt]

    def _judge_unconfirmed(self, day: Day, track: SymbolDay, answer: Answer, part: Part) -> None:
        """After an interruption: opens a doubt if no answer reaches a tick known before it, and no gap starts there.

        The counter alone does not show what is missing, because it may have restarted during the interruption.
        """
        before = track.unconfirmed
        if before is None or self._known.is_interrupted:
            return
        if answers.reaches_back(track, day, answer, before) or part.from_before:
            track.unconfirmed = None
            return
        track.unconfirmed = before._replace(answers=before.answers + 1, answered_s=answer.now_s)
        told = answers.in_a_gap(track, before.next)
        if answer.full:
            track.unconfirmed = None
        if told or not (answer.full or before.answers):
            return
        if track.doubt is None or track.doubt.final:
            self._known.doubt(day, track, before.last_seq + 1, before.last_ts_ms, before.cause)

    def _contradict(self, day: Day, track: SymbolDay, gap: OpenGap) -> None:
        """Closes a gap that two answers contradict: the counter skipped these numbers, and no tick is missing."""
        track.gaps.remove(gap)
        track.contradicted += 1
        gap.cause = CAUSE_SKIPPED
        track.skipped.add(gap)
        day.dirty[gap.id] = (track.symbol, gap, False)
        self._known.events.append((track.symbol, CONTRADICTED, gap.from_seq or 0))

    def _put_lost(self, track: SymbolDay, gap: OpenGap) -> None:
        track.gaps.remove(gap)
        gap.final, gap.lost_ms = True, gap.lost_ms or self._known.now_ms()
        track.lost.add(gap)

    def _lose_all(self, track: SymbolDay) -> list[OpenGap]:
        lost = [gap for gap in track.gaps if not gap.final]
        for gap in lost:
            self._put_lost(track, gap)
        return lost

    def _judge_past(self, day: Day, track: SymbolDay, answer: Answer, part: Part) -> list[OpenGap]:
        """Applies an answer to the gaps of earlier runs of the counter. Returns the lost ones."""
        lost: list[OpenGap] = []
        lowest = part.lowest_seq
        for gap in list(track.past):
            if gap.final or not answer.is_fresh or (lowest is None and not part.from_after):
                continue
            if answer.full and not part.from_before and (lowest is None or (gap.to_seq or 0) < lowest):
                gap.final = True
                lost.append(gap)
            elif lowest is not None and lowest < (gap.from_seq or 0) and not self._known.is_interrupted:
                if gap.contradicted_s is None:
                    gap.contradicted_s = answer.now_s
                elif answer.now_s - gap.contradicted_s >= _AGAIN_S:
                    track.past.remove(gap)
                    day.dirty[gap.id] = (track.symbol, gap, False)
        return lost

    def _judge_doubt(
        self, day: Day, track: SymbolDay, answer: Answer, part: Part, reached: Reach | None
    ) -> list[OpenGap]:
        """Ends the doubt if an honest answer reaches back to a known tick, or has the whole day. If the answer does
        neither and is full, the doubt is lost and returned.
        """
        doubt = track.doubt
        if doubt is None or doubt.final or self._known.is_interrupted or not answer.is_fresh:
            return []
        if track.candidate and all(seq < track.candidate for seq in part.seqs):
            return []  # it does not reach the tick that may have begun a new run of the counter
        honest = answers.has_all_recent(track, part, answer) if track.next <= 0 else reached is not None
        if not honest and part.seqs:
            return []
        if self._ends(day, track, doubt, answer, part):
            self._known.end_doubt(day, track, part)
            return []
        if answer.full and (part.seqs or part.from_after):
            doubt.final = True
            end_ms = part.oldest_ms if part.seqs else doubt.to_ts_ms
            doubt.to_ts_ms = min(doubt.to_ts_ms, max(doubt.from_ts_ms, end_ms + MARGIN_MS))
            if doubt.from_seq is not None and part.lowest_seq is not None:
                # If the counter restarted within a second, a missing tick may have a higher counter than a stored one.
                doubt.to_seq = max(doubt.from_seq, part.lowest_seq | COUNTER_MASK)
            day.dirty[doubt.id] = (track.symbol, doubt, True)
            track.proved, track.proved_ms = part.seqs, part.newest_ms
            return [doubt]
        return []

    def _ends(self, day: Day, track: SymbolDay, doubt: OpenGap, answer: Answer, part: Part) -> bool:
        """Whether an honest answer ends a doubt."""
        if part.from_before:
            return True  # the answer has ticks from before this day, and so this day from its start
        if part.seqs and answers.knows(day, track, doubt, part):
            return True
        from_the_start = doubt.from_ts_ms <= day.start_s * 1000 and day.number == max(self._known.days)
        if from_the_start and not track.patterned and answers.is_whole_day(track, part, answer):
            return True
        if from_the_start and doubt.from_seq is None and track.patterned and not track.run_seq:
            # Only the first ticks did not follow the rule: the counter shows what is missing of the day.
            return doubt.cause != CAUSE_DROPPED
        sized = doubt.from_seq is not None and doubt.from_seq > track.run_seq and track.patterned
        # Or a gap of known size starts where the doubt starts.
        return bool(answer.full and sized and answers.in_a_gap(track, (track.known_seq & COUNTER_MASK) + 1))

    def _judge_overlap(self, day: Day, track: SymbolDay, answer: Answer, part: Part) -> list[OpenGap]:
        """For a symbol without the rule: opens a doubt if an answer does not overlap the one before it."""
        doubt = track.doubt
        if not answer.is_fresh or not part.seqs or (doubt and not doubt.final and doubt.to_ts_ms >= track.to_ms - 1):
            return []
        if not answers.has_all_recent(track, part, answer):
            return []
        if track.proved and not part.from_before and not part.seqs & track.proved:
            gap_ms = part.oldest_ms + MARGIN_MS
            lost = self._known.doubt(day, track, None, track.proved_ms, CAUSE_PUSH_LOST)
            if not answer.full:
                return []  # the next answers may reach further back
            lost.final, lost.to_ts_ms = True, max(lost.from_ts_ms, gap_ms)
            track.proved, track.proved_ms = part.seqs, part.newest_ms
            return [lost]
        if answer.full or not track.proved or part.seqs & track.proved:
            track.proved, track.proved_ms = part.seqs, part.newest_ms
        return []

    def _break_rule(self, day: Day, track: SymbolDay, answer: Answer, why: str) -> None:
        """Ends the rule, because an answer shows that the counter does not increase by one. All gaps are closed.

        No tick is missing within the answer. How many are missing before it is unknown, so a doubt may be opened.
        """
        part = answers.part_of(answer, day.number)
        within = {gap.id for gap in (*track.past, *track.gaps) if gap.from_ts_ms >= part.oldest_ms}
        gaps, unconfirmed = self._known.end_rule(day, track, why)
        before = [gap for gap in gaps if gap.id not in within]
        for seq, ts_ms in answer.ticks:
            if seq in part.seqs:
                track.remember(seq, ts_ms)
        if unconfirmed and not answers.reaches_back(track, day, answer, unconfirmed):
            since = (unconfirmed.last_seq + 1, unconfirmed.last_ts_ms, unconfirmed.cause)
        else:
            since = (day.last_seq, track.to_ms, "")
        if before:
            first = min(before, key=_from_ms)
            since = min(since, (first.from_seq or 0, first.from_ts_ms, first.cause))
        if since[2]:
            doubt = self._known.doubt(day, track, max(since[0], day.start_s << 32), since[1], since[2], known=set())
            if not part.from_before:
                doubt.to_ts_ms = max(doubt.from_ts_ms, part.oldest_ms + MARGIN_MS)
                doubt.to_seq = max(doubt.from_seq or 0, (part.lowest_seq or day.last_seq) | COUNTER_MASK)
        track.proved, track.proved_ms = part.seqs, part.newest_ms


def _from_ms(gap: OpenGap) -> int:
    return gap.from_ts_ms

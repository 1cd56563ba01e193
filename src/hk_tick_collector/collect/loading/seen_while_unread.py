"""What was seen of a day while its file could not be read, to be joined with the content of the file.

The gaps of the file keep their id, cause and status. The gaps found since the start, whose ids began at 1, get new ids,
and only the ticks that are neither in the file nor in memory stay missing.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.gaps.gap import OpenGap, first_counter
from hk_tick_collector.gaps.symbol_day import (
    CAUSE_BEFORE_START,
    CAUSE_RESTART,
    COUNTER_MASK,
    RULE_COUNTER,
    RULE_NONE,
    Day,
    SymbolDay,
)
from hk_tick_collector.model import CAUSE_ELSEWHERE, CAUSE_REJECTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hk_tick_collector.model import TickRow


class Seen:
    """What was seen of a day since the start and is not in its file."""

    def __init__(self, old: Day, held: Iterable[TickRow], now_ms: int) -> None:
        self._old = deepcopy(old)  # reading the file may still fail
        self._now_ms = now_ms
        self._seqs: dict[str, list[int]] = {}
        self._marks: dict[str, list[OpenGap]] = {}
        self._joined: set[str] = set()
        self._blind: dict[str, list[OpenGap]] = {}  # gaps before the first tick, opened without knowledge of the file
        for symbol, seq, ts_ms, *_ in held:
            if market.day_number(ts_ms) == old.number:
                self._seqs.setdefault(symbol, []).append(seq)
        for symbol, gap, is_open in self._old.dirty.values():
            if not is_open and gap.cause in (CAUSE_REJECTED, CAUSE_ELSEWHERE):
                self._marks.setdefault(symbol, []).append(gap)

    def join(self, day: Day, track: SymbolDay, marks: set[int]) -> bool:
        """Adds the state of a symbol from memory to its track from the file. Returns whether the ticks and gaps must be
        counted again.

        `marks` are the sequences of ticks that were received but are not in the file; those of this run are added.
        """
        before = self._old.tracks.get(track.symbol)
        if before is None:
            return track.symbol in self._seqs
        self._joined.add(track.symbol)
        self._add_marks(day, track, marks)
        if before.next < 0 or track.next < 0:
            self._without_rule(day, track, before)
            return False
        for gap in before.skipped.clear():
            if gap.first == 1:
                self._blind.setdefault(track.symbol, []).append(replace(gap, cause=CAUSE_BEFORE_START))
                before.doubt = None if before.doubt is not None and before.doubt.final else before.doubt
                continue
            known = (*track.gaps, *track.past)
            if not track.lost.holds(gap.first) and not any(other.first <= gap.first <= other.last for other in known):
                gap.id = day.new_gap_id()
                track.skipped.add(gap)
                day.dirty[gap.id] = (track.symbol, gap, False)
        for gap in before.past:
            track.past.append(_renumbered(day, track, gap))
        if before.doubt is not None and track.doubt is None:
            track.doubt, track.known_seq = _renumbered(day, track, before.doubt), before.known_seq
        elif before.doubt is not None and track.doubt is not None:
            _widen(track.doubt, before.doubt)
            track.known_seq = min(track.known_seq, before.known_seq)
            day.dirty[track.doubt.id] = (track.symbol, track.doubt, True)
        track.interrupted, track.unconfirmed = before.interrupted, before.unconfirmed
        track.candidate, track.strange, track.in_a_row = before.candidate, before.strange, before.in_a_row
        if before.next > 0:
            day.rules[track.symbol] = RULE_COUNTER
            self.go_on(track)
        return True

    def go_on(self, track: SymbolDay) -> None:
        """Advances a track to the newest tick seen since: it may have been dropped, and then is not in the file."""
        before = self._old.tracks.get(track.symbol)
        if before is not None and before.next > 0 and before.last_seq >= track.run_seq:
            track.go_to(before.next - 1, before.last_seq, before.last_ts_ms)

    def seqs(self, symbol: str) -> list[int]:
        """The sequences of the uncommitted rows of a symbol."""
        return self._seqs.get(symbol, [])

    def gaps(self, symbol: str) -> list[OpenGap]:
        """The gaps of a symbol found since the start, by counter, including the gap before the first tick."""
        before = self._old.tracks.get(symbol)
        blind = self._blind.get(symbol, [])
        return [] if before is None else sorted((*blind, *before.gaps, *before.lost), key=first_counter)

    def keep_others(self, day: Day) -> None:
        """Adds the symbols that the file does not have, with new ids for their gaps."""
        for symbol, track in self._old.tracks.items():
            if symbol in day.tracks or symbol in self._joined:
                continue
            day.keep(track)
            self._add_marks(day, track, set())
            for gap in chain(track.gaps, track.past, [track.doubt] if track.doubt else []):
                _renumbered(day, track, gap)
            for kept, is_open in ((track.lost, True), (track.skipped, False)):
                for gap in kept.clear():
                    gap.id = day.new_gap_id()
                    kept.add(gap)
                    day.dirty[gap.id] = (symbol, gap, is_open)
            if track.next:
                day.rules[symbol] = RULE_COUNTER if track.next > 0 else RULE_NONE

    def _add_marks(self, day: Day, track: SymbolDay, marks: set[int]) -> None:
        for gap in self._marks.get(track.symbol, ()):
            seq = gap.from_seq or 0
            if seq not in marks:
                marks.add(seq)
                track.marks.add(seq & COUNTER_MASK)
                gap.id = day.new_gap_id()
                day.dirty[gap.id] = (track.symbol, gap, False)

    def _without_rule(self, day: Day, track: SymbolDay, before: SymbolDay) -> None:
        """The rule does not hold: all gaps become one doubt, which starts with the earliest of them."""
        known = [*track.past, *track.gaps, *track.lost.clear(), *([track.doubt] if track.doubt else [])]
        for gap in known:
            day.dirty[gap.id] = (track.symbol, gap, False)
        track.gaps, track.past, track.doubt, track.next = [], [], None, -1
        day.rules[track.symbol] = RULE_NONE
        track.recent = before.recent or track.recent
        known += [*before.past, *before.gaps, *before.lost, *([before.doubt] if before.doubt else [])]
        if known:
            from_ms = min(gap.from_ts_ms for gap in known)
            track.doubt = OpenGap(
                day.new_gap_id(), 0, 0, None, None, from_ms, track.to_ms - 1, CAUSE_RESTART, self._now_ms
            )
            day.dirty[track.doubt.id] = (track.symbol, track.doubt, True)


def _renumbered(day: Day, track: SymbolDay, gap: OpenGap) -> OpenGap:
    gap.id, gap.written = day.new_gap_id(), False
    day.dirty[gap.id] = (track.symbol, gap, True)
    return gap


def _widen(doubt: OpenGap, other: OpenGap) -> None:
    doubt.from_ts_ms, doubt.to_ts_ms = min(doubt.from_ts_ms, other.from_ts_ms), max(doubt.to_ts_ms, other.to_ts_ms)
    if doubt.from_seq is None or other.from_seq is None:
        doubt.from_seq = doubt.to_seq = None
    else:
        doubt.from_seq = min(doubt.from_seq, other.from_seq)
        doubt.to_seq = max(doubt.to_seq or 0, other.to_seq or 0)

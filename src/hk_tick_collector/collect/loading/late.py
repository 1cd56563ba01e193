"""A day whose file could not be read at first, and can be now: what it knows is joined with what was seen since.

The file's gaps keep their number, cause and status. What was noted since the start, when numbers began at 1, gets new
numbers; of its gaps only what neither the file nor memory holds is left.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError, PredecessorFileError
from hk_tick_collector.gaps.gap import OpenGap, first_counter
from hk_tick_collector.gaps.symbol_day import (
    CAUSE_BEFORE_START,
    CAUSE_ELSEWHERE,
    CAUSE_REJECTED,
    CAUSE_RESTART,
    COUNTER_MASK,
    RULE_COUNTER,
    RULE_NONE,
    Day,
    SymbolDay,
)
from hk_tick_collector.store.query import DayReader, path_of

from .load import go_to, is_over, load

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hk_tick_collector.model import TickRow


def load_late(data_root: Path, old: Day, held: Iterable[TickRow], now_ms: int) -> Day:
    """The day as its file tells, with what was seen while the file could not be read (`old`).

    `held` are the rows that are not committed. Raises what DayReader raises; `old` is then as it was. Any thread may
    call it, while nobody else uses `old`.
    """
    try:
        with DayReader(path_of(data_root, market.day_name(old.number))) as reader, reader.snapshot():
            if is_over(old.number, reader):
                return Day(old.number, sealed=True)
            return load(old.number, reader, Seen(old, held, now_ms))
    except (NoDayError, PredecessorFileError):  # then a fresh file is made
        day = Day(old.number)
        Seen(old, held, now_ms).keep_others(day)
        return day


class Seen:
    """What was seen of a day since the start, and is not in its file."""

    def __init__(self, old: Day, held: Iterable[TickRow], now_ms: int) -> None:
        self._old = deepcopy(old)  # reading the file may still fail
        self._now_ms = now_ms
        self._seqs: dict[str, list[int]] = {}
        self._marks: dict[str, list[OpenGap]] = {}
        self._joined: set[str] = set()
        self._blind: dict[str, list[OpenGap]] = {}  # "the day begins here", said of a day of which nothing was known
        for symbol, seq, ts_ms, *_ in held:
            if market.day_number(ts_ms) == old.number:
                self._seqs.setdefault(symbol, []).append(seq)
        for symbol, gap, is_open in self._old.dirty.values():
            if not is_open and gap.cause in (CAUSE_REJECTED, CAUSE_ELSEWHERE):
                self._marks.setdefault(symbol, []).append(gap)

    def join(self, day: Day, track: SymbolDay, marks: set[int]) -> bool:
        """Adds to a symbol as its file has it what is not a matter of ticks and gaps; whether those must be counted.

        `marks` are the sequences of ticks that came and are not in the file; those of this run are added.
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
        track.interrupted, track.unwitnessed = before.interrupted, before.unwitnessed
        track.candidate, track.strange, track.in_a_row = before.candidate, before.strange, before.in_a_row
        if before.next > 0:
            day.rules[track.symbol] = RULE_COUNTER
            self.go_on(track)
        return True

    def go_on(self, track: SymbolDay) -> None:
        """A tick that came since may be newer than every stored one, and have found no place."""
        before = self._old.tracks.get(track.symbol)
        if before is not None and before.next > 0 and before.last_seq >= track.run_seq:
            go_to(track, before.next - 1, before.last_seq, before.last_ts_ms)

    def seqs(self, symbol: str) -> list[int]:
        """The sequences of the rows of a symbol that are not committed."""
        return self._seqs.get(symbol, [])

    def gaps(self, symbol: str) -> list[OpenGap]:
        """What was missing of a symbol by what was seen since, by counter. What came before the first tick was missed
        by this start, where the file has ticks from before."""
        before = self._old.tracks.get(symbol)
        blind = self._blind.get(symbol, [])
        return [] if before is None else sorted((*blind, *before.gaps, *before.lost), key=first_counter)

    def keep_others(self, day: Day) -> None:
        """Takes over the symbols of which the file knows nothing, with new numbers for their gaps."""
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
        """The rule does not hold: how much is missing since the first thing that was is unknown."""
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

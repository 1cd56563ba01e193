"""What a day's file really holds, tick by tick: for when its counters cannot be believed.

That is so when a damaged file was set aside for a fresh one, when the spool lost rows, and when a file has fewer rows
than its counters explain: a WAL that somebody removed. Reads every sequence of the symbols in question.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError
from hk_tick_collector.gaps.gap import OpenGap
from hk_tick_collector.gaps.lost_gaps import LostGaps
from hk_tick_collector.gaps.symbol_day import (
    CAUSE_DAMAGED,
    CAUSE_ELSEWHERE,
    CAUSE_REJECTED,
    COUNTER_MASK,
    RULE_COUNTER,
    RULE_NONE,
    Day,
    Recent,
    SymbolDay,
)
from hk_tick_collector.model import seq_of, symbol_of, ts_ms_of
from hk_tick_collector.store.query import DayReader, path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

_LOWEST_SEQ: Final = -(2**63)
_VANISHED_MOST: Final = 2_000  # stretches of one symbol that are told one by one
_LEAP: Final = 1_000  # a highest counter that is so far above the next one was never confirmed by another tick


def rebuild_day(data_root: Path, old: Day, held: Iterable[TickRow], now_ms: int) -> Day:
    """The day as its file and the rows in memory make it; every other tick that was ever seen is a gap.

    `held` are the rows that are not committed. A symbol that adds up stays as it is. Raises what DayReader raises. Any
    thread may call it, while nobody else uses `old`.
    """
    seqs: dict[str, dict[int, int]] = {}
    for row in held:
        if market.day_number(ts_ms_of(row)) == old.number:
            seqs.setdefault(symbol_of(row), {})[seq_of(row)] = ts_ms_of(row)
    with suppress(NoDayError):  # then nothing of it is stored, and the next commit makes the file
        _add_stored(path_of(data_root, market.day_name(old.number)), seqs)
    day = Day(old.number, next_gap_id=old.next_gap_id)
    for symbol in seqs.keys() | old.tracks.keys():
        before, known = old.tracks.get(symbol) or SymbolDay(symbol), seqs.get(symbol, {})
        if before.patterned and before.run_seq == 0 and len(known) + before.unstored() == before.next - 1:
            day.tracks[symbol] = before
            day.dirty.update(
                {open_gap.id: (symbol, open_gap, True) for open_gap in before.gaps}
            )  # a fresh file has none of them
            day.dirty.update({open_gap.id: (symbol, open_gap, True) for open_gap in before.lost})
        else:
            day.tracks[symbol] = _rebuild_track(day, before, known, now_ms)
            _close(day, before)
        if before.next:
            day.rules[symbol] = RULE_COUNTER if before.patterned else RULE_NONE
    return day


def _close(day: Day, before: SymbolDay) -> None:
    """What was known to be open is told anew, with other bounds."""
    for open_gap in (*before.gaps, *before.past, *before.lost, *([before.doubt] if before.doubt else [])):
        if open_gap.written and open_gap.id not in day.dirty:
            day.dirty[open_gap.id] = (before.symbol, open_gap, False)


def _add_stored(path: Path, seqs: dict[str, dict[int, int]]) -> None:
    """Adds the sequences that a day's file has or has refused for good, with their times where they matter."""
    with DayReader(path) as reader, reader.snapshot():
        for count in reader.symbols():
            seqs.setdefault(count.symbol, {}).update((seq, 0) for seq in reader.seqs(count.symbol, _LOWEST_SEQ))
        for gap in reader.open_gaps_and_marks((CAUSE_REJECTED, CAUSE_ELSEWHERE)):
            if gap.cause in (CAUSE_REJECTED, CAUSE_ELSEWHERE) and gap.from_seq is not None:
                seqs.setdefault(gap.symbol, {})[gap.from_seq] = 0


def _rebuild_track(day: Day, before: SymbolDay, known: dict[int, int], now_ms: int) -> SymbolDay:
    """One symbol from its stored sequences, up to the newest tick that was ever seen."""
    track = replace(before, gaps=[], past=[], lost=LostGaps(), doubt=None, known=set(), proved=frozenset())
    if before.next <= 0 or before.run_seq:
        # How much was lost is not known: all of the day may be, up to now or to the beginning of this run.
        start_ms = day.start_s * 1000
        end_ms = (before.run_seq >> 32) * 1000 if before.run_seq else before.to_ms - 1
        track.doubt = OpenGap(day.new_gap_id(), 0, 0, None, None, start_ms, end_ms, CAUSE_DAMAGED, now_ms)
        day.dirty[track.doubt.id] = (track.symbol, track.doubt, True)
    if before.next <= 0:
        track.recent = Recent()
        for seq, ts_ms in known.items():
            track.recent.add(seq, ts_ms)
        return track
    seqs = [seq for seq in known if seq >= max(before.run_seq, day.start_s << 32) and seq <= day.last_seq]
    counters = counters_of(track, seqs)
    if counters and counters[-1] >= track.next:
        track.next = counters[-1] + 1
        track.last_seq = max(track.last_seq, *seqs)
        track.last_ts_ms = (track.last_seq >> 32) * 1000
    add_vanished(day, track, counters, seqs, now_ms)
    return track


def counters_of(track: SymbolDay, seqs: Iterable[int]) -> list[int]:
    """The counters of these sequences in order, but for highest ones that leap and that nothing confirms."""
    counters = sorted({seq & COUNTER_MASK for seq in seqs})
    while len(counters) > 1 and counters[-1] - max(counters[-2], track.next) > _LEAP:
        counters.pop()
    return counters


def add_vanished(
    day: Day, track: SymbolDay, counters: Sequence[int], seqs: Iterable[int], now_ms: int, cause: str = CAUSE_DAMAGED
) -> bool:
    """Adds a gap for each stretch of counters that is neither among these nor in a gap; whether there is one.

    Very many are one gap of unknown size instead.
    """
    seconds = {seq & COUNTER_MASK: seq >> 32 for seq in seqs}
    first = track.run_seq & COUNTER_MASK if track.run_seq else 1
    # What is accounted for, as first and last counter and their seconds, and the end of it all.
    accounted = [(counter, counter, seconds[counter], seconds[counter]) for counter in counters if counter >= first]
    accounted += [
        (open_gap.first, open_gap.last, (open_gap.from_seq or 0) >> 32, (open_gap.to_seq or 0) >> 32)
        for open_gap in (*track.gaps, *track.lost, *track.skipped)
    ]
    end_s = max(track.last_seq >> 32, day.start_s)
    accounted.append((track.next, track.next, end_s, end_s))
    expected, before_s = first, (track.run_seq >> 32) or day.start_s
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for low, high, low_s, high_s in sorted(accounted):
        if low >= track.next:
            low, low_s = track.next, end_s  # noqa: PLW2901 - an unconfirmed counter above all: the day ends before it
        if low > expected:
            found.append(((expected, low - 1), (before_s, low_s)))
        if high >= expected:
            expected, before_s = high + 1, high_s
    if len(found) > _VANISHED_MOST:
        _, (from_s, _) = found[0]
        end_s = max(found[-1][1])
        track.doubt = OpenGap(
            day.new_gap_id(), 0, 0, from_s << 32, end_s << 32 | COUNTER_MASK, from_s * 1000, end_s * 1000, cause, now_ms
        )
        track.doubt.final = True
        day.dirty[track.doubt.id] = (track.symbol, track.doubt, True)
        for between, of_seconds in found:
            track.skipped.add(_hole(0, between, of_seconds, cause, now_ms))
        return True
    for between, of_seconds in found:
        open_gap = _hole(day.new_gap_id(), between, of_seconds, cause, now_ms)
        track.gaps.append(open_gap)
        day.dirty[open_gap.id] = (track.symbol, open_gap, True)
    track.gaps.sort(key=lambda open_gap: open_gap.first)
    return bool(found)


def _hole(id_: int, counters: tuple[int, int], seconds: tuple[int, int], cause: str, now_ms: int) -> OpenGap:
    first, last = counters
    low_s, high_s = min(seconds), max(seconds)
    return OpenGap(
        id_, first, last, low_s << 32 | first, high_s << 32 | last, low_s * 1000, high_s * 1000, cause, now_ms
    )

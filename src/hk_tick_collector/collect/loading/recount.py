"""Recounts a day from the ticks in its file, when the counters of the file or in memory may be wrong.

That is the case when a damaged file was replaced by a new one, when the spool lost rows, and when a file has fewer rows
than its counters say because its WAL was removed. It reads every sequence of the symbols concerned.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError
from hk_tick_collector.gaps.gap import OpenGap, first_counter
from hk_tick_collector.gaps.lost_gaps import LostGaps
from hk_tick_collector.gaps.symbol_day import (
    CAUSE_BEFORE_START,
    CAUSE_DAMAGED,
    CAUSE_RESTART,
    COUNTER_MASK,
    COUNTER_MAX,
    RULE_COUNTER,
    RULE_NONE,
    Day,
    Recent,
    SymbolDay,
)
from hk_tick_collector.model import CAUSE_ELSEWHERE, CAUSE_REJECTED, GAP_OPEN, seq_of, symbol_of, ts_ms_of
from hk_tick_collector.store.query import DayReader, path_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import Gap, TickRow

_LOWEST_SEQ: Final = -(2**63)
_VANISHED_MOST: Final = 2_000  # most gaps of one symbol that are opened one by one
_LEAP: Final = 1_000  # the highest counter is ignored if it is more than this above the next lower one


def rebuild_day(data_root: Path, old: Day, held: Iterable[TickRow], now_ms: int) -> Day:
    """Builds a day from its file and the uncommitted rows `held`. Every other tick that was seen becomes part of a gap.

    A symbol whose numbers are consistent is not changed. Raises the errors of DayReader. Any thread may call it, if no
    other thread uses `old` meanwhile.
    """
    seqs: dict[str, dict[int, int]] = {}
    for row in held:
        if market.day_number(ts_ms_of(row)) == old.number:
            seqs.setdefault(symbol_of(row), {})[seq_of(row)] = ts_ms_of(row)
    written: list[Gap] = []
    with suppress(NoDayError):  # then nothing is stored yet, and the next commit creates the file
        written = _add_stored(path_of(data_root, market.day_name(old.number)), seqs)
    day = Day(old.number, next_gap_id=old.next_gap_id)
    for symbol in seqs.keys() | old.tracks.keys():
        if symbol not in old.tracks:
            old.keep(SymbolDay(symbol))  # sets the bounds of its day
        before, known = old.tracks[symbol], seqs.get(symbol, {})
        if before.patterned and before.run_seq == 0 and len(known) + before.unstored() == before.next - 1:
            day.tracks[symbol] = before
            _keep_known(day, before)
        else:
            day.tracks[symbol] = _rebuild_track(day, before, known, now_ms)
            _close(day, before)
        if before.next:
            day.rules[symbol] = RULE_COUNTER if before.patterned else RULE_NONE
    _close_unknown(day, written)
    return day


def _keep_known(day: Day, track: SymbolDay) -> None:
    """Marks all known gaps to be written again: a new file does not have them."""
    known = (*track.gaps, *track.lost, *([track.doubt] if track.doubt else []))
    day.dirty.update({open_gap.id: (track.symbol, open_gap, True) for open_gap in known})


def _close_unknown(day: Day, written: Iterable[Gap]) -> None:
    """Closes gaps that are open only in the file: they were closed before, but that change was not written."""
    for gap in written:
        track = day.tracks.get(gap.symbol)
        if gap.id in day.dirty or track is None or not track.patterned or (gap.from_seq or 0) < track.run_seq:
            continue
        day.dirty[gap.id] = (gap.symbol, of_row(gap), False)


def _close(day: Day, before: SymbolDay) -> None:
    """Closes the old gaps of a rebuilt symbol, which has new gaps with other bounds."""
    for open_gap in (*before.gaps, *before.past, *before.lost, *([before.doubt] if before.doubt else [])):
        if open_gap.written and open_gap.id not in day.dirty:
            day.dirty[open_gap.id] = (before.symbol, open_gap, False)


def _add_stored(path: Path, seqs: dict[str, dict[int, int]]) -> list[Gap]:
    """Adds to `seqs` the sequences that a day's file has, and those of its rejected ticks.

    Returns the open gaps of known size in the file.
    """
    written = []
    with DayReader(path) as reader, reader.snapshot():
        for count in reader.symbols():
            seqs.setdefault(count.symbol, {}).update((seq, 0) for seq in reader.seqs(count.symbol, _LOWEST_SEQ))
        for gap in reader.open_gaps_and_marks((CAUSE_REJECTED, CAUSE_ELSEWHERE)):
            if gap.cause in (CAUSE_REJECTED, CAUSE_ELSEWHERE) and gap.from_seq is not None:
                seqs.setdefault(gap.symbol, {})[gap.from_seq] = 0
            elif gap.status == GAP_OPEN and gap.missing is not None:
                written.append(gap)
    return written


def _rebuild_track(day: Day, before: SymbolDay, known: dict[int, int], now_ms: int) -> SymbolDay:
    """Rebuilds one symbol from its stored sequences, up to the newest tick that was seen."""
    track = replace(before, gaps=list(before.gaps), past=[], known=set(), proved=frozenset())
    if before.next <= 0:
        track.gaps, track.lost = [], LostGaps()
    if before.next <= 0 or before.run_seq:
        # How many ticks were lost is unknown: possibly all of the day, up to now or to the start of this run.
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
    seqs = [seq for seq in seqs if seq not in before.strange]
    counters = counters_of(track, seqs)
    if counters and counters[-1] >= track.next:
        track.next = counters[-1] + 1
        track.last_seq = max(track.last_seq, *seqs)
        track.last_ts_ms = (track.last_seq >> 32) * 1000
    fill_stored(day, track, counters, seqs)
    add_vanished(day, track, counters, seqs, now_ms)
    _keep_known(day, track)
    return track


def of_row(gap: Gap) -> OpenGap:
    """The gap of a row of `gaps`. A doubt has no counters."""
    known = gap.missing is not None and gap.from_seq is not None and gap.to_seq is not None
    return OpenGap(
        gap.id,
        (gap.from_seq or 0) & COUNTER_MASK if known else 0,
        (gap.to_seq or 0) & COUNTER_MASK if known else 0,
        gap.from_seq,
        gap.to_seq,
        gap.from_ts_ms or 0,
        gap.to_ts_ms or 0,
        gap.cause,
        gap.opened_ms,
        written=True,
    )


def counters_of(track: SymbolDay, seqs: Iterable[int]) -> list[int]:
    """The counters of these sequences in order. The highest ones are left out if they jump too far."""
    counters = sorted({seq & COUNTER_MASK for seq in seqs})
    while len(counters) > 1 and counters[-1] - max(counters[-2], track.next) > _LEAP:
        counters.pop()
    return counters


def outliers_of(track: SymbolDay, seqs: Iterable[int], odd: Container[int]) -> list[int]:
    """The wrong sequences among `seqs`: they do not follow another sequence, and no later one follows them.

    `odd` are the sequences that do not match the time of their tick. The counters up to the end of the known gaps are
    taken as confirmed: the tick after a gap is not an outlier.
    """
    by_counter: dict[int, int] = {}
    for seq in seqs:
        counter = seq & COUNTER_MASK
        if counter not in by_counter or by_counter[counter] in odd:
            by_counter[counter] = seq
    come = max((track.lost.last, *track.marks, *(open_gap.last for open_gap in track.gaps)), default=0) + 1
    counters, found = sorted(by_counter), []
    while counters:
        counter, below = counters.pop(), counters[-1] if counters else 0
        seq = by_counter[counter]
        is_next = counter <= come or counter == below + 1
        leaps = counter > COUNTER_MAX or counter - max(below, come) > _LEAP
        if is_next or not (seq in odd or leaps):
            break
        found.append(seq)
    found += [seq for seq in by_counter.values() if seq in odd and _is_beside(track, seq)]
    return list(dict.fromkeys(found))


def _is_beside(track: SymbolDay, seq: int) -> bool:
    """Whether the counter of a tick is in a gap but its second is not, so that it is not the missing tick."""
    counter, second = seq & COUNTER_MASK, seq >> 32
    open_gap = next((each for each in track.gaps if each.first <= counter <= each.last), None)
    if open_gap is None and (open_gap := track.lost.take(counter)) is not None:
        track.lost.add(open_gap)
    if open_gap is None:
        return False
    return not (open_gap.from_seq or 0) >> 32 <= second <= ((open_gap.to_seq or 0) >> 32) + 1


def add_vanished(
    day: Day,
    track: SymbolDay,
    counters: Sequence[int],
    seqs: Iterable[int],
    now_ms: int,
    cause: str = CAUSE_DAMAGED,
    explained: Sequence[OpenGap] = (),
) -> bool:
    """Adds a gap for each range of counters that is neither stored nor in a gap. Returns whether rows have vanished.

    Counters inside a gap of `explained` have not vanished: their new gap has the cause of that gap. If there are too
    many ranges, one gap of unknown size is added instead.
    """
    seconds = {seq & COUNTER_MASK: seq >> 32 for seq in seqs}
    first = track.run_seq & COUNTER_MASK if track.run_seq else 1
    # The counters that are accounted for, as (first counter, last counter, their seconds), and an end marker.
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
            low, low_s = track.next, end_s  # noqa: PLW2901 - an unconfirmed counter above all others is ignored
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
            track.skipped.add(_between(0, between, of_seconds, cause, now_ms))
        return True
    vanished = False
    for between, of_seconds in found:
        for counters_of_one, why in _explain(between, explained):
            of_one = cause if why is None else why.cause
            if of_one == CAUSE_BEFORE_START and counters_of_one[0] > 1:
                of_one = CAUSE_RESTART  # the service was already running on that day: the file has earlier ticks
            open_gap = _between(day.new_gap_id(), counters_of_one, of_seconds, of_one, now_ms)
            vanished |= why is None
            day.dirty[open_gap.id] = (track.symbol, open_gap, True)
            if why is not None and why.final and of_one == why.cause:
                open_gap.final, open_gap.lost_ms = True, why.lost_ms
                track.lost.add(open_gap)
            else:
                track.gaps.append(open_gap)
    track.gaps.sort(key=first_counter)
    return vanished


def _explain(between: tuple[int, int], gaps: Sequence[OpenGap]) -> list[tuple[tuple[int, int], OpenGap | None]]:
    """Splits a range of counters into parts, each with the gap that contains it, or None."""
    parts: list[tuple[tuple[int, int], OpenGap | None]] = []
    first, last = between
    for open_gap in gaps[max(0, bisect_right(gaps, first, key=first_counter) - 1) :]:
        if open_gap.first > last or first > last:
            break
        low, high = max(first, open_gap.first), min(last, open_gap.last)
        if low > high:
            continue
        if low > first:
            parts.append(((first, low - 1), None))
        parts.append(((low, high), open_gap))
        first = high + 1
    if first <= last:
        parts.append(((first, last), None))
    return parts


def fill_stored(day: Day, track: SymbolDay, counters: Sequence[int], seqs: Iterable[int]) -> None:
    """Removes the stored counters, given in ascending order, from the gaps of known size.

    The remaining parts of a gap keep its cause, and the first part keeps its id.
    """
    seconds: dict[int, int] = {}
    gaps, track.gaps = track.gaps, []
    for open_gap, kept in (
        *((gap, track.gaps.append) for gap in gaps),
        *((gap, track.lost.add) for gap in track.lost.clear()),
    ):
        stored = counters[bisect_left(counters, open_gap.first) : bisect_right(counters, open_gap.last)]
        if not stored:
            kept(open_gap)
            continue
        seconds = seconds or {seq & COUNTER_MASK: seq >> 32 for seq in seqs}
        parts, low = [], open_gap.first
        for counter in (*stored, open_gap.last + 1):
            if counter > low:
                parts.append((low, counter - 1))
            low = counter + 1
        if not parts:
            day.dirty[open_gap.id] = (track.symbol, open_gap, False)
        for index, (first, last) in enumerate(parts):
            part = _part(open_gap, first, last, seconds)
            if index:
                part.id, part.written = day.new_gap_id(), False
            day.dirty[part.id] = (track.symbol, part, True)
            kept(part)


def _part(open_gap: OpenGap, first: int, last: int, seconds: dict[int, int]) -> OpenGap:
    """The part of a gap between two stored ticks, or between a stored tick and an end of the gap."""
    from_s, to_s = (open_gap.from_seq or 0) >> 32, (open_gap.to_seq or 0) >> 32
    low_s = from_s if first == open_gap.first else min(max(seconds[first - 1], from_s), to_s)
    high_s = to_s if last == open_gap.last else max(min(seconds[last + 1], to_s), low_s)
    from_ts_ms = open_gap.from_ts_ms if first == open_gap.first else low_s * 1000
    to_ts_ms = open_gap.to_ts_ms if last == open_gap.last else high_s * 1000
    return replace(
        open_gap,
        first=first,
        last=last,
        from_seq=low_s << 32 | first,
        to_seq=high_s << 32 | last,
        from_ts_ms=from_ts_ms,
        to_ts_ms=to_ts_ms,
    )


def _between(id_: int, counters: tuple[int, int], seconds: tuple[int, int], cause: str, now_ms: int) -> OpenGap:
    first, last = counters
    low_s, high_s = min(seconds), max(seconds)
    return OpenGap(
        id_, first, last, low_s << 32 | first, high_s << 32 | last, low_s * 1000, high_s * 1000, cause, now_ms
    )

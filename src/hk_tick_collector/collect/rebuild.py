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
from hk_tick_collector.store.query import DayReader, path_of

from .track import CAUSE_REJECTED, COUNTER_MASK, SEQ_MAX, Day, Hole, Track

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

CAUSE_DAMAGED: Final = "damaged"
LOWEST_SEQ: Final = -(2**63)


def rebuild_day(data_root: Path, old: Day, held: Iterable[TickRow], now_ms: int) -> Day:
    """The day as its file and the rows in memory make it; every other tick that was ever seen is a hole.

    `held` are the rows that are not committed. A symbol that adds up stays as it is. Raises what DayReader raises.
    """
    seqs: dict[str, set[int]] = {}
    for row in held:
        if market.day_number(row[2]) == old.number:
            seqs.setdefault(row[0], set()).add(row[1])
    with suppress(NoDayError):  # then nothing of it is stored, and the next commit makes the file
        _add_stored(path_of(data_root, market.day_name(old.number)), seqs)
    day = Day(old.number, next_gap_id=old.next_gap_id)
    for symbol in seqs.keys() | old.tracks.keys():
        before, known = old.tracks.get(symbol) or Track(symbol), seqs.get(symbol, set())
        if before.patterned and len(known) + sum(hole.missing or 0 for hole in before.holes) == before.next - 1:
            day.tracks[symbol] = before
            day.dirty.update({hole.id: (symbol, hole, True) for hole in before.holes})  # a fresh file has none of them
        else:
            day.tracks[symbol] = rebuild_track(day, before, known, now_ms)
    return day


def _add_stored(path: Path, seqs: dict[str, set[int]]) -> None:
    """Adds the sequences that a day's file has or has refused for good."""
    with DayReader(path) as reader, reader.snapshot():
        for count in reader.symbols():
            seqs.setdefault(count.symbol, set()).update(reader.seqs(count.symbol, LOWEST_SEQ))
        for gap in reader.gaps():
            if gap.cause == CAUSE_REJECTED and gap.from_seq is not None:
                seqs.setdefault(gap.symbol, set()).add(gap.from_seq)


def rebuild_track(day: Day, before: Track, seqs: Iterable[int], now_ms: int) -> Track:
    """One symbol from its stored sequences, up to the newest tick that was ever seen."""
    track = replace(before, holes=[])
    if before.next < 0:
        start_ms = day.start_s * 1000
        track.doubt = Hole(day.new_gap_id(), 0, 0, day.start_s << 32, SEQ_MAX, start_ms, now_ms, CAUSE_DAMAGED, now_ms)
        day.dirty[track.doubt.id] = (track.symbol, track.doubt, True)
        return track
    counter, second = 0, day.start_s
    for seq in sorted(seqs, key=_counter):
        _hole(day, track, (counter + 1, _counter(seq) - 1), (second, seq >> 32), now_ms)
        counter, second = _counter(seq), seq >> 32
    _hole(day, track, (counter + 1, before.next - 1), (second, before.last_seq >> 32), now_ms)
    if counter >= before.next:
        track.next, track.last_seq, track.last_ts_ms = counter + 1, second << 32 | counter, second * 1000
    return track


def _counter(seq: int) -> int:
    return seq & COUNTER_MASK


def _hole(day: Day, track: Track, counters: tuple[int, int], seconds: tuple[int, int], now_ms: int) -> None:
    """Adds the hole with these counters between ticks of these seconds, when there is one."""
    first, last = counters
    if first > last:
        return
    low_s, high_s = min(seconds), max(seconds)
    hole = Hole(
        day.new_gap_id(), first, last, low_s << 32 | first, high_s << 32 | last, low_s * 1000, high_s * 1000,
        CAUSE_DAMAGED, now_ms,
    )  # fmt: skip
    track.holes.append(hole)
    day.dirty[hole.id] = (track.symbol, hole, True)

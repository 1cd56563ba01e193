"""What a day's file really holds, tick by tick: for when its counters cannot be believed.

That is so when a damaged file was set aside for a fresh one, and when a file has fewer rows than its counters explain:
a WAL that somebody removed, a spool that lost a record. Reads every sequence of the symbols in question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.store.query import DayReader, path_of

from .holes import COUNTER_MASK, Day, Hole, Track

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

CAUSE_DAMAGED = "damaged"
_LOWEST_SEQ = -(2**63)


def rebuild_day(data_root: Path, old: Day, held: Iterable[TickRow], now_ms: int) -> Day:
    """The day as its file and the rows in memory make it; every other tick that was ever seen is a hole.

    `held` are the rows that are not committed. Raises what DayReader raises.
    """
    seqs: dict[str, set[int]] = {}
    for row in held:
        if market.day_number(row[2]) == old.number:
            seqs.setdefault(row[0], set()).add(row[1])
    with DayReader(path_of(data_root, market.day_name(old.number))) as reader, reader.snapshot():
        for count in reader.symbols():
            seqs.setdefault(count.symbol, set()).update(reader.seqs(count.symbol, _LOWEST_SEQ))
    day = Day(old.number, next_gap_id=old.next_gap_id)
    for symbol in seqs.keys() | old.tracks.keys():
        before = old.tracks.get(symbol) or Track(symbol)
        day.tracks[symbol] = rebuild_track(day, before, sorted(seqs.get(symbol, ())), now_ms)
    return day


def rebuild_track(day: Day, before: Track, seqs: list[int], now_ms: int) -> Track:
    """One symbol from its stored sequences, in order, up to the newest tick that was ever seen."""
    track = Track(before.symbol, before.next, before.last_seq, before.last_ts_ms, interrupted=before.interrupted)
    if before.next < 0:
        track.doubt = before.doubt
        return track
    start_s = market.day_start_ms(day.number) // 1000
    counter, seq = 0, start_s << 32
    for stored in seqs:
        _hole(day, track, counter + 1, (stored & COUNTER_MASK) - 1, (seq + 1, stored - 1), now_ms)
        counter, seq = stored & COUNTER_MASK, stored
    _hole(day, track, counter + 1, before.next - 1, (seq + 1, before.last_seq), now_ms)
    if counter >= before.next:
        track.next, track.last_seq, track.last_ts_ms = counter + 1, seq, (seq >> 32) * 1000
    return track


def _hole(day: Day, track: Track, first: int, last: int, bounds: tuple[int, int], now_ms: int) -> None:
    if first > last:
        return
    from_seq, to_seq = bounds
    from_ts_ms, to_ts_ms = (from_seq >> 32) * 1000, (to_seq >> 32) * 1000
    hole = Hole(day.new_gap_id(), first, last, from_seq, to_seq, from_ts_ms, to_ts_ms, CAUSE_DAMAGED, now_ms)
    track.holes.append(hole)
    day.dirty[hole.id] = (track.symbol, hole, True)

"""Where a day stands when its first tick is seen: what its file already has, and what it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import log, market
from hk_tick_collector.errors import NoDayError
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.query import DayReader, list_days, path_of

from .clock import now_ms
from .rebuild import LOWEST_SEQ, rebuild_track
from .track import CAUSE_REJECTED, CAUSE_RESTART, COUNTER_MASK, COUNTER_MAX, Day, Hole, Track

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import Gap
    from hk_tick_collector.store.query import SymbolCount


def load_day(data_root: Path, number: int) -> Day:
    """What the file of a day knows of its symbols and holes; nothing where there is no file, or none to write to.

    The counters of an open gap are the low halves of its bounds: a missing tick lies between its neighbours, and theirs
    are one below and one above.
    """
    day = Day(number)
    try:
        with DayReader(path_of(data_root, market.day_name(number))) as reader, reader.snapshot():
            if "sealed_ms" in reader.meta():
                day.sealed = True
                return day
            counts = reader.symbols()
            for symbol in counts:
                day.tracks[symbol.symbol] = _track(symbol)
            rejected: dict[str, set[int]] = {}
            for gap in reader.gaps():
                day.next_gap_id = max(day.next_gap_id, gap.id + 1)
                if gap.status == GAP_OPEN or gap.cause == CAUSE_REJECTED:
                    _add(day, gap)
                if gap.cause == CAUSE_REJECTED and gap.from_seq is not None:
                    rejected.setdefault(gap.symbol, set()).add(gap.from_seq)
            _check(day, counts, rejected, reader)
    except NoDayError:
        pass
    except DISK_ERRORS as error:
        # The key of the table still keeps every tick once; only what is missing from before is not known.
        log.error("day_not_resumed", day=market.day_name(number), detail=error)
    return day


def unfinished_days(data_root: Path, today: int) -> list[int]:
    """Days before OpenD's `today` that can still be written and whose close nobody heard."""
    found = []
    try:
        names = list_days(data_root)
    except DISK_ERRORS as error:
        log.error("day_not_resumed", day="all", detail=error)
        return []
    for name in names:
        try:
            number = market.parse_day(name)
            with DayReader(path_of(data_root, name)) as reader:
                if number < today and "sealed_ms" not in reader.meta() and not _heard_the_close(reader, number):
                    found.append(number)
        except ValueError:
            continue  # a name that only looks like a day
        except DISK_ERRORS as error:
            log.error("day_not_resumed", day=name, detail=error)
    return found


def _heard_the_close(reader: DayReader, number: int) -> bool:
    """Whether ticks came until the close, or the link lived at that moment."""
    close_ms = market.close_ms(number)
    last_ms = reader.totals().last_ts_ms
    alive_ms = max((run.updated_ms for run in reader.ledger()), default=0)
    return (last_ms is not None and last_ms >= close_ms) or any(
        stretch.connected and stretch.from_ms <= close_ms <= (stretch.to_ms or alive_ms)
        for stretch in reader.connections()
    )


def _check(day: Day, counts: list[SymbolCount], rejected: dict[str, set[int]], reader: DayReader) -> None:
    """Looks tick by tick at symbols whose rows, gaps and rejected ticks do not add up to their counter.

    So it is after a WAL was removed, or a record of the spool lost: what is missing then shows nowhere else.
    """
    wrong = []
    for count in counts:
        track, refused = day.tracks[count.symbol], rejected.get(count.symbol, set())
        known = count.rows + len(refused) + sum(hole.missing or 0 for hole in track.holes)
        if not track.patterned or known == track.next - 1:
            continue
        wrong.append(count.symbol)
        seqs = refused.union(reader.seqs(count.symbol, LOWEST_SEQ))
        for hole in track.holes:
            day.dirty[hole.id] = (count.symbol, hole, False)
        day.tracks[count.symbol] = rebuild_track(day, track, seqs, now_ms())
    if wrong:
        log.error("counters_disagree", day=market.day_name(day.number), symbols=len(wrong), first=wrong[0])


def _track(symbol: SymbolCount) -> Track:
    counter = symbol.expected
    # More rows than numbers: they began anew.
    upcoming = counter + 1 if counter is not None and symbol.rows <= counter <= COUNTER_MAX else -1
    return Track(symbol.symbol, upcoming, symbol.max_seq, symbol.last_ts_ms, interrupted=CAUSE_RESTART)


def _add(day: Day, gap: Gap) -> None:
    track = day.tracks.setdefault(gap.symbol, Track(gap.symbol, interrupted=CAUSE_RESTART))
    if gap.from_seq is None or gap.to_seq is None or gap.from_ts_ms is None or gap.to_ts_ms is None:
        return
    known = gap.missing is not None
    hole = Hole(
        gap.id,
        gap.from_seq & COUNTER_MASK if known else 0,
        gap.to_seq & COUNTER_MASK if known else 0,
        gap.from_seq,
        gap.to_seq,
        gap.from_ts_ms,
        gap.to_ts_ms,
        gap.cause,
        gap.opened_ms,
        lost_ms=gap.opened_ms,
        written=True,
    )
    if not known:
        track.doubt = hole
        return
    if gap.status == GAP_OPEN:
        track.holes.append(hole)
        track.holes.sort(key=lambda each: each.first)
    if track.next >= 0:
        # A dropped or a rejected tick may be newer than the newest stored one: it was seen all the same.
        track.next = max(track.next, hole.last + 1)
        if hole.to_seq > track.last_seq:
            track.last_seq, track.last_ts_ms = hole.to_seq, hole.to_ts_ms

"""Creates the state of a day from its file when the first tick of the day is seen: its counters and gaps.

Time and memory grow with the number of symbols and gaps, but not with the number of ticks. Only a symbol whose rows,
gaps and rejected ticks do not add up is read tick by tick.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import log, market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import NoDayError, PredecessorFileError
from hk_tick_collector.gaps.answer import last_fall
from hk_tick_collector.gaps.gap import OpenGap
from hk_tick_collector.gaps.lost_gaps import LostGaps
from hk_tick_collector.gaps.symbol_day import (
    CAUSE_DAMAGED,
    CAUSE_RESTART,
    CAUSE_SEQUENCE,
    CAUSE_SKIPPED,
    COUNTER_MASK,
    MARGIN_MS,
    RULE_COUNTER,
    RULE_NONE,
    STRANGE_KEPT,
    STRANGE_MOST,
    Day,
    Recent,
    SymbolDay,
    plausible,
)
from hk_tick_collector.model import CAUSE_ELSEWHERE, CAUSE_REJECTED, GAP_OPEN, SEQ_NEAR_S
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.importing import META_PREDECESSOR
from hk_tick_collector.store.query import DayReader, list_days, path_of, sealed_early

from .recount import add_vanished, counters_of, fill_stored, of_row, outliers_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hk_tick_collector.model import Gap
    from hk_tick_collector.store.query import Rule, SymbolCount

    from .seen_while_unread import Seen

_WINDOW_ROWS: Final = 1_100  # a little more than OpenD's window: only gaps among this many newest ticks can be filled
_LOWEST_SEQ: Final = -(2**63)
_STRAY_ROWS: Final = 20
_NAMED_MOST: Final = 20
_ASKED_MOST: Final = 200  # the most gaps of a symbol that are requested again: the newest ones


class _Gaps(NamedTuple):
    """The gaps of one symbol from the file."""

    open: LostGaps  # stored compactly: there may be hundreds of thousands
    past: list[OpenGap]  # of earlier runs of the counter
    marks: set[int]  # sequences of received ticks that are not in this file
    skipped: LostGaps  # counters without a tick, according to OpenD's answers
    doubts: list[OpenGap]


def load_day(data_root: Path, number: int) -> Day:
    """The symbols and gaps of a day from its file; an empty day if there is no file that can be written.

    The counters of an open gap are the low 32 bits of its bounds. Any thread may call it.
    """
    try:
        with DayReader(path_of(data_root, market.day_name(number))) as reader, reader.snapshot():
            return Day(number, sealed=True) if is_over(number, reader) else load(number, reader)
    except (NoDayError, PredecessorFileError):
        return Day(number)  # the writer sets the predecessor's file aside and creates a new one
    except DISK_ERRORS as error:
        # Ticks are still stored, each once because of the primary key. Only the earlier gaps are not known yet.
        log.error("day_not_resumed", day=market.day_name(number), detail=error)
        return Day(number, unread=True)


def is_over(number: int, reader: DayReader) -> bool:
    """Whether the file of a day is sealed. Raises SealedEarlyError if the day is not over."""
    is_sealed = reader.is_sealed()
    if is_sealed and number >= market.day_number(now_ms()):
        raise sealed_early(reader.path)
    return is_sealed


def load(number: int, reader: DayReader, seen: Seen | None = None) -> Day:
    """The day from an open file, joined with `seen`: what was seen while the file could not be read.

    Raises the errors of DayReader.
    """
    day = Day(number)
    counts, rules = {count.symbol: count for count in reader.symbols()}, reader.rules()
    day.next_gap_id = reader.highest_gap_id() + 1
    wrong, restarted = [], []

    def add(symbol: str, rows: Iterable[Gap]) -> None:
        count, rule = counts.pop(symbol, None), rules.get(symbol)
        track = _track(day, reader, count, rule) if count and rule else SymbolDay(symbol, interrupted=CAUSE_RESTART)
        day.keep(track)
        gaps = _read_gaps(rows, track.run_seq)
        _add_gaps(track, gaps, reader)
        if track.next <= 0 and rule and not rule.rule and track.doubt is None:
            _doubt_all(day, track)
        run_seq = track.run_seq
        joined = seen is not None and seen.join(day, track, gaps.marks)
        uneven = track.next > 0 and (joined or not _adds_up(track, count, gaps))
        if uneven and _recount(day, track, gaps, reader, seen):
            wrong.append(symbol)
        if track.run_seq != run_seq:
            restarted.append(symbol)
        if count is None and track.next > 0:
            day.rules[symbol] = RULE_COUNTER  # the file has no row of the symbol yet

    gaps_of_all = reader.open_gaps_and_marks((CAUSE_REJECTED, CAUSE_ELSEWHERE, CAUSE_SKIPPED))
    for symbol, rows in groupby(gaps_of_all, key=attrgetter("symbol")):
        add(symbol, rows)
    for symbol in sorted(counts):
        add(symbol, ())
    if seen is not None:
        seen.keep_others(day)
    if restarted:
        names, seq = ",".join(restarted[:_NAMED_MOST]), day.tracks[restarted[0]].run_seq
        log.warning("sequence_restarted", symbols=names, count=len(restarted), seq=seq)
    if wrong:
        log.error("counters_disagree", day=market.day_name(day.number), symbols=len(wrong), first=wrong[0])
    return day


def _read_gaps(rows: Iterable[Gap], run_seq: int) -> _Gaps:
    found = _Gaps(LostGaps(), [], set(), LostGaps(), [])
    for gap in rows:
        from_seq = gap.from_seq or 0
        if gap.cause == CAUSE_SKIPPED:
            if from_seq >= run_seq:
                found.skipped.add(of_row(gap._replace(missing=1)))  # `of_row` reads counters only if it is not None
        elif gap.status != GAP_OPEN:
            if gap.from_seq is not None:
                found.marks.add(from_seq)
        elif gap.missing is None:
            found.doubts.append(of_row(gap))
        elif from_seq < run_seq:
            found.past.append(of_row(gap))
        else:
            found.open.add(of_row(gap))
    return found


def _track(day: Day, reader: DayReader, count: SymbolCount, rule: Rule) -> SymbolDay:
    """The state of a symbol from its counters, before its gaps are added."""
    symbol, name = count.symbol, rule.rule
    newest = reader.newest_of(symbol, _WINDOW_ROWS) if name != RULE_COUNTER else []
    if not name and _looks_like_counter(newest):
        name = day.rules[symbol] = RULE_COUNTER
    if not name and count.rows < STRANGE_MOST:
        track = SymbolDay(symbol, last_ts_ms=count.last_ts_ms, interrupted=CAUSE_RESTART)
        for seq in reader.seqs(symbol, _LOWEST_SEQ):
            track.note_strange(seq)
        return track
    if not name:
        name = day.rules[symbol] = RULE_NONE
    if name == RULE_NONE:
        recent = Recent()
        for seq, ts_ms in newest:
            recent.add(seq, ts_ms)
        last_seq = newest[-1][0] if newest else count.max_seq
        return SymbolDay(symbol, -1, 0, last_seq, count.last_ts_ms, recent=recent, interrupted=CAUSE_RESTART)
    top_seq = reader.top_seq(symbol, max(rule.run_seq, day.start_s << 32), day.last_seq) or 0
    upcoming = (top_seq & COUNTER_MASK) + 1
    first_seq = reader.first_seq(symbol, day.start_s << 32, day.last_seq) or 0
    return SymbolDay(
        symbol, upcoming, first_seq, top_seq, count.last_ts_ms, run_seq=rule.run_seq, interrupted=CAUSE_RESTART
    )


def _looks_like_counter(newest: list[tuple[int, int]]) -> bool:
    """Whether an undecided symbol seems to follow the rule. If that is wrong, the next ticks will show it."""
    counters = {seq & COUNTER_MASK for seq, ts_ms in newest if plausible(seq, ts_ms)}
    return len(counters) * 10 >= 9 * len(newest)


def _doubt_all(day: Day, track: SymbolDay) -> None:
    """Opens a doubt for the whole day of an undecided symbol, because its gaps were not written to the file."""
    start_ms, end_ms = day.start_s * 1000, market.day_start_ms(day.number + 1) - 1
    track.doubt = OpenGap(day.new_gap_id(), 0, 0, None, None, start_ms, end_ms, CAUSE_RESTART, now_ms())
    day.dirty[track.doubt.id] = (track.symbol, track.doubt, True)


def _add_gaps(track: SymbolDay, gaps: _Gaps, reader: DayReader) -> None:
    track.lost, track.past, track.skipped = gaps.open, gaps.past, gaps.skipped
    if track.next >= 0:
        # A dropped or rejected tick was also seen, and may be newer than the newest stored one.
        newest = gaps.open.newest()
        if newest is not None:
            track.go_to(newest.last, newest.to_seq or 0, newest.to_ts_ms)
        for seq in gaps.marks:
            if seq >= track.run_seq:
                track.marks.add(seq & COUNTER_MASK)
                track.go_to(seq & COUNTER_MASK, seq, (seq >> 32) * 1000)
    _ask_again(track)
    # A doubt that ends before the end of the day is lost: its end was set when a full answer did not reach back to it.
    lasting = [open_gap for open_gap in gaps.doubts if open_gap.to_ts_ms >= track.to_ms - 1]
    if lasting:
        track.doubt = doubt = min(lasting, key=lambda open_gap: open_gap.from_ts_ms)
        if track.recent is not None:
            margin_ms = MARGIN_MS if doubt.from_seq is None else 0
            known = reader.newest_of(track.symbol, _WINDOW_ROWS, doubt.from_ts_ms + margin_ms)
            track.known = {seq for seq, _ in known}
        elif doubt.from_seq is not None:
            track.known_seq = reader.top_seq(track.symbol, track.run_seq, doubt.from_seq | COUNTER_MASK) or 0


def _ask_again(track: SymbolDay) -> None:
    """Makes the newest lost gaps open again, because OpenD's window may still contain their ticks."""
    upper, held = track.next, 0
    while len(track.gaps) < _ASKED_MOST:
        open_gap = track.lost.newest()
        if open_gap is None:
            break
        held += max(0, upper - open_gap.last - 1)  # ticks stored between this gap and the next
        if held > _WINDOW_ROWS:
            break
        upper = open_gap.first
        track.lost.take(open_gap.first)
        open_gap.final, open_gap.lost_ms = False, 0
        track.gaps.append(open_gap)
    track.gaps.reverse()


def _adds_up(track: SymbolDay, count: SymbolCount | None, gaps: _Gaps) -> bool:
    """Whether each counter up to the newest is stored, in an open gap, or of a tick rejected or stored elsewhere."""
    rows, marks = count.rows if count else 0, len(gaps.marks)
    of_earlier_runs = sum(open_gap.missing or 0 for open_gap in track.past)
    return rows + marks + of_earlier_runs + track.unstored() == track.next - 1


def _recount(day: Day, track: SymbolDay, gaps: _Gaps, reader: DayReader, seen: Seen | None) -> bool:
    """Reads a symbol tick by tick, opens gaps for vanished rows and closes gaps whose ticks are stored.

    Returns whether rows have vanished, for example because the WAL was removed or a record of the spool was lost. For a
    symbol with ticks that do not follow the rule, the numbers do not add up either, but no row has vanished.
    """
    was_judged = track.symbol not in day.rules  # False: no gaps of the symbol were written, so no row vanished
    from_seq = max(track.run_seq, day.start_s << 32)
    elsewhere = [*gaps.marks, *(seen.seqs(track.symbol) if seen else ())]
    known = {*reader.seqs(track.symbol, from_seq), *(seq for seq in elsewhere if seq >= from_seq)}
    seqs = sorted(seq for seq in known if seq <= day.last_seq)
    wrong = outliers_of(track, seqs, reader.odd_seqs(track.symbol, SEQ_NEAR_S))
    if wrong:
        seqs = _set_aside(track, seqs, wrong)
    at = last_fall(seqs)
    if at:
        _begin_run(day, track, seqs[at - 1], seqs[at])
        seqs = seqs[at:]
    counters = counters_of(track, seqs)
    if counters:
        track.next = max(counters[-1], max((open_gap.last for open_gap in track.gaps), default=0), track.lost.last) + 1
    if seen is not None:
        seen.go_on(track)
    fill_stored(day, track, counters, seqs)
    cause = CAUSE_DAMAGED if was_judged else CAUSE_RESTART
    if not add_vanished(day, track, counters, seqs, now_ms(), cause, seen.gaps(track.symbol) if seen else ()):
        return False
    day.rules[track.symbol] = RULE_COUNTER
    return was_judged


def _set_aside(track: SymbolDay, seqs: list[int], wrong: list[int]) -> list[int]:
    """Excludes the wrong sequences of stored ticks from the search for gaps. Returns the other sequences."""
    without = set(wrong)
    seqs = [seq for seq in seqs if seq not in without]
    track.strange = wrong[-STRANGE_KEPT:]
    track.next = max((seq & COUNTER_MASK for seq in seqs), default=0) + 1
    track.last_seq = max(seqs, default=0)
    for open_gap in track.gaps:
        track.lost.add(open_gap)
    track.gaps, track.next = [], max(track.next, track.lost.last + 1)
    _ask_again(track)
    return seqs


def _begin_run(day: Day, track: SymbolDay, last_seq: int, began: int) -> None:
    """Begins a new run: the counter restarted between these two stored ticks, and the service was killed before it
    recorded that.

    How many ticks are missing between them is unknown, so a doubt is opened.
    """
    known = [*track.gaps, *track.lost.clear()]
    track.past += [open_gap for open_gap in known if (open_gap.to_seq or 0) < began]
    track.gaps = [open_gap for open_gap in known if (open_gap.from_seq or 0) >= began]
    for open_gap in known:  # a gap across the restart has counters of two runs, so it is wrong
        if (open_gap.from_seq or 0) < began <= (open_gap.to_seq or 0):
            day.dirty[open_gap.id] = (track.symbol, open_gap, False)
    track.skipped.clear()
    track.run_seq, track.next = began, 0
    from_seq, from_ms = last_seq & ~COUNTER_MASK, (last_seq >> 32) * 1000
    doubt = track.doubt
    if doubt is None:
        doubt = track.doubt = OpenGap(
            day.new_gap_id(), 0, 0, from_seq, day.last_seq, from_ms, track.to_ms - 1, CAUSE_SEQUENCE, now_ms()
        )
        track.known_seq = last_seq
    elif doubt.from_seq is not None and from_seq < doubt.from_seq:
        doubt.from_seq, doubt.from_ts_ms, track.known_seq = from_seq, from_ms, last_seq
    day.dirty[doubt.id] = (track.symbol, doubt, True)
    day.rules[track.symbol] = RULE_COUNTER


def unfinished_days(data_root: Path, today: int) -> list[int]:
    """Days before OpenD's `today` that can still be written and whose close was not observed."""
    found = []
    try:
        names = list_days(data_root)
    except DISK_ERRORS as error:
        log.error("day_not_resumed", day="all", detail=error)
        return []
    newest_before = max((name for name in names if name < market.day_name(today)), default="")
    for name in names:
        try:
            number = market.parse_day(name)
            with DayReader(path_of(data_root, name)) as reader:
                meta = reader.meta()
                # There may be many imported days. OpenD can have ticks only of the last one.
                is_old = META_PREDECESSOR in meta and name != newest_before
                over = number >= today or "sealed_ms" in meta or is_old or _observed_close(reader, number)
                if not over and not _is_stray(reader, number):
                    found.append(number)
        except (ValueError, PredecessorFileError):
            continue  # the name is not a date, or the file is not imported
        except DISK_ERRORS as error:
            log.error("day_not_resumed", day=name, detail=error)
    return found


def is_late_start(data_root: Path, today: int) -> bool:
    """Whether no tick of today is stored but an earlier day has a file: the service should have been running."""
    name = market.day_name(today)
    try:
        if all(day >= name for day in list_days(data_root)):
            return False
        with DayReader(path_of(data_root, name)) as reader:
            return reader.totals().rows == 0
    except NoDayError:
        return True
    except DISK_ERRORS:
        return False  # the parts that need the file report the error


def _is_stray(reader: DayReader, number: int) -> bool:
    """Whether a file has only a few ticks with a wrong date, whose sequences are of another day."""
    start_s = market.day_start_ms(number) // 1000
    return reader.totals().rows <= _STRAY_ROWS and not reader.has_seqs(start_s << 32, (start_s + 86_400) << 32)


def _observed_close(reader: DayReader, number: int) -> bool:
    """Whether ticks arrived until the close, or the connection was up at the close."""
    close_ms = market.close_ms(number)
    last_ms = reader.totals().last_ts_ms
    alive_ms = max((run.updated_ms for run in reader.ledger()), default=0)
    return (last_ms is not None and last_ms >= close_ms) or any(
        stretch.connected and stretch.from_ms <= close_ms <= (stretch.to_ms or alive_ms)
        for stretch in reader.connections()
    )

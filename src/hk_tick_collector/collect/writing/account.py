"""Counts and logs the results of the writer's rows: stored, duplicate or rejected.

Enters: committed and rejected rows. Leaves: Stats, log lines, results for the event loop. Only the writer thread uses
this module.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hk_tick_collector import log, market
from hk_tick_collector.collect.buffer.rejection_log import Refused, Rejections, Tally
from hk_tick_collector.model import PUSH_BACKFILL, Tick, push_type_of, recv_ts_ms_of, seq_of, symbol_of
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.query import DayReader, path_of

from .thread_handover import Commit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow
    from hk_tick_collector.stats import Stats
    from hk_tick_collector.store.dayfile import Written

    from .thread_handover import Handover


class Account:
    """The counts of one writer. `now_ms` is the wall clock in UTC epoch ms."""

    def __init__(self, stats: Stats, handover: Handover, data_root: Path, now_ms: Callable[[], int]) -> None:
        self._stats = stats
        self._handover = handover
        self._data_root = data_root
        self._now_ms = now_ms
        self._rejections = Rejections(time.monotonic)
        self._refused = Refused()
        self._conflicts, self._unnumbered = Tally(), Tally()  # rejected: a different tick with this key is stored

    def committed(self, day: int, rows: list[TickRow], written: Written, took_s: float) -> None:
        """Counts committed rows of a day. `took_s` is the time from BEGIN to the return of COMMIT."""
        stats, now_ms = self._stats, self._now_ms()
        stats.stored += written.stored
        stats.duplicate += written.duplicate
        stats.commits += 1
        stats.last_commit_ms = now_ms
        if rows:
            commit = Commit(len(rows), took_s * 1000, now_ms - min(map(recv_ts_ms_of, rows)))
            self._handover.commits.append(commit)
            stats.commit_times.add(commit.write_ms)
            stats.row_ages.add(commit.age_ms)
        self._handover.gap_events.extend(written.gaps)
        for what in written.undone:
            log.warning("day_schema_mended", day=market.day_name(day), what=what)
        self._note_conflicts(market.day_name(day), written.conflicts)
        self._rejections.log_due()

    def refused(self, day: int, rows: list[TickRow]) -> tuple[int, int]:
        """Counts ticks of a sealed day: stored ones are duplicates, the others are rejected. Returns both numbers."""
        name = market.day_name(day)
        try:
            with DayReader(path_of(self._data_root, name)) as reader:
                late, conflicts = reader.compare(rows)
        except DISK_ERRORS:
            late, conflicts = rows, []
        duplicate = len(rows) - len(late) - len(conflicts)
        backfilled = [row for row in late if push_type_of(row) == PUSH_BACKFILL]
        pushed = [row for row in late if push_type_of(row) != PUSH_BACKFILL] if backfilled else late
        self._reject("sealed_day", name, pushed)
        # OpenD's latest ticks of a quiet symbol include ticks of finished days: these were not missing.
        if backfilled:
            self._rejections.count("sealed_day_backfill", map(symbol_of, backfilled))
        self._note_conflicts(name, conflicts)
        self._stats.sealed_day += len(pushed)
        self._stats.sealed_day_backfill += len(backfilled)
        self._stats.duplicate += duplicate
        return duplicate, len(late) + len(conflicts)

    def _note_conflicts(self, day: str, rows: Sequence[TickRow]) -> None:
        """Counts ticks that are rejected because a different tick with the same key is stored."""
        stats = self._stats
        news = self._refused.rows(rows)
        stats.rejected_again += len(rows) - len(news)
        rows = news
        if not rows:
            return
        unnumbered = [row for row in rows if seq_of(row) == 0]
        numbered = [row for row in rows if seq_of(row) != 0] if unnumbered else rows
        if numbered:
            self._reject("conflict", day, numbered)
            self._conflicts.add(map(symbol_of, numbered))
            stats.conflicts += len(numbered)
            stats.conflicts_symbols = self._conflicts.symbols
            stats.conflicts_most, stats.conflicts_most_ticks = self._conflicts.most()
        if unnumbered:
            self._reject("no_sequence", day, unnumbered)
            self._unnumbered.add(map(symbol_of, unnumbered))
            stats.no_sequence += len(unnumbered)
            stats.no_sequence_symbols = self._unnumbered.symbols
            stats.no_sequence_most, stats.no_sequence_most_ticks = self._unnumbered.most()

    def _reject(self, cause: str, day: str, rows: Sequence[TickRow]) -> None:
        """Logs rejected ticks: the first ones of a cause in full, the others as a count."""
        whole = self._rejections.whole(cause, len(rows))
        for row in rows[:whole]:
            log.warning("tick_rejected", cause=cause, day=day, **Tick(*row)._asdict())
        if rows[whole:]:
            self._rejections.count(cause, map(symbol_of, rows[whole:]))

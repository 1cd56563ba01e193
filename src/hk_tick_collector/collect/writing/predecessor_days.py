"""Imports the predecessor's day files that were set aside, while the service collects.

Enters: files `YYYYMMDD.db.predecessor-TIME.not-imported` in DATA_ROOT, renamed by the writer or by `import`. Their
ticks pass through the intake like late ticks, so that gaps are filled and every row is counted. Their other rows are
stored in a separate table. When every row is found in our file, `.not-imported` is removed from the file's name. An
interrupted import starts again at the next start and skips stored rows.

Files are read in separate threads. Live ticks have priority.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import log, market
from hk_tick_collector.background import in_thread
from hk_tick_collector.collect.buffer.replay import set_event, store_rows
from hk_tick_collector.errors import NoDayError, StoreError
from hk_tick_collector.store import foreign
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.importing import (
    META_PREDECESSOR,
    Imported,
    conflicting,
    sorted_out,
    source_name,
)
from hk_tick_collector.store.inventory import still_predecessors
from hk_tick_collector.store.predecessor import CONFLICT, Source
from hk_tick_collector.store.query import DayReader, path_of

from .thread_handover import Beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.collect.buffer.intake import Intake
    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.model import TickRow
    from hk_tick_collector.stats import Stats
    from hk_tick_collector.store.predecessor import SourceRow
    from hk_tick_collector.store.predecessor_rows import BesideRow

    from .current_writer import CurrentWriter

_LOOK_EVERY_S: Final = 2.0
_AGAIN_S: Final = 60.0  # a file that could not be imported is tried again
_BATCH_ROWS: Final = 5_000  # rows per batch; the event loop and the writer do nothing else while they handle a batch
_CHECKED_ROWS: Final = 20_000
_NAMES_HELD_S: Final = 1.0
_LOG_EVERY_S: Final = 3600.0


class _Lot(NamedTuple):
    """Some rows of a predecessor's file, compared with our file."""

    missing: list[TickRow]  # ticks that our file does not have
    beside: list[BesideRow]  # rows for the separate table
    taken: int  # number of rows read from the predecessor's file


class _OpenError(StoreError):
    """Another process has the file open: perhaps the predecessor, which may still write to it."""


class PredecessorDays:
    """Imports the waiting files of DATA_ROOT one after the other. Use it on the event loop.

    `on_imported` is called after each file: lost gaps may be filled now.
    """

    def __init__(
        self,
        data_root: Path,
        intake: Intake,
        queue: TickQueue,
        current_writer: CurrentWriter,
        stats: Stats,
        on_imported: Callable[[], None],
    ) -> None:
        self._data_root = data_root
        self._intake = intake
        self._queue = queue
        self._current_writer = current_writer
        self._stats = stats
        self._on_imported = on_imported
        self._files: dict[str, str] = {}  # name of a waiting file → why it is not imported yet
        self._remedies: dict[str, str] = {}  # and the command for it, if it is not `import`
        self._again_s: dict[Path, float] = {}
        self._log_limits: dict[tuple[Path, str], log.Repeated] = {}

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                waiting = await in_thread(foreign.list_waiting, self._data_root)
            except DISK_ERRORS:
                waiting = []  # the writer reports the trouble of DATA_ROOT
            await self._drop_imported_days()
            there = {path.name for path in waiting}
            self._files = {name: why for name, why in self._files.items() if name in there}
            self._remedies = {name: command for name, command in self._remedies.items() if name in there}
            self._stats.predecessor_files = dict(self._files)
            self._stats.predecessor_remedies = dict(self._remedies)
            for path in waiting:
                if time.monotonic() >= self._again_s.get(path, 0.0):
                    await self._try(path)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _drop_imported_days(self) -> None:
        """Removes days from Stats that `import` has imported. The writer would update them only once a minute."""
        days = self._stats.predecessor_days
        if days:
            try:
                left = await in_thread(still_predecessors, self._data_root, days)
            except DISK_ERRORS:
                return  # it is tried again soon
            now = self._stats.predecessor_days
            self._stats.predecessor_days = [day for day in now if day in left or day not in days]

    def _begin(self, name: str, rows: int) -> None:
        """Sets the figures of the running import for `status`; an empty name means that none is running."""
        stats = self._stats
        stats.importing, stats.importing_rows, stats.importing_done, stats.importing_checked = name, rows, 0, 0

    async def _try(self, path: Path) -> None:
        try:
            await self._import(path)
        except DISK_ERRORS as error:
            self._again_s[path] = time.monotonic() + (0 if isinstance(error, _OpenError) else _AGAIN_S)
            hint = error.hint if isinstance(error, StoreError) else ""
            self._note(path, str(error), hint if isinstance(error, _OpenError) else "")
            told = self._log_limits.setdefault((path, str(error)), log.Repeated(_LOG_EVERY_S))
            if told.allow(time.monotonic()) is not None:
                log.error("predecessor_not_imported", file=path, detail=error, hint=hint)
        except Exception as bug:  # noqa: BLE001 - a task's boundary: collection continues without this file
            self._again_s[path] = time.monotonic() + _AGAIN_S
            self._note(path, f"a bug: {bug!r}")
            log.bug("bug", bug, file=path)
        finally:
            self._begin("", 0)

    def _note(self, path: Path, why: str, command: str = "") -> None:
        self._files[path.name] = why
        self._remedies[path.name] = command
        self._stats.predecessor_remedies = dict(self._remedies)
        self._stats.predecessor_files = dict(self._files)

    async def _import(self, path: Path) -> None:
        """Stores the rows of a file, checks that all are stored, and gives the file its final name."""
        if holder := await in_thread(foreign.opener, path):
            raise _OpenError(f"it is open in {holder.words()}", hint=await in_thread(holder.end_command, path))
        self._note(path, "")
        source = await in_thread(Source, path)
        with source:
            await in_thread(source.check)
            number = market.parse_day(source.day())
            await in_thread(_refuse_sealed, path_of(self._data_root, source.day()))
            result = Imported(source.day(), await in_thread(source.count))
            self._begin(path.name, result.rows)
            log.info("predecessor_import", file=path.name, day=result.day, rows=result.rows)
            await self._store(source, number, result)
            result.beside[CONFLICT] = await self._check(source, number)
            result.duplicate = result.rows - result.stored - sum(result.beside.values())
            kept = await in_thread(_give_last_name, path)
            source.path = kept
        self._on_imported()
        log.info(
            "predecessor_imported",
            day=result.day,
            rows=result.rows,
            stored=result.stored,
            duplicate=result.duplicate,
            beside=sum(result.beside.values()),
            shifted=result.shifted,
            kept_as=kept,
        )

    async def _store(self, source: Source, number: int, result: Imported) -> None:
        rows = source.rows()
        while True:
            lot = await in_thread(self._next_lot, rows, source, number, result)
            if lot is None:
                break
            if lot.missing:
                await store_rows(lot.missing, self._intake, self._queue, pushed=False)
            if lot.beside:
                await self._keep(number, lot.beside, {})
            self._stats.importing_done += lot.taken
        await self._keep(number, [], {META_PREDECESSOR: source_name(source)})

    async def _keep(self, number: int, rows: list[BesideRow], meta: dict[str, str]) -> None:
        loop, committed = asyncio.get_running_loop(), asyncio.Event()
        self._current_writer.keep_beside(Beside(number, rows, meta, partial(set_event, loop, committed)))
        await committed.wait()

    async def _check(self, source: Source, number: int) -> int:
        """Checks that every row is in our file: as a tick, or in the separate table if another tick has its key.

        Returns the number of the latter.
        """
        rows, conflicts = source.rows(), 0
        while True:
            found = await in_thread(self._compare, rows, source, number)
            if found is None:
                return conflicts
            if found.missing:
                symbol, seq, *_ = found.missing[0]
                raise StoreError(f"{len(found.missing):,} of its ticks are not stored, {symbol} {seq} first")
            if found.beside:
                conflicts += len(found.beside)
                await self._keep(number, found.beside, {})
            self._stats.importing_checked += found.taken

    def _next_lot(self, rows: Iterator[SourceRow], source: Source, number: int, result: Imported) -> _Lot | None:
        """Runs in a thread: the next rows that our file does not have."""
        found = self._compared(list(islice(rows, _BATCH_ROWS)), source, number, result)
        if found is None:
            return None
        beside, lot = found
        # The file itself may have a row twice, or two ticks with one key: the first of them is stored.
        result.stored += len({tick[:2] for tick in lot.missing})
        return _Lot(lot.missing, [*beside, *lot.beside], lot.taken)

    def _compare(self, rows: Iterator[SourceRow], source: Source, number: int) -> _Lot | None:
        """Runs in a thread: of the next rows, those that are missing in our file."""
        found = self._compared(list(islice(rows, _CHECKED_ROWS)), source, number, Imported(""))
        return None if found is None else found[1]

    def _compared(
        self, taken: list[SourceRow], source: Source, number: int, result: Imported
    ) -> tuple[list[BesideRow], _Lot] | None:
        """The rows that are not ticks, and what our file lacks; None for no rows."""
        if not taken:
            return None
        ticks, beside = sorted_out(taken, source, number, result)
        try:
            with DayReader(path_of(self._data_root, market.day_name(number))) as reader:
                missing, differing = reader.compare(ticks)
        except NoDayError:  # the first commit creates it
            return beside, _Lot(ticks, [], len(taken))
        return beside, _Lot(missing, conflicting(taken, source, number, differing), len(taken))


def _refuse_sealed(ours: Path) -> None:
    try:
        with DayReader(ours) as reader:
            if reader.is_sealed():
                raise StoreError(f"{ours.name} is sealed: no ticks can be added to a finished day")
    except NoDayError:
        return


def _give_last_name(path: Path) -> Path:
    kept = foreign.imported_path(path)
    with foreign.names_held(path.parent, _NAMES_HELD_S):
        foreign.keep(path, kept)
    return kept

"""The open day files: opened when a tick or a new day needs them, closed, sealed, and set aside when damaged.

Enters: day numbers. Leaves: DayFiles to write to. Only the writer thread uses this module, except for `interrupt`.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.errors import (
    DamagedFileError,
    ForeignFileError,
    PredecessorFileError,
    SealedDayError,
    StoreError,
)
from hk_tick_collector.store.dayfile import Batch, DayFile, Ledger
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose
from hk_tick_collector.store.foreign import keep, kept_path, names_held
from hk_tick_collector.store.opening import set_aside
from hk_tick_collector.store.query import path_of, sealed_early

from .day_faults import OF_RIGHTS, concerns_one_file, is_finished, refuse_predecessors
from .sealing import Sealing
from .waiting_rules import WaitingRules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.collect.opend_state import ExchangeClock
    from hk_tick_collector.collect.options import WriterOptions
    from hk_tick_collector.stats import Stats
    from hk_tick_collector.store.dayfile import StoreOptions

# Most open files, three descriptors each: today's, yesterday's, and those of ticks with other dates.
MOST_FILES: Final = 4
_IDLE_FILE_MS: Final = 10 * 60_000  # the file of another day is closed, as a plain file, this long after its last tick
_OTHERS_BUSY_MS: Final = 100  # how long to wait for a lock on another day's file; today's ticks wait too
_NAMES_HELD_S: Final = 1.0  # how long to wait for an import that is renaming files, which takes milliseconds
_LEAVE_ALONE: Final = "copy day files, never move or remove one that is being written"
_AHEAD_MS: Final = 2 * 3_600_000  # how far this host's clock may be behind the exchange's


class OpenDays:
    """The files of the writer, by day number.

    `on_fresh` is called with a day whose file was damaged and set aside, or removed, so that a new one is created.
    `known` has the ledger of each day after its last known commit. After an error, the file may have one commit more.
    """

    def __init__(
        self, options: WriterOptions, stats: Stats, clock: ExchangeClock, on_fresh: Callable[[int], None]
    ) -> None:
        self.known: dict[int, Ledger] = {}
        self._options = options
        self._stats = stats
        self._clock = clock
        self._now_ms = clock.now_ms
        self._newest_day, self._newest_ts_ms = "", 0  # of the open days, without a day that has not begun
        self.on_fresh = on_fresh
        self._files: dict[int, DayFile] = {}  # in order of last use
        self._rules = WaitingRules()
        self._used_ms: dict[int, int] = {}  # of open files, and of closed ones that are not plain files yet
        self._logged_open: set[int] = set()  # days logged as opened, and not as closed
        self.sealing = Sealing(self, stats, options.data_root, clock.now_ms)

    def __contains__(self, day: int) -> bool:
        return day in self._files

    def current(self) -> int:
        """Today, by OpenD's clock if it is known, else by this host's clock."""
        return self._clock.today()

    def home(self) -> int | None:
        """The day whose file gets connections and counts that come without ticks: today, or the latest open day."""
        current = self.current()
        return current if current in self._files else max(self._files, default=None)

    def is_alone(self, day: int, error: Exception, attempt: int) -> bool:
        """Whether an error affects only the file of this day, so that other days need not wait.

        `attempt` counts from 1.
        """
        path = path_of(self._options.data_root, market.day_name(day))
        return concerns_one_file(error, path, is_today=day == self.current(), attempt=attempt)

    def file(self, day: int) -> DayFile:
        """The file of a day, opened or created if necessary. Raises the errors of DayFile, except DamagedFileError: a
        damaged file is replaced by a new one.
        """
        self.sealing.stop_for(day)
        file = self._files.get(day)
        if file is not None and not file.in_place():
            self._lose(day)
            file = None
        if file is None:
            name = market.day_name(day)
            path = path_of(self._options.data_root, name)
            _clear_place(path, name, self._now_ms())
            try:
                file = self._open_ours(path, name)
            except PredecessorFileError:
                _keep_predecessors(path, name, self._now_ms())
                file = self._open(path, name)
            except DamagedFileError as error:
                self._set_aside(day, path, error)
                file = self._open(path, name)
            self._make_place(day)
            self._files[day] = file
            self._rules.give(day, file)
            self.known.setdefault(day, file.ledger)
            self.touch(day)
            say = log.debug if day in self._logged_open else log.info  # a held day is opened again at each retry
            self._logged_open.add(day)
            say("day_opened", day=name, newest_ts_ms=file.newest_ts_ms, path=path)
        self._files[day] = self._files.pop(day)
        return file

    def forget_use(self, day: int) -> None:
        """The file of a day is a plain file now and needs no further work."""
        self._used_ms.pop(day, None)
        self._rules.forget(day)

    def touch(self, day: int) -> None:
        """Records the use of a day's file, and its figures."""
        stats, file, name = self._stats, self._files[day], market.day_name(day)
        now_ms = self._used_ms[day] = self._now_ms()
        if day == self.home():
            stats.wal_bytes = file.wal_bytes()
        if day > market.day_number(max(now_ms, self._clock.opend_ms or 0) + _AHEAD_MS):
            return  # a tick dated tomorrow is stored, but does not count for these figures
        if self._is_too_early(day):
            return
        if name >= self._newest_day or self._is_too_early(market.parse_day(self._newest_day)):
            self._newest_day = stats.newest_day = name
            stats.gaps_open, stats.gaps_missing = file.gaps_open, file.gaps_missing
        self._newest_ts_ms = max(self._newest_ts_ms, file.newest_ts_ms)
        stats.newest_ts_ms = self._newest_ts_ms or None

    def _is_too_early(self, day: int) -> bool:
        """Whether this host's clock caused a file to be created too early: it has no tick, and by OpenD's clock its day
        has not begun.
        """
        file, opend_ms = self._files.get(day), self._clock.opend_ms
        has_ticks = file is not None and file.newest_ts_ms
        return opend_ms is not None and day > market.day_number(opend_ms + _AHEAD_MS) and not has_ticks

    def abandon(self, day: int) -> None:
        """Closes a file after an error that can make its connection unusable; the next use opens it again."""
        file = self._files.pop(day, None)
        if file is not None:
            self._rules.keep(day, file)
            file.abandon()

    def close_gone(self) -> list[int]:
        """Closes the files that were removed or moved meanwhile, and returns their days."""
        gone = []
        for day in [day for day, file in self._files.items() if not file.in_place()]:
            try:
                self._lose(day)
            except (
                OSError
            ) as error:  # another file is in its place and cannot be moved: the next tick of that day handles it
                log.warning("day_close_failed", day=market.day_name(day), detail=error)
                self._forget(day)
            gone.append(day)
        return gone

    def interrupt(self) -> None:
        """Interrupts the SQLite call in which the writer thread may be blocked. Any thread may call it."""
        for file in list(self._files.values()):
            file.interrupt()

    def close_idle(self) -> None:
        """Closes one file of another day, and makes it plain, if it has had no tick for ten minutes."""
        now_ms, current = self._now_ms(), self.current()
        idle = (day for day, used in self._used_ms.items() if day != current and now_ms - used > _IDLE_FILE_MS)
        day = next(idle, None)
        if day is not None:
            self._make_plain(day)

    def close_all(self, until: Callable[[], bool] = lambda: False) -> None:
        """Closes every file. Also makes files plain that were closed without that; stops when `until` returns true."""
        self.sealing.stop()
        for day in list(self._files):
            self.close(day)
        for day in list(self._used_ms):
            if until():
                return
            self._make_plain(day)

    def _open_ours(self, path: Path, name: str) -> DayFile:
        """Like `_open`, but if the file may not be written, the error says whose file it is."""
        try:
            return self._open(path, name)
        except SealedDayError as error:
            if not is_finished(path):
                raise StoreError(f"{name}.db is read-only, though nobody sealed it") from PermissionError(
                    errno.EACCES, "may not be written"
                )
            if market.parse_day(name) >= self.current():
                raise sealed_early(path) from None
            raise error from None
        except DISK_ERRORS as error:
            if diagnose(error)[0] in OF_RIGHTS:
                refuse_predecessors(path)
            raise

    def _open(self, path: Path, name: str) -> DayFile:
        options, store = self._options, self.options_of(market.parse_day(name))
        return DayFile(path, name, options.run_id, self._now_ms(), options.version, store)

    def options_of(self, day: int) -> StoreOptions:
        """The SQLite options for the file of a day."""
        store = self._options.store
        if day == self.current():
            return store
        return replace(store, busy_timeout_ms=min(store.busy_timeout_ms, _OTHERS_BUSY_MS))

    def _set_aside(self, day: int, path: Path, error: DamagedFileError) -> None:
        """Renames a damaged file. OpenD is then asked for its ticks again."""
        target = set_aside(path, self._now_ms())
        self._rules.forget(day)
        self.known.pop(day, None)  # the ledger of the damaged file stays in it
        self._stats.damaged_files.append(str(target))
        log.error("day_set_aside", day=market.day_name(day), cause=error, kept_as=target, hint="docs/sqlite-wal.md")
        self.on_fresh(day)

    def _lose(self, day: int) -> None:
        """Handles a file that was removed, moved or replaced. Rows written to it now would be lost, so it is closed.

        A file in its place is renamed, because SQLite must not apply the WAL of the old file to it.
        """
        path = path_of(self._options.data_root, market.day_name(day))
        kept_as = set_aside(path, self._now_ms()) if path.exists() else "none"
        self._forget(day)
        self._stats.gone_files.append(str(path))
        log.error("day_file_gone", day=market.day_name(day), path=path, in_its_place=kept_as, hint=_LEAVE_ALONE)
        self.on_fresh(day)

    def _make_place(self, day: int) -> None:
        """Closes the least recently used files while too many are open. They are not made plain files, because they may
        soon be used again. Today's file and the file to be opened stay open.
        """
        current = self.current()
        while len(self._files) >= MOST_FILES:
            oldest = next((other for other in self._files if other not in (current, day)), None)
            if oldest is None:
                return
            self.abandon(oldest)

    def _forget(self, day: int) -> None:
        self.abandon(day)
        self._rules.forget(day)
        self._logged_open.discard(day)
        self._used_ms.pop(day, None)
        self.known.pop(day, None)

    def _make_plain(self, day: int) -> None:
        """Makes a file a plain one: opens it if it is closed, and closes it properly."""
        path = path_of(self._options.data_root, market.day_name(day))
        try:
            if day not in self._files and path.exists():
                self.file(day)
        except DISK_ERRORS as error:
            log.warning("day_close_failed", day=market.day_name(day), detail=error)
        self.close(day)

    def close(self, day: int) -> None:
        """Closes a file if it is open. It becomes a plain file if no reader has it open."""
        file = self._files.get(day)
        try:
            if file is not None and not file.in_place():
                self._lose(day)
                return
            self._used_ms.pop(day, None)
            self._files.pop(day, None)
            if file is None:
                return
            if file.ledger.waiting:
                is_known = self.known.get(day) == file.ledger  # otherwise an earlier commit is still uncertain
                file.write(Batch(), self._now_ms())  # sets the ledger's `waiting` to 0
                if is_known:
                    self.known[day] = file.ledger
            self._rules.keep(day, file)
            plain = file.close()
        except DISK_ERRORS as error:
            if file is not None:
                self._rules.keep(day, file)
            log.warning("day_close_failed", day=market.day_name(day), detail=error)
        else:
            self._logged_open.discard(day)
            log.info("day_closed", day=market.day_name(day), plain=plain)


def _clear_place(path: Path, name: str, now_ms: int) -> None:
    """Renames a WAL whose file was moved away without it: SQLite would apply it to the new file.

    Raises ForeignFileError if the path is a symbolic link without a target, which a new file would replace.
    """
    if path.exists():
        return
    if path.is_symlink():
        raise ForeignFileError(f"{path} is a symbolic link to {path.readlink()}, which does not exist")
    if path.with_name(f"{path.name}-wal").exists():
        target = set_aside(path, now_ms)
        log.warning("day_set_aside", day=name, cause="a write-ahead log without its file", kept_as=f"{target}-wal")


def _keep_predecessors(path: Path, name: str, now_ms: int) -> None:
    """Renames the predecessor's file. PredecessorDays later adds its ticks to the new file."""
    with names_held(path.parent, _NAMES_HELD_S):
        try:
            refuse_predecessors(path)
        except PredecessorFileError:
            kept = kept_path(path, now_ms, waiting=True)
            keep(path, kept)
            log.warning("predecessor_set_aside", day=name, kept_as=kept)

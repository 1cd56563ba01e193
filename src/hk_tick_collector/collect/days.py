"""The day files that are open now: opened when a tick or a new day asks for them, closed, sealed and set aside.

Enters: days. Leaves: DayFiles to write to. For the writer's thread alone, but for `interrupt`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.errors import DamagedFileError
from hk_tick_collector.store.dayfile import Batch, DayFile, Ledger, seal
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.opening import set_aside
from hk_tick_collector.store.query import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hk_tick_collector.model import Stats

    from .options import WriterOptions

_IDLE_FILE_MS: Final = 10 * 60_000  # a file of another day is closed after so long without a tick
_SEAL_AGAIN_S: Final = 60.0
_LEAVE_ALONE: Final = "copy day files, never move or remove one that is being written"
_AHEAD_MS: Final = 2 * 3_600_000  # how far this host's clock may be behind the exchange's


class OpenDays:
    """The files of the writer, by day number.

    `on_fresh` is called with a day whose file was damaged and set aside, or taken away, so that a fresh one is begun.
    `known` holds what is known to be committed in each day: a file that is opened anew after an error may turn out to
    have more.
    """

    def __init__(
        self, options: WriterOptions, stats: Stats, now_ms: Callable[[], int], on_fresh: Callable[[int], None]
    ) -> None:
        self.known: dict[int, Ledger] = {}
        self._options = options
        self._stats = stats
        self._now_ms = now_ms
        self._on_fresh = on_fresh
        self._files: dict[int, DayFile] = {}
        self._used_ms: dict[int, int] = {}
        self._seal_at_s = 0.0

    def __contains__(self, day: int) -> bool:
        return day in self._files

    def newest(self) -> int | None:
        """The latest day that is open, None while none is."""
        return max(self._files, default=None)

    def file(self, day: int) -> DayFile:
        """The file of a day, opened or made when it must be. Raises what DayFile raises, but for damage: that is dealt
        with, by a fresh file."""
        file = self._files.get(day)
        if file is not None and not file.in_place():
            self._lose(day)
            file = None
        if file is None:
            name = market.day_name(day)
            path = path_of(self._options.data_root, name)
            try:
                file = self._open(path, name)
            except DamagedFileError as error:
                self._set_aside(day, path, error)
                file = self._open(path, name)
            self._files[day] = file
            self.known.setdefault(day, file.ledger)
            self.touch(day)
            log.info("day_opened", day=name, newest_ts_ms=file.newest_ts_ms, path=path)
        return file

    def touch(self, day: int) -> None:
        """Notes that a day's file is in use, and what it holds."""
        stats, file, name = self._stats, self._files[day], market.day_name(day)
        now_ms = self._used_ms[day] = self._now_ms()
        stats.wal_bytes = file.wal_bytes()
        if day > market.day_number(max(now_ms, stats.opend_time_ms or 0) + _AHEAD_MS):
            return  # a tick with the date of tomorrow is kept, but nothing is judged by it
        if self._is_too_early(day):
            return
        if name >= stats.newest_day or self._is_too_early(market.parse_day(stats.newest_day)):
            stats.newest_day = name
            stats.gaps_open, stats.gaps_missing = file.gaps_open, file.gaps_missing
        if file.newest_ts_ms:
            stats.newest_ts_ms = max(stats.newest_ts_ms or 0, file.newest_ts_ms)

    def _is_too_early(self, day: int) -> bool:
        """Whether a day has no tick, and by OpenD's word has not begun: this host's clock had its file made."""
        file, opend_ms = self._files.get(day), self._stats.opend_time_ms
        has_ticks = file is not None and file.newest_ts_ms
        return opend_ms is not None and day > market.day_number(opend_ms + _AHEAD_MS) and not has_ticks

    def abandon(self, day: int) -> None:
        """Lets go of a file after an error that its connection may not survive; the next use opens it anew."""
        file = self._files.pop(day, None)
        if file is not None:
            file.abandon()

    def take_gone(self) -> list[int]:
        """Lets go of files that somebody took away meanwhile, and returns their days."""
        gone = [day for day, file in self._files.items() if not file.in_place()]
        for day in gone:
            self._lose(day)
        return gone

    def interrupt(self) -> None:
        """Ends the SQLite call that the writer's thread may be stuck in. For any thread."""
        for file in list(self._files.values()):
            file.interrupt()

    def close_idle(self) -> None:
        """Closes the files of other days that take no more ticks."""
        now_ms = self._now_ms()
        today = market.day_number(now_ms)
        self._close([day for day, used in self._used_ms.items() if day < today and now_ms - used > _IDLE_FILE_MS])

    def close_all(self) -> None:
        """Closes every file."""
        self._close(list(self._files))

    def seal_before(self, limit: int) -> None:
        """Seals every day before `limit` that is still writable, now and then. A reader that holds one delays it."""
        if time.monotonic() < self._seal_at_s:
            return
        self._seal_at_s = time.monotonic() + _SEAL_AGAIN_S
        for path in sorted(self._options.data_root.glob("[0-9]" * 8 + ".db")):
            try:
                day = market.parse_day(path.stem)
                if day >= limit or not path.stat().st_mode & 0o200:
                    continue
                self._close([day])
                sealed = seal(path, self._now_ms(), self._options.store)
            except ValueError:
                continue  # a name that only looks like a day
            except DISK_ERRORS as error:
                log.error("day_seal_failed", file=path.name, detail=error)
            else:
                if sealed:
                    log.info("day_sealed", day=path.stem)

    def _open(self, path: Path, name: str) -> DayFile:
        options = self._options
        return DayFile(path, name, options.run_id, self._now_ms(), options.version, options.store)

    def _set_aside(self, day: int, path: Path, error: DamagedFileError) -> None:
        """A damaged file is kept under a new name; what it held is asked of OpenD again."""
        target = set_aside(path, self._now_ms())
        self.known.pop(day, None)  # the account of the damaged file stays with it
        self._stats.damaged_files.append(str(target))
        log.error("day_set_aside", day=market.day_name(day), cause=error, kept_as=target, hint="docs/sqlite-wal.md")
        self._on_fresh(day)

    def _lose(self, day: int) -> None:
        """A file that was removed, moved or replaced: nobody would find what is written to it from now on.

        What stands in its place is kept under a new name: it must not meet the WAL of the one that is gone.
        """
        path = path_of(self._options.data_root, market.day_name(day))
        kept_as = set_aside(path, self._now_ms()) if path.exists() else "none"
        self.abandon(day)
        self._used_ms.pop(day, None)
        self.known.pop(day, None)
        self._stats.gone_files.append(str(path))
        log.error("day_file_gone", day=market.day_name(day), path=path, in_its_place=kept_as, hint=_LEAVE_ALONE)
        self._on_fresh(day)

    def _close(self, days: Iterable[int]) -> None:
        for day in days:
            file = self._files.get(day)
            if file is not None and not file.in_place():
                self._lose(day)
                continue
            self._used_ms.pop(day, None)
            self._files.pop(day, None)
            if file is None:
                continue
            try:
                if file.ledger.waiting:
                    file.write(Batch(), self._now_ms())  # what waits behind it is not for this file
                plain = file.close()
            except DISK_ERRORS as error:
                log.warning("day_close_failed", day=market.day_name(day), detail=error)
            else:
                log.info("day_closed", day=market.day_name(day), plain=plain)

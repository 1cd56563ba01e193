"""Seals finished days: finds them, checks them in another thread, and makes each one plain read-only file.

Enters: the day before which days are finished. Leaves: sealed files; the reasons why a file is not sealed, in Stats and
the log. Only the writer thread uses this module.
"""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING, Final, Protocol

from hk_tick_collector import log, market
from hk_tick_collector.errors import PredecessorFileError
from hk_tick_collector.store.dayfile import seal
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.foreign import list_waiting

from .day_check import DayCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from hk_tick_collector.stats import Stats
    from hk_tick_collector.store.dayfile import StoreOptions


_SEAL_AGAIN_S: Final = 60.0
_SHORT_CHECK_S: Final = 0.02  # how long to wait for a check at once; enough for a small file
_SEAL_FAILED_LOG_S: Final = 3600.0  # between log lines about a file that cannot be sealed for the same reason


class Days(Protocol):
    """The methods of OpenDays that sealing needs."""

    def close(self, day: int) -> None:
        """Closes the file of a day if it is open."""

    def options_of(self, day: int) -> StoreOptions:
        """The SQLite options for the file of a day."""

    def forget_use(self, day: int) -> None:
        """The file of a day is a plain file now and needs no further work."""


class Sealing:
    """Seals one day after the other. `now_ms` is the wall clock in UTC epoch ms."""

    def __init__(self, days: Days, stats: Stats, data_root: Path, now_ms: Callable[[], int]) -> None:
        self._days = days
        self._stats = stats
        self._data_root = data_root
        self._now_ms = now_ms
        self._seal_at_s = 0.0
        self._to_seal: list[Path] = []
        self._check: DayCheck | None = None  # of the next file to seal
        self._not_imported: set[int] = set()  # days whose ticks of the predecessor are not imported yet
        self._not_sealed: dict[str, str] = {}  # name of a file that should be sealed → why it is not
        self._predecessor_days: set[str] = set()  # names of earlier days whose file is the predecessor's
        self._last_predecessor_days: set[str] = set()  # and those of the last pass
        self._seal_failures: dict[str, log.Repeated] = {}  # by the name of the file and the cause

    def before(self, limit: int, held: Collection[int] = ()) -> bool:
        """Seals one writable day before `limit`. Returns whether to call again at once for further days.

        All files are searched once a minute and handled one after the other. A check runs in another thread. A day is
        sealed later if a reader has its file open, or if ticks wait for it (`held`).
        """
        if self._check is not None:
            if not self._check.done():
                return False
            self._end_sealing(limit, held)
            return self._has_more()
        if not self._to_seal:
            if time.monotonic() < self._seal_at_s:
                return False
            self._seal_at_s = time.monotonic() + _SEAL_AGAIN_S
            try:
                self._to_seal = sorted(self._data_root.glob("[0-9]" * 8 + ".db"), reverse=True)
                self._not_imported = {_day_of(kept) for kept in list_waiting(self._data_root)}
            except OSError as error:
                log.error("day_seal_failed", file="all", repeats=0, detail=error)
                return False
            self._last_predecessor_days, self._predecessor_days = self._predecessor_days, set()
            there = {path.name for path in self._to_seal}
            self._not_sealed = {name: why for name, why in self._not_sealed.items() if name in there}
            self._stats.not_sealed = dict(self._not_sealed)
        while self._to_seal:
            path = self._to_seal.pop()
            try:
                day = market.parse_day(path.stem)
                if day >= limit or day in held or day in self._not_imported or not path.stat().st_mode & stat.S_IWUSR:
                    self._note_sealing(path.name)
                    continue
                self._days.close(day)
            except ValueError:
                continue  # the name is not a date
            except DISK_ERRORS as error:
                self._note_sealing(path.name, error)
                break
            self._check = DayCheck(path, day, self._days.options_of(day))
            if self._check.done(_SHORT_CHECK_S):
                self._end_sealing(limit, held)
            break
        return self._has_more()

    def _has_more(self) -> bool:
        """Whether further files can be handled at once. After the last one, publishes what was found."""
        if self._check is None and not self._to_seal:
            self._stats.predecessor_days = sorted(self._predecessor_days)
        return bool(self._to_seal) and self._check is None

    def _end_sealing(self, limit: int, held: Collection[int]) -> None:
        """Seals a day whose check has ended."""
        check, self._check = self._check, None
        if check is None or check.day >= limit or check.day in held:
            return
        path, error, sealed = check.path, check.error, False
        if error is None and check.passed:
            try:
                sealed = seal(path, self._now_ms(), self._days.options_of(check.day), checked=True)
            except DISK_ERRORS as fault:
                error = fault
        if isinstance(error, PredecessorFileError):
            self._predecessor_days.add(path.stem)
            if path.stem not in self._last_predecessor_days:  # those of the last pass are kept until this one ends
                self._stats.predecessor_days = sorted(self._predecessor_days | self._last_predecessor_days)
            error = None
        self._note_sealing(path.name, error)
        if sealed:
            self._days.forget_use(check.day)
            log.info("day_sealed", day=path.stem)

    def stop_for(self, day: int) -> None:
        """Cancels the check of a day because a late tick changes its file."""
        if self._check is not None and self._check.day == day:
            self.stop()

    def stop(self) -> None:
        """Cancels the running check."""
        check, self._check = self._check, None
        if check is not None:
            check.cancel()

    def _note_sealing(self, name: str, error: Exception | None = None) -> None:
        """Records why a file is not sealed, for `status` and the log; without an error, removes the record."""
        if error is None:
            if self._not_sealed.pop(name, None) is not None:
                self._stats.not_sealed = dict(self._not_sealed)
                self._seal_failures.pop(name, None)
            return
        why = str(error)
        if self._not_sealed.get(name) != why:
            self._not_sealed[name] = why
            self._stats.not_sealed = dict(self._not_sealed)
            self._seal_failures[name] = log.Repeated(_SEAL_FAILED_LOG_S)
        held_back = self._seal_failures[name].allow(time.monotonic())
        if held_back is not None:
            log.error("day_seal_failed", file=name, repeats=held_back, detail=error)


def _day_of(kept: Path) -> int:
    """The day of a set-aside file of the predecessor; -1 if its name does not begin with a date."""
    try:
        return market.parse_day(kept.name[:8])
    except ValueError:
        return -1

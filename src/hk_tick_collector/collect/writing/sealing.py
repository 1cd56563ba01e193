"""Finished days are sealed: found, checked beside the writer's work, and made one plain file that nobody may write.

Enters: the day before which days are over. Leaves: sealed files; in Stats and the log what keeps one from it. For the
writer's thread alone.
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
_SHORT_CHECK_S: Final = 0.02  # the check of a small file is waited for
_SEAL_FAILED_LOG_S: Final = 3600.0  # a file that cannot be sealed is told so often, and when its cause changes


class Days(Protocol):
    """The day files of the writer, as far as sealing needs them."""

    def close(self, day: int) -> None:
        """Closes the file of a day, where it is open."""

    def options_of(self, day: int) -> StoreOptions:
        """How SQLite is to be used for the file of a day."""

    def forget_use(self, day: int) -> None:
        """Forgets when the file of a day was last used."""


class Sealing:
    """One day after the other. `now_ms` is the wall clock in UTC epoch ms."""

    def __init__(self, days: Days, stats: Stats, data_root: Path, now_ms: Callable[[], int]) -> None:
        self._days = days
        self._stats = stats
        self._data_root = data_root
        self._now_ms = now_ms
        self._seal_at_s = 0.0
        self._to_seal: list[Path] = []
        self._check: DayCheck | None = None  # of the file that is sealed next
        self._not_imported: set[int] = set()  # days to which ticks of the predecessor are still to be added
        self._not_sealed: dict[str, str] = {}  # the name of a file that should be sealed → why it is not
        self._predecessor_days: set[str] = set()  # names of earlier days whose file is the predecessor's
        self._seal_failures: dict[str, log.Repeated] = {}  # by the name of the file and the cause

    def before(self, limit: int, held: Collection[int] = ()) -> bool:
        """Seals one day before `limit` that is still writable; whether there are more to do at once.

        All are looked at now and then, one after the other; the check of one goes on beside the writer's work. A reader
        that holds one delays it, and so do ticks that wait for it, in `held`.
        """
        if self._check is not None:
            if not self._check.done():
                return False
            self._end_sealing(limit, held)
            return bool(self._to_seal)
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
            self._predecessor_days = set()
            self._stats.predecessor_days = []
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
                continue  # a name that only looks like a day
            except DISK_ERRORS as error:
                self._note_sealing(path.name, error)
                break
            self._check = DayCheck(path, day, self._days.options_of(day))
            if self._check.done(_SHORT_CHECK_S):
                self._end_sealing(limit, held)
            break
        return bool(self._to_seal) and self._check is None

    def _end_sealing(self, limit: int, held: Collection[int]) -> None:
        """Seals a day whose check has ended, which takes moments."""
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
            self._stats.predecessor_days = sorted(self._predecessor_days)
            error = None
        self._note_sealing(path.name, error)
        if sealed:
            self._days.forget_use(check.day)
            log.info("day_sealed", day=path.stem)

    def stop_for(self, day: int) -> None:
        """A late tick: what was checked is not what would be sealed."""
        if self._check is not None and self._check.day == day:
            self.stop()

    def stop(self) -> None:
        """Ends the check that is under way."""
        check, self._check = self._check, None
        if check is not None:
            check.cancel()

    def _note_sealing(self, name: str, error: Exception | None = None) -> None:
        """What keeps a file from being sealed: for `status` while it lasts, and in the log now and then."""
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
    """The day of a file of the predecessor that was set aside; -1 for a name that only looks like one."""
    try:
        return market.parse_day(kept.name[:8])
    except ValueError:
        return -1

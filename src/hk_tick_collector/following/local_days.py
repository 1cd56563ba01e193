"""The days of a directory of day files, and of an archive, as they are followed: one after the other, then live.

A day is followed until it is sealed. So two days are followed for some hours after midnight, and a tick with tomorrow's
date does not end today. A backlog is read in the order of days.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.data import days as data_days
from hk_tick_collector.data.ranges import DayRange
from hk_tick_collector.errors import NoDayError, StoreError
from hk_tick_collector.store.query import list_days, path_of

from .archived_day import ArchivedDay
from .bound import Bound
from .day import Day
from .position import Position
from .watched_file import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Set
    from pathlib import Path

    from hk_tick_collector.store.file_identity import Identity

    from .found import Found

_AT_ONCE: Final = 4  # days followed at once; each look reads every one of them
_SETTLED_NS: Final = 2_000_000_000  # file systems of other hosts have steps of up to 2 s
_QUIET_MS: Final = 60_000  # a day that is over and was not written for so long gets no more ticks


class StreamWarning(UserWarning):
    """Something that a stream leaves out, and why."""


class LocalDays:
    """`only`: the stream is of this day alone, and ends with it. Raises NoDayError if a day of the position is gone."""

    def __init__(self, data_root: Path | None, archive: Path | None, position: Position, *, only: int | None) -> None:
        self.symbols = position.symbols
        self._data_root = data_root
        self._archive = archive
        self._bound = position.bound
        self._known = dict(position.days)
        self._only = only
        self._days: dict[int, Day | ArchivedDay] = {}
        self._files: set[int] = set()  # the days of data_root
        self._archived: dict[int, data_days.Source] = {}
        self._refused: dict[int, tuple[Identity | None, Day | ArchivedDay]] = {}  # until another file is there
        self._listed_ns: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether a file changed within the last second."""
        return any(day.is_active for day in self._days.values())

    @property
    def is_finished(self) -> bool:
        """Whether the only day is over, and everything of it was delivered."""
        return self._only is not None and self._bound.day > self._only

    @property
    def position(self) -> Position:
        """What was delivered. Days without a delivered tick or a told gap are those that begin at the bound."""
        refused = {number: day for number, (_, day) in self._refused.items() if day.delivered}
        days = {number: day.position for number, day in (refused | self._days).items()}
        return Position(self.symbols, self._bound._replace(only_new=False), {**self._known, **days})

    def begin(self) -> None:
        """Finds the first days, and takes note of what is stored if only new ticks are wanted."""
        if self._data_root is not None and self._archive is None and not self._data_root.is_dir():
            raise StoreError(f"there is no directory {self._data_root}", hint="check DATA_ROOT, or the directory given")
        self._list_files()
        self._archived = self._find_archived()
        self._open_days()
        self._demand_known()
        if self._only is not None and self._only not in self._days and self._is_over(self._only):
            raise data_days.no_day(self._data_root, self._archive, DayRange(self._only, self._only))
        if self._bound.only_new:
            for number in list(self._days):
                self._look_at(number)  # nothing is delivered: it only notes what is stored
            self._bound = self._bound._replace(only_new=False)
            self._pass_on()

    def looks(self) -> Iterator[tuple[Day | ArchivedDay, int, Found] | None]:
        """What is found, day by day, each to be delivered at once; None if there is nothing new now."""
        while not self.is_finished:
            is_new = False
            self._follow_files()
            for number in list(self._days):
                found = self._look_at(number)
                if found is not None:
                    is_new = True
                    yield self._days[number], number, found
                day = self._days.get(number)
                if day is not None and (day.has_more or day.is_failing_briefly):
                    is_new = is_new or not day.is_failing
                    break  # first the backlog of this day
            self._pass_on()
            self._follow_files()
            if not is_new and not self.is_finished:
                yield None

    def close(self) -> None:
        """Closes all files."""
        for day in self._days.values():
            day.close()

    def _look_at(self, number: int) -> Found | None:
        try:
            return self._days[number].look()
        except StoreError as error:
            if number == min(self._days):
                raise
            self._leave_out(number, error.one_line())
            return None

    def _leave_out(self, number: int, why: str) -> None:
        """Continues without a day that cannot be read, until its file is replaced."""
        warnings.warn(f"{why}; {market.day_name(number)} is left out", StreamWarning, stacklevel=3)
        day = self._days.pop(number)
        day.close()
        self._listed_ns = None
        self._refused[number] = self._identity(number), day
        self._archived.pop(number, None)

    def _identity(self, number: int) -> Identity | None:
        return None if self._data_root is None else identity_of(path_of(self._data_root, market.day_name(number)))

    def _find_archived(self) -> dict[int, data_days.Source]:
        """The archived days from the bound on. Only days of the past are archived; later ones: `_find_freed`."""
        if self._archive is None or self._bound.only_new:
            return {}
        wanted = DayRange(self._bound.day, self._only)
        return {source.day: source for source in data_days.find(None, self._archive, wanted)}

    def _find_freed(self, numbers: Set[int]) -> None:
        """Looks up days in the archive whose files were there when the stream began."""
        for number in numbers if self._archive is not None else ():
            for source in data_days.find(None, self._archive, DayRange(number, number)):
                self._archived[number] = source

    def _list_files(self) -> bool:
        """Lists the day files, if any came or went since; returns whether it did."""
        if self._data_root is None:
            return self._listed_ns is None
        try:
            changed_ns = self._data_root.stat().st_mtime_ns
        except FileNotFoundError:
            return self._listed_ns is None
        except OSError as error:
            raise StoreError(f"cannot access {self._data_root} ({error.strerror})", hint="check its rights") from error
        if changed_ns == self._listed_ns:
            return False
        # The clock of files has steps: what comes within the same step would not show.
        self._listed_ns = changed_ns if abs(time.time_ns() - changed_ns) >= _SETTLED_NS else None
        before, self._files = self._files, set(map(market.parse_day, list_days(self._data_root)))
        self._find_freed({number for number in before - self._files if number >= self._bound.day})
        return True

    def _follow_files(self) -> None:
        """Begins days whose files are new; continues in the archive with days whose files were freed."""
        if not self._list_files():
            return
        for number in self._days.keys() & self._archived.keys() - self._files:
            day = self._days[number]
            if isinstance(day, Day) and not day.is_finished:
                day.close()
                self._days[number] = ArchivedDay(self._archived[number], day.bound, self.symbols, day.position)
        self._open_days()

    def _open_days(self) -> None:
        """Begins with the next days, the earliest first; a day file is preferred to the archive."""
        last = self._only if self._only is not None else 2**31
        for number in sorted(self._files | self._archived.keys()):
            if not self._bound.day <= number <= last or number in self._days or self._is_refused(number):
                continue
            if len(self._days) >= _AT_ONCE:
                break  # the others once there is room
            self._days[number] = self._day(number)
        self._days = dict(sorted(self._days.items()))

    def _day(self, number: int) -> Day | ArchivedDay:
        bound, known = self._bound.on(number), self._known.pop(number, None)
        if number in self._refused:
            _, refused = self._refused.pop(number)
            if isinstance(refused, Day):
                return refused  # it knows what was delivered, and notices that its file is another one
            known = refused.position
        if self._data_root is not None and number in self._files:
            return Day(path_of(self._data_root, market.day_name(number)), bound, self.symbols, known)
        return ArchivedDay(self._archived[number], bound, self.symbols, known)

    def _is_refused(self, number: int) -> bool:
        """Whether the day could not be read, and its file is still the same."""
        if number not in self._refused:
            return False
        there, _ = self._refused[number]
        return number not in self._files or there == self._identity(number)

    def _demand_known(self) -> None:
        for number, day in self._known.items():
            if day.delivered and number not in self._days and len(self._days) < _AT_ONCE:
                name = market.day_name(number)
                raise NoDayError(
                    f"the position is in {name}, and there is no file of that day",
                    hint=f'hk-tick-collector restore --day {name}, or begin anew with start="day"',
                )

    def _pass_on(self) -> None:
        """Removes the first days that are finished from those that are followed."""
        while self._days:
            number = min(self._days)
            day = self._days[number]
            if day.has_more or day.is_failing:  # after a failed look nothing says that the day has no more
                return
            if not (day.is_finished or (self._may_leave(number) and self._is_over(number))):
                return
            if isinstance(day, Day) and not day.is_finished and self._identity(number) is None:
                words = f"the file of {market.day_name(number)} is gone, and so is what was not delivered of it"
                warnings.warn(words, StreamWarning, stacklevel=2)
            day.close()
            del self._days[number]
            self._bound = Bound(number + 1)
            self._listed_ns = None

    def _may_leave(self, number: int) -> bool:
        """Whether something comes after the day: a later one, or the end of the stream."""
        return number == self._only or len(self._days) > 1

    def _is_over(self, number: int) -> bool:
        """Whether a day that was never sealed gets no more ticks: by the clock, and because nobody writes to its file.

        A collector that has the file open has a WAL beside it. One that was killed left its WAL: then time decides.
        """
        if not self._is_past(number):
            return False
        there = self._identity(number)
        if there is None or not there.wal_mtime_ns:
            return True
        return abs(now_ms() - max(there.mtime_ns, there.wal_mtime_ns) // 1_000_000) >= _QUIET_MS

    def _is_past(self, number: int) -> bool:
        """Whether a day is over by the clock."""
        return now_ms() >= market.sealing_ms(number)

"""Keeps the verdicts of all days and the details of a few, by the identity of their files. Reading is done elsewhere.

A look stops when its time is used up, and the next one continues: years of days come in parts, the newest first.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import CollectorError, NoDayError

from .days import DayRow, Listing, Signed, is_over, list_days, read_certificate, read_detail, read_rows, read_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.quality.overall import Day
    from hk_tick_collector.quality.places import DayLocation
    from hk_tick_collector.store.file_identity import Identity

    from .worker import Reads

MOST_DAYS: Final = 1500  # in the calendar, the newest: six years of trading days

_KEPT_DETAILS: Final = 8
_AT_ONCE: Final = 60  # days of one question to the process that reads
_BUDGET_S: Final = 0.25
_LISTED_S: Final = 5.0  # the directories are listed again after this time
_ARCHIVE_AGAIN_S: Final = 60.0  # an archive that could not be listed is tried again after this time
_STALE_S: Final = 60.0  # a day that is not over, or cannot be read, is read again after this time in any case


class Survey(NamedTuple):
    """The days that were read so far."""

    version: int  # it changes when any of the rest does
    days: tuple[DayRow, ...]  # oldest first
    left: int  # days that are not read yet
    older: int  # days that are left out, because there are more than MOST_DAYS
    trouble: str  # why the archive is left out; empty if it is not


class Detail(NamedTuple):
    """One day."""

    version: int  # another one each time the day was read
    day: Day
    signed: Signed | None  # None if the archive has no certificate of it


class _Stamp(NamedTuple):
    """When a day was read, and of which file."""

    identity: Identity | None
    is_over: bool
    is_archived: bool
    at_s: float


class DaysWatch:
    """The days of one DATA_ROOT and archive. Memory is that of MOST_DAYS verdicts."""

    def __init__(
        self,
        data_root: Path,
        archive: Path | None,
        drift_warn_s: float,
        reads: Reads,
        left_out: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`drift_warn_s` is DRIFT_WARN_SEC; `left_out` says why there is no `archive`; `clock` gives seconds."""
        self._data_root = data_root
        self._archive = archive
        self._drift_warn_s = drift_warn_s
        self._reads = reads
        self._clock = clock
        self._one_look = asyncio.Lock()
        self._listing = Listing((), {}, frozenset(), left_out)
        self._listed_s = -_LISTED_S
        self._rows: dict[str, tuple[_Stamp, DayRow]] = {}
        self._details: OrderedDict[str, tuple[_Stamp, int, Day]] = OrderedDict()
        self._survey = Survey(0, (), 0, 0, "")
        self._surveyed_s = self._listed_s  # of which listing the survey is
        self._version = 0
        self._archive_not_before_s = -_LISTED_S

    async def survey(self, now_ms: int) -> Survey:
        """The days, as far as they were read until now. `now_ms`: UTC epoch ms.

        Raises StoreError, each time until it succeeds, if DATA_ROOT cannot be listed or its disk does not answer.
        A day that cannot be read is a row that says so.
        """
        async with self._one_look:
            is_of_listing = self._surveyed_s == self._listed_s
            if not is_of_listing or self._clock() - self._listed_s >= _LISTED_S or self._survey.left:
                await self._list()
                await self._read_some(now_ms)
                self._surveyed_s = self._listed_s
        return self._survey

    async def detail(self, day: str, now_ms: int) -> Detail:
        """One day (`20261120`). Raises StoreError, NoDayError included."""
        place = await self.place(day)
        async with self._one_look:
            kept = self._details.get(day)
            if kept is None or not self._is_current(kept[0], place, now_ms):
                stamp = self._stamp(place, now_ms)
                work = partial(read_detail, place, now_ms, self._drift_warn_s)
                self._version += 1
                kept = self._details[day] = (stamp, self._version, await self._reads.read(work, place.path))
            self._details.move_to_end(day)
            while len(self._details) > _KEPT_DETAILS:
                self._details.popitem(last=False)
            signed = None
            if self._archive and day in self._listing.certified:
                signed = await self._reads.read(partial(read_signed, self._archive, day), self._archive)
        return Detail(kept[1], kept[2], signed)

    async def place(self, day: str) -> DayLocation:
        """Where a day is. Raises NoDayError or another StoreError."""
        async with self._one_look:
            await self._list()
        places = self._listing.places
        found = next((each for each in places if each.day == day), None)
        if found is None:
            hint = f"days there: {places[0].day} to {places[-1].day}" if places else "hk-tick-collector status"
            raise NoDayError(f"there is no day {day}", hint=hint)
        return found

    def around(self, day: str) -> tuple[str, str]:
        """The day before and the day after, as far as there are such days; empty otherwise."""
        names = [place.day for place in self._listing.places]
        before = [name for name in names if name < day]
        after = [name for name in names if name > day]
        return before[-1] if before else "", after[0] if after else ""

    async def certificate(self, day: str, *, signature: bool = False) -> bytes:
        """The certificate of a day as it was signed, or its signature. Raises ArchiveError if there is none."""
        work = partial(read_certificate, self._archive, day, signature=signature)
        return await self._reads.read(work, self._archive or self._data_root)

    async def _list(self) -> None:
        """Lists the days. An archive that cannot be read, or whose disk does not answer, costs its own days alone."""
        now_s = self._clock()
        if now_s - self._listed_s < _LISTED_S:
            return
        root, trouble = self._data_root, self._listing.trouble
        if self._archive and now_s >= self._archive_not_before_s:
            try:
                work = partial(list_days, root, self._archive, MOST_DAYS)
                self._listing, self._listed_s = await self._reads.read(work, self._archive), now_s
            except CollectorError as error:
                trouble = error.one_line()
                self._archive_not_before_s = self._clock() + _ARCHIVE_AGAIN_S
            else:
                return
        found = await self._reads.read(partial(list_days, root, None, MOST_DAYS), root)
        self._listing, self._listed_s = found._replace(trouble=trouble), now_s

    async def _read_some(self, now_ms: int) -> None:
        shown = self._listing.places[-MOST_DAYS:]
        if wanted := self._to_read(shown, now_ms)[:_AT_ONCE]:
            stamps = {place.day: self._stamp(place, now_ms) for place in wanted}
            work = partial(read_rows, wanted, now_ms, self._drift_warn_s, _BUDGET_S)
            for row in await self._reads.read(work, wanted[0].path):
                self._rows[row.day] = (stamps[row.day], row)
        for gone in self._rows.keys() - {place.day for place in shown}:
            del self._rows[gone]
        certified = self._listing.certified
        rows = tuple(
            self._rows[place.day][1]._replace(is_certified=place.day in certified)
            for place in shown
            if place.day in self._rows
        )
        older = len(self._listing.places) - len(shown)
        found = Survey(0, rows, len(shown) - len(rows), older, self._listing.trouble)
        if found != self._survey._replace(version=0):
            self._survey = found._replace(version=self._survey.version + 1)

    def _to_read(self, places: Sequence[DayLocation], now_ms: int) -> list[DayLocation]:
        """The days to read: the newest one, then those that were never read, then those that changed."""
        wanted = [
            place
            for place in reversed(places)
            if (kept := self._rows.get(place.day)) is None or not self._is_current(kept[0], place, now_ms)
        ]
        return sorted(wanted, key=lambda place: (place is not places[-1], place.day in self._rows))

    def _stamp(self, place: DayLocation, now_ms: int) -> _Stamp:
        """What is known of a file before it is read: a change meanwhile shows in the next listing."""
        found = self._listing.identities.get(place.day)
        return _Stamp(found, is_over(place.day, now_ms), place.is_archived, self._clock())

    def _is_current(self, read: _Stamp, place: DayLocation, now_ms: int) -> bool:
        if (read.is_over, read.is_archived) != (is_over(place.day, now_ms), place.is_archived):
            return False
        age_s = self._clock() - read.at_s
        if age_s < _LISTED_S:
            return True
        if read.identity is None or self._listing.identities.get(place.day) != read.identity:
            return False
        return age_s < _STALE_S or (read.is_over and not self._is_problem(place.day))

    def _is_problem(self, day: str) -> bool:
        kept = self._rows.get(day)
        return kept is not None and bool(kept[1].problem)

"""All days for the page: a verdict for each, and one day in detail. The verdicts are those of `quality`.

Enters: DATA_ROOT and the archive. Leaves: plain values. Only counters are read, never the ticks, so a day of any size
takes milliseconds. What was read is kept by the identity of its file, as long as there is room; a look stops when its
time is used up, and the next one continues.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.archive import layout, signers
from hk_tick_collector.archive.certificate import parse
from hk_tick_collector.archive.check import signer_of
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.errors import ArchiveError, CollectorError, NoDayError, UsageError
from hk_tick_collector.quality.facts import DayFacts, read_day
from hk_tick_collector.quality.outages import sessions
from hk_tick_collector.quality.overall import Day
from hk_tick_collector.quality.places import list_places
from hk_tick_collector.quality.verdict import judge, share

from .file_identity import Identity, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.archive.certificate import Certificate
    from hk_tick_collector.ops.findings.words import Words
    from hk_tick_collector.quality.places import Place

MOST_DAYS: Final = 1500  # in the calendar, the newest: six years of trading days

_KEPT_DETAILS: Final = 8
_LISTED_S: Final = 5.0  # the directories are listed again after this time, and a day that is collected is read again
_STALE_S: Final = 60.0  # a day that is not over is read again after this time, also if its file did not change


class DayRow(NamedTuple):
    """A day in the calendar."""

    day: str  # 20261120
    severity: str  # OK, WARNING, CRITICAL, UNKNOWN
    standing: str  # complete, gaps_known, not_provable
    why: Words | None  # the worst finding
    rows: int
    missing: int
    share: str  # the completeness as text
    open_gaps: int
    away_s: float | None  # seconds without OpenD in trading hours; None if the file does not say
    is_over: bool
    is_archived: bool
    is_certified: bool
    problem: str  # why the day cannot be read


class Survey(NamedTuple):
    """The days that were read so far."""

    version: int  # it changes when any of the rest does
    days: tuple[DayRow, ...]  # oldest first
    left: int  # days that are not read yet
    older: int  # days that are left out, because there are more than MOST_DAYS
    trouble: str  # why the archive is left out; empty if it is not


class Signed(NamedTuple):
    """The certificate of a day, and whether its signature is valid. The files that it lists are not read."""

    certificate: Certificate | None  # None if it cannot be read
    signer: str  # which host; empty if the signature is not valid or was not checked
    trouble: str  # why


class Detail(NamedTuple):
    """One day."""

    day: Day
    signed: Signed | None  # None if it is not archived


class _Read(NamedTuple):
    """What was read of a day, and of which file."""

    identity: Identity | None  # None if a later change of the file might not show
    is_over: bool
    is_archived: bool
    is_problem: bool
    at_s: float


class Days:
    """The days of one DATA_ROOT and archive. One caller at a time. Memory is that of MOST_DAYS verdicts."""

    def __init__(
        self, data_root: Path, archive: Path | None, drift_warn_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`drift_warn_s` is DRIFT_WARN_SEC; `clock` gives seconds."""
        self._data_root = data_root
        self._archive = archive
        self._drift_warn_s = drift_warn_s
        self._clock = clock
        self._places: list[Place] = []
        self._certified: frozenset[str] = frozenset()
        self._trouble = ""
        self._listed_s = -_LISTED_S
        self._rows: dict[str, tuple[_Read, DayRow]] = {}
        self._details: OrderedDict[str, tuple[_Read, Day]] = OrderedDict()
        self._survey = Survey(0, (), 0, 0, "")

    def survey(self, now_ms: int, budget_s: float = 0.25) -> Survey:
        """The days, as far as they can be read in about `budget_s` seconds; the newest first. `now_ms`: UTC epoch ms.

        Raises StoreError if DATA_ROOT cannot be listed. A day that cannot be read is a row that says so.
        """
        begin_s = self._clock()
        if begin_s - self._listed_s < _LISTED_S and not self._survey.left:
            return self._survey
        self._list(begin_s)
        shown = self._places[-MOST_DAYS:]
        for at, place in enumerate(self._to_read(shown, now_ms)):
            if at and self._clock() - begin_s >= budget_s:  # one is read each time, so that the end comes
                break
            read, day = self._read(place, now_ms, spans=False)
            self._rows[place.day] = (read, _row_of(day))
        for gone in self._rows.keys() - {place.day for place in shown}:
            del self._rows[gone]
        rows = tuple(
            self._rows[place.day][1]._replace(is_certified=place.day in self._certified)
            for place in shown
            if place.day in self._rows
        )
        found = Survey(0, rows, len(shown) - len(rows), len(self._places) - len(shown), self._trouble)
        if found != self._survey._replace(version=0):
            self._survey = found._replace(version=self._survey.version + 1)
        return self._survey

    def detail(self, day: str, now_ms: int) -> Detail:
        """One day (`20261120`) with its gaps over time, and its certificate. Raises StoreError, NoDayError included."""
        place = self.place(day)
        kept = self._details.get(day)
        if kept is None or not self._is_current(kept[0], place, now_ms):
            kept = self._details[day] = self._read(place, now_ms, spans=True)
        self._details.move_to_end(day)
        while len(self._details) > _KEPT_DETAILS:
            self._details.popitem(last=False)
        return Detail(kept[1], self._signed(day))

    def place(self, day: str | None) -> Place:
        """Where a day is; without a day the newest day file. Raises NoDayError or another StoreError."""
        self._list(self._clock())
        found = [each for each in self._places if (each.day == day if day else not each.is_archived)]
        if not found:
            if day and self._places:
                hint = f"days there: {self._places[0].day} to {self._places[-1].day}"
                raise NoDayError(f"there is no day {day}", hint=hint)
            raise NoDayError(f"no day has been collected in {self._data_root} yet", hint="hk-tick-collector status")
        return found[-1]

    def certificate(self, day: str, *, signature: bool = False) -> bytes:
        """The certificate of a day as it was signed, or its signature. Raises ArchiveError if there is none."""
        if self._archive is None:
            raise ArchiveError("no archive is set", hint="set ARCHIVE_DIR to the directory of the archive")
        name = layout.certificate_name(day) + (layout.SIGNATURE if signature else "")
        return Directory(self._archive).read(name)

    def _list(self, now_s: float) -> None:
        if now_s - self._listed_s < _LISTED_S:
            return
        try:
            self._places, self._trouble = list_places(self._data_root, self._archive), ""
        except UsageError as error:  # there is no archive, or its disk is not mounted
            self._places, self._trouble = list_places(self._data_root, None), error.one_line()
        names: list[str] = []
        if self._archive and not self._trouble:
            try:
                names = Directory(self._archive).list(layout.CERTIFICATES)
            except ArchiveError as error:
                self._trouble = error.one_line()
        signed = (name.removesuffix(layout.SIGNATURE) for name in names if name.endswith(layout.SIGNATURE))
        self._certified = frozenset(filter(None, map(layout.day_of, signed)))
        self._listed_s = now_s

    def _to_read(self, places: Sequence[Place], now_ms: int) -> list[Place]:
        """The days to read: the newest one, then those that were never read, then those that changed."""
        wanted = [
            place
            for place in reversed(places)
            if (kept := self._rows.get(place.day)) is None or not self._is_current(kept[0], place, now_ms)
        ]
        return sorted(wanted, key=lambda place: (place is not places[-1], place.day in self._rows))

    def _is_current(self, read: _Read, place: Place, now_ms: int) -> bool:
        if (read.is_over, read.is_archived) != (_is_over(place, now_ms), place.is_archived):
            return False
        age_s = self._clock() - read.at_s
        if age_s < _LISTED_S:
            return True
        if read.identity is None or _identity(place) != read.identity:
            return False
        return age_s < _STALE_S or (read.is_over and not read.is_problem)

    def _read(self, place: Place, now_ms: int, *, spans: bool) -> tuple[_Read, Day]:
        found = _identity(place)
        if found and not found.is_settled(time.time_ns()):
            found = None
        *_, facts = read_day(place, now_ms, spans=spans)
        assert isinstance(facts, DayFacts)
        read = _Read(found, _is_over(place, now_ms), place.is_archived, bool(facts.problem), self._clock())
        return read, Day(facts, judge(facts, self._drift_warn_s))

    def _signed(self, day: str) -> Signed | None:
        if self._archive is None or day not in self._certified:
            return None
        archive, certificate = Directory(self._archive), None
        try:
            name = layout.certificate_name(day)
            certificate = parse(archive.read(name), name)
            return Signed(certificate, signer_of(archive, certificate, signers.known_signers(archive)), "")
        except CollectorError as error:
            return Signed(certificate, "", error.one_line())


def _identity(place: Place) -> Identity | None:
    try:
        return identity(place.path)
    except OSError:
        return None  # reading it says why


def _is_over(place: Place, now_ms: int) -> bool:
    return now_ms >= sessions(place.day)[-1][1]


def _row_of(day: Day) -> DayRow:
    facts, judged = day
    return DayRow(
        day=facts.day,
        severity=judged.severity.name,
        standing=judged.standing,
        why=judged.findings[0].words if judged.findings else None,
        rows=facts.rows,
        missing=max(facts.missing, facts.gap_missing),
        share=share(facts),
        open_gaps=facts.open_gaps,
        away_s=facts.away.trading_s if facts.away else None,
        is_over=facts.is_over,
        is_archived=facts.is_archived,
        is_certified=False,
        problem=facts.problem,
    )

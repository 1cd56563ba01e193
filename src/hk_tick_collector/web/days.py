"""What the Days view reads: which days there are, the verdict of each, one day in detail, its certificate.

Enters: DATA_ROOT and the archive. Leaves: plain values. The verdicts are those of `quality`. Only counters are read,
never the ticks, so a day of any size takes milliseconds. Each function runs in a child process of its own and keeps
nothing: `days_watch.py` keeps what was read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector.archive import layout, signers
from hk_tick_collector.archive.certificate import parse
from hk_tick_collector.archive.check import signer_of
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.errors import ArchiveError, CollectorError
from hk_tick_collector.quality.facts import DayFacts, read_day
from hk_tick_collector.quality.outages import sessions
from hk_tick_collector.quality.overall import Day
from hk_tick_collector.quality.places import list_places
from hk_tick_collector.quality.verdict import judge, share
from hk_tick_collector.store.file_identity import Identity, identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.archive.certificate import Certificate
    from hk_tick_collector.ops.findings.words import Words
    from hk_tick_collector.quality.places import DayLocation


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


class Listing(NamedTuple):
    """Which days there are."""

    places: tuple[DayLocation, ...]  # oldest first
    identities: dict[str, Identity]  # of the files of the newest days, where a later change of the file will show
    certified: frozenset[str]  # days with a signed certificate
    trouble: str  # why the archive is left out; empty if it is not


class Signed(NamedTuple):
    """The certificate of a day, and whether its signature is valid. The files that it lists are not read."""

    certificate: Certificate | None  # None if it cannot be read
    signer: str  # which host; empty if the signature is not valid or was not checked
    trouble: str  # why


def list_days(data_root: Path, archive: Path | None, newest: int) -> Listing:
    """The days there are, with the identities of the files of the `newest` ones.

    Raises StoreError if DATA_ROOT cannot be listed, UsageError or ArchiveError if the archive cannot.
    """
    places = list_places(data_root, archive)
    names = Directory(archive).list(layout.CERTIFICATES) if archive else []
    signed = (name.removesuffix(layout.SIGNATURE) for name in names if name.endswith(layout.SIGNATURE))
    certified = frozenset(filter(None, map(layout.day_of, signed)))
    identities = {place.day: found for place in places[-newest:] if (found := _settled(place))}
    return Listing(tuple(places), identities, certified, "")


def read_rows(places: Sequence[DayLocation], now_ms: int, drift_warn_s: float, budget_s: float) -> list[DayRow]:
    """The rows of the first of these days, as many as can be read in about `budget_s` seconds; at least one.

    `now_ms` is the time, UTC epoch ms; `drift_warn_s` is DRIFT_WARN_SEC. An unreadable day is a row too.
    """
    begin_s, rows = time.monotonic(), []
    for place in places:
        rows.append(_row_of(_judged(place, now_ms, drift_warn_s, spans=False)))
        if time.monotonic() - begin_s >= budget_s:
            break
    return rows


def read_detail(place: DayLocation, now_ms: int, drift_warn_s: float) -> Day:
    """One day with its gaps over time."""
    return _judged(place, now_ms, drift_warn_s, spans=True)


def read_signed(archive: Path, day: str) -> Signed | None:
    """The certificate of a day, checked; None if the archive has none."""
    place, certificate, name = Directory(archive), None, layout.certificate_name(day)
    try:
        if not place.exists(name):
            return None
        certificate = parse(place.read(name), name)
        return Signed(certificate, signer_of(place, certificate, signers.known_signers(place)), "")
    except CollectorError as error:
        return Signed(certificate, "", error.one_line())


def read_certificate(archive: Path | None, day: str, *, signature: bool = False) -> bytes:
    """The certificate of a day as it was signed, or its signature. Raises ArchiveError if there is none."""
    if archive is None:
        raise ArchiveError("no archive is set", hint="set ARCHIVE_DIR to the directory of the archive")
    return Directory(archive).read(layout.certificate_name(day) + (layout.SIGNATURE if signature else ""))


def is_over(day: str, now_ms: int) -> bool:
    """Whether the trading hours of a day have ended by this host's clock."""
    return now_ms >= sessions(day)[-1][1]


def _judged(place: DayLocation, now_ms: int, drift_warn_s: float, *, spans: bool) -> Day:
    *_, facts = read_day(place, now_ms, spans=spans)
    assert isinstance(facts, DayFacts)
    return Day(facts, judge(facts, drift_warn_s))


def _settled(place: DayLocation) -> Identity | None:
    try:
        found = identity(place.path)
    except OSError:
        return None  # reading the day says why
    return found if found and found.is_settled(time.time_ns()) else None


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

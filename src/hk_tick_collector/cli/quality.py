"""The verb `quality`: is a day usable? One line and an exit code, the figures, JSON, or a page with pictures."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from itertools import groupby
from operator import attrgetter
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector.archive.remote import Remote
from hk_tick_collector.clock import now_ms
from hk_tick_collector.config import operator_language
from hk_tick_collector.errors import (
    ArchiveError,
    BusyFileError,
    CollectorError,
    DiskHangsError,
    NoDayError,
    StoreError,
    UsageError,
)
from hk_tick_collector.frames.extras import need
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.words import ENGLISH
from hk_tick_collector.ops.live.record import is_running
from hk_tick_collector.quality.document import day_document
from hk_tick_collector.quality.facts import Progress, read_day, unreadable
from hk_tick_collector.quality.figures import figures
from hk_tick_collector.quality.overall import ALL, FEW, Overall
from hk_tick_collector.quality.page_file import demand_replaceable, write_page
from hk_tick_collector.quality.places import list_places
from hk_tick_collector.quality.verdict import judge

from ._archives import readable_archive
from ._missing import no_file
from ._options import AsJson, EnvFile, day_named, settings_in_force, symbols_named, today
from ._patience import each_in_child, in_child
from ._quality_lines import day_rows, overall_lines, verdict_line
from ._show import padded, redraw, show, show_json, warn
from ._table import print_table
from ._terminal import can_redraw, language_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hk_tick_collector.config import Settings
    from hk_tick_collector.quality.facts import DayFacts
    from hk_tick_collector.quality.places import DayLocation

_NAME_COLUMNS: Final = 15
_BAR: Final = 30
_Since = Annotated[str | None, typer.Option(metavar="YYYYMMDD", help="only days from this one on")]
_Until = Annotated[str | None, typer.Option(metavar="YYYYMMDD", help="only days up to this one")]


def quality(
    *,
    day: Annotated[str | None, typer.Option(metavar="YYYYMMDD", help="only this day; default: all days")] = None,
    since: _Since = None,
    until: _Until = None,
    symbols: Annotated[
        list[str] | None, typer.Option(help="only these, like HK.00700,HK.00005 or @FILE; default: all")
    ] = None,
    scan: Annotated[
        bool | None,
        typer.Option("--scan/--no-scan", help="read every tick for delay and clock; default: only with --day"),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a page with pictures: all days, and one day in detail")
    ] = None,
    archive: Annotated[str | None, typer.Option(metavar="DIR|s3://…", help="the archive; default: ARCHIVE_DIR")] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> int:
    """Is a day usable? One line with the verdict, then the figures: completeness, gaps, time without OpenD, totals.

    Works on past days, on the day that is being collected, and on archived days. Several days: a line a day and the
    sums. The page of --html shows the day of --day in detail, else the newest day with the worst verdict; it needs no
    network.

    Exit code 0 fine, 1 warning, 2 critical or wrong usage, 3 unknown.

    \b
    Examples:
      hk-tick-collector quality --day 20261120
      hk-tick-collector quality --since 20261101 --html quality.html
    """
    if day and (since or until):
        raise UsageError("--day is one day and --since/--until are many", hint="use one of them")
    settings, lang = settings_in_force(env_file), ENGLISH if as_json else language_on(sys.stdout, env_file)
    if html:
        demand_replaceable(html)
    source = _Source(settings, archive, symbols_named(symbols or []), env_file)
    places = source.places()
    try:
        chosen = _chosen(settings, places, day, since, until)
    except NoDayError as error:
        return _nothing(error, as_json=as_json)
    whole = scan if scan is not None else day is not None and _can_scan(chosen)
    if whole and any(place.is_archived for place in chosen):
        need("pyarrow", "data")
    found = source.read(chosen, spans=day is not None, scans=whole)
    if html:
        source.write_page(html, found, [place for place in places if place not in chosen], operator_language(env_file))
    if as_json:
        show_json(_document(found))
    elif day:
        _show_day(found, lang)
    else:
        _show_days(found, lang)
    if html and not as_json:
        show(f"{html}")
    return int(found.severity)


class _Source:
    """Reads days in child processes, and draws a bar on a terminal while the ticks of a day are read."""

    def __init__(
        self, settings: Settings, archive: str | None, symbols: tuple[str, ...], env_file: Path | None
    ) -> None:
        self._settings = settings
        self._named = archive
        self._archive = readable_archive(archive, settings, env_file)
        self._symbols = symbols
        self._now_ms = now_ms()
        self._draws = can_redraw(sys.stderr)

    def places(self) -> list[DayLocation]:
        """All days there are."""
        root, archive = self._settings.data_root, self._archive
        try:
            return in_child(lambda: list_places(root, archive), root, network=isinstance(archive, Remote))
        except (UsageError, ArchiveError) as error:
            if self._named:
                raise
            warn(f"archived days are left out: {error}")
            self._archive = None
            return in_child(lambda: list_places(root, None), root)

    def read(self, places: Sequence[DayLocation], *, spans: bool = False, scans: bool = False) -> Overall:
        """The facts and verdicts of these days."""
        found = Overall(FEW if len(places) > 1 else ALL)
        try:
            for facts in self._facts(places, spans=spans, scans=scans):
                known = facts if facts.is_over else replace(facts, drift_s=self._drift_s())
                found.add(known, judge(known, self._settings.drift_warn_sec))
                if self._draws and len(places) > 1:
                    redraw(f"{len(found.days):,} of {len(places):,} days", sys.stderr)
        finally:
            if self._draws:
                redraw("", sys.stderr)
        return found

    def _drift_s(self) -> float | None:
        """Our clock minus OpenD's, if a service reports it now."""
        from ._service_report import live_status  # imported late: only the live day needs it

        with suppress(StoreError):
            live = live_status(self._settings.data_root)
            if live and is_running(live, self._now_ms):
                return live.drift_s
        return None

    def write_page(self, html: Path, found: Overall, others: Sequence[DayLocation], lang: str) -> None:
        """Writes the page: the chosen days, the other days in the calendar, and one day in detail."""
        from hk_tick_collector.quality.page import page  # imported late: most calls need no page

        detail = found.worst or found.days[-1]
        if not detail.facts.problem and not (len(found.days) == 1 and detail.facts.scan):
            place = [each for each in self.places() if each.day == detail.facts.day]
            detail = self.read(place, spans=True, scans=_can_scan(place)).days[0]
        rest = self.read(others)
        write_page(html, page(found, rest, detail, self._now_ms, lang))

    def _facts(self, places: Sequence[DayLocation], *, spans: bool, scans: bool) -> Iterator[DayFacts]:
        for _, group in groupby(places, attrgetter("is_archived")):
            left = list(group)
            while left:
                try:
                    for facts in self._of_child(left, spans=spans, scans=scans):
                        left.pop(0)
                        yield facts
                except BusyFileError as error:  # the day that was being read
                    yield unreadable(left.pop(0), self._now_ms, error)
                except DiskHangsError as error:  # all remaining days are on this disk
                    yield from (unreadable(place, self._now_ms, error) for place in left)
                    left = []

    def _of_child(self, places: list[DayLocation], *, spans: bool, scans: bool) -> Iterator[DayFacts]:
        wanted, now, symbols = list(places), self._now_ms, self._symbols

        def work() -> Iterator[Progress | DayFacts]:
            for place in wanted:
                yield from read_day(place, now, symbols, spans=spans, scans=scans)

        for item in each_in_child(work, wanted[0].path.parent, at_once=1, network=wanted[0].remote is not None):
            if not isinstance(item, Progress):
                yield item
            elif self._draws:
                full = min(_BAR, _BAR * item.read // max(item.rows, 1))
                bar = f"{'#' * full}{'.' * (_BAR - full)}"
                redraw(f"{item.day} [{bar}] {item.read:,} of {item.rows:,} ticks", sys.stderr)


def _can_scan(places: Sequence[DayLocation]) -> bool:
    """Whether the ticks of these days can be read; a warning if they are archived and the extra is missing."""
    if not any(place.is_archived for place in places) or find_spec("pyarrow"):
        return True
    warn("delay and clock of an archived day need the extra data: pip install 'hk-tick-collector[data]'")
    return False


def _chosen(
    settings: Settings, places: list[DayLocation], day: str | None, since: str | None, until: str | None
) -> list[DayLocation]:
    """The requested days. Raises NoDayError if there is none, UsageError for an impossible range."""
    if day is not None:
        name = day_named(day)
        if found := [place for place in places if place.day == name]:
            return found
        raise no_file(settings.data_root, name)
    first, last = (day_named(since) if since else ""), (day_named(until) if until else "99999999")
    if first > last:
        raise UsageError(f"--since {first} is later than --until {last}", hint="exchange them")
    if first > today():
        raise UsageError(f"--since {first} is in the future", hint="write a day like 20261120")
    if found := [place for place in places if first <= place.day <= last]:
        return found
    if not places:
        raise NoDayError(f"no day has been collected in {settings.data_root} yet", hint="hk-tick-collector status")
    raise NoDayError("no day in this range", hint=f"days there: {places[0].day} to {places[-1].day}")


def _nothing(error: CollectorError, *, as_json: bool) -> int:
    """The answer if there is no such day: nothing is known about it."""
    line = f"{Severity.UNKNOWN.name}: {error.one_line()}"
    if as_json:
        show_json({"verdict": Severity.UNKNOWN.name, "line": line, "days": [], "total": Overall().document()})
    else:
        show(line)
    return int(Severity.UNKNOWN)


def _document(found: Overall) -> dict[str, Any]:
    return {
        "verdict": found.severity.name,
        "standing": found.standing,
        "line": verdict_line(found, ENGLISH),
        "days": [day_document(day.facts, day.judged) for day in found.days],
        "total": found.document(),
    }


def _show_day(found: Overall, lang: str) -> None:
    day = found.days[0]
    show(verdict_line(found, lang))
    for finding in (*day.judged.findings[1:], *day.judged.notes):
        arrow = f" -> {finding.remedy}" if finding.remedy else ""
        show(f"  {finding.severity.name}: {finding.words.of(lang)}{arrow}")
    if not day.facts.problem:
        for name, text in figures(day.facts):
            show(f"{padded(name.of(lang), _NAME_COLUMNS)}{text.of(lang)}")


def _show_days(found: Overall, lang: str) -> None:
    show(verdict_line(found, lang))
    header, rows = day_rows(found, lang)
    print_table(header, rows, right=frozenset(header[3:-1]), spare=tuple(header[at] for at in (8, 6, 7, 2, 5)))
    for name, text in overall_lines(found):
        show(f"{padded(name.of(lang), _NAME_COLUMNS)}{text.of(lang)}")

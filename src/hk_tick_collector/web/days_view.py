"""The view *Days*: a calendar of all days by verdict, and a page for each day. The verdicts are those of `quality`.

A browser gets a frame each second, with the parts of the page that changed. Parts are rendered once for all browsers
that look at the same.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.routing import Route

from hk_tick_collector import clock, market
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.quality import pictures
from hk_tick_collector.quality.figures import figures
from hk_tick_collector.quality.verdict import as_percent, fine

from .days import is_over
from .days_words import DAYS_WORDS
from .downloads import day_of
from .months import months

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from .days_watch import DaysWatch, Detail, Survey
    from .pages import Pages
    from .streams import Streams

_SECOND: Final = 1.0
_AGAIN_S: Final = 3.0  # after an error
_LOOK_AT: Final = 20  # days in the list of those to look at
_WORST: Final = 20
_DIFFERING: Final = 20
_EVENTS: Final = 60  # rows of the timeline's table, the newest
_MOST_KEPT: Final = 24  # rendered views


class Event(NamedTuple):
    """A row of the timeline's table."""

    from_ms: int
    to_ms: int
    kind: str  # gap_open, gap_filled, without_opend
    missing: int | None
    gaps: int
    cause: str


class DaysView:
    """Keeps what was rendered last."""

    def __init__(self, pages: Pages, days: DaysWatch) -> None:
        self._pages = pages
        self._days = days
        self._rendered: OrderedDict[tuple[object, ...], tuple[object, dict[str, str]]] = OrderedDict()
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Ends every stream."""
        self._closed.set()

    def routes(self, streams: Streams) -> list[Route]:
        """The calendar, the page of a day, and their streams."""

        async def calendar(request: Request) -> Response:
            year = _year(request)
            stream = f"/days/events?{request.url.query}"
            return self._page(request, "days.html", year=year, stream=stream)

        async def calendar_events(request: Request) -> Response:
            lang, year = self._pages.choice(request).lang, _year(request)
            return streams.answer(self._events(lambda: self._calendar(lang, year), lang))

        async def day(request: Request) -> Response:
            name = day_of(request)
            over = is_over(name, clock.now_ms())
            return self._page(request, "day.html", day=name, stream=f"/days/{name}/events", is_over=over)

        async def day_events(request: Request) -> Response:
            lang, name = self._pages.choice(request).lang, day_of(request)
            return streams.answer(self._events(lambda: self._day(lang, name), lang))

        return [
            Route("/days", calendar),
            Route("/days/events", calendar_events),
            Route("/days/{day}", day),
            Route("/days/{day}/events", day_events),
        ]

    def _page(self, request: Request, template: str, **values: Any) -> Response:
        return self._pages.page(request, template, view="days", words=DAYS_WORDS, **values)

    async def _events(self, render: Callable[[], Awaitable[dict[str, str]]], lang: str) -> AsyncIterator[bytes]:
        sent: dict[str, str] = {}
        failed_ms = 0
        while not self._closed.is_set():
            pause_s = _SECOND - time.time() % _SECOND
            try:
                parts = {"notice": "", **await render()}
                failed_ms = 0
            except CollectorError as error:
                failed_ms = failed_ms or clock.now_ms()
                notice = self._failure(error, failed_ms, lang, is_old=bool(sent.keys() - {"notice"}))
                parts, pause_s = {"notice": notice}, _AGAIN_S
            changed = {name: text for name, text in parts.items() if sent.get(name) != text}
            sent |= changed
            frame = {"about": {"time": f"{market.hkt(clock.now_ms()):%H:%M:%S}"}, "parts": changed}
            yield f"data: {json.dumps(frame, separators=(',', ':'))}\n\n".encode()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._closed.wait()

    async def _calendar(self, lang: str, year: int | None) -> dict[str, str]:
        survey = await self._days.survey(clock.now_ms())
        today = market.day_name(market.day_number(clock.now_ms()))
        return self._once(
            (lang, year), (survey.version, today), lambda: self._calendar_parts(survey, today, lang, year)
        )

    def _calendar_parts(self, survey: Survey, today: str, lang: str, year: int | None) -> dict[str, str]:
        first = f"{year}0101" if year else f"{int(today[:4]) - 1}{today[4:6]}01"
        last = f"{year}1231" if year else today
        if not year and survey.days and survey.days[-1].day < first:  # nothing was collected within a year
            first, last = f"{survey.days[-1].day[:4]}0101", survey.days[-1].day
        shown = [row for row in survey.days if first <= row.day <= last]
        wrong = [row for row in reversed(shown) if row.severity != Severity.OK.name]
        values: dict[str, Any] = {
            "survey": survey,
            "rows": shown,
            "months": months(shown),
            "years": sorted({row.day[:4] for row in survey.days}, reverse=True),
            "year": year,
            "wrong": wrong[:_LOOK_AT],
            "more": len(wrong) - _LOOK_AT,
            "count_wrong": len(wrong),
            "ticks": sum(row.rows for row in shown),
            "missing": sum(row.missing for row in shown),
        }
        names = ("summary", "calendar", "look")
        return {name: self._text(name, lang, **values) for name in names}

    async def _day(self, lang: str, day: str) -> dict[str, str]:
        detail = await self._days.detail(day, clock.now_ms())
        around = self._days.around(day)
        return self._once(
            (lang, day), (detail.version, detail.signed, around), lambda: self._day_parts(detail, lang, around)
        )

    def _day_parts(self, detail: Detail, lang: str, around: tuple[str, str]) -> dict[str, str]:
        facts, judged = detail.day
        events = sorted(_events_of(detail), key=lambda event: -event.from_ms)
        values: dict[str, Any] = {
            "facts": facts,
            "judged": judged,
            "around": around,
            "fine": fine(facts, judged).of(lang),
            "figures": [] if facts.problem else [(name.of(lang), text.of(lang)) for name, text in figures(facts)],
            "signed": detail.signed,
            "events": events[:_EVENTS],
            "worst": facts.incomplete[:_WORST],
            "more": facts.incomplete_symbols - min(_WORST, len(facts.incomplete)),
            "differing": facts.totals.differing[:_DIFFERING] if facts.totals else (),
        }
        names = ("head", "findings", "figures", "rows", "worst", "totals", "certificate")
        parts = {f"day-{name}": self._text(f"day_{name}", lang, **values) for name in names}
        # The picture escapes every text by itself: quality/markup.py.
        return {**parts, "day-picture": "" if facts.problem else pictures.timeline(facts, lang)}

    def _once(self, key: tuple[object, ...], version: object, render: Callable[[], dict[str, str]]) -> dict[str, str]:
        """What was rendered for this version, or is rendered now."""
        kept = self._rendered.get(key)
        if kept is None or kept[0] != version:
            kept = self._rendered[key] = (version, render())
        self._rendered.move_to_end(key)
        while len(self._rendered) > _MOST_KEPT:
            self._rendered.popitem(last=False)
        return kept[1]

    def _failure(self, error: CollectorError, since_ms: int, lang: str, *, is_old: bool) -> str:
        is_command = remedies.is_command(error.hint) or error.hint.startswith("sudo ")
        return self._pages.text(
            "symbol/failure.html",
            lang,
            DAYS_WORDS,
            error=error,
            is_command=is_command,
            since=f"{market.hkt(since_ms):%H:%M:%S}",
            is_old=is_old,
        )

    def _text(self, name: str, lang: str, **values: Any) -> str:
        return self._pages.text(f"days/{name}.html", lang, DAYS_WORDS, percent=as_percent, **values)


def _events_of(detail: Detail) -> Iterator[Event]:
    facts = detail.day.facts
    for span in facts.spans:
        kind = "gap_open" if span.status == GAP_OPEN else "gap_filled"
        yield Event(span.from_ms, span.to_ms, kind, span.missing, span.gaps, span.cause)
    for each in facts.away.listed if facts.away else ():
        yield Event(each.from_ms, each.to_ms, "without_opend", None, 0, each.reason)


def _year(request: Request) -> int | None:
    given = request.query_params.get("year", "")
    return int(given) if len(given) == 4 and given.isascii() and given.isdigit() else None

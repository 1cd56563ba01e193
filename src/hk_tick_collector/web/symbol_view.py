"""The view *Symbol*: one symbol on one day, for any number of browsers. Its chart is drawn by the browser.

A browser gets a frame each second: parts of the page that changed, as in the other views, and in `chart` the candles
and ticks that changed. Frames are made once for all browsers that have the same version.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route

from hk_tick_collector import clock, market
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.text import plain

from .symbol import list_symbols, newest_place
from .symbol_frame import chart, dashed, figures, framed, spans
from .symbol_watch import NOTHING, DayWatch, Known, Part
from .symbol_words import SYMBOL_WORDS
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from hk_tick_collector.quality.places import DayLocation

    from .days_watch import DaysWatch
    from .pages import Pages
    from .site import Site
    from .streams import Streams

# Of litecharts/js/lightweight-charts.js, TradingView's Lightweight Charts 5.1.0: a browser runs this file or none.
CHART_INTEGRITY: Final = "sha384-ExNwjbclSLY2LS3S2c6aDJDjpBHGZLct23WX65fLzj0ob1bRrCh9H90WThES5wQA"

_SECOND: Final = 1.0
_AGAIN_S: Final = 3.0  # after an error
_MOST_DAYS: Final = 4  # that are watched at once
_MOST_FRAMES: Final = 64
_LISTED: Final = 12  # gaps and outages in the table
_MOST_ROWS: Final = 4000  # symbols that can be chosen from
_LISTS_S: Final = 30.0
_NEWEST_S: Final = 2.0  # until the newest day file is looked for again
_GIVEN: Final = 40  # characters of an address that are shown again
_SYMBOL: Final = re.compile(r"(?:HK\.)?([0-9]{1,5})", re.ASCII | re.IGNORECASE)
_ANY_SYMBOL: Final = re.compile(r"[A-Z0-9._-]{1,32}", re.ASCII)


class Asked(NamedTuple):
    """What a browser asks for."""

    symbol: str  # empty: the busiest one
    day: str | None  # None: the day that is being collected
    problem: str  # a text of `symbol_words`, empty if the question makes sense
    given: str  # what was wrong


def chart_script() -> Path | None:
    """The chart library's file; None if its package is not installed. Nothing of the package is imported."""
    found = find_spec("litecharts")
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "js" / "lightweight-charts.js" if places else None


def _missing_library() -> str:
    """How to install the chart library; empty if it is installed."""
    if chart_script():
        return ""
    try:
        need("litecharts", "web")
    except CollectorError as error:
        return error.one_line()
    return ""


def asked(request: Request) -> Asked:
    """The symbol and the day of an address: `?symbol=700&day=20261120`."""
    given, day = (request.query_params.get(name, "").strip()[:_GIVEN] for name in ("symbol", "day"))
    name: str | None = None
    if day:
        try:
            name = market.day_name(market.parse_day(day))
        except ValueError:
            return Asked("", None, "bad_day", day)
    if not given:
        return Asked("", name, "", "")
    if found := _SYMBOL.fullmatch(given):
        return Asked(f"HK.{int(found[1]):05}", name, "", "")
    if _ANY_SYMBOL.fullmatch(given.upper()):
        return Asked(given.upper(), name, "", "")
    return Asked("", name, "bad_symbol", given)


class SymbolView:
    """Keeps the watched days and the newest frames."""

    def __init__(self, pages: Pages, site: Site, days: DaysWatch) -> None:
        self._pages = pages
        self._days = days
        self._watches: OrderedDict[tuple[str, bool], DayWatch] = OrderedDict()
        self._frames: OrderedDict[tuple[str, str, Known, Known], dict[str, Any]] = OrderedDict()
        self._lists: OrderedDict[str, tuple[float, list[tuple[str, str, int]]]] = OrderedDict()
        self._closed = asyncio.Event()
        self._worker = Worker(site.reading)
        self._site = site
        self._newest: tuple[float, DayLocation] | None = None

    def close(self) -> None:
        """Ends every stream."""
        self._closed.set()
        self._worker.close()

    def routes(self, streams: Streams) -> list[Route]:
        """The page, its stream, the list of symbols, and the chart library."""

        async def page(request: Request) -> Response:
            question = asked(request)
            return self._pages.page(
                request,
                "symbol.html",
                view="symbol",
                words=SYMBOL_WORDS,
                question=question,
                stream=f"/symbol/events?{request.url.query}",
                chart_integrity=CHART_INTEGRITY if chart_script() else "",
                no_library=_missing_library() or SYMBOL_WORDS["no_library"].of(self._pages.choice(request).lang),
                problem=SYMBOL_WORDS[question.problem].of(self._pages.choice(request).lang).format(given=question.given)
                if question.problem
                else "",
            )

        async def events(request: Request) -> Response:
            question = asked(request)
            if question.problem:
                return PlainTextResponse("the address has no valid symbol and day\n", 400)
            return streams.answer(self._events(question, self._pages.choice(request).lang))

        async def symbols(request: Request) -> Response:
            try:
                return JSONResponse(await self._list(asked(request).day))
            except CollectorError as error:
                return PlainTextResponse(f"{plain(error.one_line())}\n", 503)

        async def library(_request: Request) -> Response:
            if (path := chart_script()) is None:
                return PlainTextResponse("litecharts is not installed\n", 404)
            # Its address has its hash, so what a browser keeps is never old.
            headers = {"Cache-Control": "public, max-age=31536000, immutable"}
            return FileResponse(path, media_type="text/javascript", headers=headers)

        return [
            Route("/symbol", page),
            Route("/symbol/events", events),
            Route("/symbol/list", symbols),
            Route("/static-packages/lightweight-charts.js", library),
        ]

    async def _events(self, question: Asked, lang: str) -> AsyncIterator[bytes]:
        known, failed_ms = NOTHING, 0
        reading = self._text("reading", lang)  # what is shown until a large day was read
        yield framed({"parts": {"notice": reading}}, clock.now_ms())
        while not self._closed.is_set():
            pause_s = _SECOND - time.time() % _SECOND
            try:
                part = await self._part(question, known)
                frame = self._frame(part, known, lang)
                if failed_ms:
                    frame = {**frame, "parts": {**frame["parts"], "notice": self._notice(part, lang)}}
                known, failed_ms = part.known, 0
                if part.figures:  # the busiest one may become another; a page stays with its symbol
                    question = question._replace(symbol=part.symbol)
            except CollectorError as error:
                failed_ms = failed_ms or clock.now_ms()
                notice = self._failure(error, failed_ms, lang, is_old=known != NOTHING)
                frame, pause_s = {"parts": {"notice": notice}}, _AGAIN_S
            yield framed(frame, clock.now_ms())
            await self._sleep(pause_s)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()

    async def _part(self, question: Asked, known: Known) -> Part:
        place = await self._place(question.day)
        symbol = question.symbol or next((name for name, _, _ in await self._list(place.day)), "HK.00700")
        return await self._watch(place).part(symbol, known, clock.now_ms())

    def _watch(self, place: DayLocation) -> DayWatch:
        """The watch of a day. Keep what is returned: other viewers may replace it by those of other days meanwhile."""
        key = place.day, place.is_archived
        if key not in self._watches:
            self._watches[key] = DayWatch(place, secrets.token_hex(4), self._worker)
        self._watches.move_to_end(key)
        while len(self._watches) > _MOST_DAYS:
            self._watches.popitem(last=False)
        return self._watches[key]

    async def _place(self, day: str | None) -> DayLocation:
        """Where a day is, or the newest day file; the latter depends on neither the archive nor the view *Days*."""
        if day is not None:
            return await self._days.place(day)
        now_s = time.monotonic()
        if self._newest is None or now_s - self._newest[0] > _NEWEST_S:
            root = self._site.data_root
            self._newest = now_s, await self._worker.read(partial(newest_place, root), root)
        return self._newest[1]

    async def whole(self, question: Asked) -> Part:
        """All that is known of a symbol on a day. Raises StoreError."""
        return await self._part(question, NOTHING)

    async def _list(self, day: str | None) -> list[tuple[str, str, int]]:
        place = await self._place(day)
        kept = self._lists.get(place.day)
        if kept is None or time.monotonic() - kept[0] > _LISTS_S:
            rows = await self._worker.read(partial(list_symbols, place), place.path)
            found = [(plain(row.symbol), plain(row.name), row.rows) for row in rows[:_MOST_ROWS]]
            kept = self._lists[place.day] = (time.monotonic(), found)
            while len(self._lists) > _MOST_DAYS:
                self._lists.popitem(last=False)
        return kept[1]

    def _frame(self, part: Part, known: Known, lang: str) -> dict[str, Any]:
        """The frame for a browser that has `known`: the same for all that have it."""
        key = lang, part.symbol, known, part.known
        if key not in self._frames:
            self._frames[key] = self._made(part, lang)
            while len(self._frames) > _MOST_FRAMES:
                self._frames.popitem(last=False)
        return self._frames[key]

    def _made(self, part: Part, lang: str) -> dict[str, Any]:
        parts = {"notice": self._notice(part, lang)}
        if part.has_new_figures:
            parts["figures"] = self._text("figures", lang, part=part, **figures(part))
        if part.has_new_spans:
            found = spans(part)
            parts["spans"] = self._text("spans", lang, part=part, spans=found[:_LISTED], more=len(found) - _LISTED)
        return {"parts": parts, "chart": chart(part)}

    def _notice(self, part: Part, lang: str) -> str:
        return self._text("notice", lang, part=part, day=dashed(part.day))

    def _failure(self, error: CollectorError, since_ms: int, lang: str, *, is_old: bool) -> str:
        is_command = remedies.is_command(error.hint) or error.hint.startswith("sudo ")
        return self._text(
            "failure", lang, error=error, is_command=is_command, is_old=is_old, since=f"{market.hkt(since_ms):%H:%M:%S}"
        )

    def _text(self, name: str, lang: str, **values: Any) -> str:
        return self._pages.text(f"symbol/{name}.html", lang, SYMBOL_WORDS, **values)

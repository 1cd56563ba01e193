"""What a browser can take with one click: a day's page and figures, its certificate, the minutes of one symbol.

Each is made of what the views keep or read anyway, so a click costs no more than a look. Ticks are not among them: they
may be gigabytes, and the page has the commands for them instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from hk_tick_collector import clock, market
from hk_tick_collector.errors import ArchiveError, CollectorError, NoDayError
from hk_tick_collector.quality.document import day_document
from hk_tick_collector.quality.overall import ALL, Overall
from hk_tick_collector.quality.page import page
from hk_tick_collector.quality.page_file import BEGINS
from hk_tick_collector.text import plain

from .candles import Candle
from .symbol_view import asked

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request

    from .days_watch import DaysWatch
    from .pages import Pages
    from .symbol_view import Asked, SymbolView

_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")
_COLUMNS: Final = ("date", "symbol", "time", *Candle._fields[1:])


def routes(pages: Pages, days: DaysWatch, symbol: SymbolView) -> list[Route]:
    """The downloads."""

    async def document(request: Request) -> Response:
        return await _downloaded(_document(days, day_of(request)))

    async def whole_page(request: Request) -> Response:
        return await _downloaded(_page(days, day_of(request), pages.choice(request).lang))

    async def certificate(request: Request) -> Response:
        is_signature = request.url.path.endswith(".sig")
        return await _downloaded(_certificate(days, day_of(request), signature=is_signature))

    async def minutes(request: Request) -> Response:
        question = asked(request)
        if question.problem:
            return PlainTextResponse("the address has no valid symbol and day\n", 400)
        return await _downloaded(_minutes(symbol, question))

    return [
        Route("/days/{day}/quality.json", document),
        Route("/days/{day}/quality.html", whole_page),
        Route("/days/{day}/certificate.txt", certificate),
        Route("/days/{day}/certificate.txt.sig", certificate),
        Route("/symbol/minutes.csv", minutes),
    ]


def day_of(request: Request) -> str:
    """The day of the path; HTTPException 404 if it is none."""
    try:
        return market.day_name(market.parse_day(request.path_params["day"]))
    except ValueError:
        raise HTTPException(404) from None


async def _document(days: DaysWatch, day: str) -> Response:
    facts, judged = (await days.detail(day, clock.now_ms())).day
    return JSONResponse(day_document(facts, judged), headers=_attached(f"quality-{day}.json"))


async def _page(days: DaysWatch, day: str, lang: str) -> Response:
    """The page of `quality --html`, of the counters alone."""
    now_ms = clock.now_ms()
    detail, found = (await days.detail(day, now_ms)).day, Overall(ALL)
    found.add(*detail)
    text = BEGINS + page(found, Overall(), detail, now_ms, lang)
    return Response(text, media_type="text/html; charset=utf-8", headers=_attached(f"quality-{day}.html"))


async def _certificate(days: DaysWatch, day: str, *, signature: bool) -> Response:
    content = await days.certificate(day, signature=signature)
    name = f"{market.day_date(market.parse_day(day))}.txt{'.sig' if signature else ''}"
    return Response(content, media_type="text/plain; charset=utf-8", headers=_attached(name))


async def _minutes(symbol: SymbolView, question: Asked) -> Response:
    """The candles of a symbol, at most those of one day: one line a minute, Hong Kong time."""
    part = await symbol.whole(question)
    if part.no_candles:
        raise CollectorError(part.no_candles)
    symbol_name = _ODD.sub("_", part.symbol)  # a name from the file; it needs no quotes then
    lines = [",".join(_COLUMNS)]
    for candle in part.candles:
        moment = market.hkt(candle.time_s * 1000)
        lines.append(
            ",".join(
                [
                    f"{moment:%Y-%m-%d},{symbol_name},{moment:%H:%M}",
                    *("" if value is None else str(value) for value in candle[1:]),
                ]
            )
        )
    headers = _attached(f"minutes-{symbol_name}-{part.day}.csv")
    return Response("\n".join([*lines, ""]), media_type="text/csv; charset=utf-8", headers=headers)


async def _downloaded(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except CollectorError as error:
        code = 404 if isinstance(error, ArchiveError | NoDayError) else 503
        return PlainTextResponse(f"{plain(error.one_line())}\n", code)


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}

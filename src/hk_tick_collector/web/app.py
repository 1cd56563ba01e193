"""The application: routes, the guard around them, and what runs beside them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from . import downloads, login, now
from .days_view import DaysView
from .days_watch import DaysWatch
from .feed import Feed
from .guard import Guard
from .pages import HERE, Pages
from .streams import Streams
from .symbol_view import SymbolView
from .tokens import Attempts, Token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from .site import Site


def create_app(site: Site) -> Starlette:
    """The page as an ASGI application. `app.state.close()` ends its streams."""
    pages, streams = Pages(site.instance, site.lang), Streams()
    feed = Feed(site, now.renderer(pages), lambda: streams.open > 0)
    is_remote = "://" in (site.archive or "")
    archive = Path(site.archive) if site.archive and not is_remote else None
    left_out = f"{site.archive} is no directory of this host" if is_remote else ""
    watch = DaysWatch(site.data_root, archive, site.limits.drift_warn_s, site.reading, left_out)
    symbol, days = SymbolView(pages, site, watch), DaysView(pages, watch)
    token, attempts = Token(site.token) if site.token else None, Attempts()

    @asynccontextmanager
    async def beside(_app: Starlette) -> AsyncIterator[None]:
        await feed.begin()
        task = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def failed(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        return pages.page(request, "error.html", code=code, status=code)

    app = Starlette(
        routes=[
            *now.routes(pages, feed, streams),
            *symbol.routes(streams),
            *days.routes(streams),
            *downloads.routes(pages, watch, symbol),
            *(login.routes(pages, token, attempts) if token else ()),
            Route("/alive", _alive),
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
        ],
        middleware=[Middleware(Guard, names=site.names, token=token, attempts=attempts)],
        exception_handlers={404: failed, 405: failed, 500: failed},
        lifespan=beside,
    )

    def close() -> None:
        for view in (feed, symbol, days):
            view.close()

    app.state.close = close
    return app


async def _alive(_request: Request) -> Response:
    return JSONResponse({"alive": True})

"""The HTTP server: uvicorn on a socket of ours, with limits on connections and an end that waits for no browser."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from hk_tick_collector.errors import CollectorError

from .connections import Connection, cut_stuck

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

_BACKLOG: Final = 128
_CUT_EVERY_S: Final = 1.0
_END_S: Final = 2  # for answers that are on their way when it ends


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. CollectorError if the address cannot be used."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(cast("tuple[str, int]", where), family=family, backlog=_BACKLOG)
    except OSError as error:
        hint = "set WEB_ADDR to an address of this host"
        if error.errno == errno.EADDRINUSE:
            hint = f"who has it: sudo ss -ltnp 'sport = :{port}'; or use another port in WEB_ADDR"
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        is_lookup = isinstance(error, socket.gaierror)  # its numbers are not those of the system
        reason = error.strerror if is_lookup or not error.errno else os.strerror(error.errno)
        raise CollectorError(f"cannot listen on {shown} ({reason or error})", hint=hint) from None


def serve(app: Starlette, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, which it passes on at the end. `ready` is called when browsers are answered."""
    make_server(app, ready).run([listener])


def make_server(app: Starlette, ready: Callable[[], None]) -> uvicorn.Server:
    """The server of an application; `app.state.close()` ends the application's streams."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # what a browser does wrong is not for the journal
        logging.getLogger(name).setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_END_S,
        h11_max_incomplete_event_size=16_384,
    )
    return _Server(config, app.state.close, ready)


class _Server(uvicorn.Server):
    """uvicorn's server, which also cuts stuck connections, and ends its streams before it waits for their end."""

    def __init__(self, config: uvicorn.Config, close: Callable[[], None], ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._close = close
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to answer."""
        await super().startup(sockets)
        self._cutting = asyncio.create_task(self._cut())
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends streams, then the server."""
        self._close()
        await super().shutdown(sockets)
        self._cutting.cancel()

    async def _cut(self) -> None:
        while True:
            await asyncio.sleep(_CUT_EVERY_S)
            connections: Any = self.server_state.connections
            cut_stuck(connections, time.monotonic())

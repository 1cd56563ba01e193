"""The listening socket, and the port that stays reserved while the socket does not listen."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from hk_tick_collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


class Door:
    """Listens on `host`:`port`; port 0 takes a free one and keeps it.

    While closed, the port stays bound and refuses connections. Otherwise another process could take the port. A client
    on this host that keeps trying could also get it as its local port, and then connect to itself.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.port = port
        self._kept: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Starts to listen; UsageError if that is impossible. No effect if it already listens."""
        if self._server is not None:
            return
        try:
            kept = self._kept or self._bind()
            self._kept = None
            self._server = await asyncio.get_running_loop().create_server(protocol, sock=kept)
        except OSError as error:
            raise self._cannot_listen(error) from None

    async def shut(self) -> None:
        """Stops listening and keeps the port; open connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._kept = self._bind()

    async def close(self) -> None:
        """Releases the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._kept is not None:
            self._kept.close()

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, self.port))
        except BaseException:
            bound.close()
            raise
        self.port = bound.getsockname()[1]
        return bound

    def _cannot_listen(self, error: OSError) -> UsageError:
        where = f"{self._host}:{self.port}"
        if error.errno == errno.EADDRINUSE:
            return UsageError(
                f"{where} is in use",
                hint="stop the program that listens there, or give another port (0 takes a free one)",
            )
        return UsageError(f"cannot listen on {where} ({error.strerror})", hint="give an address of this host")

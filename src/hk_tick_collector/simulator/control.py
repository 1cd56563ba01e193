"""The control socket: another process decides at run time what goes wrong.

A Unix socket, lines of text. One command a line; one line is returned when it is done:

    mute for 3s            → ok                       any step of a scenario, without a time
    end mute               → ok
    pause / resume         → ok                       the exchange makes no ticks / makes them again
    stats                  → ok ticks=12 pushes=12 clients=1 subscribed=3 waiting_bytes=0 lasting=none
    dance                  → error there is no step 'dance', …
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final, Self

from hk_tick_collector.errors import CollectorError, UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from .server import Simulator

_RESUME: Final = "end pause"


class Control:
    """Serves commands on a Unix socket; an async context manager. UsageError if the socket cannot be created."""

    def __init__(self, path: Path, simulator: Simulator) -> None:
        self._path = path
        self._simulator = simulator
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Starts to listen; a socket left by an earlier process under this name is replaced."""
        try:
            if self._path.is_socket():
                self._path.unlink()
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        except OSError as error:
            raise UsageError(
                f"the control socket {self._path} cannot be created ({error.strerror or error})",
                hint="give a short path in a writable directory",
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnects every client and removes the socket."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._clients):
            writer.close()
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while line := await reader.readline():
                writer.write(f"{await self._answer(line.decode(errors='replace').strip())}\n".encode())
                await writer.drain()
        except (ConnectionError, ValueError):  # the client disconnected, or its line is too long
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, command: str) -> str:
        try:
            if command == "stats":
                return " ".join(["ok", *(f"{key}={value}" for key, value in self._simulator.stats().items())])
            await self._simulator.perform(_RESUME if command == "resume" else command)
        except CollectorError as error:
            return f"error {error.one_line()}"
        return "ok"


def tell(path: Path, command: str, timeout_s: float = 30.0) -> dict[str, str]:
    """Sends one command to a control socket and returns the fields of the answer; CollectorError for an `error`."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(timeout_s)
        control.connect(str(path))
        control.sendall(f"{command}\n".encode())
        with control.makefile(encoding="utf-8") as lines:
            word, _, rest = lines.readline().strip().partition(" ")
    if word != "ok":
        raise CollectorError(rest or "the simulator ended")
    return dict(field.split("=", 1) for field in rest.split())

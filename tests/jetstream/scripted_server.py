"""A NATS server that says what a test has it say. It runs in the event loop of the test.

    async with scripted(greeting(), answer) as url: ...

`answer` gets the subject of each message and returns the payload of the reply, `Raw` bytes to put on the wire as they
are, or None for silence.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Raw(bytes):
    """Bytes that are no payload but the wire itself."""


def greeting(**more: object) -> bytes:
    """The first line of a server."""
    said = {"server_id": "x", "version": "2.11.0", "max_payload": 1 << 20, "proto": 1, "headers": True, **more}
    return b"INFO " + json.dumps(said).encode() + b"\r\n"


def silent(_: str) -> None:
    """Answers nothing."""


@asynccontextmanager
async def scripted(
    first: bytes, answer: Callable[[str], bytes | None] = silent, *, heard: list[bytes] | None = None
) -> AsyncIterator[str]:
    """The address of the server, which greets with `first`; what it is told goes to `heard`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        try:
            while line := await reader.readline():
                if heard is not None:
                    heard.append(line)
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                elif line.startswith((b"PUB ", b"HPUB ")):
                    _, subject, *reply, size = line.split()
                    await reader.readexactly(int(size) + 2)
                    said = answer(subject.decode())
                    if isinstance(said, Raw):
                        writer.write(said)
                    elif said is not None:
                        writer.write(b"MSG %s 1 %d\r\n%s\r\n" % (reply[0], len(said), said))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"

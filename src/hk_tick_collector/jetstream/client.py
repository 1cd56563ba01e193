"""The client of nats-py, which here ends the connection as soon as bytes of the server cannot be understood.

The one of nats-py stops reading then, prints a traceback, and keeps a connection that answers nothing; and it gathers
bytes without limit while it waits for the end of a line or of a message. Imported only where nats-py is installed.
"""

from __future__ import annotations

from typing import Final

from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

_MOST_BYTES: Final = 96 * 2**20  # a server can be set to messages of 64 MiB, and JetStream wraps them in base64


class StrictParser(Parser):
    """The parser of nats-py. The only error it raises is ProtocolError: then the client closes the connection."""

    async def parse(self, data: bytes = b"") -> None:
        """Takes the next bytes of the server."""
        if len(self.buf) + len(data) > _MOST_BYTES:
            raise ProtocolError
        try:
            await super().parse(data)
        except Exception:  # noqa: BLE001 - whatever a server can make it raise
            raise ProtocolError from None


class StrictClient(Client):
    """A client with that parser."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = StrictParser(self)

    def abort(self) -> None:
        """Closes the socket and discards what is not sent: a server that reads nothing would otherwise keep it open."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

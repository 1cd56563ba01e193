"""The client of nats-py, which here ends the connection as soon as bytes of the server cannot be understood.

The one of nats-py stops reading then, prints a traceback, and keeps a connection that answers nothing; and it gathers
bytes without limit while it waits for the end of a line or of a message. Imported only where nats-py is installed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

if TYPE_CHECKING:
    import ssl
    from urllib.parse import ParseResult

    from nats.aio.transport import Transport

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


class _TlsProtocol(asyncio.StreamReaderProtocol):
    """The protocol of a connection that became TLS, which asyncio takes for one without TLS.

    Each time a server ends such a connection asyncio would print "returning true from eof_received() has no effect".
    """

    def eof_received(self) -> bool:
        """The server sends no more. False: TLS has no half-open connections."""
        super().eof_received()
        return False


class _Transport(TcpTransport):
    """The transport of nats-py, with that protocol."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """Makes the connection TLS. `uri` names the server as its certificate does."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = _TlsProtocol(reader)
        name = uri if isinstance(uri, str) else uri.hostname
        if self._io_writer is None:
            raise ProtocolError
        made = loop.start_tls(self._io_writer.transport, protocol, ssl_context, server_hostname=name)
        transport = cast("asyncio.Transport", await asyncio.wait_for(made, connect_timeout))  # noqa: TID251 - as connect
        self._io_reader = reader
        self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)


class StrictClient(Client):
    """A client with that parser and that transport."""

    def __init__(self) -> None:
        self._used_transport: Transport | None = None
        super().__init__()
        self._ps = StrictParser(self)

    @property
    def _transport(self) -> Transport | None:
        return self._used_transport

    @_transport.setter
    def _transport(self, transport: Transport | None) -> None:
        """nats-py makes its transport where it uses it, and gives no other place to name another one."""
        self._used_transport = _Transport() if type(transport) is TcpTransport else transport

    def abort(self) -> None:
        """Closes the socket and discards what is not sent: a server that reads nothing would otherwise keep it open."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            with suppress(AttributeError):  # Python 3.11.2: a TLS transport that was closed twice has no protocol
                writer.transport.abort()

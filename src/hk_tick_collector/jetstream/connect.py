"""One connection to one of the NATS servers, or the reason why there is none.

Enters: addresses, credentials, authorities. Leaves: a `Connection`, used until it is lost. It does not reconnect by
itself: who uses it closes it and asks for a new one, after a delay of his own, and then checks the anchor. So nothing
that was sent on a lost connection is sent again without anybody knowing.

Versions before 2.10.23 are refused: their Raft log ignores `sync_interval: always`, and acknowledged messages are lost
when all servers lose power.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.errors import StreamAwayError, StreamError, UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.text import plain

from .credentials import Credentials, read_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

LEAST_VERSION: Final = (2, 10, 23)
_CONNECT_S: Final = 4.0  # for one server
_ATTEMPTS: Final = 3  # a server that refuses us closes at once, and its reason may be lost on the way
_CLOSE_S: Final = 1.0
_PING_S: Final = 5  # a server that answers no ping for two of these is lost
_CREDS_HINT: Final = "check STREAM_CREDS, and the authorization of the servers"
_TLS_HINT: Final = "check the certificates of the servers and STREAM_CA"


class _CutOffError(StreamAwayError):
    """The server ended the connection while it was made."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the NATS servers are, and how they know us."""

    urls: tuple[str, ...]  # nats://HOST:PORT or tls://HOST:PORT
    name: str  # of this client, in the monitoring of the server
    creds: Path | None = None
    ca: Path | None = None  # PEM file of the authorities; None: those of the system

    def check(self) -> None:
        """Reads the files that the connection needs. UsageError for one that is missing or wrong."""
        if not self.urls:
            raise UsageError("STREAM_URL is empty", hint="set it to nats://HOST:4222, or --url nats://HOST:4222")
        if self.creds is not None:
            read_credentials(self.creds)
        if self.urls[0].startswith("tls:"):
            self.tls_context()

    def tls_context(self) -> ssl.SSLContext:
        """What a certificate of the servers is checked against. UsageError for a file that has no certificates."""
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            fault = error.strerror or "no certificates"
            raise UsageError(f"cannot use STREAM_CA={self.ca} ({fault})", hint="name a PEM file") from None


@dataclass(slots=True)
class Connection:
    """A connection to one server. Every request raises StreamAwayError once it is lost."""

    url: str
    version: tuple[int, int, int]
    client: Client
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    refused: dict[str, asyncio.Future[str]] = field(default_factory=dict)  # subject → how the server refuses it
    failure: Exception | None = None  # of the attempt to reach the server

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Msg:
        """The answer to a request. StreamAwayError without one in time, StreamError if the server forbids it."""
        from nats import errors

        refused = self.refused.setdefault(subject.lower(), asyncio.get_running_loop().create_future())
        asked = asyncio.ensure_future(self.client.request(subject, payload, timeout=timeout_s, headers=headers))
        ended = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait((asked, ended, refused), return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                raise StreamError(f"{self.url} refuses {subject} ({refused.result()})", hint=_CREDS_HINT)
            if not asked.done():
                raise StreamAwayError(f"the connection to {self.url} is lost")
            return asked.result()
        except errors.NoRespondersError:
            raise StreamAwayError(f"nobody answers {subject}: JetStream is off, or the stream has no leader") from None
        except TimeoutError:  # that of nats-py is one too
            raise StreamAwayError(f"{self.url} did not answer {subject} within {timeout_s:g} s") from None
        except (errors.Error, OSError) as error:
            raise StreamAwayError(f"the connection to {self.url} failed ({plain(error)})") from None
        finally:
            asked.cancel()
            ended.cancel()
            if refused.done():  # the permissions may be changed while we are connected
                self.refused.pop(subject.lower(), None)

    async def close(self) -> None:
        """Closes the connection; a server that does not respond is not waited for."""
        self.lost.set()
        with suppress(Exception):
            await asyncio.wait_for(self.client.close(), _CLOSE_S)


async def connect(servers: Servers, *, order: Callable[[Sequence[str]], list[str]] | None = None) -> Connection:
    """A connection to the first server that accepts us; they are tried in random order.

    StreamAwayError if no server answers. StreamError if each that answers refuses us: too old a version, wrong
    credentials or certificates; also for a file of them that cannot be used now. `Servers.check` tells that at the
    start; later somebody may be writing a new one, and the next attempt may succeed.
    """
    need("nats", "stream")
    try:
        credentials = read_credentials(servers.creds) if servers.creds else None
        tls = servers.tls_context() if servers.urls[0].startswith("tls:") else None
    except UsageError as error:
        raise StreamError(str(error), hint=error.hint) from None
    faults: list[StreamError] = []
    for url in (order or _shuffled)(servers.urls):
        for attempt in range(_ATTEMPTS):
            try:
                return await _connect_to(url, servers.name, credentials, tls)
            except _CutOffError as fault:
                if attempt == _ATTEMPTS - 1:
                    faults.append(fault)
            except StreamError as fault:
                faults.append(fault)
                break
    refused = [fault for fault in faults if not isinstance(fault, StreamAwayError)]
    if refused:
        raise refused[0]
    raise StreamAwayError("; ".join(map(str, faults)), hint=faults[0].hint or "systemctl status hk-nats")


def _shuffled(urls: Sequence[str]) -> list[str]:
    return random.sample(urls, len(urls))


async def _connect_to(url: str, name: str, credentials: Credentials | None, tls: ssl.SSLContext | None) -> Connection:
    from nats.aio.client import Client

    client = Client()
    connection = Connection(url, (0, 0, 0), client)
    try:
        await asyncio.wait_for(client.connect(**_options(connection, name, credentials, tls)), _CONNECT_S)
    except Exception as error:  # noqa: BLE001 - nats-py raises its own errors, those of sockets, of TLS and of JSON
        await connection.close()
        raise _fault(url, connection.failure or error) from None
    found = client.connected_server_version
    connection.version = (found.major, found.minor, found.patch)
    if tls is not None and not client._server_info.get("tls_required"):  # noqa: SLF001 - nats-py would go on without
        await connection.close()
        raise StreamError(f"{url} offers no TLS", hint="set STREAM_URL to nats://, or configure TLS at the server")
    if connection.version < LEAST_VERSION:
        await connection.close()
        shown, least = (".".join(map(str, version)) for version in (connection.version, LEAST_VERSION))
        raise StreamError(
            f"{url} is nats-server {shown}, which may lose acknowledged ticks in a power cut",
            hint=f"install {least} or later",
        )
    return connection


def _options(
    connection: Connection, name: str, credentials: Credentials | None, tls: ssl.SSLContext | None
) -> dict[str, Any]:
    async def closed() -> None:
        connection.lost.set()

    async def failed(error: Exception) -> None:
        if isinstance(error, OSError):
            connection.failure = error
        text = plain(error).removeprefix("nats: ").lower()
        if "permissions violation" in text:
            for subject, refused in connection.refused.items():
                if f'"{subject}"' in text and not refused.done():
                    refused.set_result(text)

    options: dict[str, Any] = {
        "servers": [connection.url],
        "name": name,
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,  # also of the first connection: 0 would mean for ever
        "reconnect_time_wait": 0,
        "connect_timeout": _CONNECT_S,
        "ping_interval": _PING_S,
        "max_outstanding_pings": 2,
        "closed_cb": closed,
        "error_cb": failed,
        "no_echo": True,
    }
    if tls is not None:
        options["tls"] = tls
    if credentials is not None:
        client = connection.client
        # nats-py sets both only with the package `nkeys`, which has no wheel.
        client._auth_configured = True  # noqa: SLF001
        client._public_nkey = credentials.public_key  # noqa: SLF001
        options["signature_cb"] = credentials.sign
        if credentials.token:
            options["user_jwt_cb"] = credentials.token.encode
    return options


def _fault(url: str, error: Exception) -> StreamError:
    """The error of a failed attempt: whether an operator has to act, or the next attempt may succeed."""
    words = plain(error).removeprefix("nats: ").strip("'\" ")
    if isinstance(error, ssl.SSLError):
        return StreamError(f"the certificate of {url} is not accepted ({_tls_words(error)})", hint=_TLS_HINT)
    if "authorization" in words.lower() or "authentication" in words.lower():
        return StreamError(f"{url} refuses us ({words})", hint=_CREDS_HINT)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _CutOffError(f"{url} ends the connection at once: see its log", hint=_CREDS_HINT)
    if isinstance(error, TimeoutError):
        words = f"no answer within {_CONNECT_S:g} s"
    elif isinstance(error, OSError):
        words = error.strerror or words or type(error).__name__
    return StreamAwayError(f"no NATS server at {url} ({words or type(error).__name__})")


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or str(error)).lower().replace("_", " ")

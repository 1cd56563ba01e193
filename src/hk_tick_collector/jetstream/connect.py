"""One connection to one of the NATS servers, or the reason why there is none.

Enters: addresses, credentials, authorities. Leaves: a `Connection`, used until it is lost. It does not reconnect by
itself: its user closes it, waits, asks for a new one and checks the anchor. So the user knows of every message that is
sent a second time.

Versions before 2.10.23 are refused: their Raft log ignores `sync_interval: always`, and acknowledged messages are lost
when all servers lose power.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.errors import StreamAwayError, StreamError, UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.text import plain

from .credentials import Credentials, read_credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from .client import StrictClient

LEAST_VERSION: Final = (2, 10, 23)
_VERSION: Final = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?![0-9])")
_LEAST_PAYLOAD: Final = 256 * 1024  # bytes; more than a message of 1,000 ticks, or the sums of thousands of symbols
_CONNECT_S: Final = 4.0  # for one server
_ATTEMPTS: Final = 3  # a server that refuses us closes at once, and its reason may be lost on the way
_CLOSE_S: Final = 1.0
_PING_S: Final = 5  # a server that answers no ping for two of these is lost
_CREDS_HINT: Final = "check STREAM_CREDS, and the authorization of the servers"
_SUBJECT_HINT: Final = (
    "its key may not use this subject: check STREAM_CREDS, INSTANCE_ID, and the authorization of the servers"
)
_TLS_HINT: Final = "check the certificates of the servers and STREAM_CA"


class UnusableFileError(StreamError):
    """The file of credentials or of authorities cannot be used now: somebody may be writing a new one."""


class _CutOffError(StreamAwayError):
    """The server ended the connection while it was made."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The addresses of the NATS servers, and what this client needs to connect to them."""

    urls: tuple[str, ...]  # nats://HOST:PORT or tls://HOST:PORT
    name: str  # of this client, in the monitoring of the server
    creds: Path | None = None
    ca: Path | None = None  # PEM file of the authorities; None: those of the system

    def check(self) -> None:
        """Reads the files that the connection needs. UsageError without a server or for a wrong file."""
        if not self.urls:
            hint = "set it to nats://HOST:4222 or tls://HOST:4222, several of one kind separated by commas"
            raise UsageError("STREAM_URL is empty", hint=hint)
        if self.creds is not None:
            read_credentials(self.creds)
        if self.uses_tls:
            self.tls_context()

    @property
    def demands_tls(self) -> bool:
        """Whether a server without TLS is refused."""
        return self.urls[0].startswith("tls:")

    @property
    def uses_tls(self) -> bool:
        """Whether certificates can be checked: a server at nats:// may demand TLS too, and then STREAM_CA is used."""
        return self.demands_tls or self.ca is not None

    def tls_context(self) -> ssl.SSLContext:
        """The authorities of the servers' certificates. UsageError for a file without certificates."""
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
    client: StrictClient
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
            # nats-py itself waits without limit for a server that takes no more bytes.
            patience_s = timeout_s + _CLOSE_S
            await asyncio.wait((asked, ended, refused), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                raise StreamError(f"{self.url} refuses {subject} ({refused.result()})", hint=_SUBJECT_HINT)
            if not asked.done():
                self.demand()
                raise _late(self.url, subject, timeout_s)
            with self._named_errors():
                return asked.result()
        except errors.NoRespondersError:
            raise StreamAwayError(f"nobody answers {subject}: JetStream is off, or the stream has no leader") from None
        except TimeoutError:  # that of nats-py is one too
            raise _late(self.url, subject, timeout_s) from None
        finally:
            asked.cancel()
            ended.cancel()
            if refused.done():  # the permissions may be changed while we are connected
                self.refused.pop(subject.lower(), None)

    def demand(self) -> None:
        """Raises StreamAwayError if the connection is lost."""
        if self.lost.is_set():
            raise StreamAwayError(f"the connection to {self.url} is lost")

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Sends a message that nobody acknowledges."""
        with self._named_errors():
            await self.client.publish(subject, payload, reply=reply)

    async def subscribe(self, subject: str, callback: Callable[[Msg], Awaitable[None]] | None = None) -> Subscription:
        """From now on messages of a subject arrive: in the subscription, or at `callback`."""
        with self._named_errors():
            return await self.client.subscribe(subject, cb=callback)

    async def close(self) -> None:
        """Closes the connection; a server that does not respond is not waited for."""
        self.lost.set()
        with suppress(Exception):
            await asyncio.wait_for(self.client.close(), _CLOSE_S)  # noqa: TID251 - as `_connect_to`
        self.client.abort()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turns an error of the connection into StreamAwayError, except that of a request without an answer."""
        from nats import errors

        try:
            yield
        except (errors.NoRespondersError, TimeoutError):
            raise
        except (errors.Error, OSError) as error:
            raise StreamAwayError(f"the connection to {self.url} failed ({plain(error)})") from None


def _late(url: str, subject: str, timeout_s: float) -> StreamAwayError:
    return StreamAwayError(f"{url} did not answer {subject} within {timeout_s:g} s")


async def connect(servers: Servers, *, order: Callable[[Sequence[str]], list[str]] | None = None) -> Connection:
    """A connection to the first server that accepts us; they are tried in random order.

    StreamAwayError if no server answers. StreamError if each that answers refuses us: too old a version, wrong
    credentials or certificates. UnusableFileError for a file of credentials or certificates that cannot be used now: at
    the start `Servers.check` finds that; later the file may be being renewed, and the next attempt may succeed.
    """
    need("nats", "stream")
    try:
        credentials = read_credentials(servers.creds) if servers.creds else None
        tls = servers.tls_context() if servers.uses_tls else None
    except UsageError as error:
        raise UnusableFileError(str(error), hint=error.hint) from None
    faults: list[StreamError] = []
    for url in (order or _shuffled)(servers.urls):
        for attempt in range(_ATTEMPTS):
            try:
                return await _connect_to(url, servers, credentials, tls)
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


async def _connect_to(
    url: str, servers: Servers, credentials: Credentials | None, tls: ssl.SSLContext | None
) -> Connection:
    from .client import StrictClient

    client = StrictClient()
    connection = Connection(url, (0, 0, 0), client)
    try:
        # In a task of its own: nats-py handles cancellations itself, and one could be left for the caller.
        await asyncio.wait_for(  # noqa: TID251
            client.connect(**_options(connection, servers, credentials, tls)), _CONNECT_S
        )
        _demand_tls(connection, servers)
        connection.version = _version_of(connection)
        _demand_payload(connection)
    except Exception as error:  # noqa: BLE001 - nats-py raises its own errors, those of sockets, of TLS and of JSON
        await connection.close()
        raise _fault(url, connection.failure or error) from None
    except asyncio.CancelledError:
        client.abort()
        raise
    return connection


def _demand_tls(connection: Connection, servers: Servers) -> None:
    """Raises StreamError for a server at tls:// that has no TLS: nats-py would continue without it."""
    if servers.demands_tls and not connection.client._server_info.get("tls_required"):  # noqa: SLF001
        raise StreamError(
            f"{connection.url} offers no TLS", hint="set STREAM_URL to nats://, or configure TLS at the server"
        )


def _version_of(connection: Connection) -> tuple[int, int, int]:
    """What the server says of its version. StreamError if it is too old, or says none."""
    said = connection.client._server_info.get("version")  # noqa: SLF001
    found = _VERSION.match(str(said))
    least = ".".join(map(str, LEAST_VERSION))
    if found is None:
        raise StreamError(f"{connection.url} does not say its version", hint=f"install nats-server {least} or later")
    version = (int(found[1]), int(found[2]), int(found[3]))
    if version < LEAST_VERSION:
        raise StreamError(
            f"{connection.url} is nats-server {found[0]}, which may lose acknowledged ticks in a power cut",
            hint=f"install {least} or later",
        )
    return version


def _demand_payload(connection: Connection) -> None:
    """Raises StreamError for a server that accepts no messages of our size: every later attempt would fail too."""
    most = connection.client._server_info.get("max_payload", _LEAST_PAYLOAD)  # noqa: SLF001
    if not isinstance(most, int) or most < _LEAST_PAYLOAD:
        words = f"{connection.url} takes messages of {plain(most)[:20]} bytes at most, not of {_LEAST_PAYLOAD}"
        raise StreamError(words, hint="set max_payload: 1MB in the configuration of the server")


def _options(
    connection: Connection, servers: Servers, credentials: Credentials | None, tls: ssl.SSLContext | None
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
        "name": servers.name,
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

        def sign(challenge: str) -> bytes:
            _demand_tls(connection, servers)  # else somebody between us and the server could use the signature
            return credentials.sign(challenge)

        # nats-py sets both only with the package `nkeys`, which has no wheel.
        client._auth_configured = True  # noqa: SLF001
        client._public_nkey = credentials.public_key  # noqa: SLF001
        options["signature_cb"] = sign
        if credentials.token:
            options["user_jwt_cb"] = credentials.token.encode
    return options


def _fault(url: str, error: Exception) -> StreamError:
    """The error of a failed attempt: whether an operator has to act, or the next attempt may succeed."""
    if isinstance(error, StreamError):
        return error
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
        # asyncio's own text names the address only; a failed look-up has a negative number.
        said = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        words = said or words or type(error).__name__
    return StreamAwayError(f"no NATS server at {url} ({words or type(error).__name__})")


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or str(error)).lower().replace("_", " ")

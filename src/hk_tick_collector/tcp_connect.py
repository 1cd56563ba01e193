"""A TCP connection to a host that may have several addresses: the first that answers is used.

Enters: a host and a port. Leaves: a connected socket, and the reason why each other address failed. The service and
`doctor` both connect to OpenD with this module, so that both always get the same result.

The addresses are tried as RFC 8305 ("happy eyeballs") says. An attempt starts a moment after the one before it, or at
once when that one has failed. Each attempt has its own time limit. The first connected address cancels the other
attempts. This is written here because uvloop's create_connection does not support `happy_eyeballs_delay`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import os
import socket
import threading
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from .errors import OpenDError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

ADDRESS_LIMIT_S: Final = 3.0  # for one address
LOOKUP_LIMIT_S: Final = 5.0  # for the name
_STAGGER_S: Final = 0.25  # between the starts of two attempts (the value of RFC 8305)

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class Address(NamedTuple):
    """One address of a host, in the form that the operating system expects."""

    family: int  # AF_INET, AF_INET6
    where: SocketAddress


Resolve: TypeAlias = "Callable[[str, int], Awaitable[list[Address]]]"


@dataclass(frozen=True, slots=True)
class Reached:
    """A connected, non-blocking socket, its remote address, and the addresses that failed: address → reason."""

    socket: socket.socket
    address: str
    failed: dict[str, str] = field(default_factory=dict)


class Resolver:
    """Looks up names in a daemon thread, so that a name server that does not answer cannot delay the exit.

    While a lookup is running, a further call for the same host waits for it and does not start a second one.
    """

    def __init__(self, lookup: Callable[[str, int], list[Address]] | None = None) -> None:
        self._lookup = lookup or look_up
        self._pending: tuple[tuple[str, int], concurrent.futures.Future[list[Address]]] | None = None

    async def __call__(self, host: str, port: int) -> list[Address]:
        """The addresses of a host. Raises OSError when it has none."""
        try:
            return look_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # a name
        if self._pending is None or self._pending[0] != (host, port):
            self._pending = (host, port), self._begin(host, port)
        future = self._pending[1]
        try:
            return await asyncio.wrap_future(future)
        finally:
            if future.done():
                self._pending = None

    def _begin(self, host: str, port: int) -> concurrent.futures.Future[list[Address]]:
        future: concurrent.futures.Future[list[Address]] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()  # a caller that stops waiting can then no longer cancel it
        try:
            threading.Thread(target=self._run, args=(host, port, future), name="lookup", daemon=True).start()
        except RuntimeError as error:  # the limit of threads or memory is reached
            raise OSError(errno.EAGAIN, str(error)) from None
        return future

    def _run(self, host: str, port: int, future: concurrent.futures.Future[list[Address]]) -> None:
        try:
            future.set_result(self._lookup(host, port))
        except Exception as error:  # noqa: BLE001 - the thread's boundary: the waiting caller gets the error
            future.set_exception(error)


def look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    """The addresses of a host, the preferred one first. Blocks, possibly for long. Raises OSError when it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [Address(family, where) for family, _, _, _, where in found]  # type: ignore[arg-type]


async def connect(
    host: str, port: int, resolve: Resolve, *, all_addresses: bool = False, last: Collection[str] = ()
) -> Reached:
    """Connects to the first address of a host that answers.

    With `all_addresses` the attempts for the other addresses also run to their end, and their connections are closed.
    The addresses in `last` are tried after the others. Raises OpenDError when no address answers.
    """
    try:
        async with asyncio.timeout(LOOKUP_LIMIT_S):
            addresses = _in_turn(await resolve(host, port), last)
    except TimeoutError:
        raise _unreachable(host, port, f"the name was not resolved within {LOOKUP_LIMIT_S:g} s") from None
    except OSError as error:
        raise _unreachable(host, port, reason_of(error)) from None
    except UnicodeError:
        raise _unreachable(host, port, "not a valid host name") from None
    race = _Race(addresses)
    if await race.run(all_addresses=all_addresses):
        assert race.winner is not None
        return Reached(race.winner, race.address, race.failed)
    reasons = race.failed.values()
    names = (f"{address}: {reason}" for address, reason in race.failed.items())
    raise _unreachable(host, port, "; ".join(names) if len(race.failed) > 1 else next(iter(reasons), "no address"))


def reason_of(error: OSError) -> str:
    """The cause as the operating system words it, without an address."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ADDRESS_LIMIT_S:g} s"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


class _Race:
    """One attempt for each address. `winner` is the first connected socket; all others are closed."""

    def __init__(self, addresses: list[Address]) -> None:
        self.winner: socket.socket | None = None
        self.address = ""
        self.failed: dict[str, str] = {}
        self._waiting = addresses[::-1]
        self._stagger_s = min(_STAGGER_S, ADDRESS_LIMIT_S / max(1, len(addresses)))
        self._running: dict[asyncio.Task[socket.socket], str] = {}

    async def run(self, *, all_addresses: bool) -> bool:
        """Returns whether there is a winner."""
        try:
            while self._waiting or self._running:
                if self._waiting:
                    address = self._waiting.pop()
                    self._running[asyncio.create_task(_attempt(address))] = str(address.where[0])
                stagger_s = self._stagger_s if self._waiting else None
                ended, _ = await asyncio.wait(self._running, timeout=stagger_s, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    self._note_end(task)
                if self.winner is not None and not all_addresses:
                    break
        except BaseException:
            if self.winner is not None:
                self.winner.close()
            raise
        finally:
            for task in self._running:
                task.add_done_callback(_close)
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        return self.winner is not None

    def _note_end(self, task: asyncio.Task[socket.socket]) -> None:
        address = self._running.pop(task)
        try:
            connected = task.result()
        except OSError as error:
            self.failed[address] = reason_of(error)
            return
        if self.winner is None:
            self.winner, self.address = connected, address
        else:
            connected.close()


async def _attempt(address: Address) -> socket.socket:
    """A connected socket. Raises OSError when the address fails, and its subclass TimeoutError after the time limit."""
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(ADDRESS_LIMIT_S):
            await asyncio.get_running_loop().sock_connect(connection, address.where)
    except BaseException:
        connection.close()
        raise
    return connection


def _close(task: asyncio.Task[socket.socket]) -> None:
    """Closes the socket of an attempt that connected just before it was cancelled."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _in_turn(addresses: list[Address], last: Collection[str]) -> list[Address]:
    """Each address once, IPv4 and IPv6 alternating (RFC 8305): when one family fails entirely, only one attempt is lost
    before an address of the other is tried.
    """
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address.family, []).append(address)
    mixed = [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]
    return sorted(mixed, key=lambda address: address.where[0] in last)


def _unreachable(host: str, port: int, reason: str) -> OpenDError:
    return OpenDError(f"no TCP connection to {host}:{port} ({reason})")

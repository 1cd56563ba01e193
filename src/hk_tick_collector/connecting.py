"""A TCP connection to a host that may have several addresses: the first that answers is used.

Enters: a host and a port. Leaves: a connected socket, and what became of the other addresses. The service and `doctor`
reach OpenD through here, so that one never sees what the other does not.

The addresses are tried as RFC 8305 ("happy eyeballs") says: each begins a moment after the one before, or at once when
that one has failed, each has a time limit of its own, and the first that is connected ends the others. uvloop's
create_connection knows no `happy_eyeballs_delay`.
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
_STAGGER_S: Final = 0.25  # between the beginnings of two attempts (RFC 8305's figure)

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class Address(NamedTuple):
    """One address of a host, as the operating system takes it."""

    family: int  # AF_INET, AF_INET6
    where: SocketAddress


Resolve: TypeAlias = "Callable[[str, int], Awaitable[list[Address]]]"


@dataclass(frozen=True, slots=True)
class Reached:
    """A connected, non-blocking socket, the address it leads to, and why others are not used: address → reason."""

    socket: socket.socket
    address: str
    failed: dict[str, str] = field(default_factory=dict)


class Resolver:
    """Looks up names in a thread that nobody waits for at the end: a name server that does not answer holds up nothing.

    A lookup that has not ended is waited for again, never begun a second time.
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
        future.set_running_or_notify_cancel()  # from here on nobody who stops waiting can cancel it
        try:
            threading.Thread(target=self._run, args=(host, port, future), name="lookup", daemon=True).start()
        except RuntimeError as error:  # a limit of threads or of memory
            raise OSError(errno.EAGAIN, str(error)) from None
        return future

    def _run(self, host: str, port: int, future: concurrent.futures.Future[list[Address]]) -> None:
        try:
            future.set_result(self._lookup(host, port))
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whoever waits is told
            future.set_exception(error)


def look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    """The addresses of a host, the preferred one first; may take long. Raises OSError when it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [Address(family, where) for family, _, _, _, where in found]  # type: ignore[arg-type]


async def connect(
    host: str, port: int, resolve: Resolve, *, all_addresses: bool = False, last: Collection[str] = ()
) -> Reached:
    """Connects to the first address of a host that answers.

    With `all_addresses` the others are tried to their end as well, and their connections closed. Those in `last` are
    tried after the others. Raises OpenDError when no address answers.
    """
    try:
        async with asyncio.timeout(LOOKUP_LIMIT_S):
            addresses = _in_turn(await resolve(host, port), last)
    except TimeoutError:
        raise _unreachable(host, port, f"the name was not resolved within {LOOKUP_LIMIT_S:g} s") from None
    except OSError as error:
        raise _unreachable(host, port, reason_of(error)) from None
    except UnicodeError:
        raise _unreachable(host, port, "that is no host name") from None
    race = _Race(addresses)
    if await race.run(all_addresses=all_addresses):
        assert race.winner is not None
        return Reached(race.winner, race.address, race.failed)
    reasons = race.failed.values()
    names = (f"{address}: {reason}" for address, reason in race.failed.items())
    raise _unreachable(host, port, "; ".join(names) if len(race.failed) > 1 else next(iter(reasons), "no address"))


def reason_of(error: OSError) -> str:
    """The cause in the operating system's words, without an address."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ADDRESS_LIMIT_S:g} s"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


class _Race:
    """One attempt for each address; `winner` is the first socket that is connected, all others are closed."""

    def __init__(self, addresses: list[Address]) -> None:
        self.winner: socket.socket | None = None
        self.address = ""
        self.failed: dict[str, str] = {}
        self._waiting = addresses[::-1]
        self._stagger_s = min(_STAGGER_S, ADDRESS_LIMIT_S / max(1, len(addresses)))
        self._running: dict[asyncio.Task[socket.socket], str] = {}

    async def run(self, *, all_addresses: bool) -> bool:
        """Whether there is a winner."""
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
    """A connected socket; OSError, TimeoutError among them, when that address does not answer in time."""
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
    """An attempt that was connected at the moment when it was to be cancelled."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _in_turn(addresses: list[Address], last: Collection[str]) -> list[Address]:
    """Each address once; the families take turns, so that one that is dead as a whole costs one attempt (RFC 8305)."""
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address.family, []).append(address)
    mixed = [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]
    return sorted(mixed, key=lambda address: address.where[0] in last)


def _unreachable(host: str, port: int, reason: str) -> OpenDError:
    return OpenDError(f"no TCP connection to {host}:{port} ({reason})")

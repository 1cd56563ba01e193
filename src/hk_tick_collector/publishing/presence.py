"""Finds another publisher with the same name: two hosts with a copied INSTANCE_ID would count as one source.

Each publisher answers requests on `hk.name.<source>` with who it is, and sends such requests itself. A publisher that
starts ends if another already publishes under its name; clocks do not matter then. Of two that start at the same
moment, or that could not reach each other while the network was cut, the one that started later by its clock ends.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import market
from hk_tick_collector.errors import StreamAwayError, StreamError
from hk_tick_collector.jetstream.subjects import name_subject
from hk_tick_collector.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from hk_tick_collector.jetstream.connect import Connection

_ANSWER_S: Final = 1.0
_MOST_BYTES: Final = 2000
_INBOX: Final = "_INBOX."


class NameTakenError(StreamError):
    """An earlier publisher has the same name."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """A running publisher, as it answers to others."""

    source: str
    host: str
    pid: int
    started_ms: int
    token: str  # of this run, chosen at random
    publishes: bool = False  # it has seen that nobody else has the name

    @classmethod
    def this(cls, source: str, started_ms: int, token: str) -> Publisher:
        """This process."""
        return cls(source, socket.gethostname(), os.getpid(), started_ms, token)

    def words(self) -> str:
        """`host-2, pid 4711, since 2026-11-20 09:30:00 HKT`."""
        return plain(f"{self.host}, pid {self.pid}, since {market.moment_text(self.started_ms)}")

    def is_before(self, other: Publisher) -> bool:
        """Whether it has the name rather than the other: it publishes already, or started earlier."""
        return (not self.publishes, self.started_ms, self.token) < (not other.publishes, other.started_ms, other.token)


async def answer_for(connection: Connection, source: str, ours: Callable[[], Publisher]) -> None:
    """From now on this connection answers requests for the publisher of `source` with `ours()`."""

    async def respond(message: Msg) -> None:
        # A waiting client has such a subject. Any other may be one of ticks, where the asker must not publish.
        if message.reply.startswith(_INBOX):
            await connection.publish(message.reply, json.dumps(asdict(ours())).encode())

    await connection.subscribe(name_subject(source), respond)


async def other_publisher(connection: Connection, ours: Publisher) -> Publisher | None:
    """Another publisher with our name; None if nobody else answers. StreamAwayError if the connection is lost."""
    try:
        found = await publisher_of(connection, ours.source)
    except StreamAwayError:
        raise
    except StreamError:
        return None  # forbidden
    return None if found is None or found.token == ours.token else found


async def publisher_of(connection: Connection, source: str) -> Publisher | None:
    """The publisher that answers for a source; None if nobody does.

    StreamAwayError if the connection is lost, StreamError if the server forbids the request.
    """
    try:
        message = await connection.request(name_subject(source), timeout_s=_ANSWER_S)
    except StreamAwayError:
        if connection.lost.is_set():
            raise
        return None
    try:
        return _publisher(json.loads(message.data[:_MOST_BYTES]))
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None  # an answer that is not ours


def _publisher(answer: dict[str, Any]) -> Publisher:
    """The publisher of an answer; TypeError or ValueError for one that is none of ours."""
    found = Publisher(**answer)
    kinds = ((found.host, str), (found.pid, int), (found.started_ms, int), (found.token, str), (found.publishes, bool))
    if not all(isinstance(value, kind) for value, kind in kinds):
        raise TypeError
    market.moment_text(found.started_ms)
    return found


def demand_name(ours: Publisher, other: Publisher) -> None:
    """Raises NameTakenError if the other one was there before us."""
    if other.is_before(ours):
        raise NameTakenError(
            f"another publisher has the name {ours.source}: {other.words()}",
            hint="give each host an INSTANCE_ID of its own, or stop that one",
        )

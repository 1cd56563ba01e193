"""Ticks → messages, stored in the stream and acknowledged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector.jetstream.anchor import Anchor
from hk_tick_collector.jetstream.engine import store
from hk_tick_collector.jetstream.message import MAX_TICKS, encode
from hk_tick_collector.jetstream.subjects import message_id, ticks_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hk_tick_collector.jetstream.connect import Connection
    from hk_tick_collector.model import TickRow

IN_FLIGHT: Final = 16  # messages that wait for their acknowledgement


@dataclass(slots=True)
class OutgoingMessage:
    """A message until it is acknowledged. It keeps its id when it is sent again on another connection."""

    subject: str
    payload: bytes
    message_id: str
    rows: int
    seq: int = 0  # in the stream, once it is acknowledged

    @property
    def anchor(self) -> Anchor:
        """What the stream must hold from now on."""
        return Anchor(self.seq, self.message_id)


def tick_messages(
    source: str, day: str, rows: Sequence[TickRow], generation: str, numbers: Iterator[int]
) -> list[OutgoingMessage]:
    """The messages of these ticks, in their order. MessageError for a row that the collector did not write."""
    subject = ticks_subject(day, source)
    parts = (rows[at : at + MAX_TICKS] for at in range(0, len(rows), MAX_TICKS))
    return [
        OutgoingMessage(
            subject, encode(source, day, part), message_id(source, day, generation, next(numbers)), len(part)
        )
        for part in parts
    ]


async def send(
    connection: Connection, messages: Sequence[OutgoingMessage], acknowledged: Callable[[OutgoingMessage, float], None]
) -> None:
    """Stores the messages that are not acknowledged yet, in order, up to 16 at a time.

    `acknowledged` is called for each with the seconds that it took. Raises the first error of the engine; then the
    other messages are not waited for, and may have been stored.
    """
    window = asyncio.Semaphore(IN_FLIGHT)

    async def send_one(message: OutgoingMessage) -> None:
        began_s = time.monotonic()
        message.seq = await store(connection, message.subject, message.payload, message.message_id)
        window.release()
        acknowledged(message, time.monotonic() - began_s)

    try:
        async with asyncio.TaskGroup() as group:
            for message in messages:
                if not message.seq:
                    await window.acquire()
                    group.create_task(send_one(message))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None

"""Whether the stream still holds the last message that was acknowledged to us, or that we have read.

An engine that lost acknowledged messages (all servers lost power, a disk rolled back, a store deleted) continues with
lower sequences and reports no error. A reader that waits for the next sequence would then wait for ever.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from .engine import info, message_at, understood

if TYPE_CHECKING:
    from .connect import Connection


class Anchor(NamedTuple):
    """A message that the stream must hold: its sequence in the stream, and its id."""

    seq: int
    message_id: str


class Held(Enum):
    """What the stream answers for an anchor."""

    YES = "yes"
    EXPIRED = "expired"  # older than all that the stream keeps: removed by the limits of the stream, as configured
    LOST = "lost"  # it is not there, or another message has its sequence: acknowledged data is lost


async def check_anchor(connection: Connection, anchor: Anchor) -> Held:
    """Asks the leader for the message of the anchor. Raises StreamAwayError and StreamError as every request."""
    found = await message_at(connection, anchor.seq)
    if found is not None:
        return Held.YES if found.message_id == anchor.message_id else Held.LOST
    stream = await info(connection)
    if stream is None:
        return Held.LOST
    # An empty stream has a first sequence after its last one.
    with understood(connection, "a request for the state of the stream"):
        first, last = int(stream["state"]["first_seq"]), int(stream["state"]["last_seq"])
    return Held.EXPIRED if anchor.seq < first and anchor.seq <= last else Held.LOST

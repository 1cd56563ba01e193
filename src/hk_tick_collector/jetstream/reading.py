"""Reads the stream in its order, from a sequence on. A reader that cannot continue raises; it does not try again.

Enters: a connection and a sequence. Leaves: messages, each once and in order. No state of the engine is relied on: the
consumer of a reader has no acknowledgements and is in the memory of one server. When it is gone, sends nothing or
leaves out a message, another one is created at the next sequence.
"""

from __future__ import annotations

import json
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector.errors import StreamAwayError

from .engine import MSG_ID, NO_STREAM, RefusedError, ask
from .subjects import STREAM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from .connect import Connection

_PULLED: Final = 64  # messages of one request; the next request is sent when half of them are here
_EXPIRES_S: Final = 20.0
_BEAT_S: Final = 1.0
_SILENT_S: Final = 4.0  # without a message or a heartbeat
_FORGOTTEN_S: Final = 60.0  # when the server removes a consumer that nobody uses
_NS: Final = 10**9
_ACK_TOKENS: Final = 9  # $JS.ACK.STREAM.CONSUMER.deliveries.stream_seq.consumer_seq.time.pending
_MORE_ACK_TOKENS: Final = 11  # the same with two tokens after ACK, the domain and the account, and more at the end
_ENDED: Final = frozenset({"409", "404", "408"})  # statuses that end one request for messages
_OF_CONSUMER: Final = ("consumer", "leadership", "shutdown")  # with such a word in its text, the consumer has ended too


class StreamMessage(NamedTuple):
    """One message of the stream."""

    seq: int  # in the stream
    message_id: str  # empty if it has none
    subject: str
    data: bytes
    pending: int  # how many more the stream had for this reader when it was sent


class OrderedReader:
    """Reads from `next_seq` on; `subjects` (with wildcards) limit what is read, none: everything.

    After an error make a new connection and a new reader from `next_seq`. Close it in any case.
    """

    def __init__(self, connection: Connection, next_seq: int, subjects: Sequence[str] = ()) -> None:
        self.next_seq = max(next_seq, 1)
        self.consumers = 0  # how many were made
        self.name = ""  # of the consumer in use
        self.heard_s = 0.0  # when the server last sent us anything (monotonic); every second while it has nothing more
        self._connection = connection
        self._subjects = tuple(subjects)
        self._subscription: Subscription | None = None
        self._consumer_seq = 0
        self._asked = 0  # messages asked for that are not here yet
        self._ready: deque[StreamMessage] = deque()

    async def read(self, most: int, wait_s: float) -> list[StreamMessage]:
        """The next messages, at most `most`: those that are here, or the first that arrives within `wait_s` seconds.

        Empty if none arrives. Raises StreamAwayError and StreamError as every request.
        """
        deadline_s = time.monotonic() + wait_s
        while not self._ready:
            rest_s = deadline_s - time.monotonic()
            if rest_s <= 0:
                break
            await self._receive(rest_s)
        while len(self._ready) < most and self._subscription is not None and self._subscription.pending_msgs:
            await self._receive(_BEAT_S)
        found = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        if found:
            self.next_seq = found[-1].seq + 1
        return found

    async def close(self) -> None:
        """Removes the consumer, if the server can still be reached."""
        await self._remove_consumer()

    async def _receive(self, wait_s: float) -> None:
        """Waits for one message or status of the server."""
        from nats import errors

        self._connection.demand()
        if self._subscription is None:
            await self._create_consumer()
        subscription = self._subscription
        if subscription is None:
            return
        await self._pull(subscription)
        try:
            message = await subscription.next_msg(timeout=min(wait_s, _BEAT_S))
        except (TimeoutError, errors.TimeoutError):
            if time.monotonic() - self.heard_s > _SILENT_S:
                await self._remove_consumer()
            return
        except errors.Error as error:
            raise StreamAwayError(f"the connection to {self._connection.url} is lost ({error})") from None
        self.heard_s = time.monotonic()
        if not await self._accept(message):
            await self._remove_consumer()

    async def _accept(self, message: Msg) -> bool:
        """Adds a message. Returns False if the consumer cannot go on."""
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100":
            return True
        if status:
            self._asked = 0
            words = headers.get("Description", "").lower()
            return status in _ENDED and not any(word in words for word in _OF_CONSUMER)
        found = _numbers(message.reply or "")
        if found is None:
            return True  # not a message of the stream
        seq, consumer_seq, pending = found
        if consumer_seq != self._consumer_seq + 1:
            return False
        self._consumer_seq = consumer_seq
        self._asked -= 1
        self._ready.append(StreamMessage(seq, headers.get(MSG_ID, ""), message.subject, message.data, pending))
        return True

    async def _create_consumer(self) -> None:
        """Creates a consumer that begins after the last message that was received."""
        start = self._ready[-1].seq + 1 if self._ready else self.next_seq
        connection = self._connection
        config: dict[str, Any] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": int(_FORGOTTEN_S * _NS),
            "num_replicas": 1,
            "mem_storage": True,
        }
        if self._subjects:
            config["filter_subjects"] = list(self._subjects)
        try:
            answer = await ask(connection, f"CONSUMER.CREATE.{STREAM}", {"stream_name": STREAM, "config": config})
        except RefusedError as error:
            if error.code != NO_STREAM:
                raise
            raise StreamAwayError(f"there is no stream {STREAM}: a publisher makes it anew") from None
        self.name = str(answer.get("name", ""))
        self.consumers += 1
        self._consumer_seq = self._asked = 0
        self._subscription = await connection.subscribe(connection.client.new_inbox())
        self.heard_s = time.monotonic()

    async def _pull(self, subscription: Subscription) -> None:
        """Asks for more messages when half of those asked for are here."""
        if self._asked > _PULLED // 2:
            return
        body = {"batch": _PULLED, "expires": int(_EXPIRES_S * _NS), "idle_heartbeat": int(_BEAT_S * _NS)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self.name}"
        await self._connection.publish(subject, json.dumps(body).encode(), subscription.subject)
        self._asked += _PULLED

    async def _remove_consumer(self) -> None:
        """Removes the consumer; if this request is lost, the server removes it after a minute."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        if not self._connection.lost.is_set():
            with suppress(Exception):
                await subscription.unsubscribe()
            with suppress(StreamAwayError, RefusedError):
                await ask(self._connection, f"CONSUMER.DELETE.{STREAM}.{self.name}")


def _numbers(reply: str) -> tuple[int, int, int] | None:
    """From the reply subject of a message: its sequence in the stream, in the consumer, and how many messages follow.

    None if the subject is not one of a consumer.
    """
    tokens = reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < _ACK_TOKENS:
        return None
    at = 7 if len(tokens) >= _MORE_ACK_TOKENS else 5
    try:
        return int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 3])
    except ValueError:
        return None

"""Reads the stream of a NATS server in a thread of its own, over lost connections, restarts and lost data.

Leaves: messages of ticks in a queue, in the order of the stream; each at least once. Ticks that an engine lost and
publishers send again come twice: the reader of the queue knows what was delivered.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import MessageError, StreamAwayError
from hk_tick_collector.jetstream.anchor import Anchor, Held, check_anchor
from hk_tick_collector.jetstream.connect import Connection, Servers, UnusableFileError, connect
from hk_tick_collector.jetstream.engine import held_subjects, info, last_message, next_message, understood
from hk_tick_collector.jetstream.reading import OrderedReader
from hk_tick_collector.jetstream.subjects import TICKS, day_and_source, ticks_subject

if TYPE_CHECKING:
    from hk_tick_collector.jetstream.reading import StreamMessage

_AT_ONCE: Final = 64  # messages
_WAITING: Final = 4  # lists of messages in the queue: that limits memory while the consumer is slow
_CHECK_S: Final = 4.0  # between two checks whether the engine still has what was read
_AWAY_S: Final = (0.2, 1.5)  # before the next connection
_END_S: Final = 2.0
_DAYS_ASKED: Final = 16  # for their first message, one request each; a stream of a week has fewer days


class Feed:
    """The thread. `start` waits until it is known where the stream begins; `take` raises errors of the servers."""

    def __init__(
        self, servers: Servers, first_day: int, anchor: Anchor | None, *, only_new: bool, last_day: int | None = None
    ) -> None:
        """Begins after the anchor. Without one with the first message of these days, or with the next message.

        `last_day`: None for all days from the first one to tomorrow.
        """
        self._at_end: tuple[float, float] | None = None  # nothing more to read: since when, and last told (monotonic)
        self._servers = servers
        self._first_day = first_day
        self._last_day = last_day
        self._anchor = anchor
        self._only_new = only_new
        self._consumers = 1  # how many the reader in use has created
        self._first_seq: int | None = None  # where it begins without an anchor
        self._queue: queue.Queue[list[StreamMessage]] = queue.Queue(_WAITING)
        self._failure: Exception | None = None  # it has ended the thread
        self._begun = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tick-feed", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.begun_at: Anchor | None = None  # with `only_new`: the last message before the start
        self.away = ""  # why there is no connection now
        self.away_since_s: float | None = None  # monotonic

    def start(self, within_s: float) -> None:
        """Begins. StreamAwayError if no server answers within this time, StreamError if one refuses us."""
        self._thread.start()
        has_begun = self._begun.wait(within_s)
        if has_begun and self._failure is None:
            return
        self.close()
        raise self._failure or StreamAwayError(self.away or "no NATS server answers", hint="systemctl status hk-nats")

    @property
    def quiet_s(self) -> float:
        """For how long there has been nothing more to read, as the server itself says; 0 if there may be more."""
        at_end = self._at_end
        return 0.0 if at_end is None else at_end[1] - at_end[0]

    def take(self) -> list[StreamMessage]:
        """The next messages, or an empty list. Raises the error that ended the thread: StreamError if refused."""
        with suppress(queue.Empty):
            return self._queue.get_nowait()
        if self._failure is not None:
            raise self._failure
        return []

    def close(self) -> None:
        """Ends the thread, and waits for its end for two seconds at most."""
        self.end()
        if self._thread.ident is not None:
            self._thread.join(_END_S)

    def end(self) -> None:
        """Tells the thread to end."""
        self._stopping.set()
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - who takes the messages raises it; otherwise it would wait for ever
            self._failure = error
            self._begun.set()

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await self._read()

    async def _read(self) -> None:
        while not self._stopping.is_set():
            try:
                connection = await connect(self._servers)
                try:
                    await self._read_from(connection)
                finally:
                    await connection.close()
            except (StreamAwayError, UnusableFileError) as error:
                if isinstance(error, UnusableFileError) and not self._begun.is_set():
                    raise
                self.away, self._at_end = str(error), None
                self.away_since_s = self.away_since_s or time.monotonic()
                await asyncio.sleep(random.uniform(*_AWAY_S))  # noqa: S311 - no secret

    async def _read_from(self, connection: Connection) -> None:
        while not self._stopping.is_set():
            self._consumers = 1
            reader = OrderedReader(connection, await self._next_seq(connection), (TICKS,))
            self.away, self.away_since_s = "", None
            self._begun.set()
            try:
                while await self._read_more(connection, reader):
                    pass
            finally:
                await reader.close()

    async def _read_more(self, connection: Connection, reader: OrderedReader) -> bool:
        """Reads until the anchor is to be checked; False if it is lost."""
        until_s = time.monotonic() + _CHECK_S
        while time.monotonic() < until_s and not self._stopping.is_set():
            found = await reader.read(_AT_ONCE, 0.25)
            if reader.consumers > 1 and reader.consumers != self._consumers:
                # The consumer was created again: the stream may have been deleted, created again and filled meanwhile.
                self._consumers, self._at_end = reader.consumers, None
                if self._anchor is not None and await check_anchor(connection, self._anchor) is Held.LOST:
                    return False
            if not found:
                self._at_end = (self._at_end[0] if self._at_end else time.monotonic(), reader.heard_s)
                continue
            self._at_end = None
            await self._put(found)
            self._anchor = Anchor(found[-1].seq, found[-1].message_id)
        return not self._stopping.is_set() and (
            self._anchor is None or await check_anchor(connection, self._anchor) is not Held.LOST
        )

    async def _put(self, found: list[StreamMessage]) -> None:
        while not self._stopping.is_set():
            with suppress(queue.Full):
                self._queue.put_nowait(found)
                return
            await asyncio.sleep(0.005)

    async def _next_seq(self, connection: Connection) -> int:
        """The sequence to begin at: after the anchor, or the first one if the engine has lost it."""
        if self._anchor is not None:
            if await check_anchor(connection, self._anchor) is not Held.LOST:
                return self._anchor.seq + 1
            self._anchor, self._first_seq = None, 1  # publishers send again what was lost, and it may be anywhere
        stream = await info(connection)
        if stream is None:
            raise StreamAwayError("there is no stream of ticks yet", hint="start hk-tick-collector publish")
        if self._only_new and self._first_seq is None and (last := await last_message(connection, TICKS)) is not None:
            self._anchor = self.begun_at = Anchor(last.seq, last.message_id)
            return last.seq + 1
        with understood(connection, "a request for the state of the stream"):
            end = int(stream["state"]["last_seq"]) + 1
        if self._first_seq is None:
            self._first_seq = end if self._only_new else await self._first_of_days(connection, end)
        return self._first_seq if self._first_seq <= end else 1

    async def _first_of_days(self, connection: Connection, end: int) -> int:
        """The first message of all days that are wanted; `end`, where the stream ended before, if there is none.

        A publisher with a backlog sends some of each day, the newest day first. So the first message of a later day may
        be the earliest one. To begin earlier delivers nothing else: who takes the messages leaves out earlier days.
        """
        subjects = await held_subjects(connection, TICKS)
        last_day = market.day_number(now_ms()) + 1 if self._last_day is None else self._last_day
        days = set()
        for subject in subjects or ():
            with suppress(MessageError):
                days.add(day_and_source(subject)[0])
        wanted = [day for day in sorted(days) if self._first_day <= market.parse_day(day) <= last_day]
        if subjects is None or len(wanted) > _DAYS_ASKED:
            return 1
        first = end
        for day in wanted:
            message = await next_message(connection, ticks_subject(day, "*"), 1)
            # It has expired since, or the leader has changed: the new one may not have read all of its log.
            first = min(first, 1 if message is None else message.seq)
        return first

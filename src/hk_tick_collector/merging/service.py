"""The service `merge`: reads the stream in its order and keeps the union of all collectors, until a signal ends it.

Enters: messages of the stream. Leaves: committed day files, requests to collectors, `merge.json` every second. One
thread uses the day files, so that a slow disk does not stop the heartbeats of the connection; at most a few messages
wait for that thread, and the others stay in the stream.

The engine is not relied on to keep messages. It lost some if the last message that was read is gone (`anchor`), if a
sequence of the stream is left out, or if a collector says that it sent more (`sums`). Then the stream is read from its
start, or the collectors are asked to send again; ticks that are merged already change nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from hk_tick_collector import log, market
from hk_tick_collector.background import Background
from hk_tick_collector.errors import StreamAwayError, StreamError
from hk_tick_collector.jetstream.anchor import Anchor, Held, check_anchor
from hk_tick_collector.jetstream.connect import connect
from hk_tick_collector.jetstream.engine import store
from hk_tick_collector.jetstream.message import SumsMessage, encode_again
from hk_tick_collector.jetstream.reading import OrderedReader
from hk_tick_collector.jetstream.streams import stream_state
from hk_tick_collector.jetstream.subjects import again_subject

from .committing import Committing, GaveUpError
from .incoming import Refused, read
from .notes import MergeStateWriter
from .parts import SOURCE_OPEN, Part, Position, StartOverError
from .pauses import Pauses
from .requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hk_tick_collector.jetstream.connect import Connection, Servers
    from hk_tick_collector.jetstream.reading import StreamMessage
    from hk_tick_collector.jetstream.streams import StreamState
    from hk_tick_collector.ops.live.merge_state import MergeState

_BATCH_MESSAGES: Final = 32  # of one transaction: at most 32,000 ticks
_WAIT_S: Final = 0.5
_ANCHOR_EVERY_S: Final = 4.0
_UPKEEP_EVERY_S: Final = 2.0
_ASK_OPEN_EVERY_S: Final = 6 * 3600.0
_LOOK_OPEN_EVERY_S: Final = 600.0
_RECONNECT_S: Final = (0.2, 0.5, 1.0, 2.0)
_REFUSED_S: Final = 5.0
_REST_S: Final = 0.1  # of a pause, until it is asked whether to stop
_STEADY_S: Final = 10.0  # a connection that lasted longer was a good one

_T = TypeVar("_T")


class MergeService:
    """One run of `merge`. `run` returns after `stop`."""

    def __init__(
        self, servers: Servers, make: Callable[[Event], Committing], status: MergeState, now_ms: Callable[[], int]
    ) -> None:
        self._servers = servers
        self._status = status
        self._now_ms = now_ms
        self._stopping = Event()
        self._committing = make(self._stopping)
        self._files = Background("files")
        self._requests = Requests()
        self._position: Position | None = None  # the last message that was read; its ticks are committed
        self._expired_after: Position | None = None  # for which expired messages were reported: once
        self._upkeep_s = self._anchor_s = self._ask_open_s = 0.0
        self._asked_open_s: dict[tuple[str, str], float] = {}
        self._notes = MergeStateWriter(status, now_ms)
        self._pauses = Pauses()

    def stop(self) -> None:
        """Ends `run` soon: what is not committed stays in the stream."""
        self._stopping.set()

    async def run(self) -> None:
        """Merges until `stop`, then closes the files. The caller writes the status meanwhile."""
        try:
            self._position = await self._in_thread(self._committing.begin)
            while not self._stopping.is_set():
                try:
                    await self._follow()
                except StartOverError as why:
                    wait_s = self._pauses.after_damage(time.monotonic()) if why.is_damage else 0.0
                    self._notes.started_over(why, wait_s)
                    await self._in_thread(self._committing.begin)
                    self._position = None
                    await self._rest(wait_s)
                    if why.day:
                        _, sources = await self._in_thread(self._committing.unread)
                        self._requests.want_all(sources | self._status.sources.keys(), [why.day])
        except GaveUpError:
            pass
        # Not after an error or a cancellation: the disk may hang. The files then keep their WAL, and nothing is lost.
        await self._in_thread(self._committing.close, self._position)

    async def _rest(self, wait_s: float) -> None:
        """Waits, and touches no file meanwhile."""
        for _ in range(round(wait_s / _REST_S)):
            if self._stopping.is_set():
                return
            await asyncio.sleep(_REST_S)

    async def _in_thread(self, act: Callable[..., _T], *args: Any) -> _T:
        self._status.files_since_ms = self._now_ms()
        try:
            return await self._files.run(partial(act, *args))
        finally:
            self._status.files_since_ms = None

    # --- the connection ---

    async def _follow(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            started_s = time.monotonic()
            try:
                connection = await connect(self._servers)
                try:
                    await self._read(connection)
                finally:
                    await connection.close()
            except StreamError as error:
                attempt = 1 if time.monotonic() - started_s > _STEADY_S else attempt + 1
                self._notes.away(error)
                wait_s = _REFUSED_S if self._status.refused else _RECONNECT_S[min(attempt, len(_RECONNECT_S)) - 1]
                await self._pause(wait_s * random.uniform(0.5, 1))  # noqa: S311 - no secret

    async def _pause(self, wait_s: float) -> None:
        """Waits, and seals finished days meanwhile: that needs no engine."""
        end_s = time.monotonic() + wait_s
        while not self._stopping.is_set() and time.monotonic() < end_s:
            await self._upkeep()
            await asyncio.sleep(min(0.1, max(0.0, end_s - time.monotonic())))

    async def _read(self, connection: Connection) -> None:
        state = await self._state(connection)
        start = await self._start(connection, state)
        self._notes.connected(connection, self._position)
        reader, consumers = OrderedReader(connection, start), 0
        expected = max(start, state.first_seq)
        try:
            while not self._stopping.is_set():
                messages = await reader.read(_BATCH_MESSAGES, _WAIT_S)
                is_new, consumers = reader.consumers != consumers, reader.consumers
                if is_new or time.monotonic() - self._anchor_s > _ANCHOR_EVERY_S:
                    # The consumer before may have read a stream that was deleted and created again since.
                    state = await self._state(connection)
                    if not await self._is_held(connection, state):
                        await reader.close()
                        reader, consumers = OrderedReader(connection, 1), 0
                        expected = max(1, state.first_seq)
                        continue
                if messages:
                    if messages[0].seq > expected or messages[-1].seq - messages[0].seq >= len(messages):
                        await self._note_left_out(connection, expected, messages)
                    expected = messages[-1].seq + 1
                    await self._merge(messages)
                else:
                    self._notes.behind(0)
                await self._send_requests(connection)
                await self._upkeep()
        finally:
            await reader.close()

    async def _state(self, connection: Connection) -> StreamState:
        state = await stream_state(connection)
        if state is None:
            raise StreamAwayError("there is no stream HK_TICKS yet: publish creates it")
        self._notes.stream(state)
        return state

    # --- what the engine lost ---

    async def _start(self, connection: Connection, state: StreamState) -> int:
        """The sequence of the stream from which it must be read."""
        if self._position is None or not await self._is_held(connection, state):
            return 1
        return self._position.stream_seq + 1

    async def _is_held(self, connection: Connection, state: StreamState) -> bool:
        """Whether the last message that was read is still in the stream, or left it by its age."""
        self._anchor_s = time.monotonic()
        position = self._position
        if position is None:
            return True
        held = await check_anchor(connection, Anchor(position.stream_seq, position.msg_id))
        if held is Held.YES:
            return True
        if held is Held.EXPIRED:
            if position.stream_seq + 1 < state.first_seq and position != self._expired_after:
                self._expired_after = position
                await self._note_expired(position.stream_seq + 1, state.first_seq - 1)
            return True
        self._notes.lost(position, state)
        self._requests.note_lost()
        self._position = None
        return False

    async def _note_left_out(self, connection: Connection, expected: int, messages: Sequence[StreamMessage]) -> None:
        """Sequences of the stream were left out: dropped by its limits before they were read, or lost."""
        state = await self._state(connection)
        if state.first_seq > expected:
            await self._note_expired(expected, min(state.first_seq, messages[0].seq) - 1)
            return
        last = messages[-1].seq
        self._notes.missing(expected, last, last - expected + 1 - len(messages))
        self._requests.note_lost()
        await self._ask_all()

    async def _note_expired(self, first: int, last: int) -> None:
        self._notes.expired(first, last)
        await self._ask_all()

    async def _ask_all(self) -> None:
        """Asks every known collector for every day of which messages may be missing."""
        days, sources = await self._in_thread(self._committing.unread)
        self._requests.want_all(sources | self._status.sources.keys(), days)

    # --- messages ---

    async def _merge(self, messages: Sequence[StreamMessage]) -> None:
        last = messages[-1]
        position, now_ms = Position(last.seq, last.message_id), self._now_ms()
        parts: list[Part] = []
        sums: list[tuple[SumsMessage, int]] = []
        for message in messages:
            content = read(message.subject, message.data, self._now_ms())
            if isinstance(content, Part):
                parts.append(content)
                self._status.sources[content.source] = now_ms
            elif isinstance(content, SumsMessage):
                sums.append((content, message.seq))
                self._status.sources[content.source] = now_ms
            elif isinstance(content, Refused):
                self._notes.refused(content, message.seq)
        if parts:
            await self._in_thread(self._committing.merge, parts, position)
        self._position = position
        self._status.position = position.stream_seq
        self._notes.behind(last.pending)
        for each, stream_seq in sums:
            await self._compare(each, stream_seq)

    async def _compare(self, sums: SumsMessage, stream_seq: int = 0) -> None:
        lacking = await self._in_thread(self._committing.compare, sums)
        is_whole = self._requests.note_sums(sums, lacking, stream_seq)
        if is_whole or stream_seq:
            await self._in_thread(partial(self._committing.note_sums, sums, is_whole=is_whole))
        if not is_whole:
            symbols = lacking.symbols
            log.warning("sums_differ", source=sums.source, day=sums.day, symbols=len(symbols), first=symbols[0])
        self._status.sums_differ = self._requests.unequal(time.monotonic())

    async def _send_requests(self, connection: Connection) -> None:
        for request in self._requests.take_due(time.monotonic()):
            message_id = f"again.{uuid4().hex}"
            try:
                stream_seq = await store(connection, again_subject(request.source), encode_again(request), message_id)
            except StreamError:
                self._requests.want(request.source, request.day, request.symbols)
                raise
            self._requests.note_sent(request, stream_seq)
            self._status.asked_again += 1
            log.warning(
                "again_requested", source=request.source, day=request.day, symbols=len(request.symbols) or "all"
            )

    async def _upkeep(self) -> None:
        if time.monotonic() - self._upkeep_s < _UPKEEP_EVERY_S:
            return
        self._upkeep_s = time.monotonic()
        await self._in_thread(self._committing.upkeep, self._position)
        for sums in self._requests.to_compare(time.monotonic()):
            await self._compare(sums)
        self._status.sums_differ = self._requests.unequal(time.monotonic())
        if self._status.not_sealed:
            await self._ask_open()

    async def _ask_open(self) -> None:
        """Asks for past days whose collectors have not reported them sealed: the report may have been lost.

        Collectors seal between 06:00 and 07:00, so nothing is asked before 07:00.
        """
        if market.hkt(self._now_ms()).hour <= market.SEALING_HOUR:
            return
        now_s = time.monotonic()
        if now_s < self._ask_open_s:
            return
        self._ask_open_s = now_s + _LOOK_OPEN_EVERY_S
        unsealed = await self._in_thread(self._committing.unsealed)
        for day in unsealed.keys() & self._status.not_sealed.keys():
            for source, state in unsealed[day].items():
                if state == SOURCE_OPEN and now_s - self._asked_open_s.get((source, day), -1e9) > _ASK_OPEN_EVERY_S:
                    self._asked_open_s[source, day] = now_s
                    self._requests.want(source, day)

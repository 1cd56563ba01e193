"""The service `merge`: reads the stream in its order and keeps the union of all collectors, until a signal ends it.

Enters: messages of the stream. Leaves: committed day files, requests to collectors, `merge.json` every second. One
thread uses the day files, so that a slow disk does not stop the heartbeats of the connection; at most a few messages
wait for it, and the others stay in the stream.

The engine is trusted for delivery, not for truth. Three things show what it lost: the last message that was read is
not there any more (`anchor`), a sequence of the stream is left out, or a collector says that it sent more (`sums`).
Then the stream is read from its start, or the collectors are asked to send again; what is there already changes
nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from hk_tick_collector import log, market
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
from .parts import SOURCE_OPEN, Part, Position, StartOverError
from .requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hk_tick_collector.jetstream.connect import Connection, Servers
    from hk_tick_collector.jetstream.reading import StreamMessage
    from hk_tick_collector.jetstream.streams import StreamState
    from hk_tick_collector.ops.live.merge_status import MergeStatus

_BATCH_MESSAGES: Final = 32  # of one transaction: at most 32,000 ticks
_WAIT_S: Final = 0.5
_ANCHOR_EVERY_S: Final = 4.0
_UPKEEP_EVERY_S: Final = 2.0
_ASK_OPEN_EVERY_S: Final = 6 * 3600.0
_RECONNECT_S: Final = (0.2, 0.5, 1.0, 2.0)
_REFUSED_S: Final = 10.0
_LOG_EVERY_S: Final = 60.0

_T = TypeVar("_T")


class MergeService:
    """One run of `merge`. `run` returns after `stop`."""

    def __init__(
        self, servers: Servers, make: Callable[[Event], Committing], status: MergeStatus, now_ms: Callable[[], int]
    ) -> None:
        self._servers = servers
        self._status = status
        self._now_ms = now_ms
        self._stopping = Event()
        self._committing = make(self._stopping)
        self._thread = ThreadPoolExecutor(1, "merge")
        self._requests = Requests()
        self._position: Position | None = None  # the last message that was read; what it brought is committed
        self._upkeep_s = self._anchor_s = 0.0
        self._asked_open_s: dict[tuple[str, str], float] = {}
        self._faults = log.Repeated(_LOG_EVERY_S)

    def stop(self) -> None:
        """Ends `run` soon: what is not committed stays in the stream."""
        self._stopping.set()

    async def run(self) -> None:
        """Merges until `stop`. The caller writes the status meanwhile."""
        try:
            while not self._stopping.is_set():
                self._position = await self._in_thread(self._committing.begin)
                try:
                    await self._follow()
                except StartOverError as why:
                    log.warning("merge_starts_over", detail=why)
                    self._note_damage(why)
        except GaveUpError:
            pass
        finally:
            await self._in_thread(self._committing.close, self._position)
            self._thread.shutdown()

    async def _in_thread(self, act: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *args)

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
                    self._note_link(connected=False)
                    await connection.close()
            except StreamError as error:
                attempt = 1 if time.monotonic() - started_s > 10 else attempt + 1
                is_refused = not isinstance(error, StreamAwayError)
                self._note_link(connected=False, error=error, is_refused=is_refused)
                wait_s = _REFUSED_S if is_refused else _RECONNECT_S[min(attempt, len(_RECONNECT_S)) - 1]
                await self._pause(wait_s * random.uniform(0.5, 1))  # noqa: S311 - no secret

    async def _pause(self, wait_s: float) -> None:
        """Waits, and meanwhile does what needs no engine."""
        end_s = time.monotonic() + wait_s
        while not self._stopping.is_set() and time.monotonic() < end_s:
            await self._upkeep()
            await asyncio.sleep(min(0.1, max(0.0, end_s - time.monotonic())))

    async def _read(self, connection: Connection) -> None:
        state = await self._state(connection)
        start = await self._start(connection, state)
        self._note_link(connected=True, address=connection.url)
        reader = OrderedReader(connection, start)
        expected = max(start, state.first_seq)
        try:
            while not self._stopping.is_set():
                messages = await reader.read(_BATCH_MESSAGES, _WAIT_S)
                if messages:
                    if messages[0].seq > expected or messages[-1].seq - messages[0].seq >= len(messages):
                        await self._note_left_out(connection, expected, messages)
                    expected = messages[-1].seq + 1
                    await self._merge(messages)
                else:
                    self._note_behind(0)
                await self._send_requests(connection)
                if time.monotonic() - self._anchor_s > _ANCHOR_EVERY_S:
                    state = await self._state(connection)
                    if not await self._is_held(connection, state):
                        await reader.close()
                        reader = OrderedReader(connection, 1)
                        expected = max(1, (await self._state(connection)).first_seq)
                await self._upkeep()
        finally:
            await reader.close()

    async def _state(self, connection: Connection) -> StreamState:
        state = await stream_state(connection)
        if state is None:
            raise StreamAwayError("there is no stream HK_TICKS yet: publish creates it")
        status = self._status
        status.stream_first_seq, status.stream_last_seq = state.first_seq, state.last_seq
        status.stream_bytes, status.stream_max_bytes = state.bytes, state.max_bytes
        status.stream_max_age_s, status.stream_replicas = state.max_age_s, state.replicas
        status.servers_current, status.stream_differences = state.servers_current, list(state.differences)
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
            if position.stream_seq + 1 < state.first_seq:
                await self._note_expired(position.stream_seq + 1, state.first_seq - 1)
            return True
        status = self._status
        status.lost_noticed += 1
        status.lost_noticed_ms = self._now_ms()
        status.lost_detail = f"message {position.stream_seq} is gone, the stream ends at {state.last_seq}"
        log.error("stream_data_lost", position=position.stream_seq, last=state.last_seq, first=state.first_seq)
        self._position = None
        return False

    async def _note_left_out(self, connection: Connection, expected: int, messages: Sequence[StreamMessage]) -> None:
        """Sequences of the stream were left out: dropped by its limits before they were read, or lost."""
        state = await self._state(connection)
        if state.first_seq > expected:
            await self._note_expired(expected, min(state.first_seq, messages[0].seq) - 1)
            return
        there = {message.seq for message in messages}
        missing = messages[-1].seq - expected + 1 - len(there)
        status = self._status
        status.lost_noticed += 1
        status.lost_noticed_ms = self._now_ms()
        status.lost_detail = f"{missing} messages between {expected} and {messages[-1].seq} are gone"
        log.error("stream_messages_missing", first=expected, last=messages[-1].seq, missing=missing)
        await self._ask_all()

    async def _note_expired(self, first: int, last: int) -> None:
        self._status.expired += 1
        self._status.expired_ms = self._now_ms()
        log.error("stream_messages_expired", first=first, last=last)
        await self._ask_all()

    async def _ask_all(self) -> None:
        """Asks every known collector for every day that is not sealed."""
        unsealed = await self._in_thread(self._committing.unsealed)
        sources = {source for of_day in unsealed.values() for source in of_day} | set(self._status.sources)
        self._requests.want_all(sources, unsealed)

    # --- messages ---

    async def _merge(self, messages: Sequence[StreamMessage]) -> None:
        last = messages[-1]
        position, now_ms = Position(last.seq, last.message_id), self._now_ms()
        parts: list[Part] = []
        sums: list[SumsMessage] = []
        for message in messages:
            content = read(message.subject, message.data)
            if isinstance(content, Part):
                parts.append(content)
                self._status.sources[content.source] = now_ms
            elif isinstance(content, SumsMessage):
                sums.append(content)
                self._status.sources[content.source] = now_ms
            elif isinstance(content, Refused):
                self._note_refused(content, message.seq, now_ms)
        if parts:
            await self._in_thread(self._committing.merge, parts, position)
        self._position = position
        self._status.position = position.stream_seq
        self._note_behind(last.pending)
        for each in sums:
            await self._compare(each)

    async def _compare(self, sums: SumsMessage) -> None:
        lacking = await self._in_thread(self._committing.compare, sums)
        if self._requests.note_sums(sums, lacking):
            if sums.sealed:
                await self._in_thread(self._committing.note_sealed, sums)
        else:
            log.warning("sums_differ", source=sums.source, day=sums.day, symbols=len(lacking), first=lacking[0])
        self._status.sums_differ = self._requests.unequal()

    async def _send_requests(self, connection: Connection) -> None:
        for request in self._requests.take_due(time.monotonic()):
            message_id = f"again.{uuid4().hex}"
            try:
                await store(connection, again_subject(request.source), encode_again(request), message_id)
            except StreamError:
                self._requests.want(request.source, request.day, request.symbols)
                raise
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
        if self._status.not_sealed:
            await self._ask_open()

    async def _ask_open(self) -> None:
        """Asks for past days whose collectors have not said that they sealed them: this merge may have missed that.

        They seal in the hour from 06:00 on, so nothing is asked in it.
        """
        if market.hkt(self._now_ms()).hour <= market.SEALING_HOUR:
            return
        now_s = time.monotonic()
        unsealed = await self._in_thread(self._committing.unsealed)
        for day in unsealed.keys() & self._status.not_sealed.keys():
            for source, state in unsealed[day].items():
                if state == SOURCE_OPEN and now_s - self._asked_open_s.get((source, day), -1e9) > _ASK_OPEN_EVERY_S:
                    self._asked_open_s[source, day] = now_s
                    self._requests.want(source, day)

    # --- notes ---

    def _note_link(
        self, *, connected: bool, address: str = "", error: StreamError | None = None, is_refused: bool = False
    ) -> None:
        status = self._status
        if status.connected != connected or status.link_since_ms is None:
            status.connected, status.link_since_ms = connected, self._now_ms()
            if connected:
                log.info("stream_connected", server=address, position=self._position and self._position.stream_seq)
            elif error is None and not self._stopping.is_set():
                log.warning("stream_disconnected", server=status.address)
        status.is_refused = is_refused
        if connected:
            status.address, status.link_reason, status.link_hint = address, "", ""
        elif error is not None:
            status.link_reason, status.link_hint = str(error), error.hint
            repeats = self._faults.allow(time.monotonic())
            if repeats is not None:
                log.warning("stream_unreachable", detail=error, hint=error.hint, repeats=repeats)

    def _note_behind(self, messages: int) -> None:
        status = self._status
        status.behind = messages
        if messages < _BATCH_MESSAGES:
            status.behind_since_ms = None
        elif status.behind_since_ms is None:
            status.behind_since_ms = self._now_ms()

    def _note_refused(self, refused: Refused, stream_seq: int, now_ms: int) -> None:
        status, text = self._status, f"message {stream_seq} on {refused.subject}: {refused.why}"
        if refused.is_other_source:
            status.wrong_name += 1
            status.wrong_name_ms, status.wrong_name_last = now_ms, text
        else:
            status.refused += 1
            status.refused_ms, status.refused_last = now_ms, text
        log.error("message_refused", stream_seq=stream_seq, subject=refused.subject, detail=refused.why)

    def _note_damage(self, why: StartOverError) -> None:
        with suppress(ValueError):
            self._status.damaged_files = [*self._status.damaged_files, str(why)][-20:]

"""One connection to OpenD: connects the protocol core to an asyncio transport. This module does only I/O.

Enters: bytes from the socket. Leaves: ticks to the intake, notices and skipped messages to the callbacks, replies to
the callers of `request`.

Each packet gets a timestamp when it is received. Several packets are then decoded together, which needs less processor
time than decoding each on its own (docs/decisions/0007).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import CollectorError, OpenDError
from hk_tick_collector.model import seq_of, ts_ms_of
from hk_tick_collector.opend import messages, protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from hk_tick_collector.collect.buffer.intake import Intake
    from hk_tick_collector.model import Rejected


_ALARM_MOST_S: Final = 1.0
_ENOUGH_BYTES: Final = 64 * 1024  # when this many bytes wait, they are decoded at once
# uvloop reads up to 32 times before it runs other tasks. If handling one read takes longer than _REST_AFTER_S, reading
# pauses for a share of that time, so that a flood of messages does not delay the live state or a stop.
_REST_AFTER_S: Final = 0.05
_REST_SHARE: Final = 0.25


class Transport(asyncio.Protocol):
    """One connection to OpenD.

    `closed` is done when the connection has ended; its result is the reason. `gather_s` is how long received bytes may
    wait for further bytes. They do not wait while a reply is expected. Waiting bytes are decoded before the connection
    ends.
    """

    def __init__(
        self,
        core: protocol.Connection,
        intake: Intake,
        on_notice: Callable[[messages.Notice], None],
        on_skipped: Callable[[protocol.Skipped], None],
        gather_s: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[CollectorError] = loop.create_future()
        self.ready: asyncio.Future[messages.InitReply] = loop.create_future()
        self.core = core
        self._intake = intake
        self._on_notice = on_notice
        self._on_skipped = on_skipped
        self._gather_s = gather_s
        self._unread: list[tuple[int, bytes]] = []  # each with the time when it was received
        self._unread_bytes = 0
        self._gathering: asyncio.TimerHandle | None = None
        self._replies: dict[int, asyncio.Future[protocol.Replied | protocol.Ticks]] = {}
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends InitConnect."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are not subclasses of asyncio's
        self.core.start(time.monotonic())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived: their `recv_ts_ms` is the time of this call."""
        self._unread.append((now_ms(), data))
        self._unread_bytes += len(data)
        if self._replies or self._unread_bytes >= _ENOUGH_BYTES or not self.ready.done():
            self._read()
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(self._gather_s, self._read)

    def eof_received(self) -> None:
        """The peer ended the stream."""
        self._read()
        self._handle(self.core.receive_eof(), 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport has ended, for any reason."""
        self._read()
        reason = f"the connection broke ({exc})" if exc else "OpenD closed the connection"
        self._end(OpenDError(reason))

    async def request(self, proto_id: int, message: Message, limit_s: float = protocol.REQUEST_TIMEOUT_S) -> bytes:
        """Sends a request; returns the body of the reply.

        Raises OpenDError when there is no reply in time or the connection ends.
        """
        reply = await self._ask(proto_id, message, limit_s)
        assert isinstance(reply, protocol.Replied)
        return reply.body

    async def request_ticks(self, symbol: str, rows: int) -> list[tuple[int, int]]:
        """Asks for a symbol's latest ticks, which go to the intake like all ticks. Returns their sequences and times
        (epoch ms). For a tick that cannot be stored the time is taken from its sequence, 0 if that is not possible.

        Raises OpenDError when OpenD refuses or does not answer in time, or the connection ends.
        """
        ticks = await self._ask(messages.GET_TICKER, messages.get_ticker(symbol, rows))
        assert isinstance(ticks, protocol.Ticks)
        return [(seq_of(row), ts_ms_of(row)) for row in ticks.rows] + [
            (bad.seq, _time_of(bad)) for bad in ticks.rejected
        ]

    def close(self, error: CollectorError) -> None:
        """Ends the connection from our side."""
        self._read()
        self._end(error)

    async def _ask(
        self, proto_id: int, message: Message, limit_s: float = protocol.REQUEST_TIMEOUT_S
    ) -> protocol.Replied | protocol.Ticks:
        serial = self.core.request(proto_id, message, time.monotonic(), limit_s)
        future: asyncio.Future[protocol.Replied | protocol.Ticks] = asyncio.get_running_loop().create_future()
        self._replies[serial] = future
        if self._timer is not None and limit_s < _ALARM_MOST_S:
            self._timer.cancel()  # it may run after the deadline of this request
            self._timer = None
        self._flush()
        try:
            return await future
        finally:
            self._replies.pop(serial, None)

    def _read(self) -> None:
        """Passes the received bytes to the core. A bug there ends the connection and is logged."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if not self._unread:
            return
        unread, self._unread, self._unread_bytes = self._unread, [], 0
        begun_s = time.monotonic()
        try:
            self._understand(unread)
        except Exception as bug:  # noqa: BLE001 - a callback's boundary: missed ticks are backfilled on the next connection
            message = "a message of OpenD could not be decoded"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": bug})
            self._end(OpenDError(f"{message}, see the line `bug` in the log"))
        took_s = time.monotonic() - begun_s
        if took_s >= _REST_AFTER_S:
            self._rest(took_s * _REST_SHARE)

    def _rest(self, seconds: float) -> None:
        """Stops reading for a while, so that other tasks can run. OpenD waits meanwhile."""
        if self._transport is None or self._transport.is_closing() or self._resting:
            return
        self._resting = True
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._read_on)

    def _read_on(self) -> None:
        self._resting = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _understand(self, unread: list[tuple[int, bytes]]) -> None:
        now_s, recv_ts_ms = time.monotonic(), 0
        events: list[protocol.Event] = []
        try:
            for recv_ts_ms, data in unread:
                self.core.receive(data, now_s, recv_ts_ms, events)
        finally:
            self._handle(events, recv_ts_ms)

    def _handle(self, events: list[protocol.Event], recv_ts_ms: int) -> None:
        for event in events:
            if isinstance(event, protocol.Ticks):
                self._intake.ticks(event, recv_ts_ms)
                if event.requested_by is not None:
                    self._resolve(event.requested_by, event)
            else:
                self._handle_rare(event)
        self._flush()

    def _handle_rare(self, event: protocol.Event) -> None:
        """Handles all events except ticks."""
        match event:
            case protocol.Ready(reply=reply):
                self.ready.set_result(reply)
            case protocol.Replied(serial=serial):
                self._resolve(serial, event)
            case protocol.Failed(serial=serial, error=error):
                self._fail(serial, error)
            case protocol.Notified(notice=notice):
                self._on_notice(notice)
            case protocol.Unwanted(symbol=symbol, ticks=ticks):
                self._intake.unwanted(symbol, ticks)
            case protocol.Skipped():
                self._on_skipped(event)
            case protocol.Closed(error=error):
                self._end(error)

    def _resolve(self, serial: int, event: protocol.Replied | protocol.Ticks) -> None:
        future = self._replies.get(serial)
        if future and not future.done():
            future.set_result(event)

    def _fail(self, serial: int, error: CollectorError) -> None:
        future = self._replies.get(serial)
        if future and not future.done():
            future.set_exception(error)
            future.exception()  # marks it as retrieved: the caller may have stopped waiting

    def _flush(self) -> None:
        """Writes the core's pending bytes, and sets the timer for its next deadline."""
        if self._transport is None or self._transport.is_closing():
            return
        data = self.core.data_to_send()
        if data:
            self._transport.write(data)
        if self._timer is None:
            delay_s = max(0.0, self.core.next_deadline_s() - time.monotonic())
            if delay_s != float("inf"):
                # The timer runs after a second at most. Packets do not move it: it may run early, which does no harm.
                self._timer = asyncio.get_running_loop().call_later(min(delay_s, _ALARM_MOST_S), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._read()  # before the core checks for silence
        self._handle(self.core.advance(time.monotonic(), int(time.time())), 0)

    def _end(self, error: CollectorError) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self.core.drop()  # frees its memory now: garbage collection may run much later
        if not self.closed.done():
            self.closed.set_result(error)
        for serial in list(self._replies):
            self._fail(serial, error)
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # marks it as retrieved: the caller may have stopped waiting


def _time_of(rejected: Rejected) -> int:
    """The second in a sequence, UTC epoch ms; 0 if it cannot be the time of a tick."""
    ts_ms = (rejected.seq >> 32) * 1000
    return ts_ms if abs(ts_ms - rejected.recv_ts_ms) <= 2 * market.DAY_MS else 0

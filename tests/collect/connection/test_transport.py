"""One connection on a real socket: each packet has its receive time, and is parsed before the connection ends.

In some tests bytes would wait an hour for more bytes: then only the tested event can have passed them on.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests import scripted_opend
from tests.scripted_opend import accepted, frame

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.connection import transport as wire_module
from hk_tick_collector.collect.connection.transport import Transport
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.errors import OpenDError
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES
from hk_tick_collector.opend.protocol import Connection
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from hk_tick_collector.model import TickRow
    from hk_tick_collector.opend.protocol import Ticks

CAP_S: Final = 300.0
HOUR_S: Final = 3600.0
TRADED_S: Final = market.day_start_ms(market.parse_day("20261120")) // 1000 + 36_000


def push(*counters: int) -> bytes:
    """One push of ticks that follow the feed's pattern."""
    return scripted_opend.push(*(TRADED_S << 32 | counter for counter in counters), time="10:00:00", timestamp=TRADED_S)


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition is true; each test has a cap."""
    while not condition():  # noqa: ASYNC110 - nothing tells of a packet that was received, and of the clock
        await asyncio.sleep(0.001)


class CountingWire(Transport):
    """A wire that counts received packets."""

    packets = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.packets += 1


class Link:
    """A wire, OpenD's end of it, and the queue behind it."""

    def __init__(self, gather_s: float, intake: type[Intake] = Intake) -> None:
        self.queue = TickQueue(1_000_000)
        tracker = GapTracker(Day, now_ms)
        core = Connection("test")
        self.transport = CountingWire(
            core,
            intake(self.queue, tracker, OpenDState(), Stats(), lambda: 0.0),
            lambda _: None,
            lambda _: None,
            gather_s,
        )

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Link]:
        """Connected, and accepted by OpenD."""
        peers: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        server = await asyncio.start_server(lambda *peer: peers.put_nowait(peer), "127.0.0.1", 0)
        async with server:
            await asyncio.get_running_loop().create_connection(lambda: self.transport, *server.sockets[0].getsockname())
            self.reader, self.writer = await peers.get()
            serial = await self.read_request()
            self.writer.write(frame(messages.INIT_CONNECT, serial, accepted()))
            await self.transport.ready
            yield self
            self.transport.close(OpenDError("the test is over"))
            self.writer.close()

    async def read_request(self) -> int:
        """OpenD reads one request; its serial number."""
        header = await self.reader.readexactly(HEADER_BYTES)
        _, _, _, _, serial, length, _, _ = HEADER.unpack(header)
        await self.reader.readexactly(length)
        return int(serial)

    async def send(self, data: bytes) -> None:
        """OpenD sends; returns when the wire has received one more packet."""
        expected = self.transport.packets + 1
        self.writer.write(data)
        await until(lambda: self.transport.packets >= expected)

    def rows(self) -> list[TickRow]:
        """The rows in the queue."""
        return [row for chunk in self.queue.held_in_memory() for row in chunk.rows]

    async def until_rows(self, rows: int) -> None:
        """Returns when this many rows are in the queue."""
        await until(lambda: len(self.rows()) >= rows)


def run(story: Coroutine[Any, Any, None]) -> None:
    """Runs the coroutine of one test, with a time limit against a hang."""
    asyncio.run(asyncio.wait_for(story, CAP_S))


def test_each_packet_keeps_its_receive_time() -> None:
    """`recv_ts_ms` is when a tick reached the socket, however long its bytes waited for more bytes. If we end the
    connection, waiting bytes are still parsed."""

    async def story() -> None:
        async with Link(HOUR_S).up() as link:
            await link.send(push(1))
            first_ms = now_ms()
            await until(lambda: now_ms() > first_ms)
            between_ms = now_ms()
            await link.send(push(2, 3))
            assert link.rows() == []  # they wait
            link.transport.close(OpenDError("enough"))
            received_ms = [row[9] for row in link.rows()]
            assert len(received_ms) == 3
            assert received_ms[0] <= first_ms < between_ms <= received_ms[1] == received_ms[2]
            assert str(await link.transport.closed) == "enough"

    run(story())


def test_waiting_bytes_are_parsed_when_opend_closes() -> None:
    """The end of the stream comes after the ticks before it."""

    async def story() -> None:
        async with Link(HOUR_S).up() as link:
            await link.send(push(1, 2))
            link.writer.close()
            assert str(await link.transport.closed) == "OpenD closed the connection"
            assert len(link.rows()) == 2

    run(story())


def test_waiting_bytes_are_parsed_when_the_connection_breaks() -> None:
    """After a reset all received bytes are still parsed."""

    async def story() -> None:
        async with Link(HOUR_S).up() as link:
            await link.send(push(1, 2))
            sock: socket.socket = link.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.writer.transport.abort()
            assert "broke" in str(await link.transport.closed)
            assert len(link.rows()) == 2

    run(story())


def test_a_reply_is_not_kept_waiting() -> None:
    """A request is answered at once, after the ticks that came before the answer."""

    async def story() -> None:
        async with Link(HOUR_S).up() as link:
            await link.send(push(1))
            asking = asyncio.ensure_future(
                link.transport.request(messages.GET_GLOBAL_STATE, messages.get_global_state())
            )
            serial = await link.read_request()
            link.writer.write(frame(messages.GET_GLOBAL_STATE, serial, pb.Outcome(retType=0)))
            await asking
            assert len(link.rows()) == 1

    run(story())


def test_a_burst_does_not_wait() -> None:
    """More than 64 KiB are parsed as they arrive: few bytes wait."""

    async def story() -> None:
        async with Link(HOUR_S).up() as link:
            link.writer.write(b"".join(push(*range(start, start + 100)) for start in range(1, 5001, 100)))
            await link.until_rows(2500)

    run(story())


def test_a_lone_tick_waits_for_a_moment_only() -> None:
    """It reaches the queue without any other event."""

    async def story() -> None:
        async with Link(0.01).up() as link:
            link.writer.write(push(1))
            await link.until_rows(1)

    run(story())


class BrokenIntake(Intake):
    """An intake with a bug."""

    def ticks(self, event: Ticks, recv_ts_ms: int | None, on_commit: object = None) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("gather_s", [0.001, HOUR_S])
def test_a_bug_ends_the_connection_and_is_logged(gather_s: float) -> None:
    """Ticks that a bug lost are requested on the next connection; the loop's handler writes the bug to the log.

    Waiting bytes do not delay the end of a connection.
    """

    async def story() -> None:
        bugs: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context["exception"]))
        async with Link(gather_s, BrokenIntake).up() as link:
            await link.send(push(1))
            if gather_s == HOUR_S:
                link.transport.close(OpenDError("enough"))
            assert "could not be decoded" in str(await link.transport.closed)
        assert [type(bug) for bug in bugs] == [ZeroDivisionError]

    run(story())


def test_a_bug_loses_no_tick_that_was_parsed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets that were read before the bug occurred have passed the intake."""

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with Link(HOUR_S).up() as link:
            await link.send(push(1))
            await link.send(push(2))
            receive, read = link.transport.core.receive, list[bytes]()

            def break_at_the_second(data: bytes, *rest: Any) -> object:
                read.append(data)
                return receive(data, *rest) if len(read) == 1 else 1 / 0

            monkeypatch.setattr(link.transport.core, "receive", break_at_the_second)
            link.transport.close(OpenDError("enough"))
            assert "could not be decoded" in str(await link.transport.closed)
            assert len(link.rows()) == 1

    run(story())


@pytest.mark.parametrize("gather_s", [0.0, HOUR_S])
def test_a_tick_in_pieces_is_one_tick(gather_s: float) -> None:
    """A frame may be cut anywhere between packets; it is received when its last byte is."""

    async def story() -> None:
        async with Link(gather_s).up() as link:
            data = push(1)
            await link.send(data[:50])
            await link.send(data[50:])
            link.transport.close(OpenDError("enough"))
            assert [row[1] & 0xFFFFFFFF for row in link.rows()] == [1]

    run(story())


def test_expensive_messages_do_not_block_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much OpenD sends at once, the loop does other work between two reads; nothing is lost."""
    monkeypatch.setattr(wire_module, "_REST_AFTER_S", 0.0)  # every read counts as costly

    async def story() -> None:
        async with Link(0.0).up() as link:
            turns = 0
            rows_seen: list[int] = []

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    rows_seen.append(len(link.rows()))
                    await asyncio.sleep(0)

            working = asyncio.create_task(others())
            ticks = 20_000
            link.writer.write(b"".join(push(number) for number in range(1, ticks + 1)))
            await link.until_rows(ticks)
            working.cancel()
            steps = [after - before for before, after in pairwise(rows_seen)]
            assert max(steps, default=0) < ticks / 2
            assert [row[1] & 0xFFFFFFFF for row in link.rows()] == list(range(1, ticks + 1))
            link.transport.close(OpenDError("enough"))

    run(story())

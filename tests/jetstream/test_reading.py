"""Messages in the order of the stream, each once, whatever happens to consumers and servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.nats_servers import NatsServers

from hk_tick_collector.errors import StreamAwayError
from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.jetstream.engine import ask, store
from hk_tick_collector.jetstream.reading import OrderedReader
from hk_tick_collector.jetstream.streams import ensure_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.jetstream.connect import Connection
    from hk_tick_collector.jetstream.reading import StreamMessage

SUBJECT = "hk.ticks.20261120.a"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    with NatsServers(tmp_path_factory.mktemp("nats")) as started:
        yield started


async def opened(servers: NatsServers, messages: int) -> tuple[Connection, int]:
    """A connection, and the sequence of the first of so many new messages."""
    connection = await connect(Servers(servers.urls, "test"))
    await ensure_stream(connection)
    sequences = [
        await store(connection, SUBJECT, b"%d" % number, f"{id(connection)}.{number}") for number in range(messages)
    ]
    return connection, sequences[0] if sequences else 1


async def read_all(reader: OrderedReader, count: int) -> list[StreamMessage]:
    found: list[StreamMessage] = []
    while len(found) < count:
        more = await reader.read(32, 5.0)
        assert more
        found += more
    return found


def test_reads_each_message_once_in_order(servers: NatsServers) -> None:
    """Three times as many as one request asks for, from the first on, and then those that come."""

    async def run() -> None:
        connection, first = await opened(servers, 200)
        reader = OrderedReader(connection, first)
        found = await read_all(reader, 200)
        assert [message.seq for message in found] == list(range(first, first + 200))
        assert [message.data for message in found] == [b"%d" % number for number in range(200)]
        assert found[0].subject == SUBJECT
        assert found[0].message_id.endswith(".0")
        assert await reader.read(32, 0.05) == []
        await store(connection, SUBJECT, b"next", f"{id(connection)}.next")
        (last,) = await reader.read(32, 5.0)
        assert (last.seq, last.data, last.pending) == (first + 200, b"next", 0)
        await reader.close()
        await connection.close()

    asyncio.run(run())


def test_a_consumer_that_is_gone_is_made_anew(servers: NatsServers) -> None:
    """The server forgets consumers when it restarts or moves its leader: nothing is left out or read twice."""

    async def run() -> None:
        connection, first = await opened(servers, 100)
        reader = OrderedReader(connection, first)
        found = await read_all(reader, 50)
        await ask(connection, f"CONSUMER.DELETE.HK_TICKS.{reader.name}")
        for number in range(20):
            await store(connection, SUBJECT, b"more", f"{id(connection)}.more.{number}")
        found += await read_all(reader, 120 - len(found))
        assert [message.seq for message in found] == list(range(first, first + 120))
        assert reader.consumers == 2
        await reader.close()
        await connection.close()

    asyncio.run(run())


def test_subjects_limit_what_is_read(servers: NatsServers) -> None:
    """A reader of one day gets no other one."""

    async def run() -> None:
        connection, first = await opened(servers, 1)
        await store(connection, "hk.ticks.20261121.a", b"wanted", f"{id(connection)}.wanted")
        reader = OrderedReader(connection, first, ["hk.ticks.20261121.*"])
        (found,) = await reader.read(32, 5.0)
        assert found.data == b"wanted"
        await reader.close()
        await connection.close()

    asyncio.run(run())


def test_a_lost_connection_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The reader does not wait for ever: its user connects again and goes on from `next_seq`."""

    async def run() -> None:
        with NatsServers(tmp_path_factory.mktemp("nats")) as servers:
            connection, first = await opened(servers, 3)
            reader = OrderedReader(connection, first)
            await read_all(reader, 3)
            servers.kill(0)
            with pytest.raises(StreamAwayError):
                await read_all(reader, 1000)
            await reader.close()
            await connection.close()
            servers.start(0)
            connection, _ = await opened(servers, 2)
            again = OrderedReader(connection, reader.next_seq)
            assert [message.seq for message in await read_all(again, 2)] == [first + 3, first + 4]
            await again.close()
            await connection.close()

    asyncio.run(run())

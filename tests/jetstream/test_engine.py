"""Against real servers: the stream is created and checked, messages are stored once, losses of the engine are seen."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.nats_servers import NatsServers

from hk_tick_collector.errors import StreamAwayError, StreamError
from hk_tick_collector.jetstream.anchor import Anchor, Held, check_anchor
from hk_tick_collector.jetstream.connect import Connection, Servers, connect
from hk_tick_collector.jetstream.engine import ask, held_subjects, last_message, message_at, next_message, store
from hk_tick_collector.jetstream.message import AgainMessage, encode_again
from hk_tick_collector.jetstream.streams import ensure_stream, wanted
from hk_tick_collector.jetstream.subjects import STREAM, again_subject, message_id, ticks_subject
from hk_tick_collector.publishing.requests import read_requests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

SUBJECT = ticks_subject("20261120", "a")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[NatsServers]:
    with NatsServers(tmp_path / "nats") as servers:
        yield servers


def with_connection(servers: NatsServers, work: Callable[[Connection], Awaitable[None]]) -> None:
    """Runs `work` with one connection."""

    async def run() -> None:
        connection = await connect(Servers(servers.urls, "test"))
        try:
            await work(connection)
        finally:
            await connection.close()

    asyncio.run(run(), debug=True)


def test_the_stream_is_created_once_and_read_back(one: NatsServers) -> None:
    """On one server it has one copy; a message with a known id is stored once; a second call finds the stream."""

    async def work(connection: Connection) -> None:
        created = await ensure_stream(connection)
        assert (created.replicas, created.messages, created.differences) == (1, 0, ())
        ids = [message_id("a", "20261120", "g", number) for number in (1, 2, 1)]
        assert [await store(connection, SUBJECT, b"x", each) for each in ids] == [1, 2, 1]
        found = await ensure_stream(connection)
        assert (found.first_seq, found.last_seq, found.messages) == (1, 2, 2)
        at = await message_at(connection, 2)
        assert at is not None
        assert (at.seq, at.subject, at.message_id, at.data) == (2, SUBJECT, ids[1], b"x")
        assert await message_at(connection, 3) is None
        assert await last_message(connection, "hk.ticks.*.a") == at
        assert await next_message(connection, SUBJECT, 2) == at
        assert await next_message(connection, "hk.again.a", 0) is None
        assert await held_subjects(connection, "hk.ticks.*.*") == {SUBJECT}
        assert await held_subjects(connection, "hk.again.*") == set()

    with_connection(one, work)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_msgs_per_subject": 1}, "max_msgs_per_subject is 1"),
        ({"storage": "memory", "max_bytes": 1_000_000}, "storage is memory"),
        ({"discard": "new"}, "discard is new"),
        ({"subjects": ["hk.ticks.*.*"]}, "no subjects hk.again"),
        ({"no_ack": True}, "no_ack is set"),
        ({"subject_transform": {"src": "hk.ticks.*.*", "dest": "x.{{wildcard(2)}}"}}, "it has subject_transform"),
    ],
    ids=str,
)
def test_a_stream_that_would_lose_ticks_is_refused(one: NatsServers, change: dict[str, object], words: str) -> None:
    """With one line that names each setting; it is not changed."""

    async def work(connection: Connection) -> None:
        before = await ask(connection, f"STREAM.CREATE.{STREAM}", {**wanted(1), **change})
        with pytest.raises(StreamError, match=words) as caught:
            await ensure_stream(connection)
        assert "\n" not in caught.value.one_line()
        assert (await ask(connection, f"STREAM.INFO.{STREAM}"))["config"] == before["config"]

    with_connection(one, work)


def test_other_settings_that_lose_nothing_are_told(one: NatsServers) -> None:
    """They are used as they are."""

    async def work(connection: Connection) -> None:
        other = {**wanted(1), "max_age": 86_400 * 10**9, "max_bytes": -1, "deny_purge": False}
        await ask(connection, f"STREAM.CREATE.{STREAM}", other)
        told = (await ensure_stream(connection)).differences
        assert told == ("max_age is 86400 s, not 604800 s", "max_bytes has no limit", "deny_purge is off")

    with_connection(one, work)


def test_a_single_copy_in_a_cluster_is_told(tmp_path: Path) -> None:
    """As where the stream was created before the other servers were there."""

    async def work(connection: Connection) -> None:
        while True:
            with suppress(StreamAwayError):  # the first election may take a while
                await ask(connection, f"STREAM.CREATE.{STREAM}", wanted(1))
                break
        assert (await ensure_stream(connection)).differences == ("num_replicas is 1, not 3",)

    with NatsServers(tmp_path / "nats", 3) as servers:
        with_connection(servers, work)


def test_requests_of_readers_are_read_in_portions(one: NatsServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their size, not by their number alone: each may name thousands of symbols."""

    async def work(connection: Connection) -> None:
        await ensure_stream(connection)
        request = encode_again(AgainMessage("a", "20261120", tuple(f"HK.{number:05}" for number in range(100))))
        for number in range(5):
            await store(connection, again_subject("a"), request, f"r.{number}")
        assert (await read_requests(connection, "a", 0)).count == 5
        monkeypatch.setattr("hk_tick_collector.publishing.requests._MOST_BYTES", 2 * len(request))
        first = await read_requests(connection, "a", 0)
        assert (first.count, first.seq) == (2, 2)

    with_connection(one, work)


def test_an_anchor_tells_what_the_engine_lost(one: NatsServers) -> None:
    """A message is there; after the store was rolled back it is not; another one in its place is not it either."""
    saved: list[Path] = []

    async def before(connection: Connection) -> None:
        await ensure_stream(connection)
        await store(connection, SUBJECT, b"x", "a.1")
        saved.append(one.save_stores())
        assert await store(connection, SUBJECT, b"x", "a.2") == 2
        assert await check_anchor(connection, Anchor(2, "a.2")) is Held.YES

    async def after(connection: Connection) -> None:
        assert await check_anchor(connection, Anchor(1, "a.1")) is Held.YES
        assert await check_anchor(connection, Anchor(2, "a.2")) is Held.LOST
        assert await store(connection, SUBJECT, b"x", "a.3") == 2
        assert await check_anchor(connection, Anchor(2, "a.2")) is Held.LOST
        await ask(connection, f"STREAM.DELETE.{STREAM}")
        assert await check_anchor(connection, Anchor(1, "a.1")) is Held.LOST

    with_connection(one, before)
    one.kill_all()
    one.roll_back(saved[0])
    one.start_all()
    with_connection(one, after)


def test_what_the_limits_of_the_stream_removed_is_not_lost(one: NatsServers) -> None:
    """An old anchor has expired: the stream keeps a limited number of bytes, as agreed."""

    async def work(connection: Connection) -> None:
        await ensure_stream(connection, max_bytes=2000)
        for number in range(9):
            await store(connection, SUBJECT, b"x" * 500, f"a.{number}")
        assert await check_anchor(connection, Anchor(1, "a.0")) is Held.EXPIRED
        assert await check_anchor(connection, Anchor(9, "a.8")) is Held.YES
        assert await check_anchor(connection, Anchor(10, "a.9")) is Held.LOST

    with_connection(one, work)


def test_a_lost_connection_ends_each_request_at_once(one: NatsServers) -> None:
    """The server is killed while a request waits: StreamAwayError, and the connection knows that it is lost."""

    async def work(connection: Connection) -> None:
        await ensure_stream(connection)
        one.pause(0)
        waiting = asyncio.ensure_future(store(connection, SUBJECT, b"x", "a.1"))
        await asyncio.sleep(0)
        one.kill(0)
        with pytest.raises(StreamAwayError):
            await waiting
        assert connection.lost.is_set()
        with pytest.raises(StreamAwayError, match=r"no NATS server at .* \(Connection refused\)"):
            await connect(Servers(one.urls, "test"))

    with_connection(one, work)


def test_three_servers_hold_three_copies(tmp_path: Path) -> None:
    """Without one node messages are acknowledged; without a majority none is, and that is an error in time."""
    with NatsServers(tmp_path / "nats", 3) as servers:

        async def work(connection: Connection) -> None:
            stored = 0
            while not stored:
                with suppress(StreamAwayError):  # the first election may take a while
                    assert (await ensure_stream(connection)).replicas == 3
                    stored = await store(connection, SUBJECT, b"x", "a.1")
            assert stored == 1

        with_connection(servers, work)
        servers.kill(0)

        async def without_one(connection: Connection) -> None:
            stored = 0
            while not stored:
                with suppress(StreamAwayError):  # an election is under way
                    stored = await store(connection, SUBJECT, b"x", "a.2")
            assert stored == 2

        with_connection(servers, without_one)
        servers.kill(1)

        async def without_two(connection: Connection) -> None:
            with pytest.raises(StreamAwayError):
                await store(connection, SUBJECT, b"x", "a.3")

        with_connection(servers, without_two)


def test_a_cluster_that_cannot_hold_the_stream_is_told(tmp_path: Path) -> None:
    """Too small a `max_file` looks to JetStream like missing servers: the line names both."""
    with NatsServers(tmp_path / "nats", 3, max_file="1GB") as servers:

        async def work(connection: Connection) -> None:
            line = ""
            while "max_file" not in line:  # the first election may take a while
                with pytest.raises(StreamAwayError) as caught:
                    await ensure_stream(connection)
                line = caught.value.one_line()
            assert "too few servers, or too small a max_file" in line
            assert "\n" not in line

        with_connection(servers, work)


def test_a_server_that_cannot_hold_the_stream_is_told(tmp_path: Path) -> None:
    """One server says so itself: an operator has to act."""
    with NatsServers(tmp_path / "nats", max_file="1GB") as servers:

        async def work(connection: Connection) -> None:
            with pytest.raises(StreamError, match="has no 8 GiB for HK_TICKS") as caught:
                await ensure_stream(connection)
            assert "max_file" in caught.value.hint

        with_connection(servers, work)

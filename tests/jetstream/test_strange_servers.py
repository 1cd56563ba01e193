"""A server that answers with anything at all: one line says so, and nothing breaks, hangs or grows."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.descriptors import descriptors
from tests.jetstream.scripted_server import Raw, greeting, scripted, silent

from hk_tick_collector.errors import StreamAwayError, StreamError
from hk_tick_collector.jetstream.anchor import Anchor, check_anchor
from hk_tick_collector.jetstream.connect import Connection, Servers, connect
from hk_tick_collector.jetstream.engine import held_subjects, message_at, next_message, store
from hk_tick_collector.jetstream.reading import OrderedReader
from hk_tick_collector.jetstream.streams import ensure_stream
from hk_tick_collector.publishing.presence import Publisher, answer_for, other_publisher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GOOD = b'"config":{"subjects":["hk.>"],"storage":"file","retention":"limits","discard":"old"}'
SUBJECT = "hk.ticks.20261120.a"
OURS = Publisher("a", "host-1", 1, 0, "x")


def outcome(
    first: bytes,
    answer: Callable[[str], bytes | None] = silent,
    act: Callable[[Connection], Awaitable[Any]] | None = None,
) -> Any:
    """What `act` returns or raises on a connection to such a server."""

    async def run() -> Any:
        async with scripted(first, answer) as url:
            try:
                connection = await connect(Servers((url,), "t"))
            except StreamError as error:
                return error
            try:
                return await act(connection) if act else connection.version
            except StreamError as error:
                return error
            finally:
                await connection.close()

    return asyncio.run(run())


@pytest.mark.parametrize("version", ["nonsense", "2.11", "", None, 3, "²" * 3, "9" * 5000])
def test_a_server_without_a_version_is_refused(version: object) -> None:
    """One line; it may lose what it acknowledges."""
    assert "does not say its version" in str(outcome(greeting(version=version)))


@pytest.mark.parametrize("version", ["2.12.0-dev", "2.10.23+x", "3.0.0"])
def test_a_version_may_have_more_behind_it(version: str) -> None:
    """Builds of the vendor have."""
    assert outcome(greeting(version=version)) >= (2, 10, 23)


@pytest.mark.parametrize("most", [100, -1, "x", None])
def test_a_server_that_takes_small_messages_alone_is_refused(most: object) -> None:
    """With the setting to change. Else every message would be tried in vain for ever."""
    found = outcome(greeting(max_payload=most))
    assert not isinstance(found, StreamAwayError)
    assert "bytes at most" in str(found)
    assert "max_payload" in found.hint


@pytest.mark.parametrize(
    "first",
    [b"INFO [1]\r\n", b"INFO {x\r\n", b"HTTP/1.1 400 Bad Request\r\n", greeting(connect_urls=["[::x:4"])],
    ids=repr,
)
def test_a_greeting_that_is_none_is_one_line(first: bytes) -> None:
    """The next attempt may find a server."""
    assert isinstance(outcome(first), StreamAwayError)


ANSWERS = [
    b"[]",
    b"nonsense",
    b'{"error":"x"}',
    b'{"error":{"code":5,"err_code":null}}',
    b'{"config":null}',
    b'{"config":{"subjects":7}}',
    b"{%s}" % GOOD,
    b'{%s,"state":null}' % GOOD,
    b'{%s,"state":{"first_seq":"x"}}' % GOOD,
    b'{%s,"state":{"first_seq":1e400}}' % GOOD,
    b'{%s,"total":1,"state":{"first_seq":"x","subjects":["x"]}}' % GOOD,
    b'{%s,"state":{},"cluster":{"replicas":[7]}}' % GOOD,
    b'{"message":null}',
    b'{"message":{"seq":1e400,"subject":"a"}}',
    b'{"message":{"seq":99,"subject":"a"}}',
    b'{"seq":1}',
    b'{"seq":true,"stream":"HK_TICKS"}',
    b'{"seq":1,"stream":"OTHER"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer[:40].decode())
def test_an_answer_that_is_none_is_one_line(answer: bytes) -> None:
    """To every request; an acknowledgement of something else acknowledges nothing."""
    requests: list[Callable[[Connection], Awaitable[Any]]] = [
        lambda connection: store(connection, SUBJECT, b"x", "id"),
        lambda connection: message_at(connection, 1),
        lambda connection: next_message(connection, SUBJECT, 100),
        lambda connection: held_subjects(connection, SUBJECT),
        lambda connection: check_anchor(connection, Anchor(1, "x")),
    ]
    if answer != b"{%s}" % GOOD:  # a stream without messages may be told so
        requests.append(ensure_stream)
    for request in requests:
        found = outcome(greeting(), lambda _: answer, request)
        assert isinstance(found, StreamError), (request, found)
        assert len(str(found)) < 400


def test_more_subjects_than_one_answer_lists_are_not_all_subjects() -> None:
    """Then nobody knows which there are; where there is no stream now, there will be one."""

    def subjects(answer: bytes) -> Any:
        return outcome(greeting(), lambda _: answer, lambda connection: held_subjects(connection, SUBJECT))

    assert subjects(b'{"total":2,"state":{"subjects":{"a":7,"b":1}}}') == {"a", "b"}
    assert subjects(b'{"total":3,"state":{"subjects":{"a":7,"b":1}}}') is None
    gone = subjects(b'{"error":{"code":404,"err_code":10059,"description":"stream not found"}}')
    assert isinstance(gone, StreamAwayError)


@pytest.mark.parametrize(
    "wire",
    [
        b"-ERR \r\n",
        b"-ERR 'x\x1b[31m'\r\n",
        b"-ERR '\xff'\r\n",
        b"INFO {x\r\n",
        b"INFO [1]\r\n",
        b"nonsense\r\n",
        b"HMSG a 1 5 3\r\nabc\r\n",
        b"MSG a 1 " + b"9" * 5000 + b"\r\n",
    ],
    ids=lambda wire: repr(wire[:20]),
)
def test_bytes_that_are_no_protocol_end_the_connection(wire: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """At once, not when a request has waited long enough; and nothing is printed."""
    assert "the connection to" in str(outcome(greeting(), lambda _: Raw(wire), ensure_stream))
    assert capfd.readouterr() == ("", "")


def test_a_line_without_an_end_is_not_gathered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a message that is announced as larger than any can be."""
    monkeypatch.setattr("hk_tick_collector.jetstream.client._MOST_BYTES", 1_000_000)
    for wire in (b"x" * 2_000_000, b"MSG a 1 9000000000\r\n" + b"x" * 2_000_000):
        assert "the connection to" in str(outcome(greeting(), lambda _: Raw(wire), ensure_stream))  # noqa: B023 - called in this turn


@pytest.mark.parametrize("reply", ["", "_INBOX.x", "$JS.ACK.a.b.c.d.e.f.g", "$JS.ACK.HK_TICKS.c.1.x.1.1.0"])
def test_a_message_that_is_not_of_the_stream_is_passed_over(reply: str) -> None:
    """Whoever knows the inbox of a reader can send it anything."""

    def answer(subject: str) -> bytes | None:
        if "CONSUMER.CREATE" in subject:
            return b'{"name":"c"}'
        said = b"MSG _INBOX.x 2 %s 1\r\nx\r\n" % reply.encode()
        more = b"MSG _INBOX.x 2 $JS.ACK.HK_TICKS.c.1.7.1.1.0 1\r\ny\r\n"
        return Raw(said + more) if "MSG.NEXT" in subject else None

    async def read(connection: Connection) -> Any:
        return await OrderedReader(connection, 1).read(2, 4.0)

    (found,) = outcome(greeting(), answer, read)
    assert (found.seq, found.data) == (7, b"y")


def test_a_reader_understands_both_forms_of_a_reply() -> None:
    """The longer one names the domain and the account."""
    for reply in (b"$JS.ACK.HK_TICKS.c.1.7.1.1.3", b"$JS.ACK.hub.ACC.HK_TICKS.c.1.7.1.1.3.random"):

        def answer(subject: str, reply: bytes = reply) -> bytes | None:
            if "CONSUMER.CREATE" in subject:
                return b'{"name":"c"}'
            return Raw(b"MSG _INBOX.x 2 %s 1\r\ny\r\n" % reply) if "MSG.NEXT" in subject else None

        async def read(connection: Connection) -> Any:
            return await OrderedReader(connection, 1).read(1, 4.0)

        (found,) = outcome(greeting(), answer, read)
        assert (found.seq, found.pending) == (7, 3)


@pytest.mark.parametrize("answer", [b"[" * 3000, b"{}", b"7", b"\xff", b'{"token":' + b"9" * 5000])
def test_a_forged_publisher_is_nobody(answer: bytes) -> None:
    """Whoever may answer for a name can answer anything."""
    assert outcome(greeting(), lambda _: answer, lambda connection: other_publisher(connection, OURS)) is None


def test_the_name_is_told_to_waiting_clients_alone() -> None:
    """A request with a subject of ticks for its answer would have the publisher put nonsense among its ticks."""

    async def run() -> list[bytes]:
        heard: list[bytes] = []
        async with scripted(greeting(), silent, heard=heard) as url:
            connection = await connect(Servers((url,), "t"))
            await answer_for(connection, "a", lambda: OURS)
            (task,) = [sub for sub in connection.client._subs.values() if sub.subject == "hk.name.a"]  # noqa: SLF001
            for reply in (SUBJECT, "_INBOX.b"):
                await connection.client._process_msg(task._id, b"hk.name.a", reply.encode(), b"", b"")  # noqa: SLF001
            with suppress(StreamAwayError):
                await connection.request("after.that", timeout_s=3.0)  # the server has heard all that was before it
            await connection.close()
        return [line.split()[1] for line in heard if line.startswith(b"PUB ")]

    assert asyncio.run(run()) == [b"_INBOX.b", b"after.that"]


def test_a_server_that_reads_nothing_keeps_no_socket() -> None:
    """Although it has not taken what was sent to it; and no request waits for it without end."""

    async def run() -> set[str]:
        held = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting())
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - as a process that is stopped
            await held.wait()
            writer.transport.abort()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            before = set(descriptors(os.getpid()).values())
            connection = await connect(Servers((f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}",), "t"))
            ours = connection.client._transport._io_writer.get_extra_info("socket")  # type: ignore[union-attr]  # noqa: SLF001
            name = f"socket:[{os.fstat(ours.fileno()).st_ino}]"
            assert name in set(descriptors(os.getpid()).values()) - before
            asked = [connection.request(SUBJECT, b"x" * 1_000_000, timeout_s=0.05) for _ in range(20)]
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(each) for each in found} == {StreamAwayError}
            await connection.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            left = {name} & set(descriptors(os.getpid()).values())
            held.set()
        return left

    assert asyncio.run(run()) == set()


def test_a_connection_that_ends_meanwhile_is_lost_to_every_use() -> None:
    """Not an error of nats-py, which nobody expects."""

    async def run() -> None:
        async with scripted(greeting()) as url:
            connection = await connect(Servers((url,), "t"))
            await connection.client.close()
            for use in (connection.publish("a", b""), connection.subscribe("a")):
                with pytest.raises(StreamAwayError, match="the connection to"):
                    await use
            await connection.close()

    asyncio.run(run())


@pytest.mark.parametrize("first", [b"", b"INFO {"], ids=repr)
def test_an_attempt_that_is_given_up_closes_its_socket(first: bytes) -> None:
    """By itself, and not when Python finds the object that nobody holds any more: the server sees the end at once."""

    async def run() -> bytes:
        reached: asyncio.Future[asyncio.StreamReader] = asyncio.get_running_loop().create_future()

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            reached.set_result(reader)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            writer.close()

        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        async with server:
            attempt = asyncio.create_task(connect(Servers((f"nats://127.0.0.1:{port_of(server)}",), "t")))
            reader = await reached
            gc.disable()
            try:
                attempt.cancel()
                with suppress(asyncio.CancelledError):
                    await attempt
                del attempt
                async with asyncio.timeout(60):
                    return await reader.read()
            finally:
                gc.enable()

    assert asyncio.run(run()) == b""


def port_of(server: asyncio.Server) -> int:
    """Where it listens."""
    port: int = server.sockets[0].getsockname()[1]
    return port

"""Browsers that hold connections for nothing: real sockets, the real server, and limits with the test's clock."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.descriptors import descriptors, resident_kib

from hk_tick_collector.web.connections import MOST, Connection, cut_stuck
from hk_tick_collector.web.server import listen, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import uvicorn
    from starlette.requests import Request

    from .conftest import Web

BIG_BYTES = 32 * 2**20  # more than the kernel keeps for a browser that does not read


class Served:
    """The server in a thread of this process, so that its limits can be asked with another clock."""

    def __init__(self) -> None:
        async def big(_request: Request) -> Response:
            return PlainTextResponse("x" * BIG_BYTES)

        app = Starlette(routes=[Route("/big", big)])
        app.state.close = lambda: None
        self._listener = listen("127.0.0.1", 0)
        self.port = self._listener.getsockname()[1]
        self._ready = threading.Event()
        self._server: uvicorn.Server = make_server(app, self._ready.set)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(60)

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._listener])

        asyncio.run(serve())

    def look(self, later_s: float) -> None:
        """What the server does every second, but so much later."""

        async def cut() -> None:
            connections: Any = self._server.server_state.connections
            cut_stuck(cast("set[Connection]", connections), time.monotonic() + later_s)

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(60)

    def pass_deadlines(self) -> None:
        """As if ten seconds passed in which the server did not look."""
        for connection in cast("set[Connection]", self._server.server_state.connections):
            connection.deadline_s -= 11.0

    def has_received(self, ending: bytes) -> bool:
        """Whether these are the last bytes of an incomplete request."""
        connections = cast("set[Connection]", self._server.server_state.connections)
        return any(each.conn.trailing_data[0].endswith(ending) for each in list(connections))

    def connections(self) -> int:
        """How many there are."""
        return len(self._server.server_state.connections)

    def close(self) -> None:
        """Ends the server."""
        self._server.should_exit = True
        self._thread.join(60)


@pytest.fixture
def served() -> Iterator[Served]:
    """The server."""
    served = Served()
    yield served
    served.close()


def is_cut(browser: socket.socket) -> bool:
    """Whether the server has ended the connection; waits for it."""
    browser.settimeout(60)
    try:
        while browser.recv(2**20):
            pass
    except ConnectionError:
        return True
    return True


def test_a_browser_that_never_reads_is_cut(served: Served) -> None:
    """Its answer does not wait in memory for ever; one that reads slowly is not cut."""
    with closing(socket.create_connection(("127.0.0.1", served.port))) as browser:
        browser.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        browser.recv(1)
        for later_s in (0.0, 15.0):
            served.look(later_s)
            assert served.connections() == 1
        served.look(40.0)
        assert is_cut(browser)


def test_a_browser_that_never_asks_is_cut(served: Served) -> None:
    """Nor may it send its request byte by byte for ever."""
    with closing(socket.create_connection(("127.0.0.1", served.port))) as browser:
        browser.sendall(b"GET /big HTTP/1.1\r\nHost: ")
        while not served.connections():
            time.sleep(0.01)
        served.look(5.0)
        assert served.connections() == 1
        browser.sendall(b"loc")
        served.look(11.0)
        assert is_cut(browser)


def test_a_byte_that_comes_after_the_time_of_a_request_gains_no_time(served: Served) -> None:
    """A browser that sends a byte more often than the server looks is cut as well."""
    with closing(socket.create_connection(("127.0.0.1", served.port))) as browser:
        browser.sendall(b"GET /big HTTP/1.1\r\nHost: loc")
        while not served.has_received(b"loc"):
            time.sleep(0.01)
        served.pass_deadlines()
        browser.sendall(b"al")
        while not served.has_received(b"local"):
            time.sleep(0.01)
        for _ in range(100):
            served.look(0.0)
            if not served.connections():
                break
            time.sleep(0.01)
        assert not served.connections()


def test_two_hundred_connections_leave_a_place_for_the_operator(serve: Callable[..., Web]) -> None:
    """Those that ask for nothing give way; the process keeps a bounded number of descriptors."""
    web = serve()
    web.live()
    idle: list[socket.socket] = []
    try:
        for _ in range(200):
            idle.append(socket.create_connection(("127.0.0.1", web.port)))  # noqa: PERF401 - closed one by one
        assert web.get("/").code == 200
        kept = [what for what in descriptors(web.pid).values() if what.startswith("socket:")]
        assert len(kept) <= MOST + 20
    finally:
        for browser in idle:
            browser.close()
    assert web.get("/").code == 200


def test_many_streams_are_refused_and_those_that_look_go_on(serve: Callable[..., Web]) -> None:
    """64 browsers may look at once; the next is told to wait; one that leaves makes room. Memory stays small."""
    web = serve()
    web.live()
    looking = [_stream(web) for _ in range(64)]
    try:
        assert web.get("/now/events").code == 503
        assert all(b"data: " in _some(each) for each in looking[:3])
        assert resident_kib(web.pid) < 200_000
        looking.pop().close()
        for _ in range(1000):
            with closing(_stream(web)) as one:
                if b" 200 " in _some(one):
                    break
            time.sleep(0.05)
        else:
            pytest.fail("no place was made")
    finally:
        for browser in looking:
            browser.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /now/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\r\n" * 1000,
    ],
    ids=range(8),
)
def test_bytes_that_are_no_request_end_nothing_but_their_connection(
    serve: Callable[..., Web], request_bytes: bytes
) -> None:
    """No traceback, and no line in the journal for each."""
    web = serve()
    with closing(socket.create_connection(("127.0.0.1", web.port))) as browser, suppress(ConnectionError):
        browser.sendall(request_bytes)
        browser.settimeout(60)
        browser.shutdown(socket.SHUT_WR)
        browser.recv(65_536)
    assert web.get("/alive").code == 200
    assert re.fullmatch(r"http://\S+  \(Ctrl-C ends it\)\n", web.output)


def _stream(web: Web) -> socket.socket:
    browser = socket.create_connection(("127.0.0.1", web.port), timeout=60)
    browser.sendall(b"GET /now/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    browser.recv(12, socket.MSG_PEEK)  # it is answered
    return browser


def _some(browser: socket.socket) -> bytes:
    """Its first bytes, until an event or the answer's end."""
    found = b""
    while b"data: " not in found and b"close one" not in found and (part := browser.recv(65_536)):
        found += part
    return found

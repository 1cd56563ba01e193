"""The server of the metrics on real sockets: one text, and no client that disturbs it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector.ops.metrics.http import ScrapeServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAP_S: Final = 300.0
TEXT: Final = b"# TYPE one gauge\none 1\n"


@contextmanager
def serving(render: Callable[[], bytes] = lambda: TEXT, host: str = "127.0.0.1", **options: float) -> Iterator[int]:
    """A running server; gives its port."""
    server = ScrapeServer(host, 0, render, "text/plain", **options)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join(CAP_S)
        assert not thread.is_alive()


def ask(port: int, path: str = "/metrics", method: str = "GET", host: str = "127.0.0.1") -> tuple[int, bytes]:
    """Status and body of an answer."""
    connection = HTTPConnection(host, port, timeout=CAP_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def raw(port: int, request: bytes) -> bytes:
    """Everything that the server returns for these bytes until it closes."""
    with socket.create_connection(("127.0.0.1", port), CAP_S) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_get_and_head_of_the_metrics_are_answered() -> None:
    """GET and HEAD of /metrics, with or without a query; everything else gets an error."""
    with serving() as port:
        assert ask(port) == (200, TEXT)
        assert ask(port, "/metrics?x=1") == (200, TEXT)
        assert ask(port, method="HEAD") == (200, b"")
        assert ask(port, "/")[0] == 404
        assert ask(port, method="POST")[0] == 405


def test_the_metrics_are_answered_on_ipv6() -> None:
    """On an IPv6 address."""
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with serving(host="::1") as port:
        assert ask(port, host="::1") == (200, TEXT)


@pytest.mark.parametrize(
    "request_",
    [b"\r\n\r\n", b"GET /metrics\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET /metrics SPDY\r\n\r\n"],
)
def test_an_invalid_request_is_refused(request_: bytes) -> None:
    """A TLS hello, HTTP/0.9 and an empty request get 400; the next client gets its answer."""
    with serving() as port:
        assert raw(port, request_).startswith(b"HTTP/1.1 400 ")
        assert ask(port) == (200, TEXT)


def test_a_request_may_come_byte_by_byte() -> None:
    """A slow client is served."""
    with serving() as port, socket.create_connection(("127.0.0.1", port), CAP_S) as client:
        for byte in b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n":
            client.sendall(bytes([byte]))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_an_endless_header_ends_its_connection() -> None:
    """The server closes long before a megabyte is sent, and keeps running."""
    with serving() as port, socket.create_connection(("127.0.0.1", port), CAP_S) as client:
        with pytest.raises(ConnectionError):
            client.sendall(b"GET /metrics HTTP/1.1\r\n" + b"X-Endless: and so on and so on\r\n" * 500_000)
        assert ask(port) == (200, TEXT)


@pytest.mark.parametrize("begun", [b"", b"GET /met"])
def test_a_client_that_sends_nothing_more_is_disconnected(begun: bytes) -> None:
    """A client that connects and never completes its request is disconnected when its time is over."""
    with serving(patience_s=0.1) as port, suppress(ConnectionResetError):  # if the time was over before it sent
        assert raw(port, begun) == b""


def test_a_client_that_does_not_read_is_disconnected() -> None:
    """An answer that is not read is dropped when its time is over."""
    large = b"x" * 2**26
    with serving(lambda: large, patience_s=0.5) as port, socket.create_connection(("127.0.0.1", port), CAP_S) as client:
        _wait(lambda: _connected_to(port) == 1)
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        _wait(lambda: _connected_to(port) == 0)
        received = 0
        with suppress(ConnectionResetError):
            while chunk := client.recv(2**20):
                received += len(chunk)
        assert received < len(large)


def test_silent_clients_do_not_block_other_clients() -> None:
    """A scrape is answered despite 100 silent connections, of which the server keeps only a few."""
    with serving() as port, ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), CAP_S))
        assert ask(port) == (200, TEXT)
        assert _connected_to(port) <= 16


def test_many_scrapes_make_the_text_twice_a_second_at_most() -> None:
    """However many requests: the text is made at most twice a second."""
    rendered: list[float] = []

    def render() -> bytes:
        rendered.append(time.monotonic())
        return TEXT

    with serving(render) as port:
        started_s = time.monotonic()
        for _ in range(100):
            assert ask(port)[0] == 200
        took_s = time.monotonic() - started_s
    assert 1 <= len(rendered) <= took_s / 0.5 + 1


def test_a_port_that_is_taken_is_an_error() -> None:
    """The caller gets the error at once."""
    with serving() as port, pytest.raises(OSError, match="Address already in use"):
        ScrapeServer("127.0.0.1", port, lambda: TEXT, "text/plain")


def _connected_to(port: int) -> int:
    """Established connections on the server's side that a process holds."""
    count = 0
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        fields = line.split()
        inode = fields[9]
        count += fields[1] == f"0100007F:{port:04X}" and fields[3] == "01" and inode != "0"
    return count


def _wait(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + CAP_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)

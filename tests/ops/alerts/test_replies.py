"""Alert servers with endless answers: bytes and time are bounded, and an accepted message is not sent again."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.receiver import PATIENT

from hk_tick_collector.ops.alerts.replies import BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAP_S: Final = 600.0
MB: Final = 2**20
# Sends one message by the URL of the first argument, within the seconds of the second; tells what came of it, and by
# how many bytes the process has grown meanwhile at its largest.
SENDER: Final = """
import json, resource, sys, threading, time
from hk_tick_collector.ops.alerts.destination import open_destinations
from hk_tick_collector.errors import AlertError
from hk_tick_collector.ops.alerts.message import Kind, Message
import hk_tick_collector.ops.alerts.replies
[there] = open_destinations([sys.argv[1]], float(sys.argv[2]))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, failure = peak(), ""
try:
    there.send(Message(Kind.WARNING, "lag", "[one] WARNING lag", "late"))
except AlertError as error:
    failure = str(error)
print(json.dumps({"failure": failure, "grown": peak() - before, "threads": threading.active_count()}))
"""


class Server:
    """Accepts connections on loopback, reads a request and lets `answer` write until the peer disconnects."""

    def __init__(self, answer: Callable[[socket.socket, Server], None], *, asks: bool = True) -> None:
        self.sent = 0
        self.requests = 0
        self._answer = answer
        self._asks = asks
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self._listening.close()

    def write(self, peer: socket.socket, data: bytes) -> None:
        peer.sendall(data)
        self.sent += len(data)

    def _serve(self) -> None:
        while not self.ended.is_set():
            try:
                peer, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with closing(peer), suppress(OSError):
            if self._asks:
                peer.recv(65_536)
            self.requests += 1
            self._answer(peer, self)


OK: Final = b"HTTP/1.1 200 OK\r\n"


def endless_body(peer: socket.socket, server: Server) -> None:
    server.write(peer, OK + b"\r\n")
    while not server.ended.is_set():
        server.write(peer, b"x" * 65_536)


def endless_chunks(peer: socket.socket, server: Server) -> None:
    server.write(peer, OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while not server.ended.is_set():
        server.write(peer, b"ffff\r\n" + b"x" * 65_535 + b"\r\n")


def long_promise(peer: socket.socket, server: Server) -> None:
    server.write(peer, OK + b"Content-Length: 9000000000\r\n\r\n")
    while not server.ended.is_set():
        server.write(peer, b"x" * 65_536)


@cache
def packed_bomb() -> bytes:
    return gzip.compress(gzip.compress(bytes(64 * MB)))


def bomb(peer: socket.socket, server: Server) -> None:
    packed = packed_bomb()
    head = f"Content-Encoding: gzip, gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    server.write(peer, OK + head.encode() + packed)


def endless_headers(peer: socket.socket, server: Server) -> None:
    server.write(peer, OK)
    while not server.ended.is_set():
        server.write(peer, b"X-A: " + b"x" * 60_000 + b"\r\n")


def endless_continue(peer: socket.socket, server: Server) -> None:
    while not server.ended.is_set():
        server.write(peer, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def redirects(peer: socket.socket, server: Server) -> None:
    server.write(peer, b"HTTP/1.1 307 Again\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def endless_redirects(peer: socket.socket, server: Server) -> None:
    server.write(peer, b"HTTP/1.1 307 Again\r\nLocation: /again\r\n\r\n")
    while not server.ended.is_set():
        server.write(peer, b"x" * 65_536)


def dripping_headers(peer: socket.socket, server: Server) -> None:
    server.write(peer, OK)
    while not server.ended.wait(0.2):
        server.write(peer, b"X")


def dripping_body(peer: socket.socket, server: Server) -> None:
    server.write(peer, OK + b"\r\n")
    while not server.ended.wait(0.2):
        server.write(peer, b"x")


def endless_mail_reply(peer: socket.socket, server: Server) -> None:
    while not server.ended.is_set():
        server.write(peer, b"220-welcome\r\n" * 5000)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def begin(*args: Any, **named: Any) -> Server:
        servers.append(Server(*args, **named))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def send(url: str, seconds: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SENDER, url, str(seconds)], capture_output=True, text=True, timeout=CAP_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("answer", [endless_body, endless_chunks, long_promise, bomb], ids=lambda each: each.__name__)
def test_an_endless_body_is_cut_and_the_message_counts_as_sent(
    serve: Callable[..., Server], answer: Callable[[socket.socket, Server], None]
) -> None:
    """The status line accepted the message: no failure, so it is not sent again; the process does not grow."""
    packed_bomb()  # made before the sender waits for it
    server = serve(answer)
    found = send(f"json://127.0.0.1:{server.port}/{PATIENT}", CAP_S)
    assert found["failure"] == ""
    assert found["grown"] < 16 * MB, found
    assert server.requests == 1
    if answer is not bomb:  # what lies in the buffers of both sockets was sent, too
        assert server.sent < BODY_BYTES + 32 * MB


@pytest.mark.parametrize(
    "answer", [endless_headers, endless_continue, redirects, endless_redirects], ids=lambda each: each.__name__
)
def test_an_endless_answer_is_a_failure(
    serve: Callable[..., Server], answer: Callable[[socket.socket, Server], None]
) -> None:
    """Without a status code it is a failure with its cause, long before the time is over; the process does not grow."""
    server = serve(answer)
    found = send(f"json://127.0.0.1:{server.port}/{PATIENT}", CAP_S)
    assert "not sent within" not in found["failure"]
    assert found["failure"]
    assert found["grown"] < 16 * MB, found
    assert server.requests <= 31


@pytest.mark.parametrize(
    ("answer", "failure"),
    [(dripping_headers, "Connection error"), (dripping_body, "")],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_slow_answer_ends_when_its_time_is_over(
    serve: Callable[..., Server], answer: Callable[[socket.socket, Server], None], failure: str
) -> None:
    """One byte now and then keeps every single wait short; the whole has a limit, and no thread remains."""
    found = send(f"json://127.0.0.1:{serve(answer).port}/", 10)  # its start and the connection are part of it
    assert failure in found["failure"]
    assert bool(failure) == bool(found["failure"])
    assert found["threads"] == 1


def test_a_mail_server_is_bounded_as_well(serve: Callable[..., Server]) -> None:
    """SMTP: a greeting of a million lines is a failure with its cause; the process does not grow."""
    server = serve(endless_mail_reply, asks=False)
    found = send(f"mailto://127.0.0.1:{server.port}/?from=a@example.com&to=b@example.com&mode=insecure", CAP_S)
    assert found["failure"]
    assert found["grown"] < 16 * MB, found

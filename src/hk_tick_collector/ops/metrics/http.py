"""A very small HTTP server for one changing text: GET /metrics. It has a thread of its own.

Input: connections from anybody who can reach the port. Output: at most one answer each. It must not slow down
collection, whatever a client does: there are few clients and each has little time; a new client replaces the oldest; at
most one client is accepted every 10 ms; the text is rendered at most twice a second.
"""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_CLIENTS: Final = 16
_MAX_REQUEST_BYTES: Final = 8192
_TURN_S: Final = 0.01  # a turn accepts one client: at most 100 a second
_NO_DESCRIPTOR_S: Final = 1.0
_FRESH_S: Final = 0.5  # the live state changes once a second
_BACKLOG: Final = 128
_PATH: Final = b"/metrics"
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    deadline_s: float
    request: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None  # the rest of the answer


class ScrapeServer:
    """Listens on `host` and `port` (0: a free one) from its creation; answers while `serve` runs, until `stop`.

    `render` returns the text, of type `content_type`. A client has `patience_s` for its request and answer. Raises
    OSError if the address cannot be used.
    """

    def __init__(
        self, host: str, port: int, render: Callable[[], bytes], content_type: str, patience_s: float = 5.0
    ) -> None:
        self._render = render
        self._content_type = content_type
        self._patience_s = patience_s
        self._text = b""
        self._text_until_s = float("-inf")
        self._clients: dict[socket.socket, _Client] = {}  # the oldest first
        self._stopping = False
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._waker, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    @property
    def port(self) -> int:
        """The address it listens on."""
        return cast("int", self._listener.getsockname()[1])

    def serve(self) -> None:
        """Answers until `stop`, then closes everything. Exceptions of `render` are passed on."""
        try:
            while not self._stopping:
                self._turn()
        finally:
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()
            self._listener.close()
            self._woken.close()

    def stop(self) -> None:
        """Ends `serve`; any thread may call it, once."""
        self._stopping = True
        self._waker.close()

    def _turn(self) -> None:
        first = next(iter(self._clients.values()), None)
        patience_s = None if first is None else max(0.0, first.deadline_s - time.monotonic())
        for key, _ in self._selector.select(patience_s):
            if key.fileobj is self._listener:
                self._accept()
            elif client := self._clients.get(cast("socket.socket", key.fileobj)):
                self._advance(client)
        now_s = time.monotonic()
        for client in [client for client in self._clients.values() if client.deadline_s <= now_s]:
            self._drop(client)
        if not self._stopping:
            time.sleep(_TURN_S)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # probably no descriptor is left: leave the last ones to others
            time.sleep(_NO_DESCRIPTOR_S)
            return
        accepted.setblocking(False)
        if len(self._clients) >= _MAX_CLIENTS:
            self._drop(next(iter(self._clients.values())))
        self._clients[accepted] = _Client(accepted, time.monotonic() + self._patience_s)
        self._selector.register(accepted, selectors.EVENT_READ)

    def _advance(self, client: _Client) -> None:
        try:
            if client.answer is None:
                self._read(client)
            if client.answer is not None:
                client.answer = client.answer[client.socket.send(client.answer) :]
        except BlockingIOError:
            return
        except OSError:  # the client has disconnected
            self._drop(client)
            return
        if client.answer is not None and not client.answer:
            with suppress(OSError):
                client.socket.shutdown(socket.SHUT_WR)
            self._drop(client)

    def _read(self, client: _Client) -> None:
        received = client.socket.recv(_MAX_REQUEST_BYTES)
        client.request += received
        if b"\r\n\r\n" in client.request or b"\n\n" in client.request:
            client.answer = memoryview(self._answer(bytes(client.request)))
        elif not received or len(client.request) >= _MAX_REQUEST_BYTES:
            client.answer = memoryview(_response("400 Bad Request", _TEXT, b"not a request that ends\n"))
        else:
            return
        self._selector.modify(client.socket, selectors.EVENT_WRITE)

    def _answer(self, request: bytes) -> bytes:
        words = request.split(b"\n", 1)[0].split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _response("400 Bad Request", _TEXT, b"not HTTP/1\n")
        if words[0] not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", _TEXT, b"only GET and HEAD\n", "Allow: GET, HEAD\r\n")
        if words[1].partition(b"?")[0] != _PATH:
            return _response("404 Not Found", _TEXT, b"the metrics are at /metrics\n")
        answer = _response("200 OK", self._content_type, self._fresh_text())
        return answer if words[0] == b"GET" else answer[: answer.index(b"\r\n\r\n") + 4]

    def _fresh_text(self) -> bytes:
        now_s = time.monotonic()
        if now_s >= self._text_until_s:
            self._text, self._text_until_s = self._render(), now_s + _FRESH_S
        return self._text

    def _drop(self, client: _Client) -> None:
        del self._clients[client.socket]
        self._selector.unregister(client.socket)
        client.socket.close()


def _response(status: str, content_type: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode("ascii") + body

"""Bounds on reading an alert server's answer: 64 KB of a body, 1 MB in total, one minute.

Apprise limits each wait on the network but not the whole answer: an endless answer filled 5.8 GB of memory. It has no
setting for this. All its services use one of two ways to read: HTTP goes through the adapter of requests, and the
standard library reads HTTP and SMTP line by line through `socket.SocketIO`. Both are replaced here by bounded versions,
in this process only. Threads that send no alerts are not affected.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest, Response

BODY_BYTES: Final = 65_536  # how much of an answer's body is kept: services search for a few words in it
TOTAL_BYTES: Final = 2**20  # of all answers to one message, with headers, redirects and their targets
SECONDS: Final = 60.0  # for one message
_SHOWN_BYTES: Final = 400

_sending = threading.local()


class Budget:
    """How much a thread may still read for the message that it sends, and until when.

    `answer` is the last answer by HTTP: its code and the beginning of its text, empty if there was none.
    """

    def __init__(self, seconds: float) -> None:
        self.answer = ""
        self.deadline_s = time.monotonic() + seconds
        self.left_bytes = TOTAL_BYTES


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[Budget]:
    """Bounds what this thread reads in the block; beyond that, reading raises OSError, a failure for Apprise."""
    install()
    _sending.budget = budget = Budget(seconds)
    try:
        yield budget
    finally:
        del _sending.budget


def install() -> None:
    """Installs the bounds; calling it again has no effect."""
    socket.SocketIO = _BoundedIO  # type: ignore[misc]
    requests.sessions.HTTPAdapter = _BoundedAdapter  # type: ignore[attr-defined]


class _BoundedIO(socket.SocketIO):
    """The file of a socket. A thread with a budget cannot read more than its budget."""

    def __init__(self, sock: socket.socket, mode: Any) -> None:
        super().__init__(sock, mode)
        self._peer = sock

    def readinto(self, buffer: Any) -> int | None:
        budget: Budget | None = getattr(_sending, "budget", None)
        if budget is None:
            return super().readinto(buffer)
        left_s = budget.deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer takes too long")
        if budget.left_bytes <= 0:
            raise OSError("the answer does not end")
        wait_s = self._peer.gettimeout()
        self._peer.settimeout(left_s if wait_s is None else min(wait_s, left_s))
        count = super().readinto(memoryview(buffer)[: budget.left_bytes])
        budget.left_bytes -= count or 0
        return count


class _BoundedAdapter(HTTPAdapter):
    """The transport of requests. It keeps the beginning of an answer; only the status code shows whether it was
    accepted.

    Answers are requested uncompressed, and a compressed one is not unpacked: 64 KB could become any size.
    """

    def send(self, request: PreparedRequest, *args: Any, **named: Any) -> Response:
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, *args, **named)
        raw = response.raw
        beginning = _beginning(raw)
        response.raw = io.BytesIO(beginning)
        raw.close()
        budget: Budget | None = getattr(_sending, "budget", None)
        if budget is not None:
            said = " ".join(beginning[:_SHOWN_BYTES].decode("utf-8", "replace").split())
            budget.answer = f"HTTP {response.status_code} {response.reason or ''}".rstrip() + (
                f": {said}" if said else ""
            )
        return response


def _beginning(raw: urllib3.BaseHTTPResponse) -> bytes:
    found = b""
    with suppress(urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError):
        while len(found) < BODY_BYTES and (part := raw.read(BODY_BYTES - len(found), decode_content=False)):
            found += part
    return found

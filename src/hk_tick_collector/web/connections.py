"""How long and how many: a browser that never asks, never reads, or opens hundreds of connections costs little.

Enters: the connections of uvicorn. Leaves: those that hold a connection for nothing are cut.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

MOST: Final = 160  # connections at once
_REQUEST_S: Final = 10.0  # for a whole request, its body too
_READING_S: Final = 20.0  # for a browser to take what was sent to it


class Connection(H11Protocol):
    """One connection: uvicorn's, with deadlines, and a limit on their number."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts a connection; if there are too many, one that asks for nothing gives way, else this one does."""
        super().connection_made(transport)
        self.deadline_s = time.monotonic() + _REQUEST_S
        self.unread_since_s: float | None = None
        self.unread_bytes = 0
        if len(self.connections) > MOST:
            others = (each for each in cast("set[Connection]", self.connections) if each is not self)
            idle = min((each for each in others if not each.answers), key=lambda each: each.deadline_s, default=self)
            idle.transport.abort()

    def data_received(self, data: bytes) -> None:
        """A part of a request; the first part of one starts its time."""
        if self._is_between():  # later bytes of the same request gain no time
            self.deadline_s = time.monotonic() + _REQUEST_S
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are no request. If they come inside a request, nobody waits for its answer any more."""
        if self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self.transport.close()

    @property
    def answers(self) -> bool:
        """Whether a whole request was received and its answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _is_between(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and self.timeout_keep_alive_task is not None

    def cut_if_stuck(self, now_s: float) -> None:
        """Ends the connection at once if its request or its reading takes too long. `now_s` is a monotonic clock."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self.unread_bytes or self.unread_since_s is None:
            self.unread_since_s = now_s
        self.unread_bytes = unread
        never_reads = unread > 0 and now_s - self.unread_since_s > _READING_S
        between = self._is_between()
        never_asks = not self.answers and not between and now_s > self.deadline_s
        if never_reads or never_asks:
            self.transport.abort()


def cut_stuck(connections: set[Connection], now_s: float) -> None:
    """Looks at every connection; to be called every second or so."""
    for connection in list(connections):
        connection.cut_if_stuck(now_s)

"""The thread that sends messages to one destination. No other thread waits for it.

Input: messages, into a bounded queue. Output: sent messages, and log lines for those that failed. A message is tried a
limited number of times, then dropped; if the queue is full, the oldest message is dropped. Both are counted. At a stop
queued messages are tried once more, for a time that the caller decides.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.errors import AlertError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from .message import Message

    class Recipient(Protocol):
        """What a sender needs from a destination."""

        label: str

        def send(self, message: Message) -> None:
            """Sends; AlertError on failure."""


QUEUE_MESSAGES: Final = 50
RETRIES_S: Final = (
    2.0,
    5.0,
    15.0,
    30.0,
    60.0,
    120.0,
    240.0,
    480.0,
)  # a network may be down for a quarter of an hour
_LOG_EVERY_S: Final = 60.0


class Sender:
    """Start it, `post` from any thread, stop it. `retries_s` are the delays before a message is tried again."""

    def __init__(self, destination: Recipient, retries_s: Sequence[float] = RETRIES_S) -> None:
        self.dropped = 0
        self._destination = destination
        self._retries_s = retries_s
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._abandoned = False
        self._carried: Message | None = None  # the message being sent
        self._failures = log.Repeated(_LOG_EVERY_S)
        # A daemon: a server that hangs must not prevent the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"alerts {destination.label}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def post(self, message: Message) -> None:
        """Queues a message; returns at once."""
        with self._changed:
            full = len(self._queue) >= QUEUE_MESSAGES
            oldest = self._queue.popleft() if full else None
            self._queue.append(message)
            self._changed.notify()
            if oldest:
                self._drop(oldest, "the queue is full")

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or being sent."""
        with self._changed:
            return not self._queue and self._carried is None

    def stop(self) -> None:
        """Ends the waits before retries: each queued message is tried once, then the thread ends."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Waits at most this long for the end. Messages left then are logged as dropped; nothing is logged later."""
        self._thread.join(timeout_s)
        with self._changed:
            left = [self._carried, *self._queue] if self._carried else [*self._queue]
            self._queue.clear()
            for message in left:
                self._drop(message, "the collector was stopped")
            self._abandoned = True

    def _run(self) -> None:
        try:
            while message := self._next():
                self._carry(message)
        except Exception:  # noqa: BLE001 - the thread's boundary: alerts end, collection continues
            log.bug("bug", detail="alerts are not sent any more", to=self._destination.label)

    def _next(self) -> Message | None:
        with self._changed:
            while not self._queue and not self._stopping:
                self._changed.wait()
            self._carried = self._queue.popleft() if self._queue else None
            return self._carried

    def _carry(self, message: Message) -> None:
        for wait_s in (*self._retries_s, None):
            try:
                self._destination.send(message)
            except AlertError as error:
                with self._changed:
                    self._log_failure(message, error)
            else:
                with self._changed:
                    self._carried = None
                    if not self._abandoned:
                        log.info("alert_sent", to=self._destination.label, title=message.title)
                return
            if wait_s is None or not self._waited(wait_s):
                break
        with self._changed:
            self._carried = None
            self._drop(message, "it could not be sent")

    def _waited(self, wait_s: float) -> bool:
        """Waits before a retry; False if the thread should end instead."""
        deadline_s = time.monotonic() + wait_s
        with self._changed:
            while not self._stopping and (left_s := deadline_s - time.monotonic()) > 0:
                self._changed.wait(left_s)
            return not self._stopping

    def _log_failure(self, message: Message, error: AlertError) -> None:
        held_back = None if self._abandoned else self._failures.allow(time.monotonic())
        if held_back is not None:
            log.warning(
                "alert_failed", to=self._destination.label, title=message.title, detail=error, repeats=held_back
            )

    def _drop(self, message: Message, why: str) -> None:
        """Counts and logs a dropped message; does nothing once `join` has given up. The caller holds the lock."""
        if self._abandoned:
            return
        self.dropped += 1
        to = self._destination.label
        log.warning("alert_dropped", to=to, title=message.title, why=why, dropped=self.dropped)

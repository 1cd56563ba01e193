"""What waits between the network and the disk: bounded, and counted in rows.

The event loop puts, the writer thread takes; neither ever waits for the other's work, only for this lock, which is held
for a few operations on a deque.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hk_tick_collector.model import Rejected, TickRow
    from hk_tick_collector.store.dayfile import Link


@dataclass(slots=True)
class Chunk:
    """What one reading of the socket brought, or one event that belongs into the day file."""

    rows: list[TickRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    dropped: int = 0  # rows that found no place, counted where they would have been stored
    links: list[Link] = field(default_factory=list)


class TickQueue:
    """A queue of chunks that holds at most `max_rows` rows."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self._chunks: deque[Chunk] = deque()
        self._rows = 0
        self._taken_rows = 0
        self._oldest_s = 0.0  # when the first of the waiting chunks was put
        self._wanted_rows = 1  # how many rows the taker waits for; 0 while it does not wait
        self._closed = False
        self._changed = threading.Condition(threading.Lock())

    @property
    def rows(self) -> int:
        """Rows received and not yet committed: those waiting here, and those in the writer's hands."""
        return self._rows + self._taken_rows

    @property
    def waiting_rows(self) -> int:
        """Rows that nobody has taken yet."""
        return self._rows

    def put(self, chunk: Chunk) -> bool:
        """Adds a chunk; False, and nothing added, when its rows would exceed the bound."""
        with self._changed:
            if chunk.rows and self._rows + self._taken_rows + len(chunk.rows) > self.max_rows:
                return False
            if not self._chunks:
                self._oldest_s = time.monotonic()
            self._chunks.append(chunk)
            self._rows += len(chunk.rows)
            # Waking the writer costs a switch of threads: only for the first chunk, and for a full batch.
            if self._wanted_rows and (len(self._chunks) == 1 or self._rows >= self._wanted_rows):
                self._changed.notify()
            return True

    def take(self, batch_rows: int, linger_s: float, idle_s: float) -> list[Chunk]:
        """The next chunks, about `batch_rows` rows of them; empty after `idle_s` without any.

        When quiet it waits until the oldest chunk is `linger_s` old, so that a commit carries more than one tick;
        under load a full batch is there at once. What is taken counts as queued until `done`.
        """
        with self._changed:
            self._wanted_rows = 1
            if not self._chunks and not self._closed:
                self._changed.wait(idle_s)
            self._wanted_rows = batch_rows
            while self._chunks and self._rows < batch_rows and not self._closed:
                rest_s = self._oldest_s + linger_s - time.monotonic()
                if rest_s <= 0:
                    break
                self._changed.wait(rest_s)
            self._wanted_rows = 0
            taken: list[Chunk] = []
            rows = 0
            while self._chunks and (not taken or rows + len(self._chunks[0].rows) <= batch_rows):
                chunk = self._chunks.popleft()
                rows += len(chunk.rows)
                taken.append(chunk)
            self._rows -= rows
            self._taken_rows += rows
            self._oldest_s = time.monotonic()
            return taken

    def done(self) -> None:
        """What was taken is committed, or accounted for in another way."""
        with self._changed:
            self._taken_rows = 0

    def close(self) -> None:
        """From now on `take` returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

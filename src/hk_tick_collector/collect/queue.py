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
    from hk_tick_collector.model import GapChange, Rejected, TickRow
    from hk_tick_collector.store.dayfile import Link


@dataclass(slots=True)
class Chunk:
    """What one reading of the socket brought, or one event that belongs into the day file."""

    rows: list[TickRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    dropped: int = 0  # rows that found no place, counted where they would have been stored
    links: list[Link] = field(default_factory=list)
    gaps: list[GapChange] = field(default_factory=list)  # what these rows open and fill: one transaction with them


class TickQueue:
    """A queue of chunks that holds at most `max_rows` rows."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self._chunks: deque[Chunk] = deque()
        self._rows = 0
        self._taken_rows = 0
        self._oldest_s = 0.0  # when the first of the waiting chunks was put
        self._oldest_uncommitted_s = 0.0
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

    def oldest_age_s(self) -> float:
        """How long the oldest row that is not committed has waited; 0 while there is none."""
        return time.monotonic() - self._oldest_uncommitted_s if self._rows or self._taken_rows else 0.0

    def has_room(self, rows: int) -> bool:
        """Whether so many rows may be put. Only the one who puts may rely on it: takers only make more room."""
        return self._rows + self._taken_rows + rows <= self.max_rows

    def put(self, chunk: Chunk) -> None:
        """Adds a chunk. The caller has asked `has_room` for its rows; one without rows is always welcome."""
        with self._changed:
            if not self._chunks:
                self._oldest_s = time.monotonic()
                if not self._taken_rows:
                    self._oldest_uncommitted_s = self._oldest_s
            self._chunks.append(chunk)
            self._rows += len(chunk.rows)
            # Waking the writer costs a switch of threads: only for the first chunk, and for a full batch.
            if self._wanted_rows and (len(self._chunks) == 1 or self._rows >= self._wanted_rows):
                self._changed.notify()

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
            self._oldest_uncommitted_s = self._oldest_s

    def close(self) -> None:
        """From now on `take` returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

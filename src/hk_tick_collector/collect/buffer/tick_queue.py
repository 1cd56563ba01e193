"""The queue between the network and the disk. Its limit is a number of rows; rows that do not fit are spooled.

The event loop puts, the writer thread takes. Neither waits for the other's work, only for a lock that is held briefly.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from hk_tick_collector.collect.storing_state import StoringState

if TYPE_CHECKING:
    from collections.abc import Callable

    from .chunk import Chunk
    from .overflow import Overflow


_SPOOL_POLL_S: Final = 0.01  # how long to wait if the spool's thread has not written the next rows yet
# A batch waits for further rows only until it has this many. During a commit more rows can collect, and the next batch
# has all of them. Waiting for a full batch would leave the disk idle at the start of a burst.
_ENOUGH_ROWS: Final = 5_000


class TickQueue:
    """A queue of chunks with at most `max_rows` rows in memory. Further rows go to `overflow`, if there is one."""

    def __init__(self, max_rows: int, overflow: Overflow | None = None) -> None:
        self.max_rows = max_rows
        self.storing: Final = overflow.storing if overflow else StoringState()  # written by the writer
        # Set by WaitingDays: rows that were taken and wait for the file of their day.
        self.held_rows = 0
        self.held_safe_rows = 0  # those of the held rows that would survive a crash
        self.held_chunks: Callable[[], list[Chunk]] = list  # the held rows that are only in memory
        self.spooled_days: Callable[[], set[int]] = set  # the days with held rows in the spool
        self._overflow = overflow
        self._taken: list[Chunk] = []
        self._taken_spooled = False  # `_taken` came from the spool: its rows do not count as rows in memory
        self._given_back: Chunk | None = None  # a chunk from the spool that the next writer must take
        self._chunks: deque[tuple[float, Chunk]] = deque()  # with the time when each was put
        self._rows = 0
        self._taken_rows = 0
        self._taken_since_s = 0.0  # when the oldest taken chunk was put
        self._wanted_rows = 1  # how many rows `take` waits for; 0 while it does not wait
        self._closed = False
        self._takers = 1  # number of writers so far: a replaced writer can take no more
        self._at_spool = threading.Lock()  # only one writer reads the spool, also while the disk hangs
        self._changed = threading.Condition(threading.Lock())

    @property
    def rows(self) -> int:
        """Rows received and not yet committed: waiting here, taken by the writer, spooled, and held for their day."""
        return self._rows + self._taken_rows + self.spooled_rows + self.held_rows

    @property
    def spooled_rows(self) -> int:
        """Rows that did not fit in memory."""
        return self._overflow.rows if self._overflow else 0

    @property
    def exposed_rows(self) -> int:
        """Rows that are only in memory: they would be lost if the process died now."""
        return self.rows - (self._overflow.safe_rows if self._overflow else 0) - self.held_safe_rows

    @property
    def waiting_rows(self) -> int:
        """Rows that are not taken yet, and rows that are held for their day."""
        return self.rows - self._taken_rows

    @property
    def taken_from_spool(self) -> bool:
        """Whether the taken chunk came from the spool. The spool returns no further chunk until `done` is called."""
        return self._taken_spooled

    def oldest_age_s(self) -> float:
        """How long the oldest uncommitted row has waited; 0 when there is none."""
        with self._changed:
            if self._taken:
                return time.monotonic() - self._taken_since_s
            return time.monotonic() - self._chunks[0][0] if self._chunks else 0.0

    def waited_s(self) -> float:
        """How long the writer has made no progress with the rows in memory or in the spool; 0 without any."""
        with self._changed:
            in_memory = bool(self._taken or self._chunks)
        return self.oldest_age_s() if in_memory or self._overflow is None else self._overflow.waited_s()

    def committed_s(self) -> float:
        """Every chunk that was put before this time is committed: monotonic seconds; infinite if none waits.

        Zero while rows are spooled or held for their day: how long these wait is not known.
        """
        with self._changed:
            if self.spooled_rows or self.held_rows or self._given_back:
                return 0.0
            if self._taken:
                return self._taken_since_s
            return self._chunks[0][0] if self._chunks else math.inf

    def has_room(self, rows: int) -> bool:
        """Whether `rows` more rows may be put. It stays true until the next `put`, because `take` only frees space."""
        return self.has_memory_for(rows) or (self._overflow is not None and self._overflow.has_room(rows))

    def has_memory_for(self, rows: int) -> bool:
        """Whether `rows` more rows fit in memory. False while rows are spooled, because the order must be kept."""
        overflowing = self._overflow is not None and self._overflow.active
        in_memory = self._rows + self._taken_rows + self.held_rows - self.held_safe_rows
        return not overflowing and in_memory + rows <= self.max_rows

    def has_turn_for(self, rows: int) -> bool:
        """Whether `rows` more rows can be put behind the spooled rows. False if no rows are spooled."""
        return self._overflow is not None and self._overflow.active and self._overflow.has_room(rows)

    def put(self, chunk: Chunk) -> None:
        """Adds a chunk. The caller must have checked `has_room` for its rows; a chunk without rows always fits."""
        with self._changed:
            # The lock is held throughout: `wait_safely` may be spooling the chunks of this queue, and a later chunk
            # must not be spooled before them.
            if self._chunks and chunk.is_count_alone():
                self._chunks[-1][1].rejected += chunk.rejected
            elif self._overflow is None or self.has_memory_for(len(chunk.rows)):
                self._chunks.append((time.monotonic(), chunk))
                self._rows += len(chunk.rows)
                # Waking the writer costs a thread switch, so it is done only for the first chunk and for a full batch.
                if self._wanted_rows and (len(self._chunks) == 1 or self._rows >= self._wanted_rows):
                    self._changed.notify()
            else:
                self._overflow.put(chunk)

    def wait_safely(self, most_s: float) -> bool:
        """Returns whether the rows in the queue may wait longer. For a writer that must not commit now.

        Rows that wait for longer than `most_s`, or fill half of the memory, are spooled first. Returns False if that is
        not possible: rows here are older than spooled ones, the spool has no space, or it cannot be written. Then the
        writer must take.
        """
        overflow = self._overflow
        if overflow is None:
            return False
        with self._changed:
            if self._chunks:
                waits_s = time.monotonic() - self._chunks[0][0]
                if overflow.active:
                    return False
                if waits_s >= most_s or 2 * self._rows >= self.max_rows:
                    if not overflow.has_room(self._rows):
                        return False
                    while self._chunks:
                        overflow.put(self._chunks.popleft()[1])
                    self._rows = 0
        return overflow.keeps_up

    def take(self, batch_rows: int, linger_s: float, idle_s: float) -> list[Chunk]:
        """The next chunks, together about `batch_rows` rows; empty if none arrives within `idle_s`.

        With few ticks it waits until the oldest chunk is `linger_s` old, so that a commit has more than one tick. With
        many ticks it returns at once. Taken rows count as queued until `done` is called. Spooled rows are returned when
        memory is empty. Raises OSError when they cannot be read now.
        """
        with self._changed:
            taker = self._takers
            overflowing = self._overflow is not None and self._overflow.active
            self._wanted_rows = 1
            if not self._chunks and not self._closed and not overflowing:
                self._changed.wait(idle_s)
            self._wanted_rows = enough_rows = min(batch_rows, _ENOUGH_ROWS)
            while self._chunks and self._rows < enough_rows and not self._closed:
                rest_s = self._chunks[0][0] + linger_s - time.monotonic()
                if rest_s <= 0:
                    break
                self._changed.wait(rest_s)
            self._wanted_rows = 0
            taken: list[Chunk] = []
            rows = 0
            if self._chunks:
                self._taken_since_s = self._chunks[0][0]
            while self._chunks and (not taken or rows + len(self._chunks[0][1].rows) <= batch_rows):
                _, chunk = self._chunks.popleft()
                rows += len(chunk.rows)
                taken.append(chunk)
            self._rows -= rows
            self._taken_rows += rows
            self._taken = taken
        if taken or self._overflow is None or not overflowing:
            return taken
        with self._at_spool:
            spooled = self._given_back or self._overflow.take()
            if spooled is not None:
                return self._take_spooled(spooled, taker)
        time.sleep(_SPOOL_POLL_S)
        return []

    def _take_spooled(self, spooled: Chunk, taker: int) -> list[Chunk]:
        with self._changed:
            if taker != self._takers:  # this writer was replaced while it read: the chunk is for the new one
                self._given_back = spooled
                return []
            self._taken_spooled, self._given_back = True, None
            self._taken, self._taken_since_s = [spooled], time.monotonic()
            return self._taken

    def done(self, taken: list[Chunk]) -> None:
        """The chunks that `take` returned are committed, or counted as rejected. Ignored if they were given back."""
        with self._changed:
            if taken is not self._taken:
                return
            self._taken, self._taken_rows, self._taken_spooled = [], 0, False
        for chunk in taken:
            if chunk.on_commit:
                chunk.on_commit()

    def give_back(self) -> None:
        """Puts the taken chunks back at the head of the queue, for another writer."""
        with self._changed:
            self._takers += 1
            if self._taken_spooled:
                [self._given_back] = self._taken
            else:
                self._chunks.extendleft((self._taken_since_s, chunk) for chunk in reversed(self._taken))
            self._rows += self._taken_rows
            self._taken, self._taken_rows, self._taken_spooled = [], 0, False
            self._changed.notify_all()

    def held_in_memory(self) -> list[Chunk]:
        """The uncommitted chunks that are in memory, oldest first: held for their day, taken, waiting."""
        with self._changed:
            given_back = [self._given_back] if self._given_back else []
            return [*self.held_chunks(), *self._taken, *given_back, *(chunk for _, chunk in self._chunks)]

    def close(self) -> None:
        """From now on `take` returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

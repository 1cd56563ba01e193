"""What waits between the network and the disk: bounded, and counted in rows. What memory cannot hold is spooled.

The event loop puts, the writer thread takes; neither ever waits for the other's work, only for this lock, which is held
for a few operations on a deque.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .chunk import Chunk
    from .overflow import Overflow


_SPOOL_POLL_S: Final = 0.01  # while the spool's own thread has not written yet what is to come back
# So many rows wait for no others. A batch grows beyond it while the one before is being committed: to wait for a full
# one would leave the disk idle at the beginning of a burst.
_ENOUGH_ROWS: Final = 5_000


class TickQueue:
    """A queue of chunks that holds at most `max_rows` rows in memory; more go to `overflow`, when there is one."""

    def __init__(self, max_rows: int, overflow: Overflow | None = None) -> None:
        self.max_rows = max_rows
        # Rows that were taken and wait for the file of their day, and of these the ones that a crash would not cost.
        # Set by the one who holds them.
        self.held_rows = 0
        self.held_safe_rows = 0
        self.held_chunks: Callable[[], list[Chunk]] = list  # those in memory alone
        self.spooled_days: Callable[[], set[int]] = set  # the days of those that are not
        self._overflow = overflow
        self._taken: list[Chunk] = []
        self._taken_spooled = False  # it came back from the spool: memory does not count its rows
        self._given_back: Chunk | None = None  # such a one, for another taker
        self._chunks: deque[tuple[float, Chunk]] = deque()  # with the moment it was put
        self._rows = 0
        self._taken_rows = 0
        self._taken_since_s = 0.0  # when the oldest of what is taken was put
        self._wanted_rows = 1  # how many rows the taker waits for; 0 while it does not wait
        self._closed = False
        self._takers = 1  # how many there were: one that was replaced takes no more
        self._at_spool = threading.Lock()  # one of them at a time, also while the disk does not answer
        self._changed = threading.Condition(threading.Lock())

    @property
    def rows(self) -> int:
        """Rows received and not yet committed: waiting here, in the writer's hands, spooled, and held for their day."""
        return self._rows + self._taken_rows + self.spooled_rows + self.held_rows

    @property
    def spooled_rows(self) -> int:
        """Rows that memory could not hold."""
        return self._overflow.rows if self._overflow else 0

    @property
    def exposed_rows(self) -> int:
        """Rows that would be lost if the process died now: in memory alone."""
        return self.rows - (self._overflow.safe_rows if self._overflow else 0) - self.held_safe_rows

    @property
    def waiting_rows(self) -> int:
        """Rows that nobody has taken yet, and those that are held for their day."""
        return self.rows - self._taken_rows

    @property
    def taken_from_spool(self) -> bool:
        """Whether what is taken came back from the spool, which gives nothing more before that is done."""
        return self._taken_spooled

    def oldest_age_s(self) -> float:
        """How long the oldest row that is not committed has waited; 0 while there is none."""
        with self._changed:
            if self._taken:
                return time.monotonic() - self._taken_since_s
            return time.monotonic() - self._chunks[0][0] if self._chunks else 0.0

    def has_room(self, rows: int) -> bool:
        """Whether so many rows may be put. Only the one who puts may rely on it: takers only make more room."""
        return self.has_memory_for(rows) or (self._overflow is not None and self._overflow.has_room(rows))

    def has_memory_for(self, rows: int) -> bool:
        """Whether so many rows find place in memory: never past others that are spooled."""
        overflowing = self._overflow is not None and self._overflow.active
        in_memory = self._rows + self._taken_rows + self.held_rows - self.held_safe_rows
        return not overflowing and in_memory + rows <= self.max_rows

    def has_turn_for(self, rows: int) -> bool:
        """Whether memory is passed by, because the spool must be emptied first, and so many rows may be put there."""
        return self._overflow is not None and self._overflow.active and self._overflow.has_room(rows)

    def put(self, chunk: Chunk) -> None:
        """Adds a chunk. The caller has asked `has_room` for its rows; one without rows is always welcome."""
        with self._changed:
            # All of it with the lock held: `wait_safely` may be spooling what is here, and a later chunk must not come
            # before it.
            if self._chunks and chunk.is_count_alone():
                self._chunks[-1][1].rejected += chunk.rejected
            elif self._overflow is None or self.has_memory_for(len(chunk.rows)):
                self._chunks.append((time.monotonic(), chunk))
                self._rows += len(chunk.rows)
                # Waking the writer costs a switch of threads: only for the first chunk, and for a full batch.
                if self._wanted_rows and (len(self._chunks) == 1 or self._rows >= self._wanted_rows):
                    self._changed.notify()
            else:
                self._overflow.put(chunk)

    def wait_safely(self, most_s: float) -> bool:
        """Whether the taker may leave alone what waits; for him, in place of `take`.

        What waits here for longer than `most_s`, or fills half of the memory, goes to the spool first. False where it
        cannot: older rows than the spool's are here, it has no room, or it does not write. Then they must be taken.
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
        """The next chunks, about `batch_rows` rows of them; empty after `idle_s` without any.

        When quiet it waits until the oldest chunk is `linger_s` old, so that a commit carries more than one tick;
        under load enough rows are there at once. What is taken counts as queued until `done`. What was spooled comes
        when memory is empty; OSError when it cannot be read now.
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
            if taker != self._takers:  # replaced while it read: what it has is for its successor
                self._given_back = spooled
                return []
            self._taken_spooled, self._given_back = True, None
            self._taken, self._taken_since_s = [spooled], time.monotonic()
            return self._taken

    def done(self, taken: list[Chunk]) -> None:
        """What `take` returned is committed, or accounted for in another way; nothing, if it was given back since."""
        with self._changed:
            if taken is not self._taken:
                return
            self._taken, self._taken_rows, self._taken_spooled = [], 0, False
        for chunk in taken:
            if chunk.on_commit:
                chunk.on_commit()

    def give_back(self) -> None:
        """What was taken and is not done goes back to the head: another taker will see to it."""
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
        """What is not committed and was not left to the spool, oldest first: held, in the taker's hands, waiting."""
        with self._changed:
            given_back = [self._given_back] if self._given_back else []
            return [*self.held_chunks(), *self._taken, *given_back, *(chunk for _, chunk in self._chunks)]

    def close(self) -> None:
        """From now on `take` returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

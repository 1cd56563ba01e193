"""Where chunks go that memory can hold no more: through a thread of its own to the spool, and back in their order.

Enters: chunks that found the queue full, and every later one until all are back: order is kept, because what a chunk
says of gaps is true only after those before it. Leaves: the same chunks, oldest first, their rows read from disk.
What does not concern rows (changes of `gaps`, links, counts) waits in memory beside them: it is small, and after a
crash it is found anew from the rows. Rows that an earlier run's spool holds until they are committed wait there too.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.collect.storing_state import StoringState
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose
from hk_tick_collector.store.spool_record import RECORD_ROWS

from .chunk import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import TickRow
    from hk_tick_collector.stats import Stats
    from hk_tick_collector.store.spool import Spool

_RETRY_S: Final = 1.0
_READ_TRIES: Final = 10  # of what the disk cannot read, a second apart: a path may fail over, a cable be put back
_APPEND_ROWS: Final = 20_000  # rows of one append: one fsync for many chunks
_LOG_EVERY_S: Final = 10.0
# While commits wait for a copy: one sync for the ticks of so long, because each one keeps the copy from the disk.
_GATHER_S: Final = 1.0
_GATHER_POLL_S: Final = 0.05
_LAST_WRITE_S: Final = 0.05  # at the end of a stop, for the write that is under way: into the page cache, as a rule


class Overflow:
    """Chunks on their way to the spool, in it, and back.

    `put` is called by the one who fills the queue, `take` by the one who empties it, who calls the chunk's `on_commit`
    before he takes again. At most `max_buffer_rows` rows wait in memory for the spool's disk. `storing` tells how the
    way to the disk is now.
    """

    def __init__(self, spool: Spool, max_buffer_rows: int, stats: Stats) -> None:
        self._spool = spool
        self._max_buffer_rows = max_buffer_rows
        self._stats = stats
        self.storing = StoringState()
        self._buffer: deque[Chunk] = deque()
        self._buffer_rows = 0
        self._appended = 0  # rows that went to the spool, ever
        self._replayed = 0  # rows that came back
        self._beside: deque[tuple[int, Chunk]] = deque()  # what belongs behind the row of that number
        self._beside_rows = 0  # rows of an earlier run's spool, there and in the taker's hands
        self._taken_rows: int | None = None  # rows of the chunk that `take` gave from the spool, None without one
        self._in_hand_rows: int | None = None  # the same of a chunk that never reached the spool
        self._failed_reads = 0  # without a good one between
        self._stopping = False
        self._ended = False  # the time of the stop is over
        self._failing = False  # the last append failed, and the next has not begun
        self._held_back = log.Repeated(_LOG_EVERY_S)
        self._changed = threading.Condition(threading.Lock())
        self._thread = threading.Thread(target=self._run, name="overflow", daemon=True)

    @property
    def active(self) -> bool:
        """Whether anything is on its way: then every new chunk must go the same way."""
        return bool(self._buffer or self._beside or self._taken_rows is not None or self._in_hand_rows is not None)

    @property
    def rows(self) -> int:
        """Rows that are not committed: before the spool, in it, beside it, and in the taker's hands."""
        with self._changed:
            return self._buffer_rows + self._appended - self._replayed + self._beside_rows + (self._in_hand_rows or 0)

    @property
    def safe_rows(self) -> int:
        """Of these, the rows that are in the spool, and would be there after a crash."""
        return self._appended - self._replayed

    @property
    def keeps_up(self) -> bool:
        """Whether the spool's disk takes what is put, so that more may follow."""
        return not self._failing and self._buffer_rows * 2 <= self._max_buffer_rows

    def has_room(self, rows: int) -> bool:
        """Whether so many rows may be put."""
        return self._buffer_rows + rows <= self._max_buffer_rows

    def put(self, chunk: Chunk) -> None:
        """Takes a chunk; the caller has asked `has_room` for its rows."""
        with self._changed:
            if self._thread.ident is None:
                copying = self.storing.copy_held
                say = log.info if copying else log.warning
                say("spool_started", cause=self.storing.writer_trouble or ("copy" if copying else "queue_full"))
            self._buffer_up(chunk)

    def take(self) -> Chunk | None:
        """The oldest rows that are in the spool, with what belongs to them; None while there is nothing to take.

        Raises OSError when the spool cannot be read now. What the spool has lost is known once it is empty: it goes
        into the account as dropped.
        """
        upto = self._appended  # before looking: what the spool does not have then is committed, or was damaged
        rows, lost_rows = self._read(), 0
        self._tell_damage()
        with self._changed:
            if not rows and not self._beside and self._failing:
                return self._take_from_memory()
            if rows:
                upto = self._replayed + len(rows)
            elif upto > self._replayed:  # not when an append that has given all its rows is not noted yet
                lost_rows = upto - self._replayed
                self._replayed = upto
            chunk, from_spool_rows, told = Chunk(rows=rows, dropped=lost_rows, on_disk=True), len(rows), []
            while self._beside and self._beside[0][0] <= upto:
                beside = self._beside.popleft()[1]
                _add(chunk, beside)
                told.append(beside.on_commit)
            if not chunk.rows and not chunk.has_more_than_rows():
                return None
            self._taken_rows = from_spool_rows
            chunk.on_commit = partial(self._done, len(chunk.rows) - from_spool_rows, told)
        if lost_rows:
            self.storing.lost_rows += lost_rows
            self._stats.spool_lost += lost_rows
            log.error("ticks_dropped", rows=lost_rows, dropped_total=self._stats.dropped, cause="spool_damaged")
        return chunk

    def _read(self) -> list[TickRow]:
        """The oldest rows in the spool; what the disk cannot read is tried again before it is passed over.

        A disk that has read nothing since is given no more time for the next record: behind it everything waits.
        """
        try:
            rows = self._spool.first(RECORD_ROWS, patient=self._failed_reads < _READ_TRIES) or []
        except OSError as error:
            self._failed_reads += error.errno == errno.EIO
            raise
        self._failed_reads = 0
        return rows

    def _take_from_memory(self) -> Chunk | None:
        """The spool is empty and takes nothing, but the day file does again: the spool is not needed any more."""
        if not self._buffer:
            return None
        chunk = self._buffer.popleft()
        self._buffer_rows -= len(chunk.rows)
        self._in_hand_rows = len(chunk.rows)
        chunk.on_commit = partial(self._done_from_memory, chunk.on_commit)
        return chunk

    def _done_from_memory(self, on_commit: Callable[[], None] | None) -> None:
        self._in_hand_rows = None
        if on_commit:
            on_commit()

    def _done(self, beside_rows: int, told: list[Callable[[], None] | None]) -> None:
        """What was taken is committed."""
        with self._changed:
            taken, self._taken_rows = self._taken_rows, None
            if taken is None:
                return
            self._replayed += taken
            self._beside_rows -= beside_rows
        if taken:
            self._spool.forget()
        for on_commit in told:
            if on_commit:
                on_commit()
        if not self.active:
            log.info("spool_drained", rows=self._appended)

    def stop(self, deadline_s: float, rest: Iterable[Chunk]) -> int:
        """Spools `rest`, what the queue still holds, and what waits here; returns the rows of them that are lost.

        All others are replayed at the next start. Returns at `deadline_s`, of the monotonic clock, also when the disk
        is stuck; what has gone in by then is not lost, and nothing goes in afterwards.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
            for chunk in rest:
                if not chunk.on_disk:
                    self._buffer_up(chunk)
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        self._ended = True
        written_rows = self._spool.close(_LAST_WRITE_S)
        with self._changed:
            if self._thread.is_alive() and written_rows > self._appended:
                log.warning("spool_not_synced", rows=written_rows - self._appended, hint="safe but for a power cut")
            unsaved_rows = sum(len(chunk.rows) for chunk in self._buffer if not chunk.on_disk)
            return unsaved_rows - (written_rows - self._appended)

    def _buffer_up(self, chunk: Chunk) -> None:
        self._buffer.append(chunk)
        self._buffer_rows += len(chunk.rows)
        if self._thread.ident is None:
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._buffer or self._stopping)
                self._gather()
                if not self._buffer and self._stopping:
                    return
                if not self._buffer:
                    continue  # the taker had them from memory meanwhile
                self._failing = False  # from here on the chunks are this thread's, until it is known how that went
                chunks, rows = self._next_chunks()
                last = self._stopping  # a stop has it tried once more
            try:
                if rows:
                    self._spool.append(rows)
            except DISK_ERRORS as error:
                self._note_failure(error, len(rows))
                if last:
                    return
                with self._changed:
                    self._failing = True
                    self._changed.wait_for(lambda: self._stopping, _RETRY_S)
            else:
                self._note_appended(chunks)

    def _gather(self) -> None:
        """While commits wait for a copy, lets a second's ticks come together, unless they are many."""
        due_s = time.monotonic() + _GATHER_S
        while self.storing.copy_held and not self._stopping and self._buffer_rows * 4 < self._max_buffer_rows:
            rest_s = due_s - time.monotonic()
            if rest_s <= 0:
                return
            self._changed.wait(min(rest_s, _GATHER_POLL_S))

    def _next_chunks(self) -> tuple[list[Chunk], list[TickRow]]:
        """The next chunks, and the rows of them that are on no disk yet."""
        chunks: list[Chunk] = []
        rows: list[TickRow] = []
        for chunk in self._buffer:
            if chunks and len(rows) + len(chunk.rows) > _APPEND_ROWS:
                break
            chunks.append(chunk)
            if not chunk.on_disk:
                rows += chunk.rows
        return chunks, rows

    def _note_appended(self, chunks: list[Chunk]) -> None:
        with self._changed:
            for chunk in chunks:
                self._buffer_rows -= len(chunk.rows)
                if chunk.on_disk:
                    self._beside_rows += len(chunk.rows)
                else:
                    self._appended += len(chunk.rows)
                # Also for a chunk of rows alone: it keeps `active` true until its rows are back.
                self._beside.append((self._appended, chunk if chunk.on_disk else replace(chunk, rows=[])))
                self._buffer.popleft()  # last: `active`, which is asked without the lock, must not be false between

    def _note_failure(self, error: Exception, rows: int) -> None:
        if self._ended:
            return  # `stop` has told what became of them
        held_back = self._held_back.allow(time.monotonic())
        if held_back is not None:
            cause, _ = diagnose(error)
            log.error("spool_failed", cause=cause, rows=rows, buffer_rows=self._buffer_rows, detail=error)

    def _tell_damage(self) -> None:
        for damage in self._spool.pop_damage():
            log.error("spool_damaged", **damage._asdict())


def _add(chunk: Chunk, beside: Chunk) -> None:
    chunk.rows += beside.rows
    chunk.rejected += beside.rejected
    chunk.dropped += beside.dropped
    chunk.links += beside.links
    chunk.gaps += beside.gaps
    chunk.rules += beside.rules

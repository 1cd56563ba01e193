"""Spools the chunks that do not fit in memory, in a separate thread, and returns them in order.

Enters: chunks that do not fit in the queue, and then every later chunk until all have been taken again. The order is
kept, because the gaps in a chunk are correct only after the chunks before it. Leaves: the same chunks, oldest first,
with their rows read from disk. The other parts of a chunk (changes of `gaps`, connections, counts) wait in memory: they
are small, and after a crash they are computed from the rows again. Rows that are already on disk, in the spool of an
earlier run, also wait in memory.
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
_READ_TRIES: Final = 10  # for an unreadable record, one second apart: the disk may come back
_APPEND_ROWS: Final = 20_000  # rows of one append: one fsync for many chunks
_LOG_EVERY_S: Final = 10.0
# While commits wait for a copy of the day file, the ticks of this time share one fsync: each fsync delays the copy.
_GATHER_S: Final = 1.0
_GATHER_POLL_S: Final = 0.05
_LAST_WRITE_S: Final = 0.05  # at the end of a stop, for a running write; it usually goes to the page cache


class Overflow:
    """Chunks that are in the spool, wait for it, or were taken from it.

    The event loop calls `put`. The writer thread calls `take`, and the chunk's `on_commit` before the next `take`.
    At most `max_buffer_rows` rows wait in memory to be spooled. `storing` is the state of the writer and the spool.
    """

    def __init__(self, spool: Spool, max_buffer_rows: int, stats: Stats) -> None:
        self._spool = spool
        self._max_buffer_rows = max_buffer_rows
        self._stats = stats
        self.storing = StoringState()
        self._buffer: deque[Chunk] = deque()
        self._buffer_rows = 0
        self._appended = 0  # rows written to the spool since the start
        self._replayed = 0  # rows read back from it and committed, or lost
        self._beside: deque[tuple[int, Chunk]] = deque()  # parts in memory, each with the number of the row before it
        self._beside_rows = 0  # rows in `_beside` and in the taken chunk that are in an earlier run's spool
        self._taken_rows: int | None = None  # rows of the chunk that `take` read from the spool, None without one
        self._in_hand_rows: int | None = None  # rows of a chunk that `take` returned from memory, None without one
        self._failed_reads = 0  # consecutive ones
        self._given_s = 0.0  # when the first chunk was put, or the last one was taken; monotonic
        self._stopping = False
        self._ended = False  # the time limit of the stop has passed
        self._failing = False  # the last append failed, and the next one has not started
        self._held_back = log.Repeated(_LOG_EVERY_S)
        self._changed = threading.Condition(threading.Lock())
        self._thread = threading.Thread(target=self._run, name="overflow", daemon=True)

    @property
    def active(self) -> bool:
        """Whether any chunk is here: then every new chunk must also be put here, to keep the order."""
        return bool(self._buffer or self._beside or self._taken_rows is not None or self._in_hand_rows is not None)

    @property
    def rows(self) -> int:
        """Rows that are not committed: waiting to be spooled, in the spool, in memory beside it, and taken."""
        with self._changed:
            return self._buffer_rows + self._appended - self._replayed + self._beside_rows + (self._in_hand_rows or 0)

    @property
    def safe_rows(self) -> int:
        """How many of these rows are in this run's spool, and so would survive a crash."""
        return self._appended - self._replayed

    def waited_s(self) -> float:
        """How long no chunk was taken although there are some; 0 without any. A wait for a copy does not count."""
        if self.storing.copy_held:
            self._given_s = time.monotonic()
        return time.monotonic() - self._given_s if self.active else 0.0

    @property
    def keeps_up(self) -> bool:
        """Whether the spool's disk writes fast enough for more rows."""
        return not self._failing and self._buffer_rows * 2 <= self._max_buffer_rows

    def has_room(self, rows: int) -> bool:
        """Whether there is space for `rows` more rows."""
        return self._buffer_rows + rows <= self._max_buffer_rows

    def put(self, chunk: Chunk) -> None:
        """Adds a chunk. The caller must have checked `has_room` for its rows."""
        with self._changed:
            if self._thread.ident is None:
                copying = self.storing.copy_held
                say = log.info if copying else log.warning
                say("spool_started", cause=self.storing.writer_trouble or ("copy" if copying else "queue_full"))
            self._buffer_up(chunk)

    def take(self) -> Chunk | None:
        """A chunk with the oldest rows of the spool and the parts that belong to them; None when there is none.

        Raises OSError when the spool cannot be read now. When the spool is empty and rows are missing, they are lost:
        they are counted as dropped.
        """
        upto = self._appended  # read before the spool: a row up to here that the spool does not have is lost
        rows, lost_rows = self._read(), 0
        self._log_damage()
        with self._changed:
            if not rows and not self._beside and self._failing:
                return self._take_from_memory()
            if rows:
                upto = self._replayed + len(rows)
            elif upto > self._replayed:  # else the rows were read before their append was recorded
                lost_rows = upto - self._replayed
                self._replayed = upto
            chunk, from_spool_rows, told = Chunk(rows=rows, dropped=lost_rows, on_disk=True), len(rows), []
            while self._beside and self._beside[0][0] <= upto:
                beside = self._beside.popleft()[1]
                _add(chunk, beside)
                told.append(beside.on_commit)
            if not chunk.rows and not chunk.has_more_than_rows():
                return None
            self._given_s = time.monotonic()
            self._taken_rows = from_spool_rows
            chunk.on_commit = partial(self._done, len(chunk.rows) - from_spool_rows, told)
        if lost_rows:
            self.storing.lost_rows += lost_rows
            self._stats.spool_lost += lost_rows
            log.error("ticks_dropped", rows=lost_rows, dropped_total=self._stats.dropped, cause="spool_damaged")
        return chunk

    def _read(self) -> list[TickRow]:
        """The oldest rows in the spool. An unreadable record is tried several times before it is skipped.

        Until a read succeeds again, further unreadable records are skipped at once, because all later rows wait.
        """
        try:
            rows = self._spool.first(RECORD_ROWS, patient=self._failed_reads < _READ_TRIES) or []
        except OSError as error:
            self._failed_reads += error.errno == errno.EIO
            raise
        self._failed_reads = 0
        return rows

    def _take_from_memory(self) -> Chunk | None:
        """The next chunk from memory. Used when the spool is empty and cannot be written, but the day file can."""
        if not self._buffer:
            return None
        chunk = self._buffer.popleft()
        self._given_s = time.monotonic()
        self._buffer_rows -= len(chunk.rows)
        self._in_hand_rows = len(chunk.rows)
        chunk.on_commit = partial(self._done_from_memory, chunk.on_commit)
        return chunk

    def _done_from_memory(self, on_commit: Callable[[], None] | None) -> None:
        self._in_hand_rows = None
        if on_commit:
            on_commit()

    def _done(self, beside_rows: int, told: list[Callable[[], None] | None]) -> None:
        """The taken chunk is committed."""
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
        """Spools the chunks that wait here and `rest`, those still in the queue. Returns how many rows are lost.

        The others are replayed at the next start. Returns at `deadline_s` (monotonic) even if the disk hangs. Rows
        written by then are not lost; none are written afterwards.
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
                log.warning(
                    "spool_not_synced", rows=written_rows - self._appended, hint="lost only if the power fails now"
                )
            unsaved_rows = sum(len(chunk.rows) for chunk in self._buffer if not chunk.on_disk)
            return unsaved_rows - (written_rows - self._appended)

    def _buffer_up(self, chunk: Chunk) -> None:
        if not self.active:
            self._given_s = time.monotonic()
        self._buffer.append(chunk)
        self._buffer_rows += len(chunk.rows)
        if self._thread.ident is None:
            try:
                self._thread.start()
            except RuntimeError:  # a limit of threads is reached: the next chunk tries it again
                self._failing = True  # until then `take` returns the chunks from memory
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._buffer or self._stopping)
                self._gather()
                if not self._buffer and self._stopping:
                    return
                if not self._buffer:
                    continue  # `take` has returned them from memory meanwhile
                self._failing = False  # from here on only this thread uses the chunks, until the append has ended
                chunks, rows = _next_chunks(self._buffer)
                last = self._stopping  # during a stop there is only one more attempt
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
        """While commits wait for a copy, collects the ticks of one second for one append, unless there are many."""
        due_s = time.monotonic() + _GATHER_S
        while self.storing.copy_held and not self._stopping and self._buffer_rows * 4 < self._max_buffer_rows:
            rest_s = due_s - time.monotonic()
            if rest_s <= 0:
                return
            self._changed.wait(min(rest_s, _GATHER_POLL_S))

    def _note_appended(self, chunks: list[Chunk]) -> None:
        with self._changed:
            for chunk in chunks:
                self._buffer_rows -= len(chunk.rows)
                if chunk.on_disk:
                    self._beside_rows += len(chunk.rows)
                else:
                    self._appended += len(chunk.rows)
                # Also for a chunk with only rows: it keeps `active` true until its rows are taken.
                beside = chunk if chunk.on_disk else replace(chunk, rows=[])
                if self._beside and _is_empty(beside) and _is_empty(self._beside[-1][1]):
                    self._beside[-1] = (self._appended, beside)  # one for all pushes while the writer waits
                else:
                    self._beside.append((self._appended, beside))
                self._buffer.popleft()  # last: `active` is read without the lock and must stay true

    def _note_failure(self, error: Exception, rows: int) -> None:
        if self._ended:
            return  # `stop` has already counted them
        held_back = self._held_back.allow(time.monotonic())
        if held_back is not None:
            cause, _ = diagnose(error)
            log.error("spool_failed", cause=cause, rows=rows, buffer_rows=self._buffer_rows, detail=error)

    def _log_damage(self) -> None:
        for damage in self._spool.pop_damage():
            log.error("spool_damaged", **damage._asdict())


def _next_chunks(buffer: Iterable[Chunk]) -> tuple[list[Chunk], list[TickRow]]:
    """The next chunks, and those of their rows that are not on a disk yet."""
    chunks: list[Chunk] = []
    rows: list[TickRow] = []
    for chunk in buffer:
        if chunks and len(rows) + len(chunk.rows) > _APPEND_ROWS:
            break
        chunks.append(chunk)
        if not chunk.on_disk:
            rows += chunk.rows
    return chunks, rows


def _is_empty(chunk: Chunk) -> bool:
    return not (chunk.rows or chunk.on_commit or chunk.has_more_than_rows())


def _add(chunk: Chunk, beside: Chunk) -> None:
    chunk.rows += beside.rows
    chunk.rejected += beside.rejected
    chunk.dropped += beside.dropped
    chunk.connections += beside.connections
    chunk.gaps += beside.gaps
    chunk.rules += beside.rules

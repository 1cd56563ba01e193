"""The spool: where received rows wait on disk while neither the day file nor memory can take them.

Enters: rows. Leaves: the same rows, oldest first, until they are said to be committed elsewhere. Nothing here logs,
waits or retries, and there is no thread: errors tell what the disk did, and `collect` decides.

The directory holds segments, `0000000001.spool` and on; while there are no rows to keep there is no directory either.

Progress is kept in memory alone: a segment is removed once all of it is committed, and what was committed of one before
a crash is replayed again. That is harmless, because `(symbol, seq)` is the key of a day file, and it spares a second
file that would have to be kept in step with the first.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import StoreError

from . import spool_record as record
from .disk import sync_directory, write_all
from .spool_segments import Damage, Segment, look_through, path_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DIRECTORY_MODE: Final = 0o750
FILE_MODE: Final = 0o640

# Small enough that space comes back while a full disk is being drained, and that a crash replays little of it twice;
# large enough that a long outage makes hundreds of files and not thousands.
SEGMENT_BYTES: Final = 16 * 1024 * 1024


class Spool:
    """Rows on disk, in the order in which they came. Made lazily: a spool that is never needed leaves nothing behind.

    `append` is for one thread, `first` and `forget` are for one other; the rest may be called from anywhere. Reads what
    an earlier run left, checks it, and cuts off what a crash left unfinished at a segment's end, which was never
    acknowledged: see `pop_damage`. `close` ends it for appends.

    Raises StoreError when the directory, or the place where it would be made, cannot be written.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()  # for the fields below; never held while a file is read, written or synced
        self._idle = threading.Condition(self._lock)  # told when a write has returned
        self._segments: deque[Segment] = deque()  # oldest first
        self._current: Segment | None = None  # the one to append to
        self._appending = False
        self._writing = False  # a write of `append` has not returned
        self._written_rows = 0  # by this process, in whole records, synced or not
        self._closed = False
        self._damage: list[Damage] = []
        self._number = 0  # of the newest segment
        self._returned: tuple[Segment, int, int] | None = None  # by `first`: segment, end of the record, rows
        try:
            self._open()
        except OSError as error:
            raise StoreError(
                f"cannot use the spool {directory}: {error.strerror}",
                hint="it must be a directory, or a place to make one, where the collector's account may write",
            ) from error

    @property
    def rows(self) -> int:
        """Rows appended and not yet forgotten.

        Rows that were damaged since, in a record whose head does not tell how many, count until their segment goes.
        """
        with self._lock:
            return sum(segment.rows for segment in self._segments)

    def pop_damage(self) -> list[Damage]:
        """What was found damaged or foreign since the last call: at the start, then by `first`. Foreign files stay."""
        with self._lock:
            damage, self._damage = self._damage, []
        return damage

    def append(self, rows: Sequence[TickRow]) -> None:
        """Adds rows; they are on disk when it returns.

        Raises OSError, and then the spool is as before, unless `close` came between. Integers beyond 64 bits raise
        struct.error, text that is no UTF-8 UnicodeEncodeError: such rows fit into no day file either.
        """
        if not rows:
            return
        parts = [rows[start : start + record.RECORD_ROWS] for start in range(0, len(rows), record.RECORD_ROWS)]
        records = [(len(part), record.encode(part)) for part in parts]
        with self._lock:
            self._check_open()
            segment = self._current
            if segment is None or segment.end >= self._segment_bytes:
                self._number += 1
                segment = Segment(path_in(self._directory, self._number))
            self._current, self._appending = segment, True  # now the reader removes neither it nor the directory
        new = segment.end == 0
        try:
            if new:
                _make_directory(self._directory)
            end = self._write(segment.path, segment.end, records)
        except BaseException:
            # Never again into this segment: after a failed write or fsync nobody knows what the disk holds of it, and
            # a later fsync may report success for pages that the kernel has thrown away. What was acknowledged before
            # is on disk, and stays to be replayed.
            with self._lock:
                if self._closed:
                    raise  # what has gone in was told by `close`, so it stays
                self._current, self._appending = None, False
            self._remove_drained()
            raise
        with self._lock:
            segment.end = end
            segment.rows += len(rows)
            if new:
                self._segments.append(segment)
            self._appending = False

    def close(self, timeout_s: float) -> int:
        """Nothing more goes in; returns how many rows went in since this spool was made, in whole records.

        Those of an append that is still under way count as far as they are written: the next start finds them, also if
        their sync does not return before this process ends; only a power cut could cost them. The one write that may
        be under way is waited for, for `timeout_s` at most. Its rows do not count when it takes longer.
        """
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._writing, timeout_s)
            return self._written_rows

    def first(self, max_rows: int = 1, *, patient: bool = False) -> list[TickRow] | None:
        """The oldest rows that are not forgotten; None when there are none.

        They are those of one record, and of as many behind it as have `max_rows` rows with it at most. What turns out
        to be damaged is passed over for good, and told by `pop_damage`. Raises OSError when the file cannot be opened
        now, or, to a caller who is `patient`, read; its rows are there for a later call.
        """
        self._returned = None
        while True:
            with self._lock:
                segment = self._segments[0] if self._segments else None
                if segment is None or segment.position >= segment.end:  # drained, while `append` still holds it
                    return None
                position, end, known = segment.position, segment.end, segment.damage.get(segment.position)
            if known is not None:
                self._advance(segment, known, 0)
                continue
            try:
                part, rows = record.read_rows(segment.path, position, end)
            except FileNotFoundError:
                part, rows = record.Part(end, segment.rows, cause="the file is gone"), None
            if rows is not None:
                position = part.end
                if len(rows) < max_rows:
                    stop = min((begin for begin in segment.damage if begin >= position), default=end)
                    position = record.read_more(segment.path, position, stop, rows, max_rows)
                self._returned = segment, position, len(rows)
                return rows
            if patient and part.cause == record.UNREADABLE:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(segment.path))
            with self._lock:
                self._damage.append(Damage(segment.path, position, part.end - position, part.rows, part.cause))
            self._advance(segment, part.end, part.rows or 0)

    def forget(self) -> None:
        """Lets go of the rows that `first` returned last, because they are committed elsewhere.

        Never fails: what cannot be removed now is replayed by the next run and found to be there.
        """
        if self._returned is not None:
            self._advance(*self._returned)
            self._returned = None

    def _open(self) -> None:
        try:
            paths = sorted(self._directory.iterdir())
        except FileNotFoundError:
            _check_writable(self._directory.parent)
            return
        _check_writable(self._directory)
        found = look_through(paths)
        self._segments.extend(found.segments)
        self._number, self._damage = found.number, found.damage
        self._remove_directory()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.ECANCELED, "the spool has been closed")

    def _write(self, path: Path, end: int, records: list[tuple[int, bytes]]) -> int:
        """Writes records, each with its number of rows, behind `end` and syncs; 0 makes the file; returns the new end.

        After an error the file is as before, as far as possible, unless `close` has told what is in it.
        """
        new, at, written_rows = end == 0, end, 0
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (os.O_EXCL | os.O_CREAT if new else 0), FILE_MODE)
        try:
            if new:
                at += write_all(fd, at, record.FILE_HEAD)
            for rows, data in records:
                with self._lock:
                    self._check_open()
                    self._writing = True
                whole = False
                try:
                    at += write_all(fd, at, data)
                    whole = True
                finally:
                    with self._idle:
                        self._writing = False
                        written_rows += rows * whole
                        self._written_rows += rows * whole
                        self._idle.notify_all()
            os.fsync(fd)
            if new:
                sync_directory(path.parent)
        except BaseException:
            with self._lock:
                undo = not self._closed
                if undo:
                    self._written_rows -= written_rows
            if undo:
                with suppress(OSError):  # what stays behind is cut off, or replayed in vain, by the next run
                    if new:
                        path.unlink()
                    else:
                        os.ftruncate(fd, end)
            raise
        finally:
            os.close(fd)
        return at

    def _advance(self, segment: Segment, position: int, rows: int) -> None:
        """The records before `position`, with so many rows, are done with."""
        with self._lock:
            segment.position = position
            segment.rows -= rows
        self._remove_drained()

    def _remove_drained(self) -> None:
        with self._lock:
            segment = self._segments[0] if self._segments else None
            if segment is not None:
                in_use = segment is self._current and self._appending
                if segment.position < segment.end or in_use:
                    return
                self._segments.popleft()
                if segment is self._current:
                    self._current = None
        if segment is not None:
            with suppress(OSError):
                segment.path.unlink()
        self._remove_directory()

    def _remove_directory(self) -> None:
        with self._lock:  # held over this one call, so that `append` does not find its directory gone
            if not self._segments and not self._appending:
                with suppress(OSError):  # foreign files, no right in its parent, a file system of its own
                    self._directory.rmdir()


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        return
    except FileNotFoundError:  # SPOOL_DIR itself was taken away; where it stood is not ours to make
        directory.parent.mkdir(DIRECTORY_MODE)
        sync_directory(directory.parent.parent)
        directory.mkdir(DIRECTORY_MODE)
    sync_directory(directory.parent)


def _check_writable(directory: Path) -> None:
    directory.stat()
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, "no right to write, or a read-only file system")

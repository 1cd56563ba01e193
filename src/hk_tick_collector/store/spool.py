"""The spool: received rows wait here on disk while neither the day file nor memory can take them.

Enters: rows. Leaves: the same rows, oldest first, until `forget` says that they are committed elsewhere. Nothing here
logs, waits, retries or starts a thread: errors say what failed, and `collect` decides.

The directory contains segments, `0000000001.spool` and so on. While there are no rows, there is no directory.

How far the spool was read is kept only in memory. A segment is removed when all its rows are committed. After a crash,
the committed rows of the first segment are replayed again. That is harmless, because `(symbol, seq)` is the primary key
of a day file, and no second file is needed to record the progress.
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
from .spool_segments import Damage, Segment, path_in, read_segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DIRECTORY_MODE: Final = 0o750
FILE_MODE: Final = 0o640

# Small enough to free space soon on a full disk, and to replay few rows twice after a crash. Large enough for a long
# outage to create hundreds of files and not thousands.
SEGMENT_BYTES: Final = 16 * 1024 * 1024


class Spool:
    """Rows on disk, in order of arrival. The directory is created only when rows are appended.

    One thread may call `append`, and one other thread `first` and `forget`; any thread may call the other methods. The
    segments of an earlier run are read and checked. An incomplete record at the end of a segment, left by a crash, was
    never acknowledged and is truncated: see `pop_damage`. After `close` nothing can be appended.

    Raises StoreError when the directory, or the parent where it would be created, cannot be written.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()  # for the fields below; never held while a file is read, written or synced
        self._idle = threading.Condition(self._lock)  # notified when a write has returned
        self._segments: deque[Segment] = deque()  # oldest first
        self._current: Segment | None = None  # the one to append to
        self._appending = False
        self._writing = False  # a write of `append` has not returned
        self._written_rows = 0  # rows of complete records written by this process, synced or not
        self._closed = False
        self._damage: list[Damage] = []
        self._number = 0  # of the newest segment
        self._returned: tuple[Segment, int, int] | None = None  # by `first`: segment, end of the record, rows
        try:
            self._open()
        except OSError as error:
            raise StoreError(
                f"cannot use the spool {directory}: {error.strerror}",
                hint="it must be a directory in which the collector's account may write, or one that it may create",
            ) from error

    @property
    def rows(self) -> int:
        """Rows appended and not yet forgotten.

        If the header of a record is damaged later, the number of its rows is unknown: they count until its segment is
        removed.
        """
        with self._lock:
            return sum(segment.rows for segment in self._segments)

    def pop_damage(self) -> list[Damage]:
        """Damage and foreign files found since the last call, at the start or by `first`. Foreign files are kept."""
        with self._lock:
            damage, self._damage = self._damage, []
        return damage

    def append(self, rows: Sequence[TickRow]) -> None:
        """Adds rows; they are on disk when it returns.

        Raises OSError. The spool is then unchanged, unless `close` was called meanwhile. Integers beyond 64 bits raise
        struct.error, and text that is not valid UTF-8 raises UnicodeEncodeError; a day file cannot store them either.
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
            self._current, self._appending = segment, True  # prevents the reader from removing it and the directory
        new = segment.end == 0
        try:
            if new:
                _make_directory(self._directory)
            end = self._write(segment.path, segment.end, records)
        except BaseException:
            # This segment is not used for appends any more: after a failed write or fsync it is unknown what is on the
            # disk, and a later fsync may report success for pages that the kernel has discarded. Rows acknowledged
            # before are on disk and will be replayed.
            with self._lock:
                if self._closed:
                    raise  # `close` has already counted the written rows
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
        """Ends the spool for appends. Returns how many rows were written since its creation, in complete records.

        The rows of a running append count as far as they are written. The next start finds them, even if their sync
        does not return before this process ends; only a power cut could lose them. A running write is waited for, at
        most `timeout_s`. If it takes longer, its rows do not count.
        """
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._writing, timeout_s)
            return self._written_rows

    def first(self, max_rows: int = 1, *, patient: bool = False) -> list[TickRow] | None:
        """The oldest rows that are not forgotten; None when there are none.

        They are the rows of one record and of following records, up to `max_rows`. A damaged record is skipped and
        reported by `pop_damage`. Raises OSError when the file cannot be opened now. With `patient` it also raises
        OSError when a record cannot be read now; without, such a record is skipped as damaged.
        """
        self._returned = None
        while True:
            with self._lock:
                segment = self._segments[0] if self._segments else None
                if segment is None or segment.position >= segment.end:  # read to its end, and `append` still uses it
                    return None
                position, end, known = segment.position, segment.end, segment.damage.get(segment.position)
            if known is not None:
                self._advance(segment, known, 0)
                continue
            try:
                part, rows = record.read_rows(segment.path, position, end)
            except FileNotFoundError:
                part, rows = record.Part(end, segment.rows, cause="the file does not exist"), None
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
        """Removes the rows that `first` returned last, because they are committed elsewhere.

        Never fails: if a segment cannot be removed, the next run replays it, and its rows are duplicates.
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
        found = read_segments(paths)
        self._segments.extend(found.segments)
        self._number, self._damage = found.number, found.damage
        self._remove_directory()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.ECANCELED, "the spool has been closed")

    def _write(self, path: Path, end: int, records: list[tuple[int, bytes]]) -> int:
        """Writes records, each with its number of rows, at offset `end`, syncs, and returns the new end.

        The file is created if `end` is 0. After an error the file is restored as far as possible, unless `close` has
        already counted the written rows.
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
                with suppress(OSError):  # remains are truncated by the next run, or replayed as duplicates
                    if new:
                        path.unlink()
                    else:
                        os.ftruncate(fd, end)
            raise
        finally:
            os.close(fd)
        return at

    def _advance(self, segment: Segment, position: int, rows: int) -> None:
        """The records before `position`, which have `rows` rows, are no longer needed."""
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
        with self._lock:  # held during this call, so that the directory does not vanish during an append
            if not self._segments and not self._appending:
                with suppress(OSError):  # foreign files, no permission in its parent, or it is a mount point
                    self._directory.rmdir()


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        return
    except FileNotFoundError:  # SPOOL_DIR itself was removed; its parent is not created
        directory.parent.mkdir(DIRECTORY_MODE)
        sync_directory(directory.parent.parent)
        directory.mkdir(DIRECTORY_MODE)
    sync_directory(directory.parent)


def _check_writable(directory: Path) -> None:
    directory.stat()
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, "no right to write, or a read-only file system")

"""The spool: where received rows wait on disk while neither the day file nor memory can take them.

Enters: rows. Leaves: the same rows, oldest first, until they are said to be committed elsewhere. Nothing here logs,
waits or retries, and there is no thread: errors tell what the disk did, and `collect` decides.

The directory holds segments, `0000000001.spool` and on; while there are no rows to keep there is no directory either. A
segment is a head and records, little-endian. Each record has a checksum over its head and one over its payload, so that
damage costs the records it hit and no others. The payload is a fixed struct for each row and a table of their texts:
exact, and nothing that a damaged or foreign file could abuse. At 57 bytes a row, 900,000 rows/s go in by thousands and
1,300,000 come out, disk included; JSON took 123 bytes, and 530,000 and 350,000 rows/s to encode and decode alone.

Progress is kept in memory alone: a segment is removed once all of it is committed, and what was committed of one before
a crash is replayed again. That is harmless, because `(symbol, seq)` is the key of a day file, and it spares a second
file that would have to be kept in step with the first.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import threading
import zlib
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import StoreError

from .durable import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DIRECTORY_MODE: Final = 0o750
FILE_MODE: Final = 0o640

# Small enough that space comes back while a full disk is being drained, and that a crash replays little of it twice;
# large enough that a long outage makes hundreds of files and not thousands.
SEGMENT_BYTES: Final = 16 * 1024 * 1024
RECORD_ROWS: Final = 8192  # half a MiB; keeps the texts of a record below 65,536

_NAME: Final = re.compile(r"[0-9]{10}\.spool")
_FILE_MAGIC: Final = b"HKTSPOOL"
_VERSION: Final = 1
_FILE_HEAD: Final = struct.Struct("<8sI")  # magic, version
_RECORD_MAGIC: Final = b"\xf5TK\xfa"  # no UTF-8 text contains it
_RECORD_HEAD: Final = struct.Struct("<4sIIII")  # magic, payload bytes, rows, crc32 of the payload, crc32 of the above
_ROW: Final = struct.Struct("<HqqdqdHHHq")  # TickRow; a text is its index in the table that follows the rows
_LENGTH: Final = struct.Struct("<I")  # of a text, in bytes
_READ_BYTES: Final = 1024 * 1024  # what one look behind a record reads at most: thousands of small ones
_THIS_VERSION: Final = _FILE_HEAD.pack(_FILE_MAGIC, _VERSION)

_CHECKSUM: Final = "its checksum is wrong"
_UNFINISHED: Final = "it is incomplete"
_UNREADABLE: Final = "the disk cannot read it"
_NOT_OURS: Final = "no file of the spool"


class Damage(NamedTuple):
    """Something in the spool's directory that cannot be replayed."""

    path: Path
    offset: int  # where in the file it begins
    size_bytes: int
    rows: int | None  # rows lost with it; None where nothing tells
    cause: str  # for the operator


@dataclass(slots=True)
class _Segment:
    path: Path
    end: int = 0  # where the next record goes; all before it is on disk
    rows: int = 0  # appended and not yet forgotten
    position: int = _FILE_HEAD.size  # of the oldest record that is not forgotten
    damage: dict[int, int] = field(default_factory=dict)  # damage found at the start: from, to


class _Part(NamedTuple):
    """A stretch of a segment: one record, or damage."""

    end: int
    rows: int | None = None  # None where the record's head is damaged
    payload: bytes | None = None  # None for damage
    cause: str = ""


def segments_below(spool_dir: Path) -> list[Path]:
    """The segments of every run's spool in SPOOL_DIR: each run has a directory of its own, and one more for each day
    that it holds. None where there is no SPOOL_DIR. Raises OSError where a directory may not be listed.
    """
    try:
        runs = sorted(path for path in spool_dir.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []
    return [path for run in runs for path in sorted(run.iterdir()) if _NAME.fullmatch(path.name)]


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
        self._segments: deque[_Segment] = deque()  # oldest first
        self._current: _Segment | None = None  # the one to append to
        self._appending = False
        self._writing = False  # a write of `append` has not returned
        self._written_rows = 0  # by this process, in whole records, synced or not
        self._closed = False
        self._damage: list[Damage] = []
        self._number = 0  # of the newest segment
        self._returned: tuple[_Segment, int, int] | None = None  # by `first`: segment, end of the record, rows
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

    @property
    def disk_bytes(self) -> int:
        """The size of all segments. Those of one segment come back together, when all its rows are forgotten."""
        with self._lock:
            return sum(segment.end for segment in self._segments)

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
        parts = [rows[start : start + RECORD_ROWS] for start in range(0, len(rows), RECORD_ROWS)]
        records = [(len(part), _encode(part)) for part in parts]
        with self._lock:
            self._check_open()
            segment = self._current
            if segment is None or segment.end >= self._segment_bytes:
                self._number += 1
                segment = _Segment(self._directory / f"{self._number:010}.spool")
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
                part, rows = _read_rows(segment.path, position, end)
            except FileNotFoundError:
                part, rows = _Part(end, segment.rows, cause="the file is gone"), None
            if rows is not None:
                position = part.end
                if len(rows) < max_rows:
                    stop = min((begin for begin in segment.damage if begin >= position), default=end)
                    position = _read_more(segment.path, position, stop, rows, max_rows)
                self._returned = segment, position, len(rows)
                return rows
            if patient and part.cause == _UNREADABLE:
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
        for path in paths:
            ours = _NAME.fullmatch(path.name) is not None
            if ours:
                self._number = int(path.stem)
            if ours and path.is_file():
                self._open_segment(path)
            elif not path.is_dir():  # such as lost+found, where the spool has a file system of its own
                self._leave_alone(path, _NOT_OURS)
        self._remove_directory()

    def _open_segment(self, path: Path) -> None:
        """Counts what a segment holds and cuts off an unfinished end; leaves alone what is not ours or unreadable."""
        try:
            size = path.stat().st_size
            head = _read(path, 0, _FILE_HEAD.size)
            if head != _THIS_VERSION[:size]:
                self._leave_alone(path, _whose(head))
                return
            segment = _Segment(path, end=len(head))
            damage = [Damage(path, 0, size, None, _UNFINISHED)] if 0 < size < _FILE_HEAD.size else []
            for position, part in _parts(path, len(head), size):
                if part.payload is None:
                    segment.damage[position] = part.end
                    damage.append(Damage(path, position, part.end - position, part.rows, part.cause))
                else:
                    segment.rows += part.rows or 0
                    segment.end = part.end
        except OSError as error:
            self._leave_alone(path, error.strerror or "")
            return
        self._damage += damage
        if segment.rows:
            self._segments.append(segment)
        if all(item.cause != _UNREADABLE for item in damage):  # what could not be read may yet be read
            with suppress(OSError):  # then the next run meets it again
                if not segment.rows:
                    path.unlink()
                elif segment.end < size:
                    os.truncate(path, segment.end)

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
                at += _write_all(fd, at, _THIS_VERSION)
            for rows, data in records:
                with self._lock:
                    self._check_open()
                    self._writing = True
                whole = False
                try:
                    at += _write_all(fd, at, data)
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

    def _leave_alone(self, path: Path, cause: str) -> None:
        with suppress(OSError):
            self._damage.append(Damage(path, 0, path.lstat().st_size, None, f"left alone: {cause}"))

    def _advance(self, segment: _Segment, position: int, rows: int) -> None:
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


def _encode(rows: Sequence[TickRow]) -> bytes:
    """One record."""
    table: dict[str, int] = {}

    def index(text: str) -> int:
        return table.setdefault(text, len(table))

    packed = [
        _ROW.pack(
            index(symbol), seq, ts_ms, price, volume, turnover, index(direction), index(tick), index(push), recv_ts_ms
        )
        for symbol, seq, ts_ms, price, volume, turnover, direction, tick, push, recv_ts_ms in rows
    ]
    for text in table:
        encoded = text.encode()
        packed += _LENGTH.pack(len(encoded)), encoded
    payload = b"".join(packed)
    return _record_head(len(payload), len(rows), zlib.crc32(payload)) + payload


def _record_head(size: int, rows: int, payload_crc: int) -> bytes:
    crc = zlib.crc32(_RECORD_HEAD.pack(_RECORD_MAGIC, size, rows, payload_crc, 0))
    return _RECORD_HEAD.pack(_RECORD_MAGIC, size, rows, payload_crc, crc)


def _decode(payload: bytes, rows: int) -> list[TickRow]:
    """The rows of a payload; ValueError, IndexError or struct.error where it is not in the format."""
    texts: list[str] = []
    at = rows * _ROW.size
    while at < len(payload):
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size
        texts.append(payload[at : at + length].decode())
        at += length
    if at != len(payload) or not rows:
        raise ValueError("rows and texts are not what the payload holds")
    return [
        (texts[symbol], seq, ts_ms, price, volume, turnover, texts[direction], texts[tick], texts[push], recv_ts_ms)
        for symbol, seq, ts_ms, price, volume, turnover, direction, tick, push, recv_ts_ms in _ROW.iter_unpack(
            memoryview(payload)[: rows * _ROW.size]
        )
    ]


def _parts(path: Path, position: int, end: int) -> Iterator[tuple[int, _Part]]:
    """All records of a segment and the damage between them, each with its offset."""
    while position < end:
        part = _read_part(path, position, end)
        yield position, part
        position = part.end


def _read_rows(path: Path, position: int, end: int) -> tuple[_Part, list[TickRow] | None]:
    """What is at `position`, and its rows, None where it is damage."""
    part = _read_part(path, position, end)
    if part.payload is None:
        return part, None
    try:
        return part, _decode(part.payload, part.rows or 0)
    except (ValueError, IndexError, struct.error):  # its checksum is right: not damaged, but not written by us
        return part._replace(payload=None, cause="not in the spool's format"), None


def _read_more(path: Path, position: int, end: int, rows: list[TickRow], max_rows: int) -> int:
    """Adds to `rows` those of the whole records at `position` and on, to `max_rows` at most; returns where they end.

    Nothing more where there is damage or the disk does not answer: whoever comes to that record next will find out.
    """
    with suppress(OSError):
        data = _read(path, position, min(end - position, _READ_BYTES))
        at = 0
        while head := _parse_head(data[at : at + _RECORD_HEAD.size]):
            size, count, crc = head
            start = at + _RECORD_HEAD.size
            payload = data[start : start + size]
            if len(rows) + count > max_rows or len(payload) < size or zlib.crc32(payload) != crc:
                break
            try:
                rows += _decode(payload, count)
            except (ValueError, IndexError, struct.error):
                break
            at = start + size
        position += at
    return position


def _read_part(path: Path, position: int, end: int) -> _Part:
    """The record at `position`, or the damage there: up to the next head that can be trusted, or to `end`."""
    data = _read(path, position, _RECORD_HEAD.size)
    head = _parse_head(data)
    if head is None:
        rest = _read(path, position, end - position)
        cause = _CHECKSUM if len(rest) >= _RECORD_HEAD.size else _UNFINISHED
        return _Part(position + _find_head(rest) if rest else end, cause=cause if data and rest else _UNREADABLE)
    size, rows, crc = head
    start = position + _RECORD_HEAD.size
    if start + size > end:
        return _Part(end, rows, cause=_UNFINISHED)
    payload = _read(path, start, size)
    if zlib.crc32(payload) != crc:
        return _Part(start + size, rows, cause=_CHECKSUM if len(payload) == size else _UNREADABLE)
    return _Part(start + size, rows, payload)


def _parse_head(data: bytes) -> tuple[int, int, int] | None:
    """Payload bytes, rows and the payload's crc32 from a record's head; None where it is damaged."""
    if len(data) < _RECORD_HEAD.size:
        return None
    _, size, rows, payload_crc, _ = _RECORD_HEAD.unpack_from(data)
    return (size, rows, payload_crc) if data == _record_head(size, rows, payload_crc) else None


def _find_head(data: bytes) -> int:
    """Where behind the first byte a record begins; the end where none does."""
    at = data.find(_RECORD_MAGIC, 1)
    while at >= 0 and _parse_head(data[at : at + _RECORD_HEAD.size]) is None:
        at = data.find(_RECORD_MAGIC, at + 1)
    return at if at >= 0 else len(data)


def _whose(head: bytes) -> str:
    """What a file is that does not begin as a segment of this version does."""
    if not head:
        return _UNREADABLE
    if head.startswith(_FILE_MAGIC) and len(head) == _FILE_HEAD.size:
        return f"the spool's format {_FILE_HEAD.unpack(head)[1]}, this version reads {_VERSION}"
    return _NOT_OURS


def _read(path: Path, position: int, size: int) -> bytes:
    """Bytes of a file; none where the disk cannot read them, so that one bad sector does not stop all that follows."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, position)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
    finally:
        os.close(fd)


def _write_all(fd: int, position: int, data: bytes) -> int:
    """Writes it all; returns how many bytes that is."""
    written, view = 0, memoryview(data)
    while written < len(data):
        written += os.pwrite(fd, view[written:], position + written)
    return written


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

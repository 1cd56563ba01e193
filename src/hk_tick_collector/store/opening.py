"""Opens a day file for writing after checking that it is ours, not damaged and writable. Sets aside a damaged file.

A refused file is not changed. An existing file is only accessed with `stat` and through SQLite: closing another
descriptor of it would release the locks that this process holds on it through SQLite.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector.errors import DamagedFileError, ForeignFileError, SealedDayError, StoreError

from . import schema
from .faults import lack_of_room, with_system_error
from .foreign import aside_name, demand_files_beside, foreign_file, move_command, no_file_here, not_sqlite
from .rights import refused
from .schema_check import named_changes

if TYPE_CHECKING:
    from pathlib import Path

FILE_MODE: Final = 0o640
_MOST_BYTES: Final = 64 * 2**20  # of one value: a column added by another program may compute longer ones
_MAGIC: Final = b"SQLite format 3\0"
_CHUNK_BYTES: Final = 65_536
# The longest wait for a lock inside SQLite. After it the caller tries again and can report which process has the lock.
_LONGEST_BUSY_MS: Final = 10_000
_WAL_HEADER: Final = struct.Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
_WAL_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}  # and the byte order of the checksums
_HEADER_BYTES: Final = 100
_APPLICATION_ID_AT: Final = 68  # in the header of every SQLite file, 4 bytes, big-endian
_TEXT_OF_OURS: Final = b"recv_ts_ms INTEGER NOT NULL"  # from the definition of our table, on one of the first pages


def open_for_writing(
    path: Path, busy_timeout_ms: int, vfs: str | None, *, check: bool = True, make: bool = True
) -> apsw.Connection:
    """A connection to an undamaged file of ours, or to a new empty file.

    `check` reads the whole file once. Raises ForeignFileError, SealedDayError, DamagedFileError or StoreError, and
    `apsw.Error` for a condition that may be temporary, such as a lock. Without `make` raises FileNotFoundError if there
    is no file.
    """
    if any(
        "\ud800" <= char <= "\udfff" for char in str(path)
    ):  # SQLite cannot open such a name; the settings refuse it too
        raise StoreError(f"{str(path)!a} is not a UTF-8 name", hint="rename the directory")
    size = _existing_size(path, make=make)
    demand_files_beside(path)
    wal = path.with_name(path.name + "-wal")
    wal_size = wal.stat().st_size if wal.exists() else 0
    if not size and wal_size:
        raise DamagedFileError(f"{path.name} is empty but its WAL is not: it was truncated")
    if size == 0:  # a new file gets its name only after its tables are created
        raise DamagedFileError(f"{path.name} is empty: it was truncated")
    if wal_size > _WAL_HEADER.size and not _is_wal(wal):
        raise DamagedFileError(f"the WAL of {path.name} has a damaged header: SQLite would discard it")
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    except apsw.CantOpenError:
        _raise_why_nothing_opens(path.parent)
        raise
    try:
        # No checkpoint at closing: a refused file keeps its WAL, and nothing is written to a failing disk.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.limit(apsw.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        db.set_busy_timeout(min(busy_timeout_ms, _LONGEST_BUSY_MS))
        with with_system_error(db, path):
            if size:
                _refuse(db, path, check=check, has_wal=wal_size > 0)
            _demand_writable(db, path)
            if wal_size:
                _sync_again(db, wal, vfs)
    except BaseException:
        db.close(True)
        raise
    return db


def set_aside(path: Path, now_ms: int, what: str = "damaged") -> Path:
    """Renames a damaged file with its WAL and shm, without changing their content, and returns the new path.

    `what` is a word of the new name, for a file that is set aside for another reason.

    The WAL is renamed first: SQLite must not apply the WAL of one file to another. Raises OSError.
    """
    taken = {other.name for other in path.parent.glob(f"{path.name}.{what}-*")}
    target = path.with_name(aside_name(path, what, now_ms, taken))
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    return target


def _demand_writable(db: apsw.Connection, path: Path) -> None:
    if db.readonly("main"):  # SQLite may open a file read-only without an error
        raise apsw.ReadOnlyError(f"{path.name} can only be opened for reading")


def _sync_again(db: apsw.Connection, wal: Path, vfs: str | None) -> None:
    """Writes the bytes of the WAL again unchanged, and syncs them, before new commits depend on them.

    After a failed fsync, a commit can still be read from the page cache although it is not on the disk. A second fsync
    of the same pages then reports success without writing them. Writing them again makes them dirty, so that they are
    really synced. The write lock prevents other processes from appending to the WAL or resetting it meanwhile.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        file = apsw.VFSFile(vfs or "", str(wal), [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL, 0])
        try:
            size = file.xFileSize()
            for offset in range(0, size, _CHUNK_BYTES):
                file.xWrite(file.xRead(min(_CHUNK_BYTES, size - offset), offset), offset)
            file.xSync(apsw.SQLITE_SYNC_NORMAL)
        finally:
            file.xClose()
    finally:
        db.execute("ROLLBACK")


def _raise_why_nothing_opens(directory: Path) -> None:
    """Raises the reason why a file in the directory cannot be opened, which SQLite does not report."""
    if lack := lack_of_room(directory):
        cause = OSError(errno.ENOSPC, f"{lack} is left")
        raise StoreError(f"cannot open anything in {directory}: {lack} is left") from cause
    try:
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise StoreError(f"cannot open anything in {directory}: {error.strerror}") from error


def _existing_size(path: Path, *, make: bool) -> int | None:
    """The size of the file; None if it was missing and is created. Raises if it is not a writable regular file, and
    FileNotFoundError if it is missing and not to be made.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        if not make:
            raise
        _make(path)
        return None
    if not stat.S_ISREG(found.st_mode):
        raise no_file_here(path, found.st_mode)
    if found.st_mode & stat.S_IRUSR and not found.st_mode & stat.S_IWUSR:  # a sealed file is readable
        raise SealedDayError(f"{path.name} is sealed (mode {found.st_mode & 0o777:04o})")
    if not os.access(path, os.R_OK | os.W_OK):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        cause = OSError(errno.EROFS if read_only else errno.EACCES, "may not be written")
        if not read_only:
            raise refused("the day file", path, cause) from cause
        raise StoreError(f"{path} may not be written", hint="check rights and disk of DATA_ROOT") from cause
    return found.st_size


def _make(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        if isinstance(error, PermissionError):
            raise refused("the day file", path, error) from error
        raise StoreError(
            f"cannot create {path}: {error.strerror}", hint="check rights and disk of DATA_ROOT"
        ) from error


def _refuse(db: apsw.Connection, path: Path, *, check: bool, has_wal: bool) -> None:
    """Raises for a file that is not ours, is newer than this version, or is damaged."""
    try:
        application_id, version = db.pragma("application_id"), db.pragma("user_version")
        tables = db.execute("SELECT count(*) FROM sqlite_schema").get
        ours = application_id == schema.APPLICATION_ID or not (application_id or version or tables)
        with named_changes(db, path.name):
            verdict = db.execute("PRAGMA quick_check(1)").get if ours and check else "ok"
            if ours and check and tables and not has_wal and verdict == "ok":
                verdict = _check_without_wal(db)
    except (apsw.NotADBError, apsw.CorruptError, apsw.FormatError) as error:
        if _was_ours(path):
            raise DamagedFileError(f"{path.name} is damaged ({error})") from error
        raise not_sqlite(path) from None
    if not ours:
        raise foreign_file(db, path)
    if not 0 <= version <= schema.VERSION:
        raise ForeignFileError(
            f"{path} has schema {version}, this version writes up to {schema.VERSION}",
            hint=f"install the version that wrote it, or move the file away: {move_command(path)}",
        )
    if verdict != "ok":
        raise DamagedFileError(f"{path.name} is damaged ({' '.join(str(verdict).split())})")


def _check_without_wal(db: apsw.Connection) -> str:
    """Detects a file whose WAL was removed after the service was killed during a checkpoint. Returns `ok` or the fault.

    Some pages of such a file are newer than others. Each page may be valid, so that `quick_check` finds nothing. But
    keys are out of order, or counters are higher than the number of rows. A file that was closed normally has no WAL
    either. Its table `connections` says that the connection has ended, so that file is not read again. A checkpoint
    copies pages in the order of their numbers, so `connections` is copied before most ticks.
    """
    if db.execute("SELECT 1 FROM connections WHERE to_ms IS NULL AND NOT connected").get is not None:
        return "ok"
    verdict = str(db.execute("PRAGMA integrity_check(1)").get)
    if verdict != "ok":
        return verdict
    for symbol, counted, stored in db.execute(schema.MISCOUNTED):
        return f"without its WAL it has {stored} of {counted} counted ticks of {symbol}"
    return "ok"


def _is_wal(path: Path) -> bool:
    """Whether a WAL has a valid header, including its checksum (sqlite.org/fileformat2.html#walformat)."""
    with path.open("rb") as file:
        head = file.read(_WAL_HEADER.size)
    magic, *_, first, second = _WAL_HEADER.unpack(head)
    order = _WAL_MAGICS.get(magic)
    if order is None:
        return False
    words = struct.unpack(f"{order}6I", head[:24])
    sum1 = sum2 = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        sum1 = (sum1 + even + sum2) & 0xFFFFFFFF
        sum2 = (sum2 + odd + sum1) & 0xFFFFFFFF
    return (sum1, sum2) == (first, second)


def _was_ours(path: Path) -> bool:
    """Whether an unreadable file with the name of a day is a damaged day file of ours.

    It is, in one of these cases: the header has our application_id; the header has the start of a SQLite header and no
    other application_id; the header is zeros, which a file system leaves for a block that was not written; or the text
    of our table definition is in the first pages.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_CHUNK_BYTES)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    head = data[:_HEADER_BYTES]
    mark = head[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4]
    if mark == schema.APPLICATION_ID.to_bytes(4, "big") or not any(head):
        return True
    if head.startswith(_MAGIC[: len(head)]) and mark in (b"", b"\0\0\0\0"):
        return True
    return _TEXT_OF_OURS in data and b"\0" in data  # a file without a zero byte is text, for example a dump

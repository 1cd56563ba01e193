"""Opening a file for writing: is it ours, is it whole, may it be written. And setting aside one that is not whole.

Nothing of a file that is refused is touched. An existing file is looked at with `stat` and through SQLite alone:
closing any other descriptor of it would drop the locks that SQLite holds on it for the whole process.
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
from .faults import lack_of_room, system_error_told
from .foreign import aside_name, demand_files_beside, foreign_file, move_command, no_file_here, not_sqlite
from .rights import refused
from .schema_check import named_changes

if TYPE_CHECKING:
    from pathlib import Path

FILE_MODE: Final = 0o640
_MOST_BYTES: Final = 64 * 2**20  # of one value: what others add to a table may calculate a longer one at every look
_MAGIC: Final = b"SQLite format 3\0"
_CHUNK_BYTES: Final = 65_536
# One wait inside SQLite, where nothing can be told: who waits longer asks again, and says whose lock it is.
_LONGEST_BUSY_MS: Final = 10_000
_WAL_HEADER: Final = struct.Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
_WAL_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}  # and the byte order of the checksums
_HEADER_BYTES: Final = 100
_APPLICATION_ID_AT: Final = 68  # in the header of every SQLite file, 4 bytes, big-endian
_TEXT_OF_OURS: Final = b"recv_ts_ms INTEGER NOT NULL"  # in our table's definition, on one of the first pages


def open_for_writing(
    path: Path, busy_timeout_ms: int, vfs: str | None, *, check: bool = True, make: bool = True
) -> apsw.Connection:
    """A connection to a whole file of ours, or to a new and empty one.

    `check` reads the whole file once (0.3 s for a million rows). Raises ForeignFileError, SealedDayError,
    DamagedFileError or StoreError, and SQLite's own errors as `apsw.Error` for what may pass, a lock for example.
    Without `make` raises FileNotFoundError where there is no file.
    """
    if any("\ud800" <= char <= "\udfff" for char in str(path)):  # the settings refuse it; SQLite could not open it
        raise StoreError(f"{str(path)!a} is no UTF-8 name", hint="rename the directory")
    size = _existing_size(path, make=make)
    demand_files_beside(path)
    wal = path.with_name(path.name + "-wal")
    wal_size = wal.stat().st_size if wal.exists() else 0
    if not size and wal_size:
        raise DamagedFileError(f"{path.name} is empty but its WAL is not: it was truncated")
    if size == 0:  # nobody ever sees a new one before its tables are in it
        raise DamagedFileError(f"{path.name} is empty: it was truncated")
    if wal_size > _WAL_HEADER.size and not _is_wal(wal):
        raise DamagedFileError(f"the WAL of {path.name} has a damaged header: SQLite would begin it anew")
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    except apsw.CantOpenError:
        _tell_why_nothing_opens(path.parent)
        raise
    try:
        # Closing is no checkpoint: a file that we refuse keeps its WAL, and a disk in trouble is not written to.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.limit(apsw.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        db.set_busy_timeout(min(busy_timeout_ms, _LONGEST_BUSY_MS))
        with system_error_told(db, path):
            if size:
                _refuse(db, path, check=check, has_wal=wal_size > 0)
            _demand_writable(db, path)
            if wal_size:
                _sync_again(db, wal, vfs)
    except BaseException:
        db.close(True)
        raise
    return db


def set_aside(path: Path, now_ms: int) -> Path:
    """Moves a damaged file with its WAL and shm out of the way, changes nothing in them, and returns its new place.

    The WAL goes first: a fresh file must never meet the WAL of another. Raises OSError.
    """
    taken = {other.name for other in path.parent.glob(f"{path.name}.damaged-*")}
    target = path.with_name(aside_name(path, "damaged", now_ms, taken))
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    return target


def _demand_writable(db: apsw.Connection, path: Path) -> None:
    if db.readonly("main"):  # what SQLite falls back to, without a word
        raise apsw.ReadOnlyError(f"{path.name} opens for reading only")


def _sync_again(db: apsw.Connection, wal: Path, vfs: str | None) -> None:
    """Writes a WAL's own bytes over themselves and syncs them, before anything is built on them.

    A commit whose fsync failed can still be read, from memory; the disk may have dropped it, and a second fsync of the
    same pages says nothing of that. Written anew they are dirty again, and synced in earnest. The write lock keeps
    everybody else from appending to the WAL or beginning it anew meanwhile.
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


def _tell_why_nothing_opens(directory: Path) -> None:
    """SQLite does not say why it could not open a file; the system does, of any other."""
    if lack := lack_of_room(directory):
        cause = OSError(errno.ENOSPC, f"{lack} is left")
        raise StoreError(f"cannot open anything in {directory}: {lack} is left") from cause
    try:
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise StoreError(f"cannot open anything in {directory}: {error.strerror}") from error


def _existing_size(path: Path, *, make: bool) -> int | None:
    """The size of the file; None when it was missing and is made now. What is no writable file of ours is refused."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if not make:
            raise
        _make(path)
        return None
    if not stat.S_ISREG(found.st_mode):
        raise no_file_here(path, found.st_mode)
    if found.st_mode & stat.S_IRUSR and not found.st_mode & stat.S_IWUSR:  # one that nobody may read was not sealed
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
        raise StoreError(f"cannot make {path}: {error.strerror}", hint="check rights and disk of DATA_ROOT") from error


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
    """`ok`, or what a file lacks whose WAL somebody removed after a run was killed while it copied the WAL back.

    Some of the file's pages are then newer than others. Each page may be sound by itself, so that `quick_check` finds
    nothing; keys out of order and rows that were counted and are not there give it away. A file that was closed by a
    stop has no WAL either, and says that the connection has ended: it is not read again. Pages are copied in the order
    of their numbers, so the table of connections is there before most ticks.
    """
    if db.execute("SELECT 1 FROM connections WHERE to_ms IS NULL AND NOT connected").get is not None:
        return "ok"
    verdict = str(db.execute("PRAGMA integrity_check(1)").get)
    if verdict != "ok":
        return verdict
    for symbol, counted, stored in db.execute(schema.MISCOUNTED):
        return f"without its WAL it holds {stored} of {counted} counted ticks of {symbol}"
    return "ok"


def _is_wal(path: Path) -> bool:
    """Whether a write-ahead log begins as one, checksum included (sqlite.org/fileformat2.html#walformat)."""
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
    """Whether an unreadable file, which has the name of a day, is what damage leaves of one of ours.

    Its header may bear our mark, begin as a SQLite file does and end or go on without any other mark, or be zeros, as a
    file system leaves of a block that was never written. Whatever the header is, our tables' text may be behind it.
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
    return _TEXT_OF_OURS in data and b"\0" in data  # without a zero it is text, a dump for example

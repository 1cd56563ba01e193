"""A copy of a day file that anybody can open anywhere, taken while the collector writes.

Enters: a day file, live or sealed. Leaves: `YYYYMMDD.snapshot.db`, one plain file of one moment, checked, and beside it
`YYYYMMDD.snapshot.db.sha256` as `sha256sum` writes it. Both appear whole or not at all, whatever ends the process. The
day file is opened for reading only; nothing here logs, waits or retries.

SQLite's backup API copies in steps, and begins anew whenever another process has committed between two of them. So one
read transaction spans all steps: the copy is of the moment it began. While it lasts, the write-ahead log cannot be used
anew and grows instead. Measured on two cores beside a writer of 2,000 rows every 0.2 s, file of 407 MB; the slowest
commit of the writer meanwhile was 56 ms without any copy:

    method                                        time            slowest commit   log grew by
    no transaction, 16 MB a step                  not in 40 s     168 ms           180 MB        begun anew 201 times
    the shell's .backup, 100 pages a step         not in 40 s     335 ms           39 MB
    VACUUM INTO                                   1.4 to 2.1 s    44 to 116 ms     0 to 18 MB    no room check, no bar
    one transaction, 16 MB a step                 0.8 to 0.9 s    153 to 259 ms    7 to 9 MB
    the same, each step sent to disk at once      0.9 to 1.6 s    49 to 189 ms     0 to 15 MB
    the same, 1 MB a step: this one               0.8 to 0.9 s    21 to 41 ms      8 to 9 MB

With eleven other busy processes on these cores it took 4 to 11 s, the log grew by up to 104 MB. The bound is on the
log: where it has grown by MAX_WAL_GROWTH_BYTES, because the target is slow, the copy ends, not the collector.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from hk_tick_collector.errors import CollectorError, StoreError

from .disk import demand_room, own_and_sync, refusals_named, sync_directory
from .query import DayReader
from .rights import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .query import Totals

    Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all

SUFFIX: Final = ".snapshot.db"
SUM_SUFFIX: Final = ".sha256"
MAX_WAL_GROWTH_BYTES: Final = 256 * 2**20  # half of what `status` warns of

_MODE: Final = 0o640
_SUM_CHARS: Final = 1000  # the sum and a name
_DRAFT_MODE: Final = 0o600  # its lock is for its owner alone: a reader could take one and keep us out
_STEP_BYTES: Final = 2**20
_READ_BYTES: Final = 16 * 2**20
_SPARE_BYTES: Final = 16 * 2**20  # for the log and the file system's own books
_ROLLBACK_JOURNAL: Final = b"\x01\x01"  # the versions for writing and reading of a file that is not in WAL mode
_VERSIONS_AT: Final = 18  # sqlite.org/fileformat2.html#file_format_version_numbers


class Snapshot(NamedTuple):
    """One that was taken."""

    path: Path
    size_bytes: int
    sha256: str
    symbols: int
    rows: int
    newest_ts_ms: int | None  # None while there is no tick
    replaced: bool  # an older one had the name


def snapshot_path(directory: Path, day: str) -> Path:
    """Where the snapshot of a day (`20261120`) is, or would be."""
    return directory / f"{day}{SUFFIX}"


def sum_path(snapshot: Path) -> Path:
    """Where the SHA-256 of a snapshot is, or would be."""
    return snapshot.with_name(snapshot.name + SUM_SUFFIX)


def take(source: Path, directory: Path, *, keep_free_bytes: int, progress: Progress) -> Snapshot:
    """Copies a day file into a directory, checks the copy and gives it its name; an older one of the day is replaced.

    At least `keep_free_bytes` of the target's disk stay free. Run by root, the files belong to the day file's owner.
    Raises what DayReader raises for the day file; StoreError for a target that cannot be written or has no room, a
    copy that does not pass its check, and an older snapshot that has more ticks, which stays.
    """
    final = snapshot_path(directory, source.stem)
    with DayReader(source) as reader, _draft(final, source) as (draft, fd):
        with _named_errors(directory), reader.snapshot():
            rows = reader.totals().rows
            _refuse_a_loss(final, rows)
            _copy(reader, draft, fd, keep_free_bytes, progress)
        with _named_errors(directory):
            os.pwrite(fd, _ROLLBACK_JOURNAL, _VERSIONS_AT)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # the check reads what is on the disk, not in memory
        size = os.fstat(fd).st_size
        digest = _digest(fd, size, progress)  # first: it brings the file into memory in its order, ten times as fast
        progress("check", size, size)
        totals = _check(draft, source)
        progress("check", size, size)
        replaced = final.exists()
        with _named_errors(directory):
            _publish(draft, final, digest, os.fstat(fd))
    return Snapshot(final, size, digest, totals.symbols, totals.rows, totals.last_ts_ms, replaced)


def read_sum(snapshot: Path) -> str | None:
    """The SHA-256 that a snapshot had when it was taken; None where that was not written or is of another file."""
    try:
        path = sum_path(snapshot)
        if not path.is_file():  # a pipe would wait for a writer
            return None
        with path.open(encoding="utf-8") as file:
            digest, _, name = file.read(_SUM_CHARS).partition("  ")
    except (OSError, ValueError):
        return None
    return digest if name.rstrip("\n") == snapshot.name and len(digest) == 64 else None


@contextmanager
def _draft(final: Path, source: Path) -> Iterator[tuple[Path, int]]:
    """The file to copy into, under a hidden name, and a descriptor of it; gone at the end unless it was renamed.

    The lock keeps a second snapshot of the day away, and ends with its holder: what a killed one left is used anew.
    Close no other descriptor of the draft meanwhile: that would drop SQLite's locks.
    """
    draft = final.with_name(f".{final.name}.partial")
    with _named_errors(final.parent):
        try:
            fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _DRAFT_MODE)
        except PermissionError as error:
            if not draft.exists():
                raise
            raise refused("the unfinished snapshot", draft, error) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(fd), draft.stat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise StoreError(f"another snapshot of {source.stem} is being taken", hint="wait until it has ended")
        try:
            with _named_errors(final.parent):
                os.ftruncate(fd, 0)
                os.fchmod(fd, _DRAFT_MODE)
                _give(fd, source)
            yield draft, fd
        finally:
            if draft.exists() and os.path.samestat(os.fstat(fd), draft.stat()):
                draft.unlink()
    finally:
        os.close(fd)


def _give(fd: int, source: Path) -> None:
    """What root makes belongs to the account that owns the data."""
    if os.geteuid() == 0:
        owner = source.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _refuse_a_loss(final: Path, rows: int) -> None:
    """A day file that was begun anew, after damage, must not cost the better copy that was taken before."""
    if not final.exists():
        return
    try:
        with DayReader(final) as older:
            before = older.totals().rows
    except CollectorError:
        return  # it is of no use
    if before > rows:
        raise StoreError(
            f"{final} has {before:,} ticks and the day file now {rows:,}: it was not replaced",
            hint="move it away, or name another directory with --to",
        )


def _copy(reader: DayReader, draft: Path, fd: int, keep_free_bytes: int, progress: Progress) -> None:
    """All pages as the reader's transaction sees them."""
    wal_limit = _wal_bytes(reader.path) + MAX_WAL_GROWTH_BYTES
    target = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        target.pragma("journal_mode", "off")  # a draft is thrown away, never rolled back
        target.pragma("synchronous", "off")  # it is synced once, when the transaction no longer holds the log
        page_bytes = reader.page_bytes()
        _demand_room(draft.parent, reader.page_count() * page_bytes, keep_free_bytes)
        with reader.backup_into(target) as backup:
            while not backup.done:
                backup.step(_STEP_BYTES // page_bytes)
                total, left = backup.page_count * page_bytes, backup.remaining * page_bytes
                os.posix_fadvise(
                    fd, 0, 0, os.POSIX_FADV_DONTNEED
                )  # begins to write, so that no one commit waits for all
                _demand_room(draft.parent, left, keep_free_bytes)
                if left and _wal_bytes(reader.path) > wal_limit:
                    raise StoreError(
                        f"copying to {draft.parent} is too slow: the write-ahead log grew by "
                        f"{MAX_WAL_GROWTH_BYTES // 2**20} MB meanwhile",
                        hint="name a faster disk with --to, or try again when the market is quiet",
                    )
                progress("copy", total - left, total)
    finally:
        target.close(True)


def _demand_room(directory: Path, needed_bytes: int, keep_free_bytes: int) -> None:
    hint = "name another disk with --to, or free space: hk-tick-collector report tells what may go"
    demand_room(directory, needed_bytes + (_SPARE_BYTES if needed_bytes else 0), keep_free_bytes, hint)


def _check(draft: Path, source: Path) -> Totals:
    """The whole of SQLite's own check, which costs no more than its quick one here, and every symbol's counter."""
    wrong: list[str] = []
    try:
        with DayReader(draft) as copy:
            verdict, totals = copy.integrity(), copy.totals()
            if verdict == "ok":
                wrong = copy.miscounted()
    except StoreError as error:
        verdict = str(error.__cause__ or error)
    if verdict != "ok":
        raise StoreError(f"the copy of {source} does not pass its check ({verdict})", hint="see docs/sqlite-wal.md")
    if wrong:
        raise StoreError(
            f"{source} does not have as many ticks as its table symbols tells, {wrong[0]} for one",
            hint="copy it with sqlite3's .backup and see docs/sqlite-wal.md",
        )
    return totals


def _digest(fd: int, size: int, progress: Progress) -> str:
    digest = hashlib.sha256()
    for offset in range(0, size, _READ_BYTES):
        digest.update(os.pread(fd, _READ_BYTES, offset))
        progress("read", min(offset + _READ_BYTES, size), size)
    return digest.hexdigest()


def _publish(draft: Path, final: Path, digest: str, owner: os.stat_result) -> None:
    """Gives both files their names. At no moment is there a sum of another file, or a snapshot beside a foreign WAL."""
    sums = draft.with_name(draft.name + SUM_SUFFIX)
    fd = os.open(sums, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    try:
        os.write(fd, f"{digest}  {final.name}\n".encode())
        own_and_sync(fd, _MODE, owner)
    finally:
        os.close(fd)
    for suffix in (SUM_SUFFIX, "-wal", "-shm", "-journal"):
        final.with_name(final.name + suffix).unlink(missing_ok=True)
    draft.chmod(_MODE)
    draft.rename(final)
    sums.rename(sum_path(final))
    sync_directory(final.parent)


def _wal_bytes(source: Path) -> int:
    try:
        return source.with_name(source.name + "-wal").stat().st_size
    except OSError:
        return 0


def _named_errors(directory: Path) -> AbstractContextManager[None]:
    """What the system and SQLite refuse while we write there, with a remedy."""

    def words(error: Exception, told: object) -> tuple[str, str]:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return f"there is no directory {directory}", "make it, or name another with --to or SNAPSHOT_DIR"
        if isinstance(error, PermissionError):
            hint = "name a directory of yours with --to, or run it as hkcollector: sudo -u hkcollector"
            return f"no right to write in {directory}", hint
        # Of either disk: SQLite does not tell whose.
        return f"the copy to {directory} failed ({told})", "df -h and dmesg | tail tell more"

    return refusals_named(words)

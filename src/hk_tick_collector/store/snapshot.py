"""Makes a snapshot: a checked copy of a day file, taken while the collector writes.

Enters: a day file, live or sealed. Leaves: `YYYYMMDD.snapshot.db`, one plain file with the state at one moment, and
`YYYYMMDD.snapshot.db.sha256` in the format of `sha256sum`. Neither is ever visible incomplete, even if the process is
killed. The day file is opened read-only. Nothing here logs, waits or retries.

SQLite's backup API copies in steps, and starts over when another process commits between two steps. So all steps are in
one read transaction, and the copy has the state at its start. During the transaction the WAL cannot be reset and grows.
If it has grown by MAX_WAL_GROWTH_BYTES because the target is slow, the copy fails. The collector is not affected. The
measurements of this and other methods are in docs/decisions/0011.
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

    Progress = Callable[[str, int, int], None]  # (name of the step, bytes done, bytes in total)

SUFFIX: Final = ".snapshot.db"
SUM_SUFFIX: Final = ".sha256"
MAX_WAL_GROWTH_BYTES: Final = 256 * 2**20  # half of the size at which `status` warns

_MODE: Final = 0o640
_SUM_CHARS: Final = 1000  # most characters of a SHA-256 file: the sum and a name
_DRAFT_MODE: Final = 0o600  # anyone who can read the draft could lock it, so only its owner can
_STEP_BYTES: Final = 2**20
_READ_BYTES: Final = 16 * 2**20
_SPARE_BYTES: Final = 16 * 2**20  # for the WAL and the metadata of the file system
_ROLLBACK_JOURNAL: Final = b"\x01\x01"  # write version and read version of a file that is not in WAL mode
_VERSIONS_AT: Final = 18  # sqlite.org/fileformat2.html#file_format_version_numbers


class Snapshot(NamedTuple):
    """A finished snapshot."""

    path: Path
    size_bytes: int
    sha256: str
    symbols: int
    rows: int
    newest_ts_ms: int | None  # None if there is no tick
    replaced: bool  # it replaced an older one


def snapshot_path(directory: Path, day: str) -> Path:
    """The path of the snapshot of a day (`20261120`)."""
    return directory / f"{day}{SUFFIX}"


def sum_path(snapshot: Path) -> Path:
    """The path of the SHA-256 of a snapshot."""
    return snapshot.with_name(snapshot.name + SUM_SUFFIX)


def take(source: Path, directory: Path, *, keep_free_bytes: int, progress: Progress) -> Snapshot:
    """Copies a day file into a directory and checks the copy. An older snapshot of the day is replaced.

    At least `keep_free_bytes` of the target's disk stay free. If root runs it, the files get the owner of the day file.
    Raises the errors of DayReader for the day file. Raises StoreError if the target cannot be written or is full, if
    the copy does not pass its check, or if an older snapshot has more ticks; the older one is then kept.
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
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # the check must read from the disk, not from memory
        size = os.fstat(fd).st_size
        digest = _digest(
            fd, size, progress
        )  # before the check: it reads the file sequentially into memory, which is much faster
        progress("check", size, size)
        totals = _check(draft, source)
        progress("check", size, size)
        replaced = final.exists()
        with _named_errors(directory):
            _publish(draft, final, digest, os.fstat(fd))
    return Snapshot(final, size, digest, totals.symbols, totals.rows, totals.last_ts_ms, replaced)


def read_sum(snapshot: Path) -> str | None:
    """The SHA-256 of a snapshot at its creation; None if it does not exist or is of another file."""
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
    """The target file under a hidden name, and a descriptor of it. It is removed at the end unless it was renamed.

    A lock prevents a second snapshot of the same day. The kernel releases it when the process ends, so the draft of a
    killed snapshot is used again. Do not close another descriptor of the draft meanwhile: that would release SQLite's
    locks.
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
    """If root runs this, gives the file to the account that owns the data."""
    if os.geteuid() == 0:
        owner = source.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _refuse_a_loss(final: Path, rows: int) -> None:
    """Raises StoreError if an existing snapshot has more ticks, because the day file was replaced after damage."""
    if not final.exists():
        return
    try:
        with DayReader(final) as older:
            before = older.totals().rows
    except CollectorError:
        return  # it cannot be read
    if before > rows:
        raise StoreError(
            f"{final} has {before:,} ticks and the day file now {rows:,}: it was not replaced",
            hint="move it away, or name another directory with --to",
        )


def _copy(reader: DayReader, draft: Path, fd: int, keep_free_bytes: int, progress: Progress) -> None:
    """Copies all pages in the reader's transaction."""
    wal_limit = _wal_bytes(reader.path) + MAX_WAL_GROWTH_BYTES
    target = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        target.pragma("journal_mode", "off")  # an incomplete draft is deleted, not rolled back
        target.pragma("synchronous", "off")  # it is synced once, after the transaction
        page_bytes = reader.page_bytes()
        _demand_room(draft.parent, reader.page_count() * page_bytes, keep_free_bytes)
        with reader.backup_into(target) as backup:
            while not backup.done:
                backup.step(_STEP_BYTES // page_bytes)
                total, left = backup.page_count * page_bytes, backup.remaining * page_bytes
                os.posix_fadvise(
                    fd, 0, 0, os.POSIX_FADV_DONTNEED
                )  # starts writing to the disk, so that a commit of the collector does not wait for all pages
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
    hint = "name another disk with --to, or free space: hk-tick-collector report lists what may be deleted"
    demand_room(directory, needed_bytes + (_SPARE_BYTES if needed_bytes else 0), keep_free_bytes, hint)


def _check(draft: Path, source: Path) -> Totals:
    """Runs SQLite's full integrity check, which is as fast as the quick one here, and checks every symbol's counter."""
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
            f"{source} does not have as many ticks as its table `symbols` says, for example {wrong[0]}",
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
    """Gives both files their final names. No reader can ever see a SHA-256 of another file, or a WAL of another one."""
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
    """Turns errors while writing to the directory into StoreErrors with a remedy."""

    def words(error: Exception, told: object) -> tuple[str, str]:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return f"there is no directory {directory}", "create it, or name another with --to or SNAPSHOT_DIR"
        if isinstance(error, PermissionError):
            hint = "name a directory of yours with --to, or run it as hkcollector: sudo -u hkcollector"
            return f"no right to write in {directory}", hint
        # SQLite does not say on which of the two disks the error occurred.
        return f"the copy to {directory} failed ({told})", "check both disks: df -h; sudo dmesg | tail"

    return refusals_named(words)

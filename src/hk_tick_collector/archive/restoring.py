"""Restores an archived day as a day file.

Enters: a day in an archive. Leaves: `YYYYMMDD.db`, sealed, mode 0440, with the content that the certificate states. The
new file is read again. It gets its name only if its ticks and its book have the digests of the archive. Archiving it
again gives the same files. An existing file is never replaced.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from hk_tick_collector.errors import ArchiveError, StoreError
from hk_tick_collector.frames.ahead import ahead
from hk_tick_collector.frames.extras import need
from hk_tick_collector.frames.parquet_file import read_ticks
from hk_tick_collector.store import rebuilding
from hk_tick_collector.store.book import write_book
from hk_tick_collector.store.dayfile import SEALED_MODE
from hk_tick_collector.store.disk import demand_room, own_and_sync, refusals_named, sync_directory
from hk_tick_collector.store.query import path_of

from .check import check_day
from .content import columns_of, content_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import ModuleType

    import pyarrow as pa

    from .certificate import Certificate
    from .chain import Chain
    from .places import Place
    from .sshsig import PublicKey
    from .ticks import Progress

_ROW_BYTES: Final = 96  # the size of a row in a day file: the free space is checked before the work begins
_SPARE_BYTES: Final = 16 * 2**20
_READ_BYTES: Final = 2**20
_BESIDE: Final = ("-wal", "-shm", "-journal")
_TO: Final = "name another directory with --to"


class Restored(NamedTuple):
    """A day file that was restored."""

    path: Path
    rows: int
    size_bytes: int
    signer: str  # of the certificate
    verdict: str  # complete, gaps_known or not_provable


def restore_day(
    place: Place, chain: Chain, day: str, directory: Path, signers: Iterable[PublicKey], progress: Progress
) -> Restored:
    """Restores the day into a directory. Raises ArchiveError if the archive's files are not what was signed, StoreError
    if there is a file of that day in the directory or if it cannot be written.
    """
    final = path_of(directory, day)
    _demand_free(final)
    checked = check_day(place, chain, day, signers)
    if checked.certificate is None or checked.faults:
        raise ArchiveError(
            f"{day} is not restored: {checked.faults[0]}",
            hint="hk-tick-collector certificate --check; try another copy",
        )
    certificate = checked.certificate
    with _named_errors(directory), _workspace(directory, day) as space:
        draft, again = space / final.name, space / "book.db"
        book_bytes = _copy(place, certificate.book_name, draft)
        demand_room(directory, certificate.rows * _ROW_BYTES + 2 * book_bytes + _SPARE_BYTES, 0, _TO)
        names = columns_of(place, certificate.ticks_name)
        _fill(place, certificate, draft, rebuilding.begin(draft), progress)
        rebuilding.finish(draft)
        with ThreadPoolExecutor(1) as pool:  # both only read it
            sound = pool.submit(rebuilding.check, draft)
            _demand_same(certificate, names, draft, again, progress)
            sound.result()
        _publish(draft, final)
    return Restored(final, certificate.rows, final.stat().st_size, checked.signer, certificate.verdict)


def _demand_free(final: Path) -> None:
    for each in (final, *(final.with_name(final.name + suffix) for suffix in _BESIDE)):
        if os.path.lexists(each):
            raise StoreError(f"{each} exists: it is not replaced", hint=_TO)


@contextmanager
def _workspace(directory: Path, day: str) -> Iterator[Path]:
    """A hidden directory on the same file system, for one restoration of a day at a time; removed at the end.

    One that a killed run left is emptied and used again.
    """
    space = directory / f".restoring-{day}"
    with suppress(FileExistsError):
        space.mkdir(mode=0o700)
    try:
        fd = os.open(space, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise StoreError(
            f"{space} is a link or a file, and a directory of that name is needed", hint=f"rm {quote_word(str(space))}"
        ) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{day} is being restored by another run", hint="wait until it has ended") from None
        for left in space.iterdir():
            left.unlink()
        try:
            yield space
        finally:
            shutil.rmtree(space, ignore_errors=True)
    finally:
        os.close(fd)


def _copy(place: Place, name: str, target: Path) -> int:
    """Copies a file out of the archive; its size in bytes."""
    with place.open(name) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, _READ_BYTES)
        return file.tell()


def _fill(place: Place, certificate: Certificate, draft: Path, columns: tuple[str, ...], progress: Progress) -> None:
    """Inserts the ticks in the order of their key, through ADBC, which binds the values of a batch in C."""
    driver = need("adbc_driver_sqlite.dbapi", "data")
    marks = ", ".join("?" * len(columns))
    sql = f"INSERT INTO ticks ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of our schema
    from hk_tick_collector.frames.columns import COLUMNS

    outside = {column.stored: column.name for column in COLUMNS}
    names = [outside[name] for name in columns]
    named = f"{place.where}/{certificate.ticks_name}"
    rows = 0
    with (
        place.open(certificate.ticks_name) as source,
        closing(driver.connect(f"file:{quote(str(draft))}", autocommit=True)) as db,
        _errors_of(driver, draft),
        closing(db.cursor()) as cursor,
    ):
        # An unfinished file is useless, so it needs no journal and no syncs: the disk is written once, at the end.
        cursor.execute("PRAGMA journal_mode = off")
        cursor.execute("PRAGMA synchronous = off")
        db.adbc_connection.set_autocommit(False)
        # A day that an earlier version archived may have a value that is refused now: it is restored as it was.
        for batch in ahead(read_ticks(source, columns=names, named=named, as_stored=True)):
            cursor.executemany(sql, _as_stored(batch, columns))
            rows += batch.num_rows
            progress("write", rows, certificate.rows)
        db.adbc_connection.commit()


@contextmanager
def _errors_of(driver: ModuleType, draft: Path) -> Iterator[None]:
    """Turns errors of the database driver, such as a full disk, into StoreErrors."""
    try:
        yield
    except driver.Error as error:
        words = " ".join(str(error).split())[:200]
        raise StoreError(
            f"cannot write {draft.name} ({words})", hint=f"df -h {quote_word(str(draft.parent.parent))}"
        ) from error


def _as_stored(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.RecordBatch:
    """The same columns under the names of the table `ticks`; times as UTC epoch ms."""
    import pyarrow as pa

    arrays: list[Any] = [
        array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _demand_same(
    certificate: Certificate, names: tuple[str, ...], draft: Path, again: Path, progress: Progress
) -> None:
    """Reads the new file as `archive` does: ticks and book must be those of the certificate."""
    content = content_of(draft, names, certificate.rows, progress)
    write_book(draft, again)
    with again.open("rb") as file:
        book = hashlib.file_digest(file, "sha256").hexdigest()
    if content != certificate.content or book != certificate.files[certificate.book_name]:
        what = "ticks" if content != certificate.content else "tables beside the ticks"
        raise ArchiveError(
            f"the {what} of the restored {certificate.day} are not those of the certificate: nothing was restored",
            hint="restore it with the version of hk-tick-collector that archived it, or from another copy",
        )


def _publish(draft: Path, final: Path) -> None:
    """Gives the file its name, unless another file has got that name meanwhile."""
    fd = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
    try:
        own_and_sync(fd, SEALED_MODE, final.parent.stat())
    finally:
        os.close(fd)
    _demand_free(final)
    try:
        os.link(draft, final)  # never replaces a file
    except FileExistsError:
        raise StoreError(f"{final} exists: it is not replaced", hint=_TO) from None
    sync_directory(final.parent)


def _named_errors(directory: Path) -> AbstractContextManager[None]:
    def words(error: Exception, told: object) -> tuple[str, str]:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return f"there is no directory {directory}", f"create it, or {_TO}"
        if isinstance(error, PermissionError):
            return f"no right to write in {directory}", f"{_TO}, or run it as hkcollector: sudo -u hkcollector"
        return f"the day cannot be restored in {directory} ({told})", "check the disk: df -h; sudo dmesg | tail"

    return refusals_named(words)

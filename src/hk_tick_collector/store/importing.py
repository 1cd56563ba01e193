"""Imports a day file of the predecessor: creates a new day file, checks it row by row, and puts it into DATA_ROOT.

Enters: the predecessor's file. Leaves: `YYYYMMDD.db` with its ticks, and its other rows in separate tables; and the old
file under a new name. The new file is created in a hidden directory of DATA_ROOT and moved into place in one step. So
an interrupted import never leaves a partial file, and the next call starts again.

If a day file of ours already exists, the new file is a copy of it with the predecessor's ticks added. A stored tick is
not replaced by another one with the same key. Nothing here logs. Memory does not grow with the number of rows.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector import market
from hk_tick_collector.errors import StoreError

from . import foreign
from .collector_lock import LOCK_NAME, OwnerLock
from .dayfile import Batch, DayFile, StoreOptions, make_plain
from .disk import demand_room, own_and_sync, refusals_named, sync_directory
from .faults import diagnose
from .predecessor import CONFLICT, place
from .predecessor_rows import BesideRow, read_beside
from .query import DayReader, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hk_tick_collector.model import Tick, TickRow

    from .predecessor import Source, SourceRow

    Judge = Callable[[Path, int], Batch]  # (directory, day) → the gaps and rules of the day's file there
    Progress = Callable[[int, int], None]  # (rows done, rows in total); may raise to stop the import

_BATCH_ROWS: Final = 20_000
_DRAFTS: Final = ".import-"
_MODE: Final = 0o640
_LOCK_S: Final = 10.0
_SPARE_BYTES: Final = 16 * 2**20
META_PREDECESSOR: Final = "predecessor"  # the name of the file whose rows were imported


@dataclass(slots=True)
class Imported:
    """The results of the rows of one file: rows = stored + duplicate + the rows of `beside`."""

    day: str
    rows: int = 0
    stored: int = 0
    duplicate: int = 0  # already in the day file
    beside: Counter[str] = field(default_factory=Counter)  # cause → number of rows that cannot be ticks
    shifted: int = 0  # ticks whose time was corrected by eight hours
    without_recv: int = 0  # ticks of a file without a time of receipt
    gaps: int = 0
    missing: int = 0  # ticks that are missing in the day file, as far as the sequences show it
    merged: bool = False  # a day file of ours existed before


def import_day(
    source: Source, data_root: Path, *, now_ms: int, version: str, judge: Judge, progress: Progress, keep_free: int
) -> tuple[Imported, Path]:
    """Imports one file. Returns the results of its rows, and the new path of the old file.

    `judge` finds the gaps of the new file. At least `keep_free` bytes of the disk stay free. Raises StoreError, without
    changing anything, for a full disk, a sealed day, or a new file that does not have every row.
    """
    day = source.day()
    target, in_place = path_of(data_root, day), False
    with suppress(FileNotFoundError):
        in_place = target.samefile(source.path)
    there = not in_place and target.exists()
    rows = source.count()
    _demand_room(data_root, [source.path, *([target] if there else [])], keep_free)
    with _alone(data_root, target, there=there), _draft(data_root, day) as directory, _named_errors(data_root):
        draft = path_of(directory, day)
        if there:
            _copy(target, draft)
            _demand_own_name(source, draft)
        result = _fill(source, draft, Imported(day, rows, merged=there), now_ms, version, progress)
        _judge(draft, source_name(source), result, judge, now_ms, version)
        _verify(source, draft, result)
        _give(draft, data_root)
        kept = source.path = _publish(draft, source.path, target, now_ms, in_place=in_place, there=there)
    return result, kept


def hand_over(source: Source, data_root: Path, now_ms: int) -> Path:
    """Puts a copy of the file into `data_root`, where the running collector imports it. Returns the path of the copy.

    A file that is already waiting there is not copied. Raises StoreError when the copy cannot be written.
    """
    if source.path.parent == data_root and foreign.is_kept(source.path):
        return source.path
    day = source.day()
    _demand_room(data_root, [source.path], 0)
    with _draft(data_root, day) as directory, _named_errors(data_root):
        draft = path_of(directory, day)
        source.copy(draft)
        _give(draft, data_root)
        target = foreign.kept_path(path_of(data_root, day), now_ms, waiting=True)
        with foreign.names_held(data_root, _LOCK_S):
            draft.rename(target)
            sync_directory(data_root)
    return target


def sorted_out(
    rows: list[SourceRow], source: Source, day: int, result: Imported
) -> tuple[list[TickRow], list[BesideRow]]:
    """Converts rows to ticks; returns the ticks and the other rows. Counts them in `result`, except for `stored`."""
    ticks: list[TickRow] = []
    beside: list[BesideRow] = []
    for row in rows:
        placed = place(row, day)
        if placed.tick is None:
            beside.append(BesideRow(source_name(source), row.row_id, placed.cause, row.values))
            result.beside[placed.cause] += 1
            continue
        result.shifted += placed.shifted
        result.without_recv += not source.has_recv
        ticks.append(placed.tick)
    return ticks, beside


def source_name(source: Source) -> str:
    """The name of a file in `meta` and in the separate tables: its name after the import."""
    return foreign.imported_path(source.path).name


def batches(source: Source) -> Iterator[list[SourceRow]]:
    """All rows of a file, in batches."""
    rows = source.rows()
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield batch


def _demand_own_name(source: Source, draft: Path) -> None:
    """StoreError if other rows were imported under the name of this file: the separate tables know rows by it."""
    name = source_name(source)
    with closing(apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        imported = read_beside(db, name)
        expected = next(imported, None)
        for row in source.rows(expected.row_id - 1) if expected else ():
            if expected is None or row.row_id > expected.row_id:
                break
            if row.row_id == expected.row_id:
                if row.values != expected.values:
                    break
                expected = next(imported, None)
    if expected is not None:
        raise StoreError(
            f"another file named {name} was imported into this day before",
            hint=f"rename it, with its -wal if it has one, like {name}.2, and import it again",
        )


def _fill(source: Source, draft: Path, result: Imported, now_ms: int, version: str, progress: Progress) -> Imported:
    """Stores every row in the draft."""
    number, done = market.parse_day(result.day), 0
    file = DayFile(draft, result.day, f"import-{now_ms}", now_ms, version, StoreOptions())
    try:
        for rows in batches(source):
            ticks, beside = sorted_out(rows, source, number, result)
            written = file.write(Batch(rows=ticks, beside=beside), now_ms)
            if written.conflicts:
                lost = conflicting(rows, source, number, written.conflicts)
                result.beside[CONFLICT] += len(lost)
                file.write(Batch(beside=lost), now_ms)
            result.stored += written.stored
            result.duplicate += written.duplicate
            done += len(rows)
            progress(done, result.rows)
        plain = file.close()
    except BaseException:
        file.abandon()
        raise
    if not plain:
        raise StoreError(f"another process has {draft} open", hint=f"sudo fuser -v {quote_word(str(draft))}")
    return result


def conflicting(rows: list[SourceRow], source: Source, day: int, refused: Sequence[TickRow]) -> list[BesideRow]:
    """The rows from which the ticks `refused` were made. Equal rows are matched one to one."""
    left = Counter(refused)
    found = []
    for row in rows:
        tick = place(row, day).tick
        if tick is not None and left[tick] > 0:
            left[tick] -= 1
            found.append(BesideRow(source_name(source), row.row_id, CONFLICT, row.values))
    return found


def _judge(draft: Path, name: str, result: Imported, judge: Judge, now_ms: int, version: str) -> None:
    """Writes the gaps and rules of the new file, as the collector would."""
    batch = judge(draft.parent, market.parse_day(result.day))
    batch.meta = {META_PREDECESSOR: name}
    file = DayFile(draft, result.day, f"import-{now_ms}", now_ms, version, StoreOptions())
    try:
        file.write(batch, now_ms)
        result.gaps, result.missing = file.gaps_open, file.gaps_missing
        file.close()
    except BaseException:
        file.abandon()
        raise


def _verify(source: Source, draft: Path, result: Imported) -> None:
    """Compares both files row by row. Raises StoreError if a row is missing or changed in the new file."""
    _verify_beside(source, draft, result)
    db = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READONLY)
    with closing(db), DayReader(draft) as reader:
        if (verdict := reader.integrity()) != "ok" or (miscounted := reader.miscounted()):
            raise _wrong(source, verdict if verdict != "ok" else f"the counters of {miscounted[0]} are wrong")
        _verify_ticks(source, reader, db, market.parse_day(result.day), merged=result.merged)


def _verify_ticks(source: Source, reader: DayReader, db: apsw.Connection, day: int, *, merged: bool) -> None:
    """Checks that each tick of the old file is in the new one, or in the separate table as a conflict."""
    stored = reader.ticks_by_key()
    has: Tick | None = next(stored, None)
    before: tuple[str, int] | None = None
    others: dict[TickRow, SourceRow] = {}  # ticks stored with a difference: the trade must be the same

    def check_others() -> None:
        for tick in reader.compare(list(others)).differing:
            if not _is_beside(db, source, others[tick]):
                raise _wrong(source, f"{tick[0]} {tick[1]} is a different tick in the new file")
        others.clear()

    for row in source.rows_by_key():
        tick = place(row, day).tick
        if tick is None:
            continue
        key = (tick[0], tick[1])
        while has is not None and (has.symbol, has.seq) < key:
            has = next(stored, None)
        if has is None or (has.symbol, has.seq) != key:
            raise _wrong(source, f"{tick[0]} {tick[1]} is missing in the new file")
        if tuple(has) == tick:
            before = key
            continue
        if key != before and not merged:
            raise _wrong(source, f"{tick[0]} {tick[1]} was changed")
        others[tick] = row
        if len(others) >= _BATCH_ROWS:
            check_others()
    check_others()


def _is_beside(db: apsw.Connection, source: Source, row: SourceRow) -> bool:
    sql = "SELECT EXISTS (SELECT 1 FROM rows_not_imported WHERE source = ? AND source_rowid = ? AND cause = ?)"
    return db.table_exists("main", "rows_not_imported") is not None and bool(
        db.execute(sql, (source_name(source), row.row_id, CONFLICT)).get
    )


def _verify_beside(source: Source, draft: Path, result: Imported) -> None:
    """Checks that the rows in the separate tables are complete and unchanged, and that no tick is among them."""
    day = market.parse_day(result.day)
    db = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READONLY)
    with closing(db):
        kept = read_beside(db, source_name(source))
        has = next(kept, None)
        for row in source.rows():
            placed = place(row, day)
            cause = placed.cause if placed.tick is None else CONFLICT
            if has is not None and has.row_id == row.row_id:
                if has.values != row.values or has.cause != cause:
                    raise _wrong(source, f"row {row.row_id} was changed")
                has = next(kept, None)
            elif placed.tick is None:
                raise _wrong(source, f"row {row.row_id} ({placed.cause}) is missing in the new file")
        if has is not None:
            raise _wrong(source, f"row {has.row_id} is in the new file and not in the old one")


def _wrong(source: Source, what: str) -> StoreError:
    return StoreError(
        f"the new file for {source.path} differs from the old one: {what}",
        hint="nothing was changed; please report this",
    )


@contextmanager
def _draft(data_root: Path, day: str) -> Iterator[Path]:
    """A hidden directory for the new file, removed at the end. Files of a killed import are removed first."""
    directory = data_root / f"{_DRAFTS}{day}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise StoreError(
            f"cannot write in {data_root} ({error.strerror})", hint="run it with sudo, or name a directory with --to"
        ) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another import of {day} is running", hint="wait until it has ended") from None
        _empty(directory)
        try:
            yield directory
        finally:
            _empty(directory)
            with suppress(OSError):
                directory.rmdir()
    finally:
        os.close(fd)


def clear_drafts(data_root: Path) -> None:
    """Removes the directories of killed imports; that of a running import is kept."""
    for directory in data_root.glob(f"{_DRAFTS}*"):
        with suppress(OSError, StoreError), _draft(data_root, directory.name.removeprefix(_DRAFTS)):
            pass


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


def _copy(ours: Path, draft: Path) -> None:
    """Copies a day file of ours, as it is now."""
    with DayReader(ours) as reader, reader.snapshot(), closing(apsw.Connection(str(draft))) as db:
        with reader.backup_into(db) as backup:
            while not backup.done:
                backup.step(256)
        db.pragma("journal_mode", "delete")


@contextmanager
def _alone(data_root: Path, target: Path, *, there: bool) -> Iterator[None]:
    """Makes sure that no process writes our existing day file, and makes it one plain file. Raises OwnedError while a
    collector runs.
    """
    if not there:
        yield
        return
    with DayReader(target) as reader:
        if reader.is_sealed():
            raise StoreError(
                f"{target} is sealed: no ticks can be added to a finished day",
                hint="both files are unchanged; --to DIRECTORY creates a separate file elsewhere",
            )
    lock = OwnerLock(data_root, f"pid {os.getpid()}, an import of {target.name}")
    try:
        if os.geteuid() == 0:
            owner = data_root.stat()
            os.chown(data_root / LOCK_NAME, owner.st_uid, owner.st_gid)
        with _named_errors(data_root):
            plain = make_plain(target, StoreOptions())
        if not plain:
            raise StoreError(f"another process has {target} open", hint=f"sudo fuser -v {quote_word(str(target))}")
        yield
    finally:
        lock.release()


def _demand_room(data_root: Path, files: list[Path], keep_free: int) -> None:
    needed = _SPARE_BYTES
    for file in files:
        for path in (file, file.with_name(f"{file.name}-wal")):
            with suppress(OSError):
                needed += path.stat().st_size
    demand_room(data_root, needed, keep_free, "free space, or name a directory on another disk with --to")


def _give(draft: Path, data_root: Path) -> None:
    """Gives the new file to the account of the service, also if root created it, and syncs it."""
    fd = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    try:
        own_and_sync(fd, _MODE, data_root.stat())
    finally:
        os.close(fd)


def _publish(draft: Path, source: Path, target: Path, now_ms: int, *, in_place: bool, there: bool) -> Path:
    """Moves the new file into place, renames the old one, and returns the new path of the old one."""
    with foreign.names_held(target.parent, _LOCK_S):
        if in_place:
            if not target.exists() or not target.samefile(source):
                raise StoreError(f"{target} was removed or replaced meanwhile", hint="import it again")
            kept = foreign.kept_path(source, now_ms, waiting=True)  # until the new file is in place
            foreign.keep(source, kept)
        else:
            kept = source
        if there:
            draft.replace(target)
        else:
            try:
                os.link(draft, target)
            except FileExistsError:
                raise StoreError(
                    f"{target} was created meanwhile by the collector", hint=f"import again: {kept}"
                ) from None
            draft.unlink()
        if foreign.is_kept(kept) and kept.parent == target.parent and foreign.imported_path(kept) != kept:
            kept, waiting = foreign.imported_path(kept), kept
            foreign.keep(waiting, kept)
        sync_directory(target.parent)
    return kept


def _named_errors(directory: Path) -> AbstractContextManager[None]:
    def words(error: Exception, told: object) -> tuple[str, str]:
        text = f"the new file in {directory} cannot be written ({diagnose(error)[0]}: {told}); nothing was changed"
        return text, f"df -h {quote_word(str(directory))}; sudo dmesg | tail"

    return refusals_named(words)

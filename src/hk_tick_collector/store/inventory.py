"""Surveys the files on disk: day files, snapshots, damaged files, the spool. Reads sizes and counters, but no ticks.

Enters: the directories. Leaves: facts. Changes nothing. With `read_snapshots` every snapshot is read once, to check its
SHA-256.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import CollectorError, NoDayError, PredecessorFileError, StoreError

from .foreign import NOT_IMPORTED, import_steps, list_kept
from .query import DayReader, list_days, path_of
from .snapshot import SUFFIX, read_sum, snapshot_path
from .spool_segments import segments_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NO_SNAPSHOT: Final = "none"
NO_SUM: Final = "no_sum"  # the snapshot has no SHA-256 file
DIFFERS: Final = "differs"  # its content does not match the SHA-256
UNREADABLE: Final = "unreadable"
BEHIND: Final = "behind"  # it has fewer ticks than the day file
GOOD: Final = "good"

KEEP_DAYS: Final = 30  # the newest days with a file, which `prune` leaves unless told otherwise: six weeks of trading

_PARTIAL: Final = f".*{SUFFIX}.partial*"


class KeptDay(NamedTuple):
    """One day file, and its snapshot."""

    day: str
    size_bytes: int  # its WAL included
    sealed: bool
    rows: int | None  # None if the file cannot be read
    problem: str  # why it cannot be read
    snapshot: str  # one of the words above
    snapshot_bytes: int
    remedy: str = ""  # of the problem
    problem_zh: str = ""
    is_predecessors: bool = False  # it is a file of the predecessor and can be imported


class Kept(NamedTuple):
    """All files on disk."""

    days: list[KeptDay]  # oldest first
    damaged: list[Path]  # day files that were set aside, without their WALs
    damaged_bytes: int
    spool_files: int
    spool_bytes: int
    partial: list[Path]  # files of killed snapshots
    disk_bytes: int
    free_bytes: int
    same_disk: bool  # snapshots are on the disk of the day files
    data_root: Path
    not_imported: list[Path]  # files of the predecessor that wait for import
    imported: list[Path]  # files of the predecessor that were imported and are still kept
    imported_bytes: int
    import_steps: str  # the commands to import the predecessor's files


def survey(data_root: Path, snapshot_dir: Path, spool_dir: Path, *, read_snapshots: bool) -> Kept:
    """The files that exist now. Raises StoreError if DATA_ROOT does not exist or cannot be read."""
    try:
        root = data_root.stat()
        disk = shutil.disk_usage(data_root)
    except OSError as error:
        raise StoreError(f"cannot read DATA_ROOT {data_root} ({error.strerror})", hint="check DATA_ROOT") from error
    damaged = sorted(path for path in data_root.glob("*.db.damaged-*") if not path.name.endswith(("-wal", "-shm")))
    try:
        spool = segments_below(spool_dir)
    except OSError as error:
        raise StoreError(
            f"cannot read SPOOL_DIR {spool_dir} ({error.strerror})", hint=f"ls -ld {quote_word(str(spool_dir))}"
        ) from error
    kept = list_kept(data_root)
    waiting = [path for path in kept if path.name.endswith(NOT_IMPORTED)]
    imported = [path for path in kept if path not in waiting]
    days = [_day(data_root, snapshot_dir, day, read=read_snapshots) for day in list_days(data_root)]
    former = [path_of(data_root, day.day) for day in days if day.is_predecessors]
    return Kept(
        data_root=data_root,
        days=days,
        damaged=damaged,
        damaged_bytes=_bytes(data_root.glob("*.db.damaged-*")),
        not_imported=waiting,
        imported=imported,
        imported_bytes=_bytes([*imported, *(path.with_name(f"{path.name}-wal") for path in imported)]),
        spool_files=len(spool),
        spool_bytes=_bytes(spool),
        partial=sorted(snapshot_dir.glob(_PARTIAL)) if snapshot_dir.is_dir() else [],
        disk_bytes=disk.total,
        free_bytes=disk.free,
        import_steps=import_steps(data_root, [*former, *waiting]),
        same_disk=snapshot_dir.is_dir() and snapshot_dir.stat().st_dev == root.st_dev,
    )


def _day(data_root: Path, snapshot_dir: Path, day: str, *, read: bool) -> KeptDay:
    path, copy = path_of(data_root, day), snapshot_path(snapshot_dir, day)
    rows, problem = _rows(path)
    try:
        sealed = not path.stat().st_mode & stat.S_IWUSR
    except OSError:
        sealed = False
    return KeptDay(
        day=day,
        size_bytes=_bytes([path, path.with_name(path.name + "-wal")]),
        sealed=sealed,
        rows=rows,
        problem=str(problem or ""),
        remedy=problem.hint if problem else "",
        problem_zh=problem.zh if problem else "",
        is_predecessors=isinstance(problem, PredecessorFileError),
        snapshot=_snapshot(copy, rows, read=read),
        snapshot_bytes=_bytes([copy]),
    )


def _rows(path: Path, *, finished: bool = False) -> tuple[int | None, CollectorError | None]:
    try:
        with DayReader(path, finished=finished) as reader:
            return reader.totals().rows, None
    except CollectorError as error:
        return None, error


def _snapshot(copy: Path, rows: int | None, *, read: bool) -> str:
    if not copy.exists():
        return NO_SNAPSHOT
    expected = read_sum(copy)
    if expected is None:
        return NO_SUM  # for example a copy that was made by hand
    copied, _ = _rows(copy, finished=True)  # without a WAL, like the SHA-256
    if copied is None:
        return UNREADABLE
    if read:
        with copy.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                return DIFFERS
    return BEHIND if rows is not None and copied < rows else GOOD


def _bytes(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:
            continue  # removed meanwhile, or not accessible
    return total


def still_predecessors(data_root: Path, days: Sequence[str]) -> list[str]:
    """The days (`20261120`) among `days` whose file is still the predecessor's, or cannot be read now."""
    return [day for day in days if not _is_ours(path_of(data_root, day))]


def _is_ours(path: Path) -> bool:
    try:
        with DayReader(path):
            return True
    except NoDayError:
        return True
    except StoreError:
        return False

"""What is kept on disk: day files, their snapshots, damaged files, the spool. Sizes and counters; no tick is read.

Enters: the directories. Leaves: facts. Changes nothing. With `read_snapshots` every snapshot is read once, for its sum.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import CollectorError, NoDayError, PredecessorFileError, StoreError

from .foreign import NOT_IMPORTED, list_kept
from .query import DayReader, list_days, path_of
from .snapshot import SUFFIX, read_sum, snapshot_path
from .spool_segments import segments_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NO_SNAPSHOT: Final = "none"
NO_SUM: Final = "no_sum"  # there is one, and no SHA-256 of it
DIFFERS: Final = "differs"  # its content is not what the SHA-256 is of
UNREADABLE: Final = "unreadable"
BEHIND: Final = "behind"  # it has fewer ticks than the day file
GOOD: Final = "good"

_PARTIAL: Final = f".*{SUFFIX}.partial*"


class KeptDay(NamedTuple):
    """One day file, and its snapshot."""

    day: str
    size_bytes: int  # its WAL included
    sealed: bool
    rows: int | None  # None where the file cannot be read
    problem: str  # and why
    snapshot: str  # one of the words above
    snapshot_bytes: int
    remedy: str = ""  # of the problem
    is_predecessors: bool = False  # it is the predecessor's, and can be imported


class Kept(NamedTuple):
    """All that is kept."""

    days: list[KeptDay]  # oldest first
    damaged: list[Path]  # day files that were set aside, without their WALs
    damaged_bytes: int
    spool_files: int
    spool_bytes: int
    partial: list[Path]  # what a killed snapshot left
    disk_bytes: int
    free_bytes: int
    same_disk: bool  # snapshots go to the disk of the day files
    data_root: Path
    not_imported: list[Path]  # files of the predecessor that were set aside
    imported: list[Path]  # and those that are kept although they are imported
    imported_bytes: int


def survey(data_root: Path, snapshot_dir: Path, spool_dir: Path, *, read_snapshots: bool) -> Kept:
    """What is there now. StoreError for a DATA_ROOT that is not there or cannot be read."""
    try:
        root = data_root.stat()
        disk = shutil.disk_usage(data_root)
    except OSError as error:
        raise StoreError(f"cannot read DATA_ROOT {data_root} ({error.strerror})", hint="check DATA_ROOT") from error
    damaged = sorted(path for path in data_root.glob("*.db.damaged-*") if not path.name.endswith(("-wal", "-shm")))
    try:
        spool = segments_below(spool_dir)
    except OSError as error:
        raise StoreError(f"cannot read SPOOL_DIR {spool_dir} ({error.strerror})", hint=f"ls -ld {spool_dir}") from error
    kept = list_kept(data_root)
    waiting = [path for path in kept if path.name.endswith(NOT_IMPORTED)]
    imported = [path for path in kept if path not in waiting]
    return Kept(
        data_root=data_root,
        days=[_day(data_root, snapshot_dir, day, read=read_snapshots) for day in list_days(data_root)],
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
        return NO_SUM  # as one that was made by hand
    copied, _ = _rows(copy, finished=True)  # the sum, too, is of the file alone
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
            continue  # gone meanwhile, or closed to us
    return total


def still_predecessors(data_root: Path, days: Sequence[str]) -> list[str]:
    """Those days (`20261120`) whose file is the predecessor's still, or cannot be read now."""
    return [day for day in days if not _is_ours(path_of(data_root, day))]


def _is_ours(path: Path) -> bool:
    try:
        with DayReader(path):
            return True
    except NoDayError:
        return True
    except StoreError:
        return False

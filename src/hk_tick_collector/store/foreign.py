"""Files at the path of a day file that are not ours: which program they belong to, the command for the operator, and
how they are renamed.

The predecessor is another collector with the same file names. `import` can add the ticks of its day files to ours. A
file of any other program only has to be moved away. None of these files is ever deleted.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import stat
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import ForeignFileError, NoDayError, PredecessorFileError

from .disk import open_without_waiting, sync_directory
from .locks import Holder, blocker, describe, descriptor_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import apsw

# The columns by which the predecessor's table `ticks` is recognised.
_ITS_COLUMNS: Final = frozenset({"market", "symbol", "ts_ms", "seq", "price", "volume", "turnover", "trading_day"})
NOT_IMPORTED: Final = ".not-imported"
_KEPT: Final = re.compile(r"[0-9]{8}\.db\.predecessor-[0-9TZ]+(-[0-9]+)?(\.not-imported)?")
_PARTS: Final = ("-wal", "-shm", "-journal")
_LOCK_POLL_S: Final = 0.02


def is_predecessors(db: apsw.Connection) -> bool:
    """Whether a database is a day file of the predecessor. Raises apsw.Error."""
    if db.pragma("application_id"):
        return False
    # A view or a virtual table is not read: it may return rows without end.
    made = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ticks' AND type = 'table' AND rootpage > 0").get
    columns = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('ticks')")} if made else frozenset()
    return columns >= _ITS_COLUMNS and not db.table_exists("main", "meta")


def foreign_file(db: apsw.Connection, path: Path) -> ForeignFileError:
    """The error to raise for a database without our application_id."""
    if is_predecessors(db):
        holder = in_use_by(path)
        where = f", open in {holder.words()}" if holder else ""
        where_zh = f"，由 {holder.words()} 開啟中" if holder else ""
        return PredecessorFileError(
            f"{path} is a day file of the predecessor{where}",
            hint=import_steps(path, [path]),
            zh=f"{path} 是原有程式的日檔{where_zh}",
        )
    return ForeignFileError(
        f"{path} is another program's database", hint=move_command(path), zh=f"{path} 是其他程式的資料庫"
    )


def not_sqlite(path: Path) -> ForeignFileError:
    """The error to raise for a file that is not a database."""
    return ForeignFileError(f"{path} is not an SQLite file", hint=move_command(path), zh=f"{path} 不是 SQLite 檔")


def no_file_here(path: Path, mode: int) -> ForeignFileError:
    """The error to raise for a directory or a special file, by its mode."""
    kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
    kind_zh = "是目錄" if stat.S_ISDIR(mode) else "不是一般檔案"
    return ForeignFileError(f"{path} is {kind}", hint=move_command(path), zh=f"{path} {kind_zh}")


def demand_files_beside(path: Path) -> None:
    """Raises ForeignFileError if one of SQLite's files beside a database is not a regular file: a FIFO would block."""
    for suffix in ("-journal", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        with suppress(OSError):
            mode = beside.stat().st_mode
            if not stat.S_ISREG(mode):
                raise no_file_here(beside, mode)


def waiting_for(path: Path) -> NoDayError | None:
    """The error to raise when the file of a day is missing but a predecessor's file of that day waits for import."""
    with suppress(OSError):
        waiting = [kept for kept in list_waiting(path.parent) if kept.name.startswith(f"{path.name}.")]
        if waiting:
            return NoDayError(
                f"there is no {path}: the predecessor's file of that day is not imported yet",
                hint=import_steps(waiting[-1], waiting),
                zh=f"沒有 {path}：該日屬原有程式的日檔仍未匯入",
            )
    return None


def import_command(path: Path) -> str:
    """The command to import a file or a directory of the predecessor."""
    return f"sudo hk-tick-collector import {shlex.quote(str(path))}"


def import_steps(path: Path, files: Iterable[Path]) -> str:
    """The commands to import a file or a directory: before, end the process that has one of `files` open.

    No file is imported while its program may still write to it.
    """
    for file in files:
        if holder := in_use_by(file):
            return f"{holder.end_command(file)}; {import_command(path)}"
    return import_command(path)


def move_command(path: Path) -> str:
    """The command to move away any other file at the path of a day file.

    It moves SQLite's files beside it first and the file itself last, so that SQLite cannot apply the WAL to a new file.
    It does not overwrite a file that was moved away earlier.
    """
    db = shlex.quote(str(path))
    return (
        f'd={db}.aside-$(date +%H%M%S); sudo mkdir "$d";'
        f' for f in {db}{{-journal,-wal,-shm,}}; do [ ! -e "$f" ] || sudo mv "$f" "$d"/; done'
    )


def kept_path(path: Path, now_ms: int, *, waiting: bool) -> Path:
    """The new path of a predecessor's day file: `20261120.db.predecessor-TIME`, with a suffix while it is not imported.

    If an interrupted rename already gave the file such a name, that name is returned.
    """
    kept = [other for other in path.parent.glob(f"{path.name}.predecessor-*") if _KEPT.fullmatch(other.name)]
    with suppress(OSError):
        for other in kept:
            if other.samefile(path):
                return other
    name = aside_name(path, "predecessor", now_ms, {imported_path(other).name for other in kept})
    return path.with_name(name + NOT_IMPORTED * waiting)


def aside_name(path: Path, what: str, now_ms: int, taken: set[str]) -> str:
    """The new name of a file that is set aside, like `20261120.db.damaged-20261120T020304Z`, and not in `taken`."""
    stem = f"{path.name}.{what}-{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}"
    return next(name for name in (stem, *(f"{stem}-{number}" for number in range(2, 1000))) if name not in taken)


def imported_path(path: Path) -> Path:
    """The path of a kept file after its import."""
    return path.with_name(path.name.removesuffix(NOT_IMPORTED))


def is_kept(path: Path) -> bool:
    """Whether a file has the name of a predecessor's day file that was set aside."""
    return _KEPT.fullmatch(path.name) is not None


def list_kept(data_root: Path) -> list[Path]:
    """The predecessor's files that were set aside, oldest day first. Raises OSError."""
    return sorted(path for path in data_root.iterdir() if is_kept(path))


def list_waiting(data_root: Path) -> list[Path]:
    """The files of `list_kept` that are not imported yet."""
    return [path for path in list_kept(data_root) if path.name.endswith(NOT_IMPORTED)]


def keep(path: Path, target: Path) -> None:
    """Renames a file together with SQLite's files beside it, so that it always keeps its WAL.

    The file has both names while its WAL is renamed. So an interrupted rename can be continued by the next call. Raises
    OSError.
    """
    _drop_empty_log(path)
    if not target.exists():
        with suppress(OSError):  # a file system without links, or a file of another account
            os.link(path, target, follow_symlinks=False)
    for suffix in _PARTS:
        part, new = path.with_name(path.name + suffix), target.with_name(target.name + suffix)
        if part.exists() and not new.exists():
            part.rename(new)
        elif part.exists() and not part.stat().st_size:
            part.unlink()  # created by a reader after the WAL was renamed
        elif part.exists():
            part.rename(new.with_name(f"{new.name}.later"))
    if target.exists():
        path.unlink(missing_ok=True)
    else:
        path.rename(target)
    sync_directory(path.parent)


def _drop_empty_log(path: Path) -> None:
    """Removes an empty WAL and its shm, which a reader of a file in WAL mode leaves, if no process has them open."""
    wal = path.with_name(f"{path.name}-wal")
    with suppress(FileNotFoundError):
        if not wal.stat().st_size and opener(path) is None:
            wal.unlink()
            path.with_name(f"{path.name}-shm").unlink()


@contextmanager
def names_held(directory: Path, wait_s: float) -> Iterator[None]:
    """A lock between the service and `import`, so that only one of them renames files of the predecessor at a time.

    Both hold it for milliseconds. If it is held for longer than `wait_s`, another program holds it, and it is ignored.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    break
                time.sleep(_LOCK_POLL_S)
            else:
                break
        yield
    finally:
        os.close(fd)


def in_use_by(path: Path) -> Holder | None:
    """The process, no collector, that has a database open; None if none has."""
    holder = opener(path)
    return None if holder is None or holder.is_collector else holder


def opener(path: Path) -> Holder | None:
    """Another process that has a database open; None if no process has.

    A connection in WAL mode always holds a lock on the shm file; in other modes it holds one while it reads or writes.
    F_GETLK is used, because the unit of the service hides /proc/locks. No lock is taken. If this process has the file
    open itself, that descriptor is used: closing another one would release its locks.
    """
    for part in (path.with_name(f"{path.name}-shm"), path):
        ours = descriptor_of(part)
        with suppress(FileNotFoundError, PermissionError):
            fd = open_without_waiting(part) if ours is None else ours
            try:
                pid = blocker(fd, fcntl.F_WRLCK, 0, 0)  # the whole file
            finally:
                if ours is None:
                    os.close(fd)
            if pid is not None:
                return describe(pid)
    return None

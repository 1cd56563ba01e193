"""Files that are in the place of a day file and none of ours: whose they are, what to type, how they are kept aside.

The predecessor is another collector with the same names of files. Its day file holds ticks that `import` can bring
into ours; any other program's file only stands in the way. Nothing of either is ever deleted.
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

from .durable import sync_directory
from .locks import blocker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import apsw

# The columns that tell the predecessor's table `ticks` from ours and from any other.
_ITS_COLUMNS: Final = frozenset({"market", "symbol", "ts_ms", "seq", "price", "volume", "turnover", "trading_day"})
NOT_IMPORTED: Final = ".not-imported"
_KEPT: Final = re.compile(r"[0-9]{8}\.db\.predecessor-[0-9TZ]+(-[0-9]+)?(\.not-imported)?")
_PARTS: Final = ("-wal", "-shm", "-journal")
_LOCK_POLL_S: Final = 0.02


def is_predecessors(db: apsw.Connection) -> bool:
    """Whether a database is a day file of the predecessor. SQLite's errors are bare."""
    if db.pragma("application_id"):
        return False
    # A view, or a table that another program's code makes up, is never read: it may have no end.
    made = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ticks' AND type = 'table' AND rootpage > 0").get
    columns = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('ticks')")} if made else frozenset()
    return columns >= _ITS_COLUMNS and not db.table_exists("main", "meta")


def foreign_file(db: apsw.Connection, path: Path) -> ForeignFileError:
    """The error to raise for a database without our mark."""
    if is_predecessors(db):
        return PredecessorFileError(f"{path} is a day file of the predecessor", hint=import_command(path))
    return ForeignFileError(f"{path} is another program's database", hint=move_command(path))


def not_sqlite(path: Path) -> ForeignFileError:
    """The error to raise for a file that is no database."""
    return ForeignFileError(f"{path} is no SQLite file", hint=move_command(path))


def no_file_here(path: Path, mode: int) -> ForeignFileError:
    """The error to raise for what is no file at all, by its mode."""
    kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
    return ForeignFileError(f"{path} is {kind}", hint=move_command(path))


def demand_files_beside(path: Path) -> None:
    """Raises ForeignFileError where what SQLite opens beside a database is no file: a FIFO would block it for ever."""
    for suffix in ("-journal", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        with suppress(OSError):
            mode = beside.stat().st_mode
            if not stat.S_ISREG(mode):
                raise no_file_here(beside, mode)


def waiting_for(path: Path) -> NoDayError | None:
    """The error to raise where the file of a day is missing, and one of the predecessor waits to become it."""
    with suppress(OSError):
        waiting = [kept for kept in list_waiting(path.parent) if kept.name.startswith(f"{path.name}.")]
        if waiting:
            return NoDayError(
                f"there is no {path}: the predecessor's file of that day is not imported yet",
                hint=import_command(waiting[-1]),
            )
    return None


def import_command(path: Path) -> str:
    """What to type for a file or a directory of the predecessor."""
    return f"sudo hk-tick-collector import {shlex.quote(str(path))}"


def move_command(path: Path) -> str:
    """What to type for anything else that is in the place of a day file.

    What SQLite has beside it goes with it, under its own name, and the file itself last: a fresh one must not meet its
    WAL, and an earlier file that was moved away is not overwritten.
    """
    db = shlex.quote(str(path))
    return (
        f"d={db}.aside-$(date +%H%M%S); sudo mkdir $d;"
        f" for f in {db}{{-journal,-wal,-shm,}}; do [ ! -e $f ] || sudo mv $f $d/; done"
    )


def kept_path(path: Path, now_ms: int, *, waiting: bool) -> Path:
    """Where a day file of the predecessor is kept: `20261120.db.predecessor-TIME`, until it is imported with a suffix.

    A move that was cut short goes on: the name that the same file has already is found again.
    """
    kept = [other for other in path.parent.glob(f"{path.name}.predecessor-*") if _KEPT.fullmatch(other.name)]
    with suppress(OSError):
        for other in kept:
            if other.samefile(path):
                return other
    name = aside_name(path, "predecessor", now_ms, {imported_path(other).name for other in kept})
    return path.with_name(name + NOT_IMPORTED * waiting)


def aside_name(path: Path, what: str, now_ms: int, taken: set[str]) -> str:
    """The name under which a file is set aside, as `20261120.db.damaged-20261120T020304Z`; none of `taken`."""
    stem = f"{path.name}.{what}-{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}"
    return next(name for name in (stem, *(f"{stem}-{number}" for number in range(2, 1000))) if name not in taken)


def imported_path(path: Path) -> Path:
    """The name of a kept file once it is imported."""
    return path.with_name(path.name.removesuffix(NOT_IMPORTED))


def is_kept(path: Path) -> bool:
    """Whether a file has the name of a day file of the predecessor that was set aside."""
    return _KEPT.fullmatch(path.name) is not None


def list_kept(data_root: Path) -> list[Path]:
    """The predecessor's files that were set aside, oldest day first. OSError where the directory cannot be read."""
    return sorted(path for path in data_root.iterdir() if is_kept(path))


def list_waiting(data_root: Path) -> list[Path]:
    """Those of them that are not imported yet."""
    return [path for path in list_kept(data_root) if path.name.endswith(NOT_IMPORTED)]


def keep(path: Path, target: Path) -> None:
    """Gives a file and what SQLite has beside it another name; at no moment is it without its write-ahead log.

    The file has both names while its WAL moves, so that whatever ends the process, the next call goes on from there.
    Raises OSError.
    """
    _drop_empty_log(path)
    if not target.exists():
        with suppress(OSError):  # a file system without links, or a file of another account's
            os.link(path, target, follow_symlinks=False)
    for suffix in _PARTS:
        part, new = path.with_name(path.name + suffix), target.with_name(target.name + suffix)
        if part.exists() and not new.exists():
            part.rename(new)
        elif part.exists() and not part.stat().st_size:
            part.unlink()  # what a reader left of a file whose WAL has moved already
        elif part.exists():
            part.rename(new.with_name(f"{new.name}.later"))
    if target.exists():
        path.unlink(missing_ok=True)
    else:
        path.rename(target)
    sync_directory(path.parent)


def _drop_empty_log(path: Path) -> None:
    """What a reader leaves of a file in WAL mode: an empty log and its index, which nobody has open."""
    wal = path.with_name(f"{path.name}-wal")
    with suppress(FileNotFoundError):
        if not wal.stat().st_size and not held_by(path):
            wal.unlink()
            path.with_name(f"{path.name}-shm").unlink()


@contextmanager
def names_held(directory: Path, wait_s: float) -> Iterator[None]:
    """While held, the other one of service and `import` gives no file of the predecessor another name.

    Each holds it for milliseconds; whoever holds it for longer than `wait_s` is somebody else, and is passed by.
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


def held_by(path: Path) -> str:
    """Which process, this one apart, has a database open: `process 123`; empty where none has. See `opener`."""
    pid = opener(path)
    if pid is None:
        return ""
    return f"process {pid}" if pid > 0 else "another process"


def opener(path: Path) -> int | None:
    """The process, this one apart, that has a database open; 0 or less where it cannot be told, None where none has.

    A connection in WAL mode holds a lock on the log's index for as long as it lasts, any other while it reads or
    writes. The kernel is asked of each file itself: its list of all locks is hidden from the service by its unit. No
    lock is taken; but not to be called while this process has the file open, whose own locks would be dropped.
    """
    for part in (path.with_name(f"{path.name}-shm"), path):
        with suppress(FileNotFoundError, PermissionError):
            fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                pid = blocker(fd, fcntl.F_WRLCK, 0, 0)  # the whole file
            finally:
                os.close(fd)
            if pid is not None:
                return pid
    return None

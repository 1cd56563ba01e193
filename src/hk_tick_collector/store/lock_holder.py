"""Finds the process that prevents this process from writing a day file.

Enters: the path of a file that was just found locked. Leaves: a process. The kernel returns the holder of one POSIX
lock at a time. That needs a descriptor of the file, and closing our own descriptor would release every POSIX lock of
this process on the file. So SQLite opens and closes the file, and this module uses SQLite's descriptor.
"""

from __future__ import annotations

import fcntl
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import apsw

from .locks import Holder, blocker, describe, descriptor_of

if TYPE_CHECKING:
    from pathlib import Path

# Bytes of `-shm` that SQLite locks (sqlite.org/walformat.html#wal_locks). A lock on any of these blocks a writer.
_WAL_WRITE, _WAL_CHECKPOINT, _WAL_RECOVER = 120, 121, 122
_PENDING_BYTE, _LOCK_BYTES = 0x40000000, 512  # of the database file itself


def day_holder(path: Path) -> Holder | None:
    """The process that prevents this process from writing a day file now; None if none is found.

    It opens the file for reading for a moment and does not wait. Call it for a file that was just found locked.
    """
    if not path.is_file():  # opening a FIFO would wait for another process
        return None
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error:
        return None
    with closing(db):
        with suppress(apsw.Error):
            db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()  # makes SQLite open `-shm` too
        pid = _blocking_pid(path)
    return None if pid is None else describe(pid)


def _blocking_pid(path: Path) -> int | None:
    shm = descriptor_of(path.with_name(path.name + "-shm"))
    if shm is not None:
        for byte in (_WAL_WRITE, _WAL_RECOVER, _WAL_CHECKPOINT):
            pid = _locked_by(shm, fcntl.F_WRLCK, byte, 1)
            if pid is not None:
                return pid
    file = descriptor_of(path)
    if file is None:
        return None
    # In WAL mode every reader has a shared lock on the file itself, and only an exclusive one blocks us.
    return _locked_by(file, fcntl.F_WRLCK if shm is None else fcntl.F_RDLCK, _PENDING_BYTE, _LOCK_BYTES)


def _locked_by(fd: int, kind: int, start: int, length: int) -> int | None:
    """Like `blocker`, but None if the kernel does not answer."""
    try:
        return blocker(fd, kind, start, length)
    except OSError:
        return None

"""Errors of disks and of SQLite, each with the name of its cause that operators see."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector.errors import (
    DamagedFileError,
    ForeignFileError,
    NoDayError,
    PredecessorFileError,
    SchemaChangedError,
    SealedEarlyError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CAUSES: Final[tuple[tuple[type[Exception], str, bool], ...]] = (
    # error, name of the cause, whether the connection must be opened again; the first match counts
    (apsw.BusyError, "busy", False),
    (apsw.LockedError, "busy", False),
    (apsw.FullError, "disk_full", True),
    (apsw.ReadOnlyError, "read_only", True),
    (apsw.CantOpenError, "cannot_open", True),
    (apsw.PermissionsError, "no_permission", True),
    (apsw.CorruptError, "damaged", True),
    (apsw.NotADBError, "damaged", True),
    (apsw.InterruptError, "interrupted", True),
    (apsw.IOError, "io_error", True),
    (apsw.ProtocolError, "busy", False),
    (apsw.NoMemError, "no_memory", True),
    (MemoryError, "no_memory", True),
    (apsw.FormatError, "damaged", True),
    (apsw.AbortError, "io_error", True),
    (apsw.SchemaChangeError, "schema_changed", True),
    (DamagedFileError, "damaged", True),
    (PredecessorFileError, "predecessor_file", True),
    (ForeignFileError, "foreign_file", True),
    (SchemaChangedError, "schema_changed", True),
    (SealedEarlyError, "sealed_early", True),
    (NoDayError, "no_file", True),
    (StoreError, "cannot_open", True),
)
# All errors that a disk or another user of it can cause. Any other error, a wrong statement for example, is a bug.
DISK_ERRORS: Final[tuple[type[Exception], ...]] = (*(kind for kind, _, _ in _CAUSES), OSError)

_ERRNO_CAUSES: Final = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "no_permission",
    errno.EPERM: "no_permission",
    errno.ENOENT: "no_directory",
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.EFBIG: "file_size_limit",
    errno.ENOMEM: "no_memory",
}


# SQLite does not report the error EFBIG. If a file size limit is set and a write fails, the limit is nearly always the
# reason.
_WRITE_ERRORS: Final = frozenset(
    {apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_TRUNCATE, apsw.SQLITE_IOERR_SHMSIZE, apsw.SQLITE_IOERR_SHMOPEN}
)


# System errors that are more specific than SQLite's error, which is "I/O error" or "unable to open" for all of them.
_SPECIFIC: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


def lack_of_room(directory: Path) -> str:
    """`no space` or `no inode` if the file system of a directory is full, else empty."""
    try:
        place = os.statvfs(directory)
    except OSError:
        return ""
    if not place.f_bavail:
        return "no space"
    return "no inode" if place.f_files and not place.f_favail else ""


@contextmanager
def with_system_error(db: apsw.Connection, path: Path) -> Iterator[None]:
    """Adds the system's error to SQLite errors as their cause. A full file system has priority over other causes."""
    try:
        yield
    except (apsw.IOError, apsw.CantOpenError) as error:
        if error.__cause__ is None:
            number = db.system_errno
            if lack := lack_of_room(path.parent):
                raise error from OSError(errno.ENOSPC, f"{lack} is left in {path.parent}")
            if number in _SPECIFIC:
                raise error from OSError(number, os.strerror(number))
        raise


def in_words(error: Exception) -> str:
    """The text of a SQLite error, with the system's error if there is one."""
    cause = error.__cause__
    told = isinstance(cause, OSError) and cause.strerror and cause.strerror not in str(error)
    return f"{error}: {cause.strerror}" if isinstance(cause, OSError) and told else str(error)


def _is_file_size_limited() -> bool:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def diagnose(error: Exception) -> tuple[str, bool]:
    """The name of the cause, and whether the file must be opened again before the next attempt."""
    root = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(root, OSError):
        return _ERRNO_CAUSES.get(root.errno or 0, "io_error"), True
    if (
        isinstance(error, apsw.IOError)
        and getattr(error, "extendedresult", 0) in _WRITE_ERRORS
        and _is_file_size_limited()
    ):
        return "file_size_limit", True
    return next(((cause, reopen) for kind, cause, reopen in _CAUSES if isinstance(error, kind)), ("bug", True))

"""What can go wrong with a disk and with SQLite, in the words that operators see."""

from __future__ import annotations

import errno
import resource
from typing import Final

import apsw

from hk_tick_collector.errors import (
    DamagedFileError,
    ForeignFileError,
    NoDayError,
    PredecessorFileError,
    SchemaChangedError,
    StoreError,
)

_CAUSES: Final[tuple[tuple[type[Exception], str, bool], ...]] = (
    # error, its name for the operator, whether the connection must be opened anew; the first match counts
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
    (NoDayError, "no_file", True),
    (StoreError, "cannot_open", True),
)
# Whatever a disk, and who else uses it, can do to us. Anything else, a wrong statement say, is a bug.
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


# SQLite does not tell the system's error, EFBIG here. A write that fails where a limit is set has met it nearly always.
_WRITE_ERRORS: Final = frozenset(
    {apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_TRUNCATE, apsw.SQLITE_IOERR_SHMSIZE, apsw.SQLITE_IOERR_SHMOPEN}
)


def _is_file_size_limited() -> bool:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def diagnose(error: Exception) -> tuple[str, bool]:
    """The cause in one word, and whether the file must be opened anew before the next attempt."""
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

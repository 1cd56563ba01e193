"""Whatever the disk does has a name that an operator can look up."""

from __future__ import annotations

import errno
import os

import apsw
import pytest

from hk_tick_collector.errors import ForeignFileError, StoreError
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose


def os_error(number: int) -> OSError:
    """As the system raises it."""
    return OSError(number, os.strerror(number))


def caused(error: Exception) -> StoreError:
    """A StoreError with its cause, as the store raises it."""
    told = StoreError("cannot open it")
    told.__cause__ = error
    return told


@pytest.mark.parametrize(
    ("error", "cause", "reopen"),
    [
        (apsw.BusyError("database is locked"), "busy", False),
        (apsw.LockedError("database table is locked"), "busy", False),
        (apsw.FullError("database or disk is full"), "disk_full", True),
        (apsw.ReadOnlyError("attempt to write a readonly database"), "read_only", True),
        (apsw.IOError("disk I/O error"), "io_error", True),
        (apsw.CorruptError("database disk image is malformed"), "damaged", True),
        (apsw.NotADBError("file is not a database"), "damaged", True),
        (apsw.InterruptError("interrupted"), "interrupted", True),
        (apsw.CantOpenError("unable to open database file"), "cannot_open", True),
        (apsw.NoMemError("out of memory"), "no_memory", True),
        (MemoryError(), "no_memory", True),
        (os_error(errno.EFBIG), "file_size_limit", True),
        (os_error(errno.ENOMEM), "no_memory", True),
        (os_error(errno.ENOSPC), "disk_full", True),
        (os_error(errno.EDQUOT), "disk_full", True),
        (os_error(errno.EROFS), "read_only", True),
        (os_error(errno.EACCES), "no_permission", True),
        (os_error(errno.ENOENT), "no_directory", True),
        (os_error(errno.EMFILE), "no_descriptors", True),
        (os_error(errno.EIO), "io_error", True),
        (caused(os_error(errno.EROFS)), "read_only", True),
        (caused(os_error(errno.ENOSPC)), "disk_full", True),
        (ForeignFileError("another program's"), "foreign_file", True),
        (StoreError("for whatever reason"), "cannot_open", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_a_fault_has_a_name(error: Exception, cause: str, *, reopen: bool) -> None:
    """Its cause in one word; only a lock leaves the connection usable; and the writer catches all of them."""
    assert diagnose(error) == (cause, reopen)
    assert isinstance(error, DISK_ERRORS)

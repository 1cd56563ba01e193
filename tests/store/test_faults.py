"""Every disk error has a name that an operator can look up."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.reliability.disks import small_disk

from hk_tick_collector.errors import ForeignFileError, StoreError
from hk_tick_collector.store.dayfile import DayFile, StoreOptions
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose, in_words
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from pathlib import Path


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
    """Its cause in one word; only after a lock the connection stays usable; and the writer handles all of them."""
    assert diagnose(error) == (cause, reopen)
    assert isinstance(error, DISK_ERRORS)


def test_a_full_disk_is_named_before_the_error_of_sqlite(tmp_path: Path) -> None:
    """On a disk filled to its last byte SQLite cannot make its `-shm` and calls that an I/O error: the disk is full.

    The same if no inode is left. A reader, which needs that file too, gets the same cause, with the command to check.
    """
    for options, lack in (("size=2m", "no space"), ("size=2m,nr_inodes=8", "no inode")):
        with small_disk(tmp_path / lack.replace(" ", "_"), options) as disk:
            day = DayFile(disk / "20261120.db", "20261120", "run", 1, "test", StoreOptions())
            day.abandon()
            (disk / "20261120.db-shm").unlink()
            with suppress(OSError):  # until nothing is left
                _fill(disk, 4096 if lack == "no space" else 0)
            with pytest.raises(DISK_ERRORS) as met:
                DayFile(disk / "20261120.db", "20261120", "run", 1, "test", StoreOptions())
            assert diagnose(met.value)[0] == "disk_full"
            assert lack in in_words(met.value)
            with pytest.raises(StoreError, match=f"{lack} is left in {disk}") as met:
                DayReader(disk / "20261120.db")
            assert met.value.hint == f"df -h {disk}; df -i {disk}"


def _fill(disk: Path, size_bytes: int) -> None:
    for number in range(1000):
        (disk / f"another{number}").write_bytes(bytes(size_bytes))

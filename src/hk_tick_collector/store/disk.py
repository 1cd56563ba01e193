"""Helpers for writing to a disk: sync, free space, errors.

Without a sync, a power cut can lose a file name or content.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError, StoreError

from .faults import DISK_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME_ANOTHER: Final = "name a directory with --to"


def sync_directory(directory: Path) -> None:
    """Returns once the names in a directory are on the disk. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def take_name(draft: Path, path: Path) -> None:
    """Gives a finished file its name. Raises FileExistsError if another file has it, which stays; OSError.

    The caller syncs the directory.
    """
    try:
        os.link(draft, path)  # never replaces a file, as a rename would
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "created meanwhile", str(path)) from None
        draft.rename(path)  # a file system without hard links
    else:
        draft.unlink()


def open_without_waiting(path: Path) -> int:
    """A descriptor for reading what is at a path, of any kind. Raises OSError.

    Opening a named pipe that nobody writes into would otherwise wait for ever, and no signal handler could end it.
    """
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def open_regular(path: Path) -> int:
    """A descriptor for reading a regular file. Raises OSError, also for a directory, a pipe or a device."""
    fd = open_without_waiting(path)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd


def own_and_sync(fd: int, mode: int, owner: os.stat_result) -> None:
    """Gives an open file its mode and, to root, its owner; returns once it is on the disk. Raises OSError."""
    os.fchmod(fd, mode)
    if os.geteuid() == 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)
    os.fsync(fd)


def write_synced(path: Path, text: str) -> None:
    """Writes a text file, mode 0644 less the umask; returns once its content is on the disk. Raises OSError.

    The caller renames it and syncs the directory.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_all(fd: int, position: int, data: bytes) -> int:
    """Writes all of `data` at offset `position`; returns its length. Raises OSError."""
    written, view = 0, memoryview(data)
    while written < len(data):
        written += os.pwrite(fd, view[written:], position + written)
    return written


def demand_room(directory: Path, needed_bytes: int, keep_free_bytes: int, hint: str) -> None:
    """Raises StoreError, with a hint, if there is no space for `needed_bytes` plus `keep_free_bytes`."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise StoreError(f"cannot access {directory} ({error.strerror})", hint=NAME_ANOTHER) from error
    needed_bytes += keep_free_bytes
    if free < needed_bytes:
        raise StoreError(
            f"no room in {directory}: {free // 2**20:,} MB are free, {-(-needed_bytes // 2**20):,} MB needed"
            f" ({keep_free_bytes // 2**20:,} MB of them stay free)",
            hint=hint,
        )


@contextmanager
def refusals_named(words: Callable[[Exception, object], tuple[str, str]]) -> Iterator[None]:
    """Turns errors of the system and of SQLite while writing into StoreError.

    `words` is called with the error and the system's or SQLite's text of it, and returns the message and the hint.
    """
    try:
        yield
    except CollectorError:
        raise
    except DISK_ERRORS as error:
        text, hint = words(error, error.strerror if isinstance(error, OSError) else error)
        raise StoreError(text, hint=hint) from error

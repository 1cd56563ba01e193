"""What is on the disk and not only in memory: without a sync a power cut takes a name or a content away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Returns once the names in a directory are on the disk. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def own_and_sync(fd: int, mode: int, owner: os.stat_result) -> None:
    """Gives an open file its mode and, to root, its owner; returns once it is on the disk. Raises OSError."""
    os.fchmod(fd, mode)
    if os.geteuid() == 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)
    os.fsync(fd)


def write_all(fd: int, position: int, data: bytes) -> int:
    """Writes it all at a place of a file; returns how many bytes that is. Raises OSError."""
    written, view = 0, memoryview(data)
    while written < len(data):
        written += os.pwrite(fd, view[written:], position + written)
    return written

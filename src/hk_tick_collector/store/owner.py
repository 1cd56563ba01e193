"""One collector a DATA_ROOT, one a SPOOL_DIR: locks that the kernel lets go of when their holder dies, in any way."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import OwnedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME: Final = ".collector.lock"
_MODE: Final = 0o640


class OwnerLock:
    """Holds DATA_ROOT for this process from construction to `release`.

    `who` is written into the lock file for the one who comes second. Raises OwnedError when another process holds it,
    StoreError when the directory cannot be written.
    """

    def __init__(self, data_root: Path, who: str) -> None:
        path = data_root / LOCK_NAME
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise StoreError(
                f"cannot write in DATA_ROOT {data_root}: {error.strerror}",
                hint="it must be a writable directory of the account that runs the collector",
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 200, 0).decode(errors="replace").strip() or "a process that is just starting"
            os.close(self._fd)
            raise OwnedError(
                f"DATA_ROOT {data_root} belongs to another collector: {holder}",
                hint="stop that one first, or give this one a DATA_ROOT of its own",
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{who}\n".encode(), 0)

    def release(self) -> None:
        """Lets the next collector in. The file stays: removing it would let two in."""
        os.close(self._fd)


@contextmanager
def spool_owned(spool_dir: Path) -> Iterator[None]:
    """Holds SPOOL_DIR for this process; another collector's rows there would be taken for an earlier run's.

    Raises OwnedError when another process holds it, StoreError when it is no directory that can be read. The lock is
    on the directory itself: the spool has no file of ours beside its own.
    """
    try:
        fd = os.open(spool_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(
            f"cannot read SPOOL_DIR {spool_dir}: {error.strerror}",
            hint="it must be a directory of the account that runs the collector",
        ) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OwnedError(
                f"SPOOL_DIR {spool_dir} belongs to a collector with another DATA_ROOT",
                hint="give each a SPOOL_DIR of its own, or leave it at its default",
            ) from None
        yield
    finally:
        os.close(fd)

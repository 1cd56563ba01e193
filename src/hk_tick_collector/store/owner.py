"""One collector a DATA_ROOT: a lock that the kernel lets go of when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import OwnedError, StoreError

if TYPE_CHECKING:
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

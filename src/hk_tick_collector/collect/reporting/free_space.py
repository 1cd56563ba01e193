"""The free space of a disk, read by a separate thread: a file system that hangs must not block the event loop.

Enters: a directory. Leaves: its free megabytes when it was last read.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FreeSpace:
    """The free space of the file system of `path`. Only one thread may call `mb`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mb = _free_mb(path)
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def mb(self) -> int | None:
        """The free megabytes as last read, normally about a second ago. None if the file system cannot be read."""
        if self._thread is None:
            with suppress(RuntimeError):  # no thread can be started now: the last value stays
                thread = threading.Thread(target=self._run, name="free_space", daemon=True)
                thread.start()
                self._thread = thread
        self._wanted.set()
        return self._mb

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            self._mb = _free_mb(self._path)


def _free_mb(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free // 2**20
    except OSError:
        return None

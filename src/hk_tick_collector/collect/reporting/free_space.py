"""How much room a disk has, asked by a thread of its own: a file system that does not answer must keep nobody.

Enters: a directory. Leaves: megabytes, as they were when it last answered.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FreeSpace:
    """Of the file system of `path`. `mb` is for one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mb = _free_mb(path)
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def mb(self) -> int | None:
        """The megabytes that were free a second ago; None where the file system cannot be asked."""
        if self._thread is None:
            with suppress(RuntimeError):  # no thread can be had now: what is known stays
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

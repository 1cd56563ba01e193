"""A disk that a view asks each second: while it hangs, no more than one process waits for it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from hk_tick_collector.cli._patience import Disk, in_child
from hk_tick_collector.errors import CollectorError, DiskHangsError
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")


class WatchedDisk(Disk):
    """After a hang one child repeats the read that hung. Until it ends, each read raises the same error at once."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: int | None = None  # the process id of that child

    def read(self, work: Callable[[], _T], path: Path) -> _T:
        """Like `in_child`. What lies in memory, below /run, is read directly: it never hangs."""
        if path.is_relative_to(RUNTIME_DIRECTORY):
            return work()
        if self.error is not None and self._still_waits():
            raise self.error
        self.error = None
        try:
            return in_child(work, path)
        except DiskHangsError as error:
            self.error = error
            self._waiting = _forked(work)
            raise

    def _still_waits(self) -> bool:
        if self._waiting is not None and os.waitpid(self._waiting, os.WNOHANG)[0]:
            self._waiting = None
        return self._waiting is not None


def _forked(work: Callable[[], object]) -> int:
    """Does the work in a child without any result: it ends when the disk answers.

    It closes the standard streams: a reader of them must not wait for it.
    """
    pid = os.fork()
    if pid == 0:
        try:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            with suppress(CollectorError, OSError):
                work()
        finally:
            os._exit(0)
    return pid

"""Writes the live state in a separate thread: its disk may be frozen, and that must not block the event loop.

Enters: the live state, once a second. Leaves: the file. Only the newest state waits; an older one
that is not yet written is skipped.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.ops.live.record import text_of
from hk_tick_collector.ops.live.status import StatusFile

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.ops.live.status import LiveStatus

_LOG_EVERY_S: Final = 60.0


class StatusWriter:
    """Writes the file at `path`. The first `put` starts the thread; other threads call `put` and `wait`."""

    def __init__(self, path: Path) -> None:
        self._file = StatusFile(path)
        self._changed = threading.Condition()
        self._next: tuple[str, int] | None = None  # the newest text not yet written, and the pid in it
        self._is_writing = False
        self._thread: threading.Thread | None = None
        self._failures = log.Repeated(_LOG_EVERY_S)

    def put(self, status: LiveStatus) -> None:
        """Passes a live state to the thread. It becomes text at once: the caller may change it later."""
        text = text_of(status)
        with self._changed:
            self._next = text, status.pid
            self._changed.notify_all()
        if self._thread is None:
            try:
                thread = threading.Thread(target=self._run, name="status", daemon=True)
                thread.start()
                self._thread = thread
            except RuntimeError as error:  # no thread can be started now: the next call tries again
                self._log_failure(str(error))

    def wait(self, until_s: float) -> bool:
        """Waits until the last state is written or its write has failed. False if `until_s` (monotonic) is earlier."""
        with self._changed:
            rest_s = max(0.0, until_s - time.monotonic())
            return self._changed.wait_for(lambda: self._next is None and not self._is_writing, rest_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._next is not None)
                assert self._next is not None
                (text, pid), self._next, self._is_writing = self._next, None, True
            try:
                self._file.write(text, pid)
            except OSError as error:
                self._log_failure(error.strerror or str(error))

    def _log_failure(self, detail: str) -> None:
        held_back = self._failures.allow(time.monotonic())
        if held_back is not None:
            log.warning("status_not_written", path=self._file.path, detail=detail, repeats=held_back)

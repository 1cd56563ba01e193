"""The full check of a finished day before it is sealed. It runs in a separate thread, because it takes long for a large
file and the writer thread must store today's ticks.

Enters: the path of a file that is not being written. Leaves: whether it may be sealed. If the day gets a tick
meanwhile, the check is cancelled and made again later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.store.dayfile import check_day
from hk_tick_collector.store.faults import DISK_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.store.dayfile import StoreOptions

_CANCEL_S: Final = 5.0  # an interrupt takes effect at once, unless the disk hangs


class DayCheck:
    """One check, started at once. `day` is the number of the day; `passed` and `error` are the result once `done`."""

    def __init__(self, path: Path, day: int, options: StoreOptions) -> None:
        self.path = path
        self.day = day
        self.passed = False
        self.error: Exception | None = None
        self._options = options
        self._interrupt: Callable[[], None] | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="day-check", daemon=True)
        self._thread.start()

    def done(self, wait_s: float = 0.0) -> bool:
        """Waits up to `wait_s` and returns whether the check has ended."""
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Cancels the check, because the file is needed."""
        self._cancelled = True
        if self._interrupt is not None:
            self._interrupt()
        self._thread.join(_CANCEL_S)

    def _opened(self, interrupt: Callable[[], None]) -> bool:
        self._interrupt = interrupt
        return not self._cancelled

    def _run(self) -> None:
        try:
            self.passed = check_day(self.path, self._options, self._opened)
        except DISK_ERRORS as error:
            self.error = None if self._cancelled else error
        except Exception as bug:  # noqa: BLE001 - the thread's boundary: the day is not sealed
            log.bug("bug", bug)
            self.error = bug

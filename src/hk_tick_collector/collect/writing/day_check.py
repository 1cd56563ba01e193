"""The thorough check of a finished day before it is sealed, in a thread of its own: it may last as long as the file is
long, and the writer's thread has today's ticks to store.

Enters: the path of a file that nobody writes. Leaves: whether it may be sealed. A day that gets ticks meanwhile has its
check ended, and is checked again later.
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

_CANCEL_S: Final = 5.0  # an interrupt takes effect within moments, unless the disk does not answer


class DayCheck:
    """One check, begun at once. `day` is the number of the day; `passed` and `error` are its end, once `done`."""

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
        """Whether it has ended, within so many seconds."""
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Ends it: the file is wanted."""
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
        except Exception as bug:  # noqa: BLE001 - the thread's boundary: the day stays as it is
            log.bug("bug", bug)
            self.error = bug

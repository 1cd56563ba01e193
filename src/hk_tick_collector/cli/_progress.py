"""Shows the progress of a long verb, and ends it after a signal between two of its steps."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from hk_tick_collector.signals import give_back

from ._show import complain, redraw
from ._terminal import can_redraw

if TYPE_CHECKING:
    from types import FrameType

_BAR: Final = 30
_NICE: Final = 10


class Watch:
    """Shows progress: a bar on a terminal. Also handles signals, which may end the verb between two of its steps.

    `left` says what a signal leaves behind. After the steps named `gives_way_after`, or from the start without it, the
    process has a low priority, because the collector does not wait for it.
    """

    def __init__(self, left: str, *, gives_way_after: str = "") -> None:
        self.about = ""  # shown before the bar: which day
        self._left = left
        self._holds_way = gives_way_after
        self._draws = can_redraw(sys.stderr)
        self._drawn = False
        self._gives_way = False
        self._signal: signal.Signals | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup makes the process ignore it
                signal.signal(number, self._note)

    def show(self, what: str, done: int, total: int) -> None:
        """Called between two steps: ends the process after a signal, leaving no partial file; else draws the bar."""
        if self._signal is not None:
            self.clear()
            complain(f"hk-tick-collector: ended by {self._signal.name}, {self._left}")
            raise SystemExit(128 + self._signal)
        if what != self._holds_way and not self._gives_way:
            self._gives_way = True
            os.nice(_NICE)
        if not self._draws:
            return
        full = _BAR * done // total if total else _BAR
        figures = f"{done:,} of {total:,} ticks" if what in _OF_TICKS else f"{done // 2**20:,} of {total // 2**20:,} MB"
        redraw(f"{self.about}{what:6}[{'#' * full}{'.' * (_BAR - full)}] {figures}", sys.stderr)
        self._drawn = True

    def clear(self) -> None:
        """Clears the bar's line for the next output."""
        if self._drawn:
            redraw("", sys.stderr)
            self._drawn = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        give_back([self._signal], signal.SIG_DFL)  # a second signal ends the process at once


_OF_TICKS: Final = ("write", "verify", "compare")

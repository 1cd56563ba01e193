"""The progress of a verb that writes files: a bar on a terminal, and signals that end it between two steps."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

from hk_tick_collector.signals import give_back

from ._show import complain, redraw
from ._terminal import can_redraw

if TYPE_CHECKING:
    from types import FrameType

_BAR: Final = 30


class Progress:
    """Draws a bar while the work goes on. `left`: what a signal leaves behind, for the last line."""

    def __init__(self, left: str) -> None:
        self._left = left
        self._draws = can_redraw(sys.stderr)
        self._drawn = False
        self._signal: signal.Signals | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup makes the process ignore it
                signal.signal(number, self._note)

    def show(self, what: str, done: int, total: int, figures: str) -> None:
        """Called between two steps: raises SystemExit after a signal, else draws the bar."""
        if self._signal is not None:
            self.clear()
            complain(f"hk-tick-collector: ended by {self._signal.name}, {self._left}")
            raise SystemExit(128 + self._signal)
        if self._draws:
            full = min(_BAR, _BAR * done // total) if total else _BAR
            redraw(f"{what:6}[{'#' * full}{'.' * (_BAR - full)}] {figures}", sys.stderr)
            self._drawn = True

    def clear(self) -> None:
        """Clears the bar's line for the next output."""
        if self._drawn:
            redraw("", sys.stderr)
            self._drawn = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        give_back([self._signal], signal.SIG_DFL)  # a second signal ends the process at once

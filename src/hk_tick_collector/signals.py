"""Gives a signal back to the system, also while such signals arrive."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def give_back(numbers: Collection[signal.Signals], action: signal.Handlers) -> None:
    """Sets `SIG_IGN` or `SIG_DFL` in place of Python's handlers of these signals. Call it in the main thread.

    The signals are blocked meanwhile. Otherwise one could arrive between Python's last look at what has arrived and
    the change: Python then finds no handler for it and prints a traceback, `Signal 15 ignored due to race condition`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # runs the handlers of those that have arrived
    try:
        for number in numbers:
            signal.signal(number, action)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

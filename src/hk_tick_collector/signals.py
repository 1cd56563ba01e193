"""The signals that stop a process, and how their handlers are given back to the system while signals still arrive."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

_LATE: Final = "ignored due to race condition"  # of PyErr_CheckSignals
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stop_event() -> asyncio.Event:
    """An event that SIGTERM, SIGINT and SIGHUP set. A second signal has no effect: a stop has its own time limit.

    The loop's own signal handlers are not used, because the loop removes them when it ends: a signal after that would
    kill the process and turn a clean stop into a failure. Call `stop_is_complete` before the loop ends.
    """
    import asyncio  # only services need it

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def note(number: int) -> None:
        log.info("signal", name=signal.Signals(number).name, already_stopping=stop.is_set())
        if stop.is_set():
            signal.signal(number, _no_effect)
        stop.set()

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup ignores SIGHUP
        signal.signal(number, lambda number, _: loop.call_soon_threadsafe(note, number))
    return stop


def stop_is_complete() -> None:
    """From now on the signals of a stop have no effect: the event loop, which would be told of them, will be closed."""
    for number in STOP_SIGNALS:
        signal.signal(number, _no_effect)


def _no_effect(*_: object) -> None:
    """Handles a further signal. It is no SIG_IGN, because one that has already arrived would print a traceback."""


def give_back(numbers: Collection[signal.Signals], action: signal.Handlers) -> None:
    """Sets `SIG_IGN` or `SIG_DFL` in place of Python's handlers of these signals. Call it in the main thread.

    The signals are blocked meanwhile. Otherwise one could arrive between Python's last look at what has arrived and
    the change: Python then finds no handler for it and prints a traceback. Other threads do not block them, and the
    system may give a signal to one of these, so `_WithoutLateSignals` leaves out what Python would print for it.
    """
    if not isinstance(sys.unraisablehook, _WithoutLateSignals):
        sys.unraisablehook = _WithoutLateSignals(sys.unraisablehook)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # runs the handlers of those that have arrived
    try:
        for number in numbers:
            signal.signal(number, action)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, slots=True)
class _WithoutLateSignals:
    """A `sys.unraisablehook` that leaves out what CPython says of a signal whose handler was given back meanwhile."""

    before: Callable[[sys.UnraisableHookArgs], object]  # the hook that was in force; it gets everything else

    def __call__(self, found: sys.UnraisableHookArgs) -> None:
        if not (isinstance(found.exc_value, OSError) and str(found.exc_value).endswith(_LATE)):
            self.before(found)

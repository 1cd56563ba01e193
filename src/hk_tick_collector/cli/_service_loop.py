"""Shared by the verbs that are services: the event loop, from the first line of their work to the exit code."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from hk_tick_collector import log
from hk_tick_collector.signals import STOP_SIGNALS, give_back

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run_service(work: Coroutine[Any, Any, int]) -> int:
    """Runs `work` to its end; returns its exit code. It ends at a signal of STOP_SIGNALS, by `signals.stop_event`."""
    import uvloop  # not needed by the other verbs

    try:
        return uvloop.run(work)
    finally:
        give_back(STOP_SIGNALS, signal.SIG_IGN)  # a late signal must not change the exit code
        log.flush()  # flushes the last lines, however this process ends

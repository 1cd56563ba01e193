"""The heartbeat: writes the live state every second, logs the health lines, and notifies systemd's watchdog.

Enters: the live state, duties of other parts that are due once a second. Leaves: `status.json`, log lines,
notifications to systemd.
"""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.collect.memory_limit import MemoryGuard
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.findings.health import descriptors_short

from .status_writer import StatusWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.collect.options import ServiceOptions
    from hk_tick_collector.ops.live.status import LiveStatus
    from hk_tick_collector.ops.live.systemd_notify import Notifier

    from .gap_log import GapLog
    from .health_lines import HealthLines
    from .live_state import LiveState

_LOG_EVERY_S: Final = 60.0
_READY_S: Final = 20.0  # systemd is told that the service is ready after this time, even if OpenD is away
_STATUS_BEATS: Final = 5  # seconds between two status lines for systemd
# If the event loop is blocked this long, the stacks of all threads are logged, before systemd's watchdog kills us.
_LOOP_STUCK_S: Final = 20


class Heartbeat:
    """Beats once a second. `state` is the state of the service in the live state.

    `duties` are called in order before each beat while the service runs. If one raises StoreError, the service ends.
    """

    def __init__(
        self,
        options: ServiceOptions,
        live: LiveState,
        lines: HealthLines,
        gaps: GapLog,
        opend: OpenDState,
        notifier: Notifier,
        duties: Sequence[Callable[[], object]],
    ) -> None:
        self.state = "running"
        self.memory = MemoryGuard()
        self.listeners: list[Callable[[LiveStatus], None]] = []  # called each second; must not block
        self._health_interval_s = options.health_interval_s
        self._live = live
        self._lines = lines
        self._gaps = gaps
        self._opend = opend
        self._notifier = notifier
        self._duties = duties
        self._ready = False
        self._status = StatusWriter(options.status_path)
        self._short_of_descriptors = log.Repeated(_LOG_EVERY_S)

    async def run(self) -> None:
        """Beats until cancelled. Raises StoreError when a duty does, or when memory runs out."""
        try:
            await self._beat_for_ever()
        finally:
            faulthandler.cancel_dump_traceback_later()

    async def _beat_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        health_s = started_s + min(1.0, self._health_interval_s)  # the first health line comes at once
        for beats in range(1, sys.maxsize):
            if self.state == "running" and self.memory.short():
                raise StoreError(
                    "memory runs out: RLIMIT_AS is nearly reached", hint="free -m; raise LimitAS= of the unit"
                )
            for duty in self._duties if self.state == "running" else ():
                duty()
            self.beat()
            self._notify(loop.time() - started_s, beats)
            if loop.time() >= health_s:
                health_s += self._health_interval_s
                self._lines.log()
            await asyncio.sleep(max(0.0, started_s + beats - loop.time()))

    def beat(self) -> None:
        """Passes the live state of this second to its writer, and writes the log lines that are due."""
        self._gaps.log_due()
        status = self._live.take(self.state)
        self._check_descriptors(status)
        self._status.put(status)
        for listener in self.listeners:
            listener(status)

    def leave(self, until_s: float) -> None:
        """Waits until the live state is written, at most until `until_s` of the monotonic clock."""
        self._status.wait(until_s)

    def _check_descriptors(self, status: LiveStatus) -> None:
        short = descriptors_short(status)
        held_back = self._short_of_descriptors.allow(time.monotonic()) if short else None
        if held_back is not None:
            log.error("descriptors_short", open=status.descriptors, limit=status.descriptors_limit, repeats=held_back)

    def _notify(self, up_s: float, beats: int) -> None:
        """Notifies systemd. Reaching this line shows that the event loop runs and the duties have been called."""
        with suppress(RuntimeError):  # no thread can be started: the stack dump is not important enough to fail
            faulthandler.dump_traceback_later(_LOOP_STUCK_S, exit=False)
        self._notifier.alive()
        if self.state == "running" and beats % _STATUS_BEATS == 1:
            self._notifier.status(log.line("health", {**self._lines.health(), **self._lines.trouble()}))
        if not self._ready and (self._opend.serving.is_set() or up_s >= _READY_S):
            self._ready = True
            self._notifier.ready()

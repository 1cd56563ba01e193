"""Alerts of a process that is no collector, `publish` or `merge`: its findings → messages to every destination.

Input: the findings of that process, once a second. Output: messages, and a file that remembers across restarts what is
open. It has no digest and no heartbeat message: those are about collecting. The calling thread may wait for the disk of
that file, so it must not be that of an event loop.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.ops.live.atomic_file import replace_file
from hk_tick_collector.ops.live.status import LiveStatus
from hk_tick_collector.stats import Stats

from .alerter import recall
from .mute_watch import MuteWatch
from .mutes import MUTES_NAME
from .rules import Alerts
from .sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.ops.findings.finding import Finding

    from .destination import Destination

_LOG_EVERY_S: Final = 60.0
_KEEP_EVERY_MS: Final = 10_000


class ProcessAlerts:
    """Sends nothing without a destination. `path` is the memory; `mutes_in` the directory whose mutes count."""

    def __init__(
        self,
        destinations: Sequence[Destination],
        path: Path,
        mutes_in: Path,
        lang: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._path = path
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._base_ms = self._started_ms - time.monotonic_ns() // 1_000_000
        self._senders = [Sender(destination, Stats()) for destination in destinations]
        self._lang = lang
        self._alerts = Alerts("", None, lang)
        self._mutes = MuteWatch(mutes_in / MUTES_NAME, now_ms)
        self._kept_ms = 0
        self._broken = False
        self._failures = log.Repeated(_LOG_EVERY_S)

    def start(self, name: str) -> None:
        """Starts the threads. `name` is what messages call this process, like `host-1 merge`."""
        if self._senders:
            self._alerts = Alerts(name, recall(self._path), self._lang)
            self._mutes.start()
        for sender in self._senders:
            sender.start()

    def update(self, findings: Sequence[Finding]) -> None:
        """Takes the findings of this second. Raises nothing: a fault in alerts stops nothing else."""
        if self._broken or not self._senders:
            return
        try:
            self._update(findings)
        except Exception:  # noqa: BLE001 - the boundary between alerts and the process
            self._broken = True
            log.bug("bug", detail="findings are not alerted any more")

    def _update(self, findings: Sequence[Finding]) -> None:
        wall_ms, now_ms = self._now_ms(), self._base_ms + time.monotonic_ns() // 1_000_000
        status = _nothing_of_a_collector(self._started_ms, wall_ms)
        messages = self._alerts.update(status, findings, now_ms, self._mutes.now(wall_ms))
        for message in messages:
            for sender in self._senders:
                sender.post(message)
        if messages or (self._alerts.memory.open and now_ms - self._kept_ms >= _KEEP_EVERY_MS):
            self._kept_ms = now_ms
            self._keep()

    def stop(self, deadline_s: float) -> None:
        """Ends the threads; waits for queued messages until a time of the monotonic clock."""
        if not self._senders:
            return
        self._mutes.stop()
        for sender in self._senders:
            sender.stop()
        for sender in self._senders:
            sender.join(max(0.0, deadline_s - time.monotonic()))

    def _keep(self) -> None:
        try:
            replace_file(self._path, self._alerts.memory.to_json(), f"{self._path.name}.new")
        except OSError as error:
            held_back = self._failures.allow(time.monotonic())
            if held_back is not None:
                log.warning("alerts_not_kept", path=self._path, detail=error.strerror, repeats=held_back)


def _nothing_of_a_collector(started_ms: int, now_ms: int) -> LiveStatus:
    """What the rules ask of a collector, for a process that does not collect."""
    return LiveStatus(
        written_ms=now_ms,
        started_ms=started_ms,
        pid=0,
        version="",
        instance="",
        state="running",
        data_root="",
        address="",
        connected=False,
        link_since_ms=None,
        link_reason="",
        program="",
        program_detail="",
        quote_logged_in=False,
        market_state="",
        trading=False,
        trading_since_ms=None,
        drift_s=None,
        symbols=0,
        subscribed=0,
        refused={},
        quota_used=None,
        quota_remaining=None,
        trouble={},
        connects=0,
        skipped_messages=0,
        received=0,
        stored=0,
        duplicate=0,
        rejected=0,
        dropped=0,
        waiting=0,
        max_queue_rows=0,
        persisted_rows_per_min=0,
    )

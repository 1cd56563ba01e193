"""Connects findings, alerts, senders and the daily digest: decides every second which messages to send.

Input: the live state, once a second. Output: messages, queued for every sender, and `.alerts.json` in DATA_ROOT, which
remembers across restarts the open findings, the day of the last digest and the figures for the next one. A message is
recorded after it was sent; if the service dies before that, the next run sends it again. No caller waits for a network
or a disk: a separate thread, the clerk, writes the file and makes the digest; others read the file of mutes and the
live states of `publish` and `merge`.
"""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.findings.ordering import in_order
from hk_tick_collector.ops.live.atomic_file import replace_file
from hk_tick_collector.store.small_file import read_small

from .digest import DigestClock, DigestFacts, digest
from .failed_service import FAILURES_NAME, failures_locked, keep_failures, read_failures, runs_again
from .heartbeat import HeartbeatClock, heartbeat, which_muted
from .message import Kind, Message
from .mute_watch import MuteWatch
from .mutes import is_muted, restore_mutes
from .rules import Alerts, Memory
from .sender import Sender
from .stream_watch import StreamWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.ops.live.status import LiveStatus
    from hk_tick_collector.stats import Stats

    from .mutes import Mute
    from .options import AlertOptions

MEMORY_NAME: Final = ".alerts.json"
STOP_S: Final = 1.0  # how long a stop waits for queued messages
_LOG_EVERY_S: Final = 60.0
_MOST_BYTES: Final = 16 << 20  # of the saved memory
_RUNS_MS: Final = 60_000  # the service runs again once a run has lasted so long
_LEAVES_MS: Final = 30_000  # after this time an unsent message is recorded as sent: its sender keeps trying
_KEEP_EVERY_MS: Final = 10_000  # how often the time at which an open finding was last seen is saved
_FIGURES_EVERY_MS: Final = 60_000  # how often changed figures of the day are saved


class Alerter:
    """Sends nothing without a destination. For durations the wall clock `now_ms` is read only once: it may be set."""

    def __init__(
        self, options: AlertOptions, stats: Stats, now_ms: Callable[[], int], *, runs_again_ms: int = _RUNS_MS
    ) -> None:
        self._runs_again_ms = runs_again_ms
        self._options = options
        self._stats = stats
        self._path = options.data_root / MEMORY_NAME
        self._senders = [Sender(destination, stats) for destination in options.destinations]
        memory = recall(self._path) if self._senders else Memory({}, [])
        self._alerts = Alerts(options.instance, memory, options.lang)
        self._digests = DigestClock(memory.digest_day)
        self._heartbeats = HeartbeatClock(options.heartbeat_min, memory.heartbeat_ms)
        self._saved_mutes = list(memory.mutes)
        self._mutes = MuteWatch(options.mutes_path, now_ms)
        self._streams = StreamWatch(options.data_root, options.streams, now_ms)
        self._began_ms = began_ms = now_ms()
        self._base_ms = began_ms - time.monotonic_ns() // 1_000_000
        self._told_ms: int | None = None  # the time of the first message that is not recorded yet
        self._kept_ms = 0
        self._kept_figures = (began_ms, memory.today)  # when the figures of the day were saved last, and these
        self._looked_back_ms = began_ms  # when it was last checked whether an end of the service was sent
        self._broken = False
        self._abandoned = False
        self._errands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._clerk = threading.Thread(target=self._work, name="alerts clerk", daemon=True)
        self._failures = log.Repeated(_LOG_EVERY_S)

    def start(self) -> None:
        """Starts the threads. Mutes that a boot of the host has removed are in force again first."""
        path = self._options.mutes_path
        try:
            restore_mutes(path, self._saved_mutes, self._began_ms)
        except StoreError as error:
            log.warning("alerts_not_kept", path=path, detail=error.one_line())
        self._mutes.start()
        if self._senders:
            self._streams.start()
            self._clerk.start()
        for sender in self._senders:
            sender.start()

    def update(self, status: LiveStatus) -> None:
        """Takes the live state of this second. Raises nothing: a fault in alerts never stops collection."""
        if self._broken or status.state != "running":
            return
        try:
            mutes = self._mutes.now(status.written_ms)
            self._stats.alerts_muted = {mute.code: mute.until_ms for mute in mutes}
            if self._senders:
                self._update(status, mutes)
        except Exception:  # noqa: BLE001 - the boundary between alerts and collection
            self._broken = True
            log.bug("bug", detail="findings are not alerted any more")

    def stop(self) -> None:
        """Ends the senders; queued messages may still be sent until `join` gives up."""
        self._mutes.stop()
        self._streams.stop()
        self._keep(at_once=True)
        self._errands.put(None)
        for sender in self._senders:
            sender.stop()

    def join(self, deadline_s: float) -> None:
        """Waits until a time of the monotonic clock; messages left then are dropped."""
        if self._senders:
            self._clerk.join(max(0.0, deadline_s - time.monotonic()))
            self._abandoned = True
        for sender in self._senders:
            sender.join(max(0.0, deadline_s - time.monotonic()))

    def _update(self, status: LiveStatus, mutes: Sequence[Mute]) -> None:
        now_ms = self._base_ms + time.monotonic_ns() // 1_000_000
        memory = self._alerts.memory
        memory.today = memory.today.noted(status)
        memory.mutes = list(mutes)
        own = health.check(status, status.written_ms, self._options.limits)
        findings = in_order([*own, *self._streams.findings])
        for message in self._alerts.update(status, findings, now_ms, mutes):
            memory.today = memory.today.counted(message)
            self._post(message)
            self._told_ms = now_ms if self._told_ms is None else self._told_ms
        if self._heartbeats.due(status, now_ms):
            memory.heartbeat_ms = now_ms
            line = heartbeat(status, findings, mutes, self._options.lang)
            self._post(self._alerts.message(Kind.HEARTBEAT, "", line))
            self._told_ms = now_ms if self._told_ms is None else self._told_ms
        self._digest_if_due(status)
        if now_ms - self._looked_back_ms >= self._runs_again_ms:
            self._looked_back_ms = now_ms
            self._errands.put(partial(self._send_end_of_notice, status))
        if self._told_ms is not None:
            left = all(sender.idle for sender in self._senders)
            if left or now_ms - self._told_ms >= _LEAVES_MS:
                self._keep(at_once=True)
        elif now_ms - self._kept_ms >= _KEEP_EVERY_MS:
            self._kept_ms = now_ms
            self._keep(figures=now_ms - self._kept_figures[0] >= _FIGURES_EVERY_MS)

    def _keep(self, *, at_once: bool = False, figures: bool = True) -> None:
        """Saves which messages were sent, when open findings were last seen, the figures of the day, and mutes."""
        memory = self._alerts.memory
        is_open = any(item.told and not item.closed for item in memory.open.values())
        is_new = bool(self._senders) and figures and memory.today != self._kept_figures[1]
        is_new |= bool(self._senders) and memory.mutes != self._saved_mutes
        if is_open or is_new or (at_once and self._told_ms is not None):
            self._told_ms = None
            self._saved_mutes = memory.mutes
            self._kept_figures = (self._base_ms + time.monotonic_ns() // 1_000_000, memory.today)
            self._errands.put(partial(self._remember, memory.to_json()))

    def _post(self, message: Message) -> None:
        for sender in self._senders:
            sender.post(message)

    def _digest_if_due(self, status: LiveStatus) -> None:
        day = self._digests.due(status, status.written_ms)
        if day:
            memory = self._alerts.memory
            memory.digest_day = day
            self._errands.put(partial(self._send_digest, day, status, memory))
            self._errands.put(partial(self._remember, memory.to_json()))

    def _send_digest(self, day: str, status: LiveStatus, memory: Memory) -> None:
        options = self._options
        muted = which_muted(self._mutes.now(status.written_ms)).of(options.lang)
        undelivered = sum(sender.dropped for sender in self._senders)
        facts = DigestFacts(memory.today, undelivered, muted)
        body = digest(options.data_root, day, status, facts, options.lang)
        self._post(self._alerts.message(Kind.DIGEST, day, body))

    def _send_end_of_notice(self, status: LiveStatus) -> None:
        """Sends the end of a notice that another process sent when the service had ended, and ends that it left out."""
        path = self._options.mutes_path.with_name(FAILURES_NAME)
        now_ms = status.written_ms
        code = read_failures(path).code_to_end(now_ms)
        if not code or is_muted(self._mutes.now(now_ms), code):
            return
        try:
            with failures_locked(path) as failures:
                keep_failures(path, failures.with_return(now_ms))
        except OSError as error:
            log.warning("alerts_not_kept", path=path, detail=error.strerror, repeats=0)
            return
        self._post(runs_again(failures, code, status.started_ms, self._options.instance, self._options.lang))

    def _work(self) -> None:
        while errand := self._errands.get():
            try:
                errand()
            except Exception:  # noqa: BLE001 - the thread's boundary: a failed job must not stop the next one
                if not self._abandoned:
                    log.bug("bug", detail="a job of the alerts failed")

    def _remember(self, text: str) -> None:
        try:
            replace_file(self._path, text, f"{self._path.name}.new")
        except OSError as error:
            held_back = None if self._abandoned else self._failures.allow(time.monotonic())
            if held_back is not None:
                log.warning("alerts_not_kept", path=self._path, detail=error.strerror, repeats=held_back)


def recall(path: Path) -> Memory:
    """The memory that an earlier run saved; empty if there is no valid file."""
    try:
        return Memory.from_json(read_small(path, _MOST_BYTES).decode())
    except FileNotFoundError:
        return Memory({}, [])
    except (OSError, ValueError, RecursionError) as error:
        log.warning("alerts_not_kept", path=path, detail=error, consequence="open findings are sent again")
        return Memory({}, [])

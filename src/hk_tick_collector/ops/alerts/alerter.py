"""Connects findings, alerts, senders and the daily digest: decides every second which messages to send.

Input: the live state, once a second. Output: messages, queued for every sender, and `.alerts.json` in DATA_ROOT, which
remembers across restarts the open findings and the day of the last digest. A message is recorded after it was sent; if
the service dies before that, the next run sends it again. No caller waits for a network or a disk: a separate thread,
the clerk, writes the file and makes the digest.
"""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.live.atomic_file import replace_file

from .digest import DigestClock, digest
from .message import ENGLISH, Kind, Message
from .rules import Alerts, Memory
from .sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.ops.findings.health import Limits
    from hk_tick_collector.ops.live.status import LiveStatus

    from .destination import Destination

MEMORY_NAME: Final = ".alerts.json"
STOP_S: Final = 1.0  # how long a stop waits for queued messages
_LOG_EVERY_S: Final = 60.0
_LEAVES_MS: Final = 30_000  # after this time an unsent message is recorded as sent: its sender keeps trying
_KEEP_EVERY_MS: Final = 10_000  # how often the time at which an open finding was last seen is saved


class Alerter:
    """Does nothing without a destination. The wall clock `now_ms` is read only once, as somebody may set the clock."""

    def __init__(
        self,
        destinations: Sequence[Destination],
        limits: Limits,
        data_root: Path,
        instance: str,
        now_ms: Callable[[], int],
        lang: str = ENGLISH,
    ) -> None:
        self._limits = limits
        self._data_root = data_root
        self._path = data_root / MEMORY_NAME
        self._senders = [Sender(destination) for destination in destinations]
        memory = _recall(self._path) if self._senders else Memory({}, [])
        self._alerts = Alerts(instance, memory, lang)
        self._lang = lang
        self._digests = DigestClock(memory.digest_day)
        self._base_ms = now_ms() - time.monotonic_ns() // 1_000_000
        self._told_ms: int | None = None  # the time of the first message that is not recorded yet
        self._kept_ms = 0
        self._broken = False
        self._abandoned = False
        self._errands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._clerk = threading.Thread(target=self._work, name="alerts clerk", daemon=True)
        self._failures = log.Repeated(_LOG_EVERY_S)

    def start(self) -> None:
        """Starts the threads."""
        if self._senders:
            self._clerk.start()
        for sender in self._senders:
            sender.start()

    def update(self, status: LiveStatus) -> None:
        """Takes the live state of this second. Raises nothing: a fault in alerts never stops collection."""
        if not self._senders or self._broken or status.state != "running":
            return
        try:
            self._update(status)
        except Exception:  # noqa: BLE001 - the boundary between alerts and collection
            self._broken = True
            log.bug("bug", detail="findings are not alerted any more")

    def stop(self) -> None:
        """Ends the senders; queued messages may still be sent until `join` gives up."""
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

    def _update(self, status: LiveStatus) -> None:
        now_ms = self._base_ms + time.monotonic_ns() // 1_000_000
        memory = self._alerts.memory
        for message in self._alerts.update(status, health.check(status, status.written_ms, self._limits), now_ms):
            self._post(message)
            self._told_ms = now_ms if self._told_ms is None else self._told_ms
        day = self._digests.due(status, status.written_ms)
        if day:
            memory.digest_day = day
            self._errands.put(partial(self._send_digest, day, status))
            self._errands.put(partial(self._remember, memory.to_json()))
        if self._told_ms is not None:
            left = all(sender.idle for sender in self._senders)
            if left or now_ms - self._told_ms >= _LEAVES_MS:
                self._keep(at_once=True)
        elif now_ms - self._kept_ms >= _KEEP_EVERY_MS:
            self._kept_ms = now_ms
            self._keep()

    def _keep(self, *, at_once: bool = False) -> None:
        """Saves which messages were sent, and when open findings were last seen."""
        is_open = any(item.told and not item.closed for item in self._alerts.memory.open.values())
        if is_open or (at_once and self._told_ms is not None):
            self._told_ms = None
            self._errands.put(partial(self._remember, self._alerts.memory.to_json()))

    def _post(self, message: Message) -> None:
        for sender in self._senders:
            sender.post(message)

    def _send_digest(self, day: str, status: LiveStatus) -> None:
        body = digest(self._data_root, day, status, status.written_ms, self._lang)
        self._post(self._alerts.message(Kind.DIGEST, day, body))

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


def _recall(path: Path) -> Memory:
    """The memory that an earlier run saved; empty if there is no valid file."""
    try:
        return Memory.from_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return Memory({}, [])
    except (OSError, ValueError) as error:
        log.warning("alerts_not_kept", path=path, detail=error, consequence="open findings are sent again")
        return Memory({}, [])

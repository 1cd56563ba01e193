"""The dead-man ping: a GET of DEADMAN_URL each minute while `status` is not critical. An outside watcher misses it.

Input: the live state, once a second. Output: the pings, log lines, and in `Stats` since when they fail. Its threads
wait for the network; nobody waits for them. No ping is sent while a finding is critical, muted or not, while the event
loop is stuck, or after a stop began: then the watcher raises the alarm.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hk_tick_collector import clock, log
from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.text import plain

from .masking import Secrets, host_of

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.health import Limits
    from hk_tick_collector.ops.live.status import LiveStatus
    from hk_tick_collector.stats import Stats

EVERY_S: Final = 60.0
PING_S: Final = 20.0  # for a whole ping, whatever the other side does
_FRESH_S: Final = 10.0  # a live state older than this shows nothing
_LOG_EVERY_S: Final = 600.0
_TELLING: Final = 200  # the longest reason, characters


class DeadMan:
    """Does nothing without a URL."""

    def __init__(
        self, url: str, limits: Limits, stats: Stats, *, every_s: float = EVERY_S, ping_s: float = PING_S
    ) -> None:
        self._url = url
        self._limits = limits
        self._stats = stats
        self._every_s = every_s
        self._ping_s = ping_s
        self._label = host_of(url) if url else ""
        self._latest: tuple[LiveStatus, float] | None = None  # and when it came, by the monotonic clock
        self._seen = threading.Event()
        self._stopped = threading.Event()
        self._pinging: threading.Thread | None = None
        self._withheld = ""  # why there was no ping the last time
        self._works = False  # the last ping was answered
        self._failures = log.Repeated(_LOG_EVERY_S)
        # A daemon: a server that hangs must not prevent the process from ending.
        self._thread = threading.Thread(target=self._run, name="dead-man", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        if self._url:
            self._thread.start()

    def update(self, status: LiveStatus) -> None:
        """Takes the live state of this second."""
        self._latest = status, time.monotonic()
        self._seen.set()

    def stop(self) -> None:
        """Ends the pings, without waiting for one."""
        self._stopped.set()
        self._seen.set()

    def _run(self) -> None:
        try:
            self._seen.wait()
            while not self._stopped.is_set():
                began_s = time.monotonic()
                self._ping_if_well()
                self._stopped.wait(max(0.0, self._every_s - (time.monotonic() - began_s)))
        except Exception:  # noqa: BLE001 - the thread's boundary: pings end, collection continues, the watcher alarms
            log.bug("bug", detail="no dead-man pings are sent any more", to=self._label)

    def _ping_if_well(self) -> None:
        why = self._trouble()
        if why != self._withheld:
            self._withheld = why
            if why:
                log.warning("deadman_withheld", to=self._label, why=why)
        if why:
            return
        error = self._ping()
        if error:
            self._works = False
            self._stats.deadman_error = error
            self._stats.deadman_failing_ms = self._stats.deadman_failing_ms or clock.now_ms()
            held_back = self._failures.allow(time.monotonic())
            if held_back is not None:
                log.warning("deadman_failed", to=self._label, detail=error, repeats=held_back)
            return
        self._stats.deadman_failing_ms = None
        if not self._works:
            self._works = True
            log.info("deadman_pinged", to=self._label)

    def _trouble(self) -> str:
        """Why no ping may be sent now; empty if one may."""
        assert self._latest is not None, "`update` was called"
        status, came_s = self._latest
        if status.state != "running":
            return f"the collector is {status.state}"
        if time.monotonic() - came_s > _FRESH_S:
            return "the collector does not report"
        findings = health.check(status, status.written_ms, self._limits)
        return ", ".join(finding.code for finding in findings if finding.severity is Severity.CRITICAL)

    def _ping(self) -> str:
        """Sends one ping within `ping_s`. Returns why it failed, without secrets; empty if it was answered with 2xx."""
        if self._pinging and self._pinging.is_alive():
            return "an earlier ping still waits for its answer"
        answers: list[str] = []
        self._pinging = threading.Thread(target=self._get, args=(answers,), name="dead-man ping", daemon=True)
        try:
            self._pinging.start()
        except RuntimeError as error:  # no thread can be started now
            return str(error)
        self._pinging.join(self._ping_s)
        return answers[0] if answers else f"no answer within {self._ping_s:g} s"

    def _get(self, answers: list[str]) -> None:
        from .web_get import get  # imported late: only a service with a DEADMAN_URL needs an HTTP client

        parts = urlsplit(self._url)
        known = {parts.scheme, parts.hostname or "", "http", "https"}
        secrets = Secrets(self._url.partition("://")[2], known)
        answers.append(plain(secrets.masked(get(self._url)))[:_TELLING])

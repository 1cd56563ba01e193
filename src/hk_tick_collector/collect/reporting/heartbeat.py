"""The clock beside the data's way: the live state every second, health lines every interval, the roll of the day.

Enters: Stats and the state of every part. Leaves: `status.json`, log lines, systemd's watchdog fed, and two wishes to
the writer: which day's file must exist, which finished days may be sealed. It changes nothing on the data's way, but
for the rescue of a stuck writer, which it lets judge once a second.
"""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import os
import resource
import shutil
import sys
import time
from collections import deque
from contextlib import suppress
from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import __version__, log, market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.memory_limit import MemoryGuard
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import Stats
from hk_tick_collector.ops.findings.health import descriptors_short, lag_s
from hk_tick_collector.ops.live.status import LiveStatus, StatusFile
from hk_tick_collector.store.rights import account

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.collect.connection.feed import Feed
    from hk_tick_collector.collect.options import ServiceOptions
    from hk_tick_collector.collect.writing.current_writer import CurrentWriter
    from hk_tick_collector.collect.writing.handover import Commit
    from hk_tick_collector.collect.writing.recovery import Recovery
    from hk_tick_collector.ops.live.systemd_notify import Notifier

    from .gap_log import GapLog

_MINUTE: Final = 60
_LATELY_BEATS: Final = 15 * 60  # so many seconds a loss is a warning, afterwards it is only listed
_COUNTED_LATELY: Final = (
    "dropped",
    "rejected",
    "sealed_day",
    "sealed_day_backfill",
    "conflicts",
    "no_sequence",
    "not_subscribed",
    "stalls",
    "link_breaks",
    "protocol_errors",
    "skipped_messages",
)
# What the live state tells as Stats has it, by the same name; two names mean something else there.
_OTHERWISE: Final = {"market_state", "rejected"}
_AS_IN_STATS: Final = {spec.name for spec in fields(Stats)} & {spec.name for spec in fields(LiveStatus)} - _OTHERWISE
_LOG_EVERY_S: Final = 60.0
_READY_S: Final = 20.0  # systemd hears of readiness at the latest then, also with OpenD away
_STATUS_BEATS: Final = 5  # so many seconds lie between two lines for `systemctl status`
# An event loop that does not beat for so long has the stacks of all threads logged, before the unit's watchdog bites.
_LOOP_STUCK_S: Final = 20


class Heartbeat:
    """Beats once a second; `state` is what it tells of the service, `latest` the live state that it told last."""

    def __init__(
        self,
        options: ServiceOptions,
        stats: Stats,
        queue: TickQueue,
        feed: Feed,
        current_writer: CurrentWriter,
        gaps: GapLog,
        recovery: Recovery,
        notifier: Notifier,
    ) -> None:
        self.state = "running"
        self.memory = MemoryGuard()
        self.listeners: list[Callable[[LiveStatus], None]] = []  # told the live state of every second; none may wait
        self.latest: LiveStatus | None = None
        self._options = options
        self._stats = stats
        self._queue = queue
        self._feed = feed
        self._current_writer = current_writer
        self._gaps = gaps
        self._recovery = recovery
        self._notifier = notifier
        self._ready = False
        self._started_ms = now_ms()
        self._account = account()
        self._per_second: deque[int] = deque(maxlen=_MINUTE)
        self._stored_before = 0
        self._counted = deque([self._counts()], maxlen=_LATELY_BEATS)
        self._disk_waits_ms: deque[int] = deque(maxlen=_MINUTE)
        self._recent: deque[Commit] = deque(maxlen=1000)  # commits for the live view's percentiles
        self._interval: list[Commit] = []  # commits since the last persist_summary
        self._trading_since_ms: int | None = None  # in one state of the market: an auction is no session
        self._trading_state: int | None = None
        self._ticks_expected_since_ms: int | None = None
        self._opened_day: int | None = None
        self._today: int | None = None  # by OpenD where it has told
        self._status_file = StatusFile(options.status_path)
        self._status_failures = log.Repeated(_LOG_EVERY_S)
        self._short_of_descriptors = log.Repeated(_LOG_EVERY_S)

    async def run(self) -> None:
        """Beats until cancelled; ends with StoreError when the writer thread has died or memory runs out."""
        try:
            await self._beat_for_ever()
        finally:
            faulthandler.cancel_dump_traceback_later()

    async def _beat_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        health_s = started_s + min(1.0, self._options.health_interval_s)  # the first health line comes at once
        for beats in range(1, sys.maxsize):
            if not self._current_writer.writer.alive and self.state == "running":
                raise StoreError("the writer thread has ended")
            if self.state == "running" and self.memory.short():
                raise StoreError("memory runs out: RLIMIT_AS is nearly met", hint="free -m; raise LimitAS= of the unit")
            self._turn_day()
            self.beat()
            if self.state == "running":
                self._recovery.look(now_ms())
            self._notify(loop.time() - started_s, beats)
            if loop.time() >= health_s:
                health_s += self._options.health_interval_s
                self._log_health()
            await asyncio.sleep(max(0.0, started_s + beats - loop.time()))

    def beat(self) -> None:
        """Takes the measures of one second and leaves the live state."""
        stats = self._stats
        commits = self._current_writer.writer.pop_commits()
        self._recent.extend(commits)
        self._interval += commits
        self._gaps.tell()
        self._per_second.append(stats.stored - self._stored_before)
        self._stored_before = stats.stored
        self._counted.append(self._counts())
        self._disk_waits_ms.append(stats.disk_wait_ms)
        self._note_trading()
        self.latest = status = self._live_status()
        self._tell_of_descriptors(status)
        try:
            self._status_file.write(status)
        except OSError as error:
            held_back = self._status_failures.allow(time.monotonic())
            if held_back is not None:
                log.warning("status_not_written", path=self._status_file.path, detail=error.strerror, repeats=held_back)
        for listener in self.listeners:
            listener(status)

    def _tell_of_descriptors(self, status: LiveStatus) -> None:
        short = descriptors_short(status)
        held_back = self._short_of_descriptors.allow(time.monotonic()) if short else None
        if held_back is not None:
            log.error("descriptors_short", open=status.descriptors, limit=status.descriptors_limit, repeats=held_back)

    def _notify(self, up_s: float, beats: int) -> None:
        """Reaching this place means: the loop turns, and the writer is supervised."""
        with suppress(RuntimeError):  # no thread can be had: what it would tell is not worth an end
            faulthandler.dump_traceback_later(_LOOP_STUCK_S, exit=False)
        self._notifier.alive()
        if self.state == "running" and beats % _STATUS_BEATS == 1:
            self._notifier.status(log.line("health", {**self._health(), **self._trouble()}))
        if not self._ready and (self._feed.subscribed.is_set() or up_s >= _READY_S):
            self._ready = True
            self._notifier.ready()

    def _trouble(self) -> dict[str, str]:
        """Why the link is away, what the writer waits for, which days are held: the first questions of an operator."""
        link = "" if self._stats.connected else self._stats.link_reason
        named = {
            "link": link,
            "opend": self._opend_trouble(),
            "writer": self._stats.writer_trouble,
            "held": ",".join(self._stats.held_rows),
        }
        return {part: why for part, why in named.items() if why}

    def _opend_trouble(self) -> str:
        """What OpenD told of itself and did not take back: it is connected, and gives no ticks."""
        return ",".join(self._stats.trouble) if self._stats.connected else ""

    def _trading(self) -> bool:
        state = self._stats.market_state
        return self._stats.connected and self._stats.state_told and state is not None and market.is_trading(state)

    def _note_trading(self) -> None:
        state = self._stats.market_state if self._trading() else None
        if state != self._trading_state:
            self._trading_state = state
            self._trading_since_ms = None if state is None else now_ms()
        told = self._stats.market_state if self._stats.state_told else None
        if told is not None and not market.is_continuous(told):
            self._ticks_expected_since_ms = None
        elif self._ticks_expected_since_ms is None:
            self._ticks_expected_since_ms = now_ms()

    def _market_state(self) -> str:
        """The market's state in words; `unknown` where OpenD did not tell it lately."""
        state = self._stats.market_state if self._stats.state_told else None
        return "unknown" if state is None else market.state_name(state)

    def _turn_day(self) -> None:
        """The file of a new trading day from its first second, and finished days to be sealed."""
        stats = self._stats
        moment_ms = stats.opend_time_ms if stats.connected and stats.opend_time_ms else now_ms()
        today = self._today = market.day_number(moment_ms)
        if today != self._opened_day and self._is_trading_day(today):
            self._opened_day = self._current_writer.writer.open_day = today
        # Not before every symbol was looked at: what an earlier day still lacks may be in OpenD's window.
        known = stats.connected and stats.looked_around and stats.opend_time_ms is not None
        self._current_writer.writer.seal_before = market.finished_before(moment_ms, now_ms()) if known else None

    def _is_trading_day(self, day: int) -> bool:
        calendar = self._feed.calendar
        return market.day_name(day) in calendar if calendar else market.is_weekday(day)

    def _day_kind(self) -> str:
        """Today's kind in OpenD's calendar, by OpenD's date; empty before it has been asked."""
        moment_ms, calendar = self._stats.opend_time_ms, self._feed.calendar
        if not calendar or moment_ms is None:
            return ""
        return calendar.get(market.day_name(market.day_number(moment_ms)), "holiday")

    def _health(self) -> dict[str, object]:
        """What the health line says, and `systemctl status` with it."""
        stats, queue = self._stats, self._queue
        behind_s = lag_s(self.latest, now_ms()) if self.latest else None
        return {
            "connected": stats.connected,
            "subscribed": f"{stats.subscribed}/{stats.symbols}",
            "persisted_rows_per_min": sum(self._per_second),
            "lag_s": "none" if behind_s is None else round(behind_s, 1),
            "queue_rows": f"{queue.rows}/{queue.max_rows}",
            "gaps_open": stats.gaps_open,
            "gaps_missing": stats.gaps_missing,
            "exposed_rows": queue.exposed_rows,
            "exposed_s": round(queue.oldest_age_s(), 1),
            "synchronous": self._options.store.synchronous,
            "power_cut_mb": round(self._power_cut_bytes() / 2**20, 1),
            "dropped": stats.dropped,
            "rejected": stats.rejected_total,
            "market": self._market_state(),
            **({"opend": trouble} if (trouble := self._opend_trouble()) else {}),
            **self._copying(),
        }

    def _copying(self) -> dict[str, str]:
        """Since when a copy of the day is being made by somebody, while it is."""
        since_ms = self._stats.copy_since_ms
        return {} if since_ms is None else {"copying_since": f"{market.hkt(since_ms):%H:%M:%S}"}

    def _log_health(self) -> None:
        stats, queue = self._stats, self._queue
        log.info("health", **self._health())
        commits, self._interval = self._interval, []
        log.info(
            "persist_summary",
            rows=sum(commit.rows for commit in commits),
            batches=len(commits),
            commit_ms_p50=_percentile([commit.write_ms for commit in commits], 50),
            commit_ms_p99=_percentile([commit.write_ms for commit in commits], 99),
            socket_to_commit_ms_max=max((commit.age_ms for commit in commits), default=None),
            stored_total=stats.stored,
            duplicate_total=stats.duplicate,
        )
        alive_ms, commit_ms = stats.writer_alive_ms, stats.last_commit_ms
        log.info(
            "persist_loop_heartbeat",
            queue_rows=queue.rows,
            alive_age_s="none" if alive_ms is None else round((now_ms() - alive_ms) / 1000, 1),
            last_commit_age_s="none" if commit_ms is None else round((now_ms() - commit_ms) / 1000, 1),
            wal_mb=round(stats.wal_bytes / 2**20, 1),
            trouble=stats.writer_trouble or "none",
        )

    def _power_cut_bytes(self) -> int:
        """What a power cut may cost of what is committed: the WAL, where only a checkpoint syncs it."""
        return self._stats.wal_bytes if self._options.store.synchronous == "NORMAL" else 0

    def _live_status(self) -> LiveStatus:
        options, stats, queue = self._options, self._stats, self._queue
        write_ms = [commit.write_ms for commit in self._recent]
        stopped = self._stopped_lately()
        descriptors, descriptors_limit = _descriptors()
        return LiveStatus(
            written_ms=now_ms(),
            started_ms=self._started_ms,
            pid=os.getpid(),
            version=__version__,
            instance=options.instance,
            account=self._account,
            state=self.state,
            data_root=str(options.data_root),
            address=f"{options.feed.host}:{options.feed.port}",
            market_state=self._market_state(),
            trading=self._trading(),
            trading_since_ms=self._trading_since_ms,
            ticks_expected_since_ms=self._ticks_expected_since_ms,
            rejected=stats.rejected_total,
            dropped=stats.dropped,
            waiting=queue.rows,
            max_queue_rows=queue.max_rows,
            persisted_rows_per_min=sum(self._per_second),
            rows_per_s=list(self._per_second),
            wal_autocheckpoint_bytes=options.store.wal_autocheckpoint_bytes,
            spooled=queue.spooled_rows,
            commit_ms_p50=_percentile(write_ms, 50),
            commit_ms_p99=_percentile(write_ms, 99),
            day_kind=self._day_kind(),
            day_expected=self._today is not None and self._opened_day == self._today,
            disk_free_mb=_free_mb(options.data_root),
            synchronous=options.store.synchronous,
            exposed_rows=queue.exposed_rows,
            exposed_s=queue.oldest_age_s(),
            pushes_stopped_lately=len(stopped),
            pushes_stopped_first=stopped[0] if stopped else "",
            disk_wait_s=stats.disk_wait_ms / 1000,
            disk_wait_max_s=max(self._disk_waits_ms, default=0) / 1000,
            disk_waits=sum(wait_ms > 0 for wait_ms in self._disk_waits_ms),
            descriptors=descriptors,
            descriptors_limit=descriptors_limit,
            **{name: copy(getattr(stats, name)) for name in _AS_IN_STATS},
            **self._grown_lately(),
            **self._gaps.summary(),
        )

    def _counts(self) -> tuple[int, ...]:
        return tuple(getattr(self._stats, name) for name in _COUNTED_LATELY)

    def _grown_lately(self) -> dict[str, Any]:
        """By how much the counters have grown within the last quarter of an hour."""
        growth = zip(_COUNTED_LATELY, self._counts(), self._counted[0], strict=True)
        return {f"{name}_lately": now - before for name, now, before in growth}

    def _stopped_lately(self) -> list[str]:
        """Symbols whose pushes were found to have stopped, the first one first."""
        since_ms = now_ms() - _LATELY_BEATS * 1000
        return [symbol for symbol, found_ms in self._stats.pushes_stopped.items() if found_ms > since_ms]


def _percentile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1)


def _free_mb(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free // 2**20
    except OSError:
        return None


def _descriptors() -> tuple[int | None, int]:
    """How many descriptors this process has open, and how many it may have; at least as many when none is left."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        return len(os.listdir("/proc/self/fd")) - 1, limit  # noqa: PTH208 - names are enough; one is this look's own
    except OSError as error:
        return limit if error.errno == errno.EMFILE else None, limit

"""The clock beside the data's way: the live state every second, health lines every interval, the roll of the day.

Enters: Stats and the state of every part. Leaves: `status.json`, log lines, systemd's watchdog fed, and two wishes to
the writer: which day's file must exist, which finished days may be sealed. It changes nothing on the data's way, but
for the rescue of a stuck writer, which it lets judge once a second.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import shutil
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from hk_tick_collector import __version__, log, market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.health import lag_s
from hk_tick_collector.ops.status import LiveStatus, write_status

from .clock import now_ms

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import Stats
    from hk_tick_collector.ops.systemd import Notifier

    from .feed import Feed
    from .gaps import Gaps
    from .options import ServiceOptions
    from .queue import TickQueue
    from .rescue import Rescue
    from .seat import WriterSeat
    from .writer import Commit

_MINUTE: Final = 60
_LATELY_BEATS: Final = 15 * 60  # so many seconds a loss is a warning, afterwards it is only listed
_LOG_EVERY_S: Final = 60.0
_READY_S: Final = 20.0  # systemd hears of readiness at the latest then, also with OpenD away
_LOOP_STUCK_S: Final = 30  # an event loop that does not beat for so long has the stacks of all threads logged


class Pulse:
    """Beats once a second; `state` is what it tells of the service."""

    def __init__(
        self,
        options: ServiceOptions,
        stats: Stats,
        queue: TickQueue,
        feed: Feed,
        seat: WriterSeat,
        gaps: Gaps,
        rescue: Rescue,
        notifier: Notifier,
    ) -> None:
        self.state = "running"
        self._options = options
        self._stats = stats
        self._queue = queue
        self._feed = feed
        self._seat = seat
        self._gaps = gaps
        self._rescue = rescue
        self._notifier = notifier
        self._ready = False
        self._started_ms = now_ms()
        self._per_second: deque[int] = deque(maxlen=_MINUTE)
        self._stored_before = 0
        self._refused: deque[tuple[int, int, int]] = deque([(0, 0, 0)], maxlen=_LATELY_BEATS)
        self._recent: deque[Commit] = deque(maxlen=1000)  # commits for the live view's percentiles
        self._interval: list[Commit] = []  # commits since the last persist_summary
        self._trading_since_ms: int | None = None
        self._opened_day: int | None = None
        self._status_failures = log.Repeated(_LOG_EVERY_S)

    async def run(self) -> None:
        """Beats until cancelled; ends with StoreError when the writer thread has died."""
        try:
            await self._beat_for_ever()
        finally:
            faulthandler.cancel_dump_traceback_later()

    async def _beat_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        health_s = started_s + min(1.0, self._options.health_interval_s)  # the first health line comes at once
        for beats in range(1, sys.maxsize):
            if not self._seat.writer.alive and self.state == "running":
                raise StoreError("the writer thread has ended")
            self._turn_day()
            self.beat()
            if self.state == "running":
                self._rescue.look(now_ms())
            self._notify(loop.time() - started_s)
            if loop.time() >= health_s:
                health_s += self._options.health_interval_s
                self._log_health()
            await asyncio.sleep(max(0.0, started_s + beats - loop.time()))

    def beat(self) -> None:
        """Takes the measures of one second and leaves the live state."""
        stats = self._stats
        commits = self._seat.writer.pop_commits()
        self._recent.extend(commits)
        self._interval += commits
        self._gaps.tell()
        self._per_second.append(stats.stored - self._stored_before)
        self._stored_before = stats.stored
        self._refused.append((stats.dropped, stats.rejected, stats.sealed_day))
        trading = self._trading()
        self._trading_since_ms = (self._trading_since_ms or now_ms()) if trading else None
        try:
            write_status(self._options.status_path, self._live_status())
        except OSError as error:
            held_back = self._status_failures.allow(time.monotonic())
            if held_back is not None:
                log.warning(
                    "status_not_written", path=self._options.status_path, detail=error.strerror, repeats=held_back
                )

    def _notify(self, up_s: float) -> None:
        """Reaching this place means: the loop turns, and the writer is supervised."""
        faulthandler.dump_traceback_later(_LOOP_STUCK_S, exit=False)
        self._notifier.alive()
        if not self._ready and (self._feed.subscribed.is_set() or up_s >= _READY_S):
            self._ready = True
            self._notifier.ready()

    def _trading(self) -> bool:
        state = self._stats.market_state
        return self._stats.connected and state is not None and market.is_trading(state)

    def _turn_day(self) -> None:
        """The file of a new trading day from its first second, and finished days to be sealed."""
        stats = self._stats
        moment_ms = stats.opend_time_ms if stats.connected and stats.opend_time_ms else now_ms()
        today = market.day_number(moment_ms)
        if today != self._opened_day and self._is_trading_day(today):
            self._opened_day = self._seat.writer.open_day = today
        # Not before every symbol was looked at: what an earlier day still lacks may be in OpenD's window.
        known = stats.connected and stats.looked_around and stats.opend_time_ms is not None
        self._seat.writer.seal_before = today if known and market.may_seal(today - 1, moment_ms) else None

    def _is_trading_day(self, day: int) -> bool:
        calendar = self._feed.calendar
        return market.day_name(day) in calendar if calendar else market.is_weekday(day)

    def _log_health(self) -> None:
        stats, queue = self._stats, self._queue
        behind_s = lag_s(self._live_status(), now_ms())
        log.info(
            "health",
            connected=stats.connected,
            subscribed=f"{stats.subscribed}/{stats.symbols}",
            persisted_rows_per_min=sum(self._per_second),
            lag_s="none" if behind_s is None else round(behind_s, 1),
            queue_rows=f"{queue.rows}/{queue.max_rows}",
            gaps_open=stats.gaps_open,
            gaps_missing=stats.gaps_missing,
            exposed_rows=queue.rows,
            exposed_s=round(queue.oldest_age_s(), 1),
            dropped=stats.dropped,
            rejected=stats.rejected + stats.sealed_day,
            market="unknown" if stats.market_state is None else market.state_name(stats.market_state),
        )
        self._notifier.status(
            f"connected={stats.connected} rows/min={sum(self._per_second)} queue={queue.rows} gaps={stats.gaps_open}"
        )
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

    def _live_status(self) -> LiveStatus:
        options, stats, queue = self._options, self._stats, self._queue
        write_ms = [commit.write_ms for commit in self._recent]
        dropped_before, rejected_before, sealed_before = self._refused[0]
        return LiveStatus(
            written_ms=now_ms(),
            started_ms=self._started_ms,
            pid=os.getpid(),
            version=__version__,
            instance=options.instance,
            state=self.state,
            data_root=str(options.data_root),
            address=f"{options.feed.host}:{options.feed.port}",
            connected=stats.connected,
            link_since_ms=stats.link_since_ms,
            link_reason=stats.link_reason,
            program=stats.program,
            program_detail=stats.program_detail,
            quote_logged_in=stats.quote_logged_in,
            market_state="unknown" if stats.market_state is None else market.state_name(stats.market_state),
            trading=self._trading(),
            trading_since_ms=self._trading_since_ms,
            drift_s=stats.drift_s,
            symbols=stats.symbols,
            subscribed=stats.subscribed,
            refused=dict(stats.refused),
            quota_used=stats.quota_used,
            quota_remaining=stats.quota_remaining,
            trouble=dict(stats.trouble),
            connects=stats.connects,
            skipped_messages=stats.skipped_messages,
            received=stats.received,
            stored=stats.stored,
            duplicate=stats.duplicate,
            rejected=stats.rejected + stats.sealed_day,
            dropped=stats.dropped,
            waiting=queue.rows,
            max_queue_rows=queue.max_rows,
            persisted_rows_per_min=sum(self._per_second),
            rows_per_s=list(self._per_second),
            newest_day=stats.newest_day,
            newest_ts_ms=stats.newest_ts_ms,
            last_commit_ms=stats.last_commit_ms,
            writer_alive_ms=stats.writer_alive_ms,
            writer_trouble=stats.writer_trouble,
            writer_detail=stats.writer_detail,
            writer_trouble_since_ms=stats.writer_trouble_since_ms,
            wal_bytes=stats.wal_bytes,
            wal_autocheckpoint_bytes=options.store.wal_autocheckpoint_bytes,
            damaged_files=list(stats.damaged_files),
            spooled=queue.spooled_rows,
            stalls=stats.stalls,
            commit_ms_p50=_percentile(write_ms, 50),
            commit_ms_p99=_percentile(write_ms, 99),
            day_expected=self._opened_day is not None,
            disk_free_mb=_free_mb(options.data_root),
            synchronous=options.store.synchronous,
            exposed_s=queue.oldest_age_s(),
            gaps_open=stats.gaps_open,
            gaps_missing=stats.gaps_missing,
            sealed_day=stats.sealed_day,
            dropped_lately=stats.dropped - dropped_before,
            rejected_lately=stats.rejected - rejected_before,
            sealed_day_lately=stats.sealed_day - sealed_before,
            **self._gaps.summary(),
        )


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

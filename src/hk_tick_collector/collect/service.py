"""The service: puts the parts together, keeps their pulse, and brings everything to the disk before it ends.

`serve` reads as the architecture: OpenD → feed → intake → queue → writer → day files. Beside that way runs one clock:
every second it leaves the live state, every HEALTH_INTERVAL_SEC it writes the health lines. It changes nothing on the
data's way.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
import uuid
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import __version__, log, market
from hk_tick_collector.errors import CollectorError, StoreError
from hk_tick_collector.model import Stats
from hk_tick_collector.ops.health import lag_s
from hk_tick_collector.ops.status import LiveStatus, write_status
from hk_tick_collector.ops.watchdog import Watchdog
from hk_tick_collector.store.owner import OwnerLock
from hk_tick_collector.store.spool import Spool

from .doctor import Doctor
from .feed import Feed
from .gaps import Gaps
from .healer import Healer
from .holes import Holes
from .intake import Intake
from .leftover import replay_leftovers
from .overflow import Overflow
from .queue import TickQueue
from .reconcile import Reconciler
from .rescue import Rescue
from .resume import load_day
from .seat import WriterSeat
from .writer import Writer, WriterOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from hk_tick_collector.store.dayfile import StoreOptions

    from .feed import FeedOptions
    from .writer import Commit

_UMASK: Final = 0o027
_MINUTE: Final = 60
_LATELY_BEATS: Final = 15 * 60  # so many seconds a loss is a warning, afterwards it is only listed
# How often the interpreter lets another thread run. With the default of 5 ms the writer waits that long for the event
# loop at every statement of a burst; 0.5 ms cost the loop nothing measurable and let the writer store a third more.
_SWITCH_INTERVAL_S: Final = 0.0005
_LOG_EVERY_S: Final = 60.0
_SPOOL_BUFFER_ROWS: Final = 50_000  # rows in memory, beyond MAX_QUEUE_ROWS, on their way to the spool
_STORE_SHARE: Final = 0.7  # of the time a stop may take, for the day file; the rest for the spool


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What the service needs to know; see the settings of the same names."""

    feed: FeedOptions
    store: StoreOptions
    data_root: Path
    spool_dir: Path
    status_path: Path
    instance: str
    batch_rows: int
    max_wait_ms: int
    max_queue_rows: int
    health_interval_s: float
    watchdog_stall_s: float
    watchdog_queue_rows: int
    watchdog_max_failures: int
    stop_flush_timeout_s: float


def now_ms() -> int:
    """The wall clock, UTC epoch ms."""
    return time.time_ns() // 1_000_000


async def serve(options: ServiceOptions) -> int:
    """Collects until SIGTERM or SIGINT, then flushes; returns the exit code.

    Raises OwnedError when another collector holds DATA_ROOT, StoreError when the day's file cannot be used.
    """
    os.umask(_UMASK)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    who = f"pid {os.getpid()}, instance {options.instance}, started {market.hkt(now_ms()):%Y-%m-%d %H:%M:%S} HKT"
    lock = OwnerLock(options.data_root, who)
    try:
        return await _serve(options)
    finally:
        lock.release()


async def _serve(options: ServiceOptions) -> int:
    asyncio.get_running_loop().set_exception_handler(_log_bug)
    stats = Stats()
    writer_options = _writer_options(options)
    overflow = Overflow(_spool(options.spool_dir, writer_options.run_id), _SPOOL_BUFFER_ROWS, stats)
    queue = TickQueue(options.max_queue_rows, overflow)
    holes = Holes(partial(load_day, options.data_root), now_ms)
    intake = Intake(queue, holes, stats, time.monotonic)
    healer = Healer(holes)
    seat = WriterSeat(
        queue, lambda number, fresh: Writer(queue, stats, _numbered(writer_options, number), now_ms, fresh)
    )
    reconciler = Reconciler(options.data_root, options.feed.symbols, stats, seat.reconcile)
    feed = Feed(options.feed, intake, Doctor(healer, holes, intake, stats), reconciler, stats)
    rescue = Rescue(_watchdog(options), queue, stats, seat, partial(intake.rebuild, options.data_root))
    pulse = Pulse(options, stats, queue, feed, seat, Gaps(holes, healer, seat, now_ms), rescue)

    today = market.day_number(now_ms())
    if market.is_weekday(today):
        seat.writer.prepare(today)
    holes.resume(today)
    log.info("started", version=__version__, pid=os.getpid(), symbols=stats.symbols, data_root=options.data_root)
    seat.writer.start()
    leftovers = replay_leftovers(options.spool_dir, writer_options.run_id, intake, queue)
    async with _running(feed.run(), pulse.run(), leftovers) as (feeding, pulsing, _):
        failed = await _until_stopped(feeding, pulsing)
        pulse.state = "stopping"
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        intake.link(now_ms(), connected=False, conn_id=None, reason="the collector was stopped")
        flushed = stats.stored + stats.duplicate
        left, spooled, lost = await asyncio.to_thread(_flush, options.stop_flush_timeout_s, seat, queue, overflow)
        flushed = stats.stored + stats.duplicate - flushed
    pulse.state = "stopped"
    pulse.beat()
    log.info(
        "shutdown",
        reason="failure" if failed else "signal",
        flushed_rows=flushed,
        left_rows=left,
        spooled_rows=spooled,
        lost_rows=lost,
        received=stats.received,
        stored=stats.stored,
        duplicate=stats.duplicate,
        rejected=stats.rejected + stats.sealed_day,
        dropped=stats.dropped,
    )
    return 1 if failed or lost else 0


@asynccontextmanager
async def _running(*parts: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Runs parts side by side; none outlives the block."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_stopped(*parts: asyncio.Task[None]) -> bool:
    """Waits for SIGTERM or SIGINT; True when a part ended before, which none does by itself."""
    stop = _stop_signals()
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((waiting, *parts), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    failed = [part for part in parts if part.done()]
    for part in failed:
        error = part.exception()
        if isinstance(error, CollectorError):
            log.error("stopping", cause=error)
        else:
            log.bug("bug", error)
    return bool(failed)


def _flush(timeout_s: float, seat: WriterSeat, queue: TickQueue, overflow: Overflow) -> tuple[int, int, int]:
    """Brings to the disk what is held; returns the rows left unstored, and of those the rows spooled and lost."""
    left = seat.writer.stop(timeout_s * _STORE_SHARE)
    spooled, lost = overflow.stop(timeout_s * (1 - _STORE_SHARE), queue.held_in_memory() if left else [])
    return left, spooled, lost


def _spool(directory: Path, run_id: str) -> Spool:
    """This run's own part of the spool; the others are what earlier runs left."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make SPOOL_DIR {directory}: {error.strerror}", hint="name a directory that can be written"
        ) from None
    return Spool(directory / run_id)


class Pulse:
    """The clock beside the data's way: live state every second, health lines every interval, the roll of the day."""

    def __init__(
        self,
        options: ServiceOptions,
        stats: Stats,
        queue: TickQueue,
        feed: Feed,
        seat: WriterSeat,
        gaps: Gaps,
        rescue: Rescue,
    ) -> None:
        self.state = "running"
        self._options = options
        self._stats = stats
        self._queue = queue
        self._feed = feed
        self._seat = seat
        self._gaps = gaps
        self._rescue = rescue
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
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        health_s = started_s + min(1.0, self._options.health_interval_s)  # the first health line comes at once
        for beats in range(1, sys.maxsize):
            if not self._seat.writer.alive and self.state == "running":
                raise StoreError("the writer thread has ended")
            self._turn_day()
            self.beat()
            self._rescue.look(now_ms())
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
        known = stats.connected and stats.opend_time_ms is not None
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


def _log_bug(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception in a callback of the loop: the connection it broke is made anew, the bug is told."""
    log.bug("bug", context.get("exception"), detail=context.get("message", ""))


def _writer_options(options: ServiceOptions) -> WriterOptions:
    return WriterOptions(
        data_root=options.data_root,
        run_id=f"{market.hkt(now_ms()):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}",
        version=__version__,
        batch_rows=options.batch_rows,
        max_wait_ms=options.max_wait_ms,
        store=options.store,
    )


def _numbered(options: WriterOptions, number: int) -> WriterOptions:
    """Each writer of a run has a row of its own in the ledger."""
    return options if number == 1 else replace(options, run_id=f"{options.run_id}-{number}")


def _watchdog(options: ServiceOptions) -> Watchdog:
    return Watchdog(options.watchdog_stall_s, options.watchdog_queue_rows, options.watchdog_max_failures)


def _stop_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set. A second signal changes nothing: the flush has its own time limit."""
    stop = asyncio.Event()

    def note(number: signal.Signals) -> None:
        log.info("signal", name=number.name, already_stopping=stop.is_set())
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, note, number)
    return stop


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

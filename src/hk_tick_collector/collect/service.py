"""Runs the service: locks DATA_ROOT, starts the parts, waits for a stop, writes all rows to disk, and exits."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import __version__, log, market
from hk_tick_collector.background import in_thread, log_end_of_task
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.buffer.replay import replay_earlier_spools
from hk_tick_collector.collect.loading.load import is_late_start
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.alerts.alerter import STOP_S
from hk_tick_collector.ops.metrics.server import metrics_served
from hk_tick_collector.signals import stop_event, stop_is_complete
from hk_tick_collector.store.collector_lock import OwnerLock, spool_owned
from hk_tick_collector.store.rights import refused

from .assembly import assemble
from .memory_limit import require_memory
from .restart_history import EarlierRuns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from hk_tick_collector.collect.buffer.overflow import Overflow
    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.collect.writing.current_writer import CurrentWriter
    from hk_tick_collector.stats import Stats

    from .assembly import Assembly
    from .options import ServiceOptions

_UMASK: Final = 0o027
# How soon the interpreter switches threads. With the default of 5 ms the writer waits for the event loop before and
# after every statement. Garbage collection runs rarely, because rows have no reference cycles. See docs/decisions/0006.
_SWITCH_INTERVAL_S: Final = 0.00005
_GC_AFTER: Final = 50_000
_STORE_SHARE: Final = 0.7  # share of the stop time for writing the day file; the rest is for spooling
_EXIT_S: Final = 10  # extra time requested from systemd: for a disk that is slow to close, and the interpreter's exit
_LEAVE_S: Final = 0.3  # part of the stop time for the work after the flush; a tenth of it, if that is less


async def serve(options: ServiceOptions) -> int:
    """Collects until SIGTERM, SIGINT or SIGHUP, then flushes; returns the exit code.

    Raises OwnedError when another collector uses DATA_ROOT or SPOOL_DIR, and StoreError when the day cannot be stored
    or the memory limit is too low.
    """
    require_memory()
    log.in_background()
    os.umask(_UMASK)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.freeze()  # imported modules are never freed
    gc.set_threshold(_GC_AFTER)
    who = f"pid {os.getpid()}, instance {options.instance}, started {market.moment_text(now_ms())}"
    lock = OwnerLock(options.data_root, who)
    try:
        _make_spool_dir(options.spool_dir)
        with spool_owned(options.spool_dir, who):
            return await _serve(options)
    finally:
        lock.release()


async def _serve(options: ServiceOptions) -> int:
    asyncio.get_running_loop().set_exception_handler(_log_bug)
    stop = stop_event()
    starts = EarlierRuns(options.data_root, now_ms)
    starts.begin()
    parts = assemble(options)
    parts.stats.unplanned_ms = starts.unplanned_ms
    _begin(parts, options.data_root)
    replay = replay_earlier_spools(options.spool_dir, parts.run_id, parts.intake, parts.queue)
    exporter = metrics_served(options.metrics_addr, lambda: parts.live.latest, parts.stats, options.limits)
    running = _running(parts.feed.run(), parts.heartbeat.run(), replay, parts.predecessor_days.run())
    async with exporter, running as (feeding, beating, replaying, taking_over):
        for task in (replaying, taking_over):
            task.add_done_callback(log_end_of_task)
        failed = await _until_stopped(stop, feeding, beating)
        starts.end(failed=failed)
        parts.heartbeat.memory.release()
        limit_s = options.stop_flush_timeout_s
        deadline_s = time.monotonic() + limit_s - min(_LEAVE_S, limit_s / 10)
        _announce_stop(parts, limit_s)
        alarms_end_s = min(time.monotonic() + STOP_S, deadline_s)
        await _cancelled(feeding, replaying, taking_over)  # from here on nothing is put into the queue
        parts.intake.link(now_ms(), connected=False, conn_id=None, reason="the collector was stopped")
        before = parts.stats.stored + parts.stats.duplicate
        left, lost = await in_thread(_flush, deadline_s, parts.current_writer, parts.queue, parts.overflow)
        flushed = parts.stats.stored + parts.stats.duplicate - before
    parts.heartbeat.state = "stopped"
    parts.heartbeat.beat()
    await in_thread(parts.heartbeat.leave, alarms_end_s)
    await in_thread(parts.alerter.join, alarms_end_s)
    await in_thread(starts.join, max(0.1, alarms_end_s - time.monotonic()))
    _log_end(parts.stats, failed=failed, flushed=flushed, left=left, lost=lost)
    stop_is_complete()
    return 1 if failed or lost else 0


def _begin(parts: Assembly, data_root: Path) -> None:
    """Reads the day's file and starts the writer. If the file cannot be written, this fails before connecting."""
    parts.notifier.status("starting: reading the day files")
    today = market.day_number(now_ms())
    parts.tracker.known.losses.late_start = is_late_start(data_root, today)
    if market.is_weekday(today):
        parts.current_writer.writer.prepare(today)
    parts.tracker.resume(today)
    parts.intake.flush_gaps()
    log.info("started", version=__version__, pid=os.getpid(), symbols=parts.stats.symbols, data_root=data_root)
    parts.current_writer.writer.start()
    parts.alerter.start()
    parts.deadman.start()


def _announce_stop(parts: Assembly, limit_s: float) -> None:
    parts.heartbeat.state = "stopping"
    parts.notifier.status("stopping: writing the remaining rows")
    parts.notifier.stopping(limit_s + _LEAVE_S + _EXIT_S)
    parts.alerter.stop()
    parts.deadman.stop()


def _log_end(stats: Stats, *, failed: bool, flushed: int, left: int, lost: int) -> None:
    log.info(
        "shutdown",
        reason="failure" if failed else "signal",
        flushed_rows=flushed,
        left_rows=left,
        spooled_rows=left - lost,
        lost_rows=lost,
        received=stats.received,
        stored=stats.stored,
        duplicate=stats.duplicate,
        rejected=stats.rejected_total,
        dropped=stats.dropped,
    )


@asynccontextmanager
async def _running(*parts: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Runs the coroutines as tasks, and cancels them when the block ends."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield tasks
    finally:
        await _cancelled(*tasks)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    """Cancels tasks and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until_stopped(stop: asyncio.Event, *parts: asyncio.Task[None]) -> bool:
    """Waits for a stop signal. Returns True if a part ended first, which is a failure."""
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((waiting, *parts), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    failed = [part for part in parts if part.done()]
    for part in failed:
        error = part.exception()
        if isinstance(error, CollectorError):
            log.error("stopping", cause=error, **({"hint": error.hint} if error.hint else {}))
        elif isinstance(error, MemoryError):
            log.error("stopping", cause="out of memory")
        else:
            log.bug("bug", error)
    return bool(failed)


def _flush(deadline_s: float, current_writer: CurrentWriter, queue: TickQueue, overflow: Overflow) -> tuple[int, int]:
    """Writes all rows in memory to the disk. Returns how many rows are not stored, and how many of these are lost
    because they could not be spooled either.
    """
    now_s = time.monotonic()
    current_writer.writer.stop(now_s + (deadline_s - now_s) * _STORE_SHARE)
    held, left = queue.held_in_memory(), queue.rows
    lost = overflow.stop(deadline_s, held)
    still_held = {id(chunk) for chunk in queue.held_in_memory()}  # a blocked writer may have continued meanwhile
    left -= sum(len(chunk.rows) for chunk in held if id(chunk) not in still_held)
    return left, min(lost, left)


def _make_spool_dir(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise refused("SPOOL_DIR", directory, error) from None


def _log_bug(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs an exception in a callback of the event loop. The connection that it breaks is opened again elsewhere."""
    error = context.get("exception")
    if isinstance(error, MemoryError):
        log.error("memory_short", detail=context.get("message", ""))
    else:
        log.bug("bug", error, detail=context.get("message", ""))

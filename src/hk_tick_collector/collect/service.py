"""The service from its start to its end: one owner, the parts at work, and everything on the disk before it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import __version__, log, market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.buffer.replay import replay_leftovers
from hk_tick_collector.collect.loading.load import is_late_start
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.alerts.alerter import STOP_S
from hk_tick_collector.ops.metrics.server import metrics_served
from hk_tick_collector.store.owner import OwnerLock, spool_owned
from hk_tick_collector.store.rights import refused

from .assembly import assemble
from .earlier_runs import EarlierRuns
from .memory_limit import demand_room

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
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# How soon the interpreter lets another thread run: with its own 5 ms the writer waits for the event loop before and
# after every statement. Rows are no cycles, so garbage is looked for rarely. Both: docs/decisions/0006.
_SWITCH_INTERVAL_S: Final = 0.00005
_GC_AFTER: Final = 50_000
_STORE_SHARE: Final = 0.7  # of the time a stop may take, for the day file; all that is left then for the spool
_EXIT_S: Final = 10  # what systemd is asked for beyond it: a disk that is slow to close, the interpreter's end
_LEAVE_S: Final = 0.3  # of it, for what comes after the flush; a tenth, where that is less


async def serve(options: ServiceOptions) -> int:
    """Collects until SIGTERM, SIGINT or SIGHUP, then flushes; returns the exit code.

    Raises OwnedError when another collector holds DATA_ROOT or SPOOL_DIR, StoreError when the day cannot be stored or
    memory is limited too far.
    """
    demand_room()
    log.in_background()
    os.umask(_UMASK)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.freeze()  # what was imported stays
    gc.set_threshold(_GC_AFTER)
    who = f"pid {os.getpid()}, instance {options.instance}, started {market.hkt(now_ms()):%Y-%m-%d %H:%M:%S} HKT"
    lock = OwnerLock(options.data_root, who)
    try:
        _make_spool_dir(options.spool_dir)
        with spool_owned(options.spool_dir, who):
            return await _serve(options)
    finally:
        lock.release()


async def _serve(options: ServiceOptions) -> int:
    asyncio.get_running_loop().set_exception_handler(_log_bug)
    stop = _stop_signals()
    starts = EarlierRuns(options.data_root, now_ms)
    starts.begin()
    parts = assemble(options)
    parts.stats.unplanned_ms = starts.unplanned_ms
    _begin(parts, options.data_root)
    leftovers = replay_leftovers(options.spool_dir, parts.run_id, parts.intake, parts.queue)
    exporter = metrics_served(options.metrics_addr, lambda: parts.live.latest, parts.stats, options.limits)
    running = _running(parts.feed.run(), parts.heartbeat.run(), leftovers, parts.predecessor_days.run())
    async with exporter, running as (feeding, pulsing, replaying, taking_over):
        failed = await _until_stopped(stop, feeding, pulsing)
        starts.end(failed=failed)
        parts.heartbeat.memory.release()
        limit_s = options.stop_flush_timeout_s
        deadline_s = time.monotonic() + limit_s - min(_LEAVE_S, limit_s / 10)
        _announce_the_end(parts, limit_s)
        alarms_end_s = min(time.monotonic() + STOP_S, deadline_s)
        await _cancelled(feeding, replaying, taking_over)  # nobody puts anything from here on
        parts.intake.link(now_ms(), connected=False, conn_id=None, reason="the collector was stopped")
        before = parts.stats.stored + parts.stats.duplicate
        left, lost = await asyncio.to_thread(_flush, deadline_s, parts.current_writer, parts.queue, parts.overflow)
        flushed = parts.stats.stored + parts.stats.duplicate - before
    parts.heartbeat.state = "stopped"
    parts.heartbeat.beat()
    await asyncio.to_thread(parts.heartbeat.leave, alarms_end_s)
    await asyncio.to_thread(parts.alerter.join, alarms_end_s)
    await asyncio.to_thread(starts.join, max(0.1, alarms_end_s - time.monotonic()))
    _tell_the_end(parts.stats, failed=failed, flushed=flushed, left=left, lost=lost)
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # all is said and done
    return 1 if failed or lost else 0


def _begin(parts: Assembly, data_root: Path) -> None:
    """From the files of the day to a writer at work; what cannot be written fails here, before OpenD is asked."""
    parts.notifier.status("starting: reads what the files of the day know")
    today = market.day_number(now_ms())
    parts.tracker.known.losses.late_start = is_late_start(data_root, today)
    if market.is_weekday(today):
        parts.current_writer.writer.prepare(today)
    parts.tracker.resume(today)
    parts.intake.flush_gaps()
    log.info("started", version=__version__, pid=os.getpid(), symbols=parts.stats.symbols, data_root=data_root)
    parts.current_writer.writer.start()
    parts.alerter.start()


def _announce_the_end(parts: Assembly, limit_s: float) -> None:
    parts.heartbeat.state = "stopping"
    parts.notifier.status("stopping: writes what it holds")
    parts.notifier.stopping(limit_s + _LEAVE_S + _EXIT_S)
    parts.alerter.stop()


def _tell_the_end(stats: Stats, *, failed: bool, flushed: int, left: int, lost: int) -> None:
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
    """Runs parts side by side; none outlives the block."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield tasks
    finally:
        await _cancelled(*tasks)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    """Ends tasks, and returns once they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until_stopped(stop: asyncio.Event, *parts: asyncio.Task[None]) -> bool:
    """Waits for a signal to stop; True when a part ended before, which none does by itself."""
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((waiting, *parts), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    failed = [part for part in parts if part.done()]
    for part in failed:
        error = part.exception()
        if isinstance(error, CollectorError):
            log.error("stopping", cause=error, **({"hint": error.hint} if error.hint else {}))
        elif isinstance(error, MemoryError):
            log.error("stopping", cause="no memory is left")
        else:
            log.bug("bug", error)
    return bool(failed)


def _flush(deadline_s: float, current_writer: CurrentWriter, queue: TickQueue, overflow: Overflow) -> tuple[int, int]:
    """Brings to the disk what is held; returns the rows left unstored, and how many of them are lost: not spooled."""
    now_s = time.monotonic()
    current_writer.writer.stop(now_s + (deadline_s - now_s) * _STORE_SHARE)
    held, left = queue.held_in_memory(), queue.rows
    lost = overflow.stop(deadline_s, held)
    still_held = {id(chunk) for chunk in queue.held_in_memory()}  # a stuck writer may have woken up meanwhile
    left -= sum(len(chunk.rows) for chunk in held if id(chunk) not in still_held)
    return left, min(lost, left)


def _make_spool_dir(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise refused("SPOOL_DIR", directory, error) from None


def _log_bug(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception in a callback of the loop: the connection it broke is made anew, the bug is told."""
    error = context.get("exception")
    if isinstance(error, MemoryError):
        log.error("memory_short", detail=context.get("message", ""))
    else:
        log.bug("bug", error, detail=context.get("message", ""))


def _stop_signals() -> asyncio.Event:
    """An event that SIGTERM, SIGINT and SIGHUP set. A second one changes nothing: the flush has its own time limit.

    Not the loop's own handlers: it takes those away when it ends, and a signal a moment later would make a failure of
    a clean end.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def note(number: int) -> None:
        log.info("signal", name=signal.Signals(number).name, already_stopping=stop.is_set())
        if stop.is_set():
            signal.signal(number, signal.SIG_IGN)  # whoever repeats it changes nothing, and costs nothing
        stop.set()

    for number in _STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # as nohup sets SIGHUP
        signal.signal(number, lambda number, _: loop.call_soon_threadsafe(note, number))
    return stop

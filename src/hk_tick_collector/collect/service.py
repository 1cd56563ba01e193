"""The service: puts the parts together, and brings everything to the disk before it ends.

`serve` reads as the architecture: OpenD → feed → intake → queue → writer → day files. Beside that way runs one clock,
the pulse.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import __version__, log, market
from hk_tick_collector.errors import CollectorError, StoreError
from hk_tick_collector.model import Stats
from hk_tick_collector.ops.systemd import Notifier
from hk_tick_collector.ops.watchdog import Watchdog
from hk_tick_collector.store.owner import OwnerLock, spool_owned
from hk_tick_collector.store.spool import Spool

from .alarm import STOP_S, Alarm
from .clock import now_ms
from .doctor import Doctor
from .feed import Feed
from .gaps import Gaps
from .healer import Healer
from .holes import Holes
from .intake import Intake
from .leftover import replay_leftovers
from .options import WriterOptions
from .overflow import Overflow
from .pulse import Pulse
from .queue import TickQueue
from .reconcile import Reconciler
from .rescue import Rescue
from .resume import load_day, unfinished_days
from .seat import WriterSeat
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from .options import ServiceOptions

_UMASK: Final = 0o027
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# How often the interpreter lets another thread run. With the default of 5 ms the writer waits that long for the event
# loop at every statement of a burst; 0.5 ms cost the loop nothing measurable and let the writer store a third more.
_SWITCH_INTERVAL_S: Final = 0.0005
_SPOOL_BUFFER_ROWS: Final = 50_000  # rows in memory, beyond MAX_QUEUE_ROWS, on their way to the spool
_STORE_SHARE: Final = 0.7  # of the time a stop may take, for the day file; all that is left then for the spool
_EXIT_S: Final = 10  # what systemd is asked for beyond it: a disk that is slow to close, the interpreter's end
_LEAVE_S: Final = 0.3  # of it, for what comes after the flush; a tenth, where that is less


async def serve(options: ServiceOptions) -> int:
    """Collects until SIGTERM or SIGINT, then flushes; returns the exit code.

    Raises OwnedError when another collector holds DATA_ROOT or SPOOL_DIR, StoreError when the day cannot be stored.
    """
    os.umask(_UMASK)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    who = f"pid {os.getpid()}, instance {options.instance}, started {market.hkt(now_ms()):%Y-%m-%d %H:%M:%S} HKT"
    lock = OwnerLock(options.data_root, who)
    try:
        _make_spool_dir(options.spool_dir)
        with spool_owned(options.spool_dir):
            return await _serve(options)
    finally:
        lock.release()


async def _serve(options: ServiceOptions) -> int:
    asyncio.get_running_loop().set_exception_handler(_log_bug)
    stop = _stop_signals()
    stats = Stats()
    writer_options = _writer_options(options)
    spool = Spool(options.spool_dir / writer_options.run_id)  # this run's own part; others are earlier runs'
    overflow = Overflow(spool, _SPOOL_BUFFER_ROWS, stats)
    queue = TickQueue(options.max_queue_rows, overflow)
    holes = Holes(partial(load_day, options.data_root), now_ms)
    intake = Intake(queue, holes, stats, time.monotonic)
    healer = Healer(holes)
    seat = WriterSeat(
        queue, lambda number, fresh: Writer(queue, stats, _numbered(writer_options, number), now_ms, fresh)
    )
    reconciler = Reconciler(options.data_root, options.feed.symbols, stats, seat.reconcile)
    doctor = Doctor(healer, holes, intake, stats, partial(unfinished_days, options.data_root))
    feed = Feed(options.feed, intake, doctor, reconciler, stats)
    rebuild = partial(intake.rebuild, options.data_root)
    rescue = Rescue(_watchdog(options), queue, stats, seat, rebuild, holes.open_days)
    notifier = Notifier(options.notify_socket)
    pulse = Pulse(options, stats, queue, feed, seat, Gaps(holes, healer, seat, now_ms), rescue, notifier)
    alarm = Alarm(options.alarm, options.data_root, options.instance, now_ms)
    pulse.listeners.append(alarm.look)

    notifier.status("starting: reads what the files of the day know")
    today = market.day_number(now_ms())
    if market.is_weekday(today):
        seat.writer.prepare(today)
    holes.resume(today)
    intake.flush_gaps()
    log.info("started", version=__version__, pid=os.getpid(), symbols=stats.symbols, data_root=options.data_root)
    seat.writer.start()
    alarm.start()
    leftovers = replay_leftovers(options.spool_dir, writer_options.run_id, intake, queue)
    async with _running(feed.run(), pulse.run(), leftovers) as (feeding, pulsing, replaying):
        failed = await _until_stopped(stop, feeding, pulsing)
        limit_s = options.stop_flush_timeout_s
        deadline_s = time.monotonic() + limit_s - min(_LEAVE_S, limit_s / 10)
        pulse.state = "stopping"
        notifier.status("stopping: writes what it holds")
        notifier.stopping(limit_s + _LEAVE_S + _EXIT_S)
        alarm.stop()
        alarms_end_s = min(time.monotonic() + STOP_S, deadline_s)
        await _cancelled(feeding, replaying)  # nobody puts anything from here on
        intake.link(now_ms(), connected=False, conn_id=None, reason="the collector was stopped")
        flushed = stats.stored + stats.duplicate
        left, lost = await asyncio.to_thread(_flush, deadline_s, seat, queue, overflow)
        flushed = stats.stored + stats.duplicate - flushed
    pulse.state = "stopped"
    pulse.beat()
    await asyncio.to_thread(alarm.join, alarms_end_s)
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
        rejected=stats.rejected + stats.sealed_day,
        dropped=stats.dropped,
    )
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # all is said and done
    return 1 if failed or lost else 0


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
    """Waits for SIGTERM or SIGINT; True when a part ended before, which none does by itself."""
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


def _flush(deadline_s: float, seat: WriterSeat, queue: TickQueue, overflow: Overflow) -> tuple[int, int]:
    """Brings to the disk what is held; returns the rows left unstored, and how many of them are lost: not spooled."""
    now_s = time.monotonic()
    seat.writer.stop(now_s + (deadline_s - now_s) * _STORE_SHARE)
    held, left = queue.held_in_memory(), queue.rows
    lost = overflow.stop(deadline_s, held)
    still_held = {id(chunk) for chunk in queue.held_in_memory()}  # a stuck writer may have woken up meanwhile
    left -= sum(len(chunk.rows) for chunk in held if id(chunk) not in still_held)
    return left, min(lost, left)


def _make_spool_dir(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make SPOOL_DIR {directory}: {error.strerror}", hint="name a directory that can be written"
        ) from None


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
    """An event that SIGTERM and SIGINT set. A second signal changes nothing: the flush has its own time limit.

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
        signal.signal(number, lambda number, _: loop.call_soon_threadsafe(note, number))
    return stop

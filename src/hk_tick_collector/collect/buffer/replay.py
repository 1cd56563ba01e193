"""Replays the rows that earlier runs left in their spools: they pass through the intake like late ticks.

The disk is read in threads: while it hangs, the event loop goes on receiving.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.background import in_thread
from hk_tick_collector.opend.protocol import Ticks
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.spool import Spool
from hk_tick_collector.store.spool_record import RECORD_ROWS
from hk_tick_collector.store.spool_segments import is_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .intake import Intake
    from .tick_queue import TickQueue

_POLL_S: Final = 0.05
_RETRY_S: Final = 30.0
_PATIENCE_S: Final = 5.0  # how long rows wait for space in memory before they are put behind the spooled live ticks
_NO_REQUEST: Final = 0  # a serial number that no request of ours has
_SPARE: Final = 4  # rows are put there only if there is space for this many times their number


async def replay_earlier_spools(spool_dir: Path, mine: str, intake: Intake, queue: TickQueue) -> None:
    """Stores the rows that earlier runs spooled, the oldest run first. `mine` is the name of this run's own directory.

    A record is deleted only after all its rows are committed. Failed reads are repeated later. A file that cannot be
    opened is tried again without limit; a record that stays unreadable is skipped.
    """
    while True:
        try:
            for directory in await in_thread(_earlier, spool_dir, mine):
                await _replay(await in_thread(Spool, directory), directory, intake, queue)
        except FileNotFoundError:
            return
        except DISK_ERRORS as error:
            log.error("spool_failed", directory=spool_dir, detail=error)
            await asyncio.sleep(_RETRY_S)
        else:
            return


async def _replay(spool: Spool, directory: Path, intake: Intake, queue: TickQueue) -> None:
    rows_found = spool.rows
    while True:
        rows = await in_thread(partial(spool.first, RECORD_ROWS, patient=True))
        for damage in spool.pop_damage():
            log.error("spool_damaged", **damage._asdict())
        if not rows:
            break
        await store_rows(rows, intake, queue)
        await in_thread(spool.forget)
    if rows_found:
        log.info("spool_replayed", directory=directory.name, rows=rows_found)


async def store_rows(rows: list[TickRow], intake: Intake, queue: TickQueue, *, pushed: bool = True) -> None:
    """Passes rows that are on a disk to the intake like late ticks. Returns once all of them are committed.

    `pushed` says that OpenD pushed them.
    """
    loop, committed = asyncio.get_running_loop(), asyncio.Event()
    await _put(rows, intake, queue, partial(set_event, loop, committed), None if pushed else _NO_REQUEST)
    await committed.wait()


async def _put(
    rows: list[TickRow], intake: Intake, queue: TickQueue, on_commit: Callable[[], None], requested_by: int | None
) -> None:
    """Passes rows to the intake in slices that fit in memory. `on_commit` is called after the last commit.

    Live ticks have priority: half of the memory is reserved for them, and these rows wait on disk meanwhile. While live
    ticks arrive faster than the spool can be emptied, which may last all day, no memory becomes free. Then all
    remaining rows are put behind the spooled live ticks at once, and wait in memory for the rows before them.
    """
    slice_rows, live_rows = max(1, queue.max_rows // 4), queue.max_rows // 2
    turn_s = time.monotonic() + _PATIENCE_S
    while rows:
        now = rows[:slice_rows]
        if not queue.has_memory_for(len(now) + live_rows):
            if time.monotonic() < turn_s or not queue.has_turn_for(_SPARE * len(rows)):
                await asyncio.sleep(_POLL_S)
                continue
            now = rows
        rows = rows[len(now) :]
        # Rows are committed in the order in which they are put: when the last slice is committed, all are.
        intake.ticks(Ticks(rows=now, requested_by=requested_by), None, None if rows else on_commit)


def set_event(loop: asyncio.AbstractEventLoop, committed: asyncio.Event) -> None:
    """Sets an event of the event loop from another thread."""
    loop.call_soon_threadsafe(committed.set)


def _earlier(spool_dir: Path, mine: str) -> list[Path]:
    """The directories of earlier runs, oldest first: a name begins with the start time of its run.

    A run has a directory NAME, and a directory NAME.YYYYMMDD for each day whose file could not be written. Other
    directories are not looked into.
    """
    others = (path for path in spool_dir.iterdir() if is_run(path.name) and path.name.partition(".")[0] != mine)
    return sorted(path for path in others if path.is_dir())

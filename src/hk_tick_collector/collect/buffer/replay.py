"""What an earlier run had to leave in its spool: replayed through the intake, like ticks that come late."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.opend.protocol import Ticks
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.spool import Spool
from hk_tick_collector.store.spool_record import RECORD_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .intake import Intake
    from .tick_queue import TickQueue

_POLL_S: Final = 0.05
_RETRY_S: Final = 30.0
_PATIENCE_S: Final = 5.0  # so long one commit of these waits for memory while all live ticks go by way of the spool
_NO_REQUEST: Final = 0  # the serial number of none of our requests
_SPARE: Final = 4  # so many times their own rows must then be free for live ticks on their way to it


async def replay_leftovers(spool_dir: Path, mine: str, intake: Intake, queue: TickQueue) -> None:
    """Stores what earlier runs spooled, the oldest run first; `mine` is this run's own directory there.

    Records are forgotten only once all their rows are committed. What cannot be read now is tried again later, a file
    that cannot be opened for ever; a record that is still unreadable then is passed over.
    """
    while True:
        try:
            for directory in _earlier(spool_dir, mine):
                await _replay(Spool(directory), directory, intake, queue)
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
        rows = spool.first(RECORD_ROWS, patient=True)
        for damage in spool.pop_damage():
            log.error("spool_damaged", **damage._asdict())
        if not rows:
            break
        await store_rows(rows, intake, queue)
        spool.forget()
    if rows_found:
        log.info("spool_replayed", directory=directory.name, rows=rows_found)


async def store_rows(rows: list[TickRow], intake: Intake, queue: TickQueue, *, pushed: bool = True) -> None:
    """Hands on rows that are on a disk, as ticks that come late; returns once all of them are committed.

    `pushed` says that OpenD pushed them to us.
    """
    loop, committed = asyncio.get_running_loop(), asyncio.Event()
    await _put(rows, intake, queue, partial(tell, loop, committed), None if pushed else _NO_REQUEST)
    await committed.wait()


async def _put(
    rows: list[TickRow], intake: Intake, queue: TickQueue, on_commit: Callable[[], None], pulled_by: int | None
) -> None:
    """Hands rows on, in slices that memory has place for; `on_commit` is told when the last of them is committed.

    Live ticks go first: half of the memory is theirs, and these wait on disk as they did before. Memory is passed by
    for as long as live ticks come faster than the spool can be emptied, which may be all day: then the rest has its
    turn behind them, all at once, and waits in memory beside the spool for the rows in front of it.
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
        # What is put is committed in its order: the last slice speaks for all.
        intake.ticks(Ticks(rows=now, pulled_by=pulled_by), None, None if rows else on_commit)


def tell(loop: asyncio.AbstractEventLoop, committed: asyncio.Event) -> None:
    """Sets an event of the loop's from another thread."""
    loop.call_soon_threadsafe(committed.set)


def _earlier(spool_dir: Path, mine: str) -> list[Path]:
    """The directories of earlier runs, oldest first: their names begin with the time of their start.

    A run has one of its own name, and `NAME.YYYYMMDD` for each day whose file could not be written.
    """
    return sorted(path for path in spool_dir.iterdir() if path.is_dir() and path.name.partition(".")[0] != mine)

"""What an earlier run had to leave in its spool: replayed through the intake, like ticks that come late."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.opend.protocol import Ticks
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from .intake import Intake
    from .queue import TickQueue

_POLL_S: Final = 0.05
_RETRY_S: Final = 30.0


async def replay_leftovers(spool_dir: Path, mine: str, intake: Intake, queue: TickQueue) -> None:
    """Stores what earlier runs spooled, the oldest run first; `mine` is this run's own directory there.

    A record is forgotten only once it is committed. What cannot be read now is tried again later, for ever.
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
    loop = asyncio.get_running_loop()
    while True:
        rows = spool.first()
        for damage in spool.pop_damage():
            log.error("spool_damaged", **damage._asdict())
        if not rows:
            break
        while not queue.has_memory_for(len(rows)):  # noqa: ASYNC110 - the queue is no asyncio object
            await asyncio.sleep(_POLL_S)  # live ticks go first; these wait on disk as they did before
        committed = asyncio.Event()
        intake.ticks(Ticks(rows=rows), None, partial(_tell, loop, committed))
        await committed.wait()
        spool.forget()
    if rows_found:
        log.info("spool_replayed", directory=directory.name, rows=rows_found)


def _tell(loop: asyncio.AbstractEventLoop, committed: asyncio.Event) -> None:
    loop.call_soon_threadsafe(committed.set)


def _earlier(spool_dir: Path, mine: str) -> list[Path]:
    """The directories of earlier runs, oldest first: their names begin with the time of their start."""
    return sorted(path for path in spool_dir.iterdir() if path.is_dir() and path.name != mine)

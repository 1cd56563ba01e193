"""What earlier runs spooled is stored, oldest first, and forgotten only once it is committed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.replay import replay_earlier_spools
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow

MINE = "20261120T100000-mine"


async def taken(queue: TickQueue, rows: int) -> list[int]:
    """Takes and commits so many rows, as the writer would; their sequences."""
    found: list[int] = []
    while len(found) < rows:
        chunks = await asyncio.to_thread(queue.take, 1000, 0.0, 1.0)
        found += [row[1] for chunk in chunks for row in chunk.rows]
        queue.done(chunks)
        for chunk in chunks:
            if chunk.on_commit:
                chunk.on_commit()
    return found


def test_the_oldest_run_comes_first_and_its_spool_is_gone_then(
    tmp_path: Path, tick: Callable[..., TickRow], journal: Journal
) -> None:
    """Also what a run kept for one day; this run's own spool is left alone."""
    for name, seq in ((MINE, 9), ("20261119T090000-b", 3), ("20261118T090000-a.20261117", 2), ("20261118T090000-a", 1)):
        Spool(tmp_path / name).append([tick("HK.00700", seq)])
    queue, stats = TickQueue(100), Stats()
    tracker = GapTracker(Day, lambda: 0)
    intake = Intake(queue, tracker, OpenDState(), stats, time.monotonic)

    async def story() -> list[int]:
        replaying = asyncio.create_task(replay_earlier_spools(tmp_path, MINE, intake, queue))
        found = await taken(queue, 3)
        await replaying
        return found

    assert asyncio.run(story()) == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [MINE]
    assert [event.fields["rows"] for event in journal.events("spool_replayed")] == ["1", "1", "1"]


def test_without_a_spool_there_is_nothing_to_do(tmp_path: Path) -> None:
    """SPOOL_DIR need not be there."""
    queue = TickQueue(100)
    intake = Intake(queue, GapTracker(Day, lambda: 0), OpenDState(), Stats(), time.monotonic)
    asyncio.run(replay_earlier_spools(tmp_path / "none", MINE, intake, queue))
    assert queue.rows == 0

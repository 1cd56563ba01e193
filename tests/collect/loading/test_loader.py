"""Days are read beside the event loop; ticks that come meanwhile are placed afterwards."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.loading.loader import DayLoader
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.opend.protocol import Ticks
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DAY = market.parse_day("20261120")
TEN_S = market.day_start_ms(DAY) // 1000 + 36_000


def test_ticks_that_come_while_their_day_is_read_are_placed_then(tmp_path: Path, tick: Callable[..., TickRow]) -> None:
    """Their gaps are known when the day is loaded, and go to the writer automatically."""
    loader, queue = DayLoader(tmp_path), TickQueue(100)
    tracker = GapTracker(loader, lambda: TEN_S * 1000)
    intake = Intake(queue, tracker, OpenDState(), Stats(), time.monotonic)
    loader.serve(tracker, intake)

    async def story() -> None:
        rows = [tick("HK.00700", TEN_S << 32 | counter, TEN_S * 1000) for counter in (1, 4)]
        intake.ticks(Ticks(rows=rows), TEN_S * 1000)
        assert tracker.is_loading(DAY)
        assert tracker.known.missing("HK.00700") == 0
        await loader.wait([DAY])
        assert not tracker.is_loading(DAY)
        assert tracker.known.missing("HK.00700") == 2

    asyncio.run(story())
    assert [change.gap.missing for chunk in queue.held_in_memory() for change in chunk.gaps] == [2]

"""Days are read beside the event loop; ticks that come meanwhile are placed afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

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

    from tests.collect.conftest import Journal

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


def test_without_a_free_thread_a_day_is_read_later(
    tmp_path: Path, tick: Callable[..., TickRow], monkeypatch: pytest.MonkeyPatch, journal: Journal
) -> None:
    """A limit of threads was reached when the first tick arrived: all ticks are queued, and the day is read again."""
    loader, queue = DayLoader(tmp_path), TickQueue(100)
    tracker = GapTracker(loader, lambda: TEN_S * 1000)
    intake = Intake(queue, tracker, OpenDState(), Stats(), time.monotonic)
    loader.serve(tracker, intake)

    def limited(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def rows_of(*counters: int) -> list[TickRow]:
        return [tick("HK.00700", TEN_S << 32 | counter, TEN_S * 1000) for counter in counters]

    async def rebuilt() -> bool:
        loader.rebuild(DAY)
        await loader.wait([DAY])
        return loader.rebuild(DAY)

    async def story() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", limited)
            intake.ticks(Ticks(rows=rows_of(1, 4)), TEN_S * 1000)
            await loader.wait([DAY])
            assert tracker.unread_days() == [DAY]
            with pytest.raises(OSError, match="can't start new thread"):
                await rebuilt()
        assert tracker.unread_days() == [DAY]
        intake.ticks(Ticks(rows=rows_of(5)), TEN_S * 1000)
        assert await rebuilt()
        assert tracker.unread_days() == []
        assert tracker.known.missing("HK.00700") == 2

    asyncio.run(story())
    assert queue.rows == 3
    (told,) = journal.events("day_not_resumed")
    assert "can't start new thread" in told.fields["detail"]
    assert not journal.events("bug")

"""The live state has the values of the parts, by name."""

from __future__ import annotations

from dataclasses import fields

import pytest
from tests.live_state import live_state as live

from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.reporting import live_state
from hk_tick_collector.collect.reporting.live_state import taken_evenly
from hk_tick_collector.collect.storing_state import StoringState
from hk_tick_collector.model import Tick
from hk_tick_collector.ops.live.status import LiveStatus
from hk_tick_collector.stats import Stats

NAMED = ((live_state._OF_STATS, Stats), (live_state._OF_OPEND, OpenDState), (live_state._OF_STORING, StoringState))  # noqa: SLF001


@pytest.mark.parametrize(("names", "source"), NAMED)
def test_fields_copied_by_name_exist_on_both_sides(names: tuple[str, ...], source: type) -> None:
    """And means the same there: the types agree."""
    told = {field.name: field.type for field in fields(LiveStatus)}
    here = {field.name: field.type for field in fields(source)}
    assert {name: told[name] for name in names} == {name: here[name] for name in names}


def test_no_field_is_copied_twice() -> None:
    """Each field has one source."""
    names = [name for each, _ in NAMED for name in each]
    assert len(names) == len(set(names))


def test_a_batch_that_is_just_committed_is_counted_once() -> None:
    """The writer has counted it as stored and not yet taken it out of the queue: the state is taken again."""
    stats, queue = Stats(received=10), TickQueue(100)
    queue.put(Chunk(rows=[Tick("HK.00700", n, n, 1.0, 1, 1.0, "BUY", "AUTO_MATCH", "realtime", n) for n in range(10)]))
    taken = queue.take(10, 0.0, 0.0)
    stats.stored = 10
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        queue.done(taken)

    status = taken_evenly(lambda: live(received=stats.received, stored=stats.stored, waiting=queue.rows), sleep)
    assert (status.received, status.stored, status.waiting, len(waited)) == (10, 10, 0, 1)


def test_counts_that_stay_uneven_are_shown() -> None:
    """A tick that is in no count must not be hidden."""
    waited: list[float] = []
    status = taken_evenly(lambda: live(received=10, stored=9), waited.append)
    assert (status.received, status.stored, status.waiting) == (10, 9, 0)
    assert 0 < sum(waited) < 0.05

"""The queue between network and disk: nothing lost, nothing twice, in order, and bounded in rows."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.store.dayfile import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.one_of(st.integers(0, 9), st.just("take"), st.just("done"))),
    max_rows=st.integers(1, 30),
    batch_rows=st.integers(1, 12),
)
def test_rows_come_out_once_in_order_and_never_above_the_bound(
    steps: list[int | str], max_rows: int, batch_rows: int, tick: MakeTick
) -> None:
    """The bound counts rows, those in the taker's hands included, however they come in chunks."""
    queue = TickQueue(max_rows)
    seq = held = 0
    accepted: list[TickRow] = []
    taken: list[TickRow] = []
    chunks: list[Chunk] = []
    for step in steps:
        if step == "take" and not held:
            chunks = queue.take(batch_rows, 0.0, 0.0)
            rows = [row for chunk in chunks for row in chunk.rows]
            assert len(rows) <= batch_rows or len([chunk for chunk in chunks if chunk.rows]) == 1
            held = len(rows)
            taken += rows
        elif step == "done":
            queue.done(chunks)
            held = 0
        elif isinstance(step, int):
            rows = [tick("HK.00700", seq + n) for n in range(step)]
            assert queue.has_room(step) is (queue.rows + step <= max_rows)
            if queue.has_room(step):
                queue.put(Chunk(rows=rows))
                accepted += rows
                seq += step
        assert queue.rows == len(accepted) - len(taken) + held <= max_rows
        assert queue.waiting_rows == len(accepted) - len(taken)
    queue.close()
    while chunks := queue.take(batch_rows, 9.0, 9.0):
        taken += [row for chunk in chunks for row in chunk.rows]
    assert taken == accepted


def test_a_full_queue_still_takes_what_has_no_rows(tick: MakeTick) -> None:
    """Counts and connections reach the ledger even if no tick finds room."""
    queue = TickQueue(1)
    queue.put(Chunk(rows=[tick("HK.00700", 1)]))
    assert not queue.has_room(1)
    queue.put(Chunk(dropped=1))
    queue.put(Chunk(links=[Link(1, False, None, "gone")]))
    assert [(len(chunk.rows), chunk.dropped, len(chunk.links)) for chunk in queue.take(9, 0.0, 0.0)] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]


def test_the_taker_waits_for_company_only_while_there_is_time(tick: MakeTick) -> None:
    """A lone tick waits for the linger, a full batch for nothing, and nothing at all for the idle time."""
    queue = TickQueue(100)
    queue.put(Chunk(rows=[tick("HK.00700", 1)]))
    started_s = time.monotonic()
    assert len(queue.take(10, 0.05, 9.0)) == 1
    assert time.monotonic() - started_s >= 0.045
    queue.put(Chunk(rows=[tick("HK.00700", n) for n in range(10)]))
    assert len(queue.take(10, 60.0, 60.0)) == 1  # would outlast the test if it lingered
    assert queue.take(10, 60.0, 0.01) == []


def test_a_full_batch_and_the_end_wake_the_taker(tick: MakeTick) -> None:
    """Another thread's row that completes a batch, or `close`, ends the wait at once."""
    queue = TickQueue(100)
    batches: list[int] = []

    def take() -> None:
        batches.extend(len(queue.take(2, 60.0, 60.0)) for _ in range(3))

    taker = threading.Thread(target=take)
    taker.start()
    for seq in range(3):
        queue.put(Chunk(rows=[tick("HK.00700", seq)]))
    queue.close()
    taker.join(30)
    assert not taker.is_alive()
    assert sum(batches) == 3

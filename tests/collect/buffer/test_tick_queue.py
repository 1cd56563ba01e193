"""The queue between network and disk: nothing lost, nothing twice, in order, and bounded in rows."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.store.dayfile import ConnectionChange

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
    """The bound counts rows, including those that the taker has, for chunks of any size."""
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


def test_a_full_queue_still_takes_chunks_without_rows(tick: MakeTick) -> None:
    """Counts and connections reach the ledger even without space for a tick."""
    queue = TickQueue(1)
    queue.put(Chunk(rows=[tick("HK.00700", 1)]))
    assert not queue.has_room(1)
    queue.put(Chunk(dropped=1))
    queue.put(Chunk(connections=[ConnectionChange(1, False, None, "gone")]))
    assert [(len(chunk.rows), chunk.dropped, len(chunk.connections)) for chunk in queue.take(9, 0.0, 0.0)] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]


def test_the_taker_waits_for_more_rows_until_its_deadline(tick: MakeTick) -> None:
    """A single tick is returned after the linger time, a full batch at once, an empty queue after the idle time."""
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


# --- who takes, and what he leaves ---


def seqs(chunks: list[Chunk]) -> list[int]:
    """The ticks of these chunks."""
    return [row[1] for chunk in chunks for row in chunk.rows]


def filled(tick: MakeTick, *counts: int, max_rows: int = 100) -> TickQueue:
    """A queue with chunks of so many rows, numbered through."""
    queue, first = TickQueue(max_rows), 0
    for count in counts:
        queue.put(Chunk(rows=[tick("HK.00700", first + n) for n in range(count)]))
        first += count
    return queue


def test_returned_rows_come_first_for_the_next_taker(tick: MakeTick) -> None:
    """In their order, before newer rows, and always counted; the replaced taker cannot mark them as done."""
    queue, told = filled(tick, 2, 3, 2), list[str]()
    taken = queue.take(5, 0.0, 0.0)
    taken[0].on_commit = lambda: told.append("committed")
    assert (seqs(taken), queue.rows, queue.waiting_rows) == ([0, 1, 2, 3, 4], 7, 2)
    queue.put(Chunk(rows=[tick("HK.00700", 7)]))
    queue.give_back()
    assert (queue.rows, queue.waiting_rows, queue.taken_from_spool) == (8, 8, False)
    queue.done(taken)
    assert (queue.rows, told) == (8, [])
    again = queue.take(100, 0.0, 0.0)
    assert seqs(again) == list(range(8))
    queue.done(again)
    assert (queue.rows, told) == (0, ["committed"])
    queue.done(again)
    assert (queue.rows, told) == (0, ["committed"])


def test_the_age_of_a_row_counts_from_its_put(tick: MakeTick) -> None:
    """Waiting, taken, and returned; 0 without a row."""
    queue = TickQueue(100)
    assert queue.oldest_age_s() == 0.0
    before_s = time.monotonic()
    queue.put(Chunk(rows=[tick("HK.00700", 1)]))
    put_s = time.monotonic()
    taken = queue.take(1, 0.0, 0.0)
    queue.put(Chunk(rows=[tick("HK.00700", 2)]))
    for given_back in (False, True):
        if given_back:
            queue.give_back()
        now_s = time.monotonic()
        assert now_s - put_s <= queue.oldest_age_s() <= time.monotonic() - before_s
    taken = queue.take(1, 0.0, 0.0)
    queue.done(taken)
    assert queue.oldest_age_s() <= time.monotonic() - put_s
    queue.done(queue.take(1, 0.0, 0.0))
    assert queue.oldest_age_s() == 0.0


def test_everything_put_before_the_oldest_chunk_is_committed(tick: MakeTick) -> None:
    """Chunks may be taken or waiting; the time is unknown while rows are spooled or held for their day."""
    queue = TickQueue(10)
    assert queue.committed_s() == math.inf
    before_s = time.monotonic()
    queue.put(Chunk(rows=[tick("HK.00700", 1)]))
    between_s = time.monotonic()
    assert before_s <= queue.committed_s() <= between_s
    taken = queue.take(1, 0.0, 0.0)
    queue.put(Chunk(rows=[tick("HK.00700", 2)]))
    assert before_s <= queue.committed_s() <= between_s
    queue.done(taken)
    assert between_s <= queue.committed_s() <= time.monotonic()
    queue.held_rows = 1
    assert queue.committed_s() == 0.0


def test_counts_join_a_waiting_chunk(tick: MakeTick) -> None:
    """A count of rejected ticks is added to the last waiting chunk; in an empty queue it is a chunk of its own."""
    queue = filled(tick, 1)
    queue.put(Chunk(rejected=3))
    queue.put(Chunk(rejected=4))
    assert [(len(chunk.rows), chunk.rejected) for chunk in queue.take(9, 0.0, 0.0)] == [(1, 7)]
    queue.put(Chunk(rejected=2))
    queue.put(Chunk(rejected=2, dropped=1))
    assert [(chunk.rejected, chunk.dropped) for chunk in queue.take(9, 0.0, 0.0)] == [(2, 0), (2, 1)]


def test_rows_that_wait_for_their_day_use_space(tick: MakeTick) -> None:
    """Rows in a spool use none, and are on a disk; the queue waits for all of them."""
    queue = filled(tick, 4, max_rows=10)
    queue.held_rows, queue.held_safe_rows = 5, 3
    assert (queue.rows, queue.waiting_rows, queue.exposed_rows, queue.spooled_rows) == (9, 9, 6, 0)
    assert queue.has_room(4)
    assert not queue.has_room(5)
    assert not queue.has_turn_for(1), "memory is never passed by without a spool"
    taken = queue.take(9, 0.0, 0.0)
    assert (queue.waiting_rows, queue.exposed_rows) == (5, 6)
    assert not queue.has_room(5)
    queue.done(taken)
    assert queue.has_room(8)


def test_rows_held_only_in_memory_are_listed_in_order(tick: MakeTick) -> None:
    """Held for a day, taken, and waiting rows: a stop must save all of them."""
    queue = filled(tick, 2, 2)
    held = Chunk(rows=[tick("HK.00005", 99)])
    queue.held_chunks = lambda: [held]
    taken = queue.take(2, 0.0, 0.0)
    assert seqs(queue.held_in_memory()) == [99, 0, 1, 2, 3]
    queue.done(taken)
    assert seqs(queue.held_in_memory()) == [99, 2, 3]


def test_a_batch_is_no_longer_than_asked_for_unless_a_chunk_is(tick: MakeTick) -> None:
    """Chunks are never divided; a longer chunk is returned alone."""
    queue = filled(tick, 2, 2, 2, 7, 1)
    batches = []
    while taken := queue.take(4, 0.0, 0.0):
        batches.append([len(chunk.rows) for chunk in taken])
        queue.done(taken)
    assert batches == [[2, 2], [2], [7], [1]]


def test_without_a_spool_ticks_must_be_taken(tick: MakeTick) -> None:
    """Then ticks must not wait for a copy: they would be in memory only."""
    assert not filled(tick, 1).wait_safely(9.0)

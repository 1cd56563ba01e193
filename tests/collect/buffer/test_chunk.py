"""Properties of a chunk besides its rows."""

from __future__ import annotations

import pytest

from hk_tick_collector.collect.buffer.chunk import Chunk, Part
from hk_tick_collector.store.dayfile import ConnectionChange


@pytest.mark.parametrize(
    ("chunk", "count_alone", "more_than_rows"),
    [
        (Chunk(), False, False),
        (Chunk(rejected=3), True, True),
        (Chunk(rejected=3, dropped=1), False, True),
        (Chunk(rejected=3, on_commit=print), False, True),
        (Chunk(connections=[ConnectionChange(1, True, 1, "")]), False, True),
    ],
)
def test_a_count_alone_can_be_merged_into_another_chunk(chunk: Chunk, count_alone: bool, more_than_rows: bool) -> None:
    """A chunk with any other content keeps its own place in the queue."""
    assert (chunk.is_count_alone(), chunk.has_more_than_rows()) == (count_alone, more_than_rows)


def test_a_part_of_rows_alone_changes_no_gap() -> None:
    """It has no rows of `gaps` and no rule."""
    assert Part.of([]) == ([], [], [])

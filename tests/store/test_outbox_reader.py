"""What `publish` reads of a day file: the same checks as every reader, faster; sums that cannot overflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.errors import NoDayError, StoreError
from hk_tick_collector.store.bounded_reading import all_checked, checked
from hk_tick_collector.store.outbox_reader import LOWEST_SEQ, OutboxReader
from hk_tick_collector.store.schema import TICK_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import DayFile

    from hk_tick_collector.model import TickRow

GOOD = ("HK.00700", 1, 2, 388.2, 100, 38820.0, "BUY", "AUTO_MATCH", "realtime", 3, None, None)
ODD = st.sampled_from([None, -1, 0, 7, 2**62, 1.5, float("nan"), float("inf"), "x", b"x"])


def outcome(check: Callable[[list[Any]], Any], rows: list[Any]) -> str:
    try:
        return repr(list(check(rows)))
    except StoreError as error:
        return str(error)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, len(GOOD) - 1), ODD), max_size=3))
def test_rows_are_checked_as_everywhere(changes: list[tuple[int, int, Any]]) -> None:
    """Column by column or row by row: the same rows, or the same error."""
    rows: list[Any] = [list(GOOD) for _ in range(3)]
    for row, column, value in changes:
        rows[row][column] = value
    made = [tuple(row) for row in rows]
    path = Path("20261120.db")
    by_row = outcome(lambda each: checked(iter(each), path, "ticks", TICK_COLUMNS), made)
    assert outcome(lambda each: all_checked(each, path, "ticks", TICK_COLUMNS), made) == by_row


def test_sums_of_sequences_never_overflow(make_day: Callable[..., DayFile], tick: Callable[..., TickRow]) -> None:
    """The sum of the largest and of negative sequences, modulo 2^64, without SQLite's overflow error."""
    day = make_day()
    seqs = [2**63 - 1, 2**63 - 2, 2**63 - 3, -1, LOWEST_SEQ + 1]
    day.add([*(tick("HK.00700", seq, 1000) for seq in seqs), tick("HK.00981", 5, 1000)])
    with OutboxReader(day.path) as reader:
        assert list(reader.key_sums()) == [("HK.00700", 5, sum(seqs) % 2**64), ("HK.00981", 1, 5)]
        assert reader.counts() == [("HK.00700", 5), ("HK.00981", 1)]
        assert [row[1] for row in reader.rows_after("HK.00700", -1, 2)] == [2**63 - 3, 2**63 - 2]
        assert [row[1] for row in reader.late_rows("HK.00700", (LOWEST_SEQ, 0), 0, 9)] == [LOWEST_SEQ + 1, -1]
        assert reader.late_rows("HK.00700", (LOWEST_SEQ, 0), 1003, 9) == []


def test_a_commit_changes_the_version(make_day: Callable[..., DayFile], tick: Callable[..., TickRow]) -> None:
    """So that nothing is read while nothing is committed."""
    day = make_day()
    with OutboxReader(day.path) as reader:
        before = reader.data_version()
        assert reader.data_version() == before
        day.add([tick("HK.00700", 1)])
        assert reader.data_version() != before
    with pytest.raises(NoDayError):
        OutboxReader(day.path.with_name("20261121.db"))

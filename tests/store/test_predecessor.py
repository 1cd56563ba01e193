"""Rows of the predecessor: which are ticks of ours, and why the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.predecessor_files import SHIFT_MS, as_predecessors

from hk_tick_collector import market
from hk_tick_collector.store import predecessor
from hk_tick_collector.store.predecessor import COLUMNS, SourceRow, place

if TYPE_CHECKING:
    from hk_tick_collector.model import TickRow

OPEN_MS = 1_794_965_400_000  # 2026-11-18 09:30 in Hong Kong
DAY = market.day_number(OPEN_MS)
TS_MS = OPEN_MS + 5250
SEQ = (TS_MS // 1000 << 32) | 5
TICK: TickRow = ("HK.00700", SEQ, TS_MS, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", TS_MS + 30, None, None)


def row(**changed: Any) -> SourceRow:
    """A row that is a tick, but for what is changed."""
    return SourceRow(1, tuple(as_predecessors(TICK, "20261118", **changed)[column] for column in COLUMNS))


@pytest.mark.parametrize(
    ("changed", "column", "value"),
    [
        ({}, 0, "HK.00700"),
        ({"symbol": "00700"}, 0, "HK.00700"),
        ({"price": 388}, 3, 388.0),
        ({"volume": 100.0}, 4, 100),
        ({"direction": None}, 6, "UNKNOWN"),
        ({"tick_type": None}, 7, "UNKNOWN"),
        ({"push_type": None}, 8, "unknown"),
        ({"push_type": "CACHE"}, 8, "cache"),
        ({"push_type": "poll"}, 8, "poll"),
        ({"recv_ts_ms": None}, 9, TS_MS + 70),
        ({"recv_ts_ms": None, "inserted_at_ms": None}, 9, TS_MS),
        ({"recv_ts_ms": TS_MS * 1000}, 9, TS_MS + 70),  # microseconds
        ({"recv_ts_ms": 2**63 - 1, "inserted_at_ms": TS_MS * 1000}, 9, TS_MS),
        ({"ts_ms": TS_MS + SHIFT_MS}, 2, TS_MS),
        ({"ts_ms": TS_MS - SHIFT_MS}, 2, TS_MS),
        ({"seq": 17}, 1, 17),
        ({"seq": -17}, 1, -17),
    ],
)
def test_a_row_that_is_a_tick(changed: dict[str, Any], column: int, value: Any) -> None:
    """A missing optional value gets a word of its own; nothing else changes except spelling."""
    placed = place(row(**changed), DAY)
    assert placed.tick is not None
    assert placed.tick[column] == value
    assert type(placed.tick[column]) is type(value)
    assert placed.shifted == (changed.get("ts_ms", TS_MS) != TS_MS)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"seq": None}, predecessor.WITHOUT_SEQ),
        ({"seq": 0}, predecessor.WITHOUT_SEQ),
        ({"seq": "5"}, predecessor.ODD_TYPE),
        ({"seq": 5.0}, predecessor.ODD_TYPE),
        ({"price": None}, predecessor.INCOMPLETE),
        ({"price": float("inf")}, predecessor.ODD_TYPE),
        ({"price": b"388"}, predecessor.ODD_TYPE),
        ({"volume": 2**62}, predecessor.ODD_TYPE),
        ({"turnover": "38,820"}, predecessor.ODD_TYPE),
        ({"direction": 1}, predecessor.ODD_TYPE),
        ({"symbol": "US.AAPL", "market": "US"}, predecessor.ODD_TYPE),
        ({"symbol": "00700", "market": "CN"}, predecessor.ODD_TYPE),
        ({"symbol": 700}, predecessor.ODD_TYPE),
        ({"ts_ms": TS_MS // 1000}, predecessor.ODD_TYPE),
        ({"ts_ms": "09:30"}, predecessor.ODD_TYPE),
        ({"ts_ms": TS_MS + market.DAY_MS, "seq": SEQ + (86_400 << 32)}, predecessor.OTHER_DAY),
        ({"ts_ms": TS_MS + SHIFT_MS, "seq": 17}, predecessor.TIME_IN_DOUBT),
        ({"ts_ms": TS_MS - SHIFT_MS, "seq": 17}, predecessor.TIME_IN_DOUBT),
    ],
)
def test_a_row_that_is_no_tick_has_a_cause(changed: dict[str, Any], cause: str) -> None:
    """Each has a cause; nothing is made of it."""
    assert place(row(**changed), DAY) == (None, cause, False)


VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5) | st.binary(max_size=5)


@given(st.dictionaries(st.sampled_from(COLUMNS), VALUES))
def test_any_row_is_a_tick_or_has_a_cause(changed: dict[str, Any]) -> None:
    """Whatever a file contains, a row is a tick with the right types or has a cause; the fast path agrees."""
    values = row(**changed).values
    placed = place(SourceRow(1, values), DAY)
    assert (placed.tick is None) == bool(placed.cause)
    assert placed == predecessor._place(values, DAY)  # noqa: SLF001 - the careful way
    if placed.tick is not None:
        assert [type(value) for value in placed.tick] == [
            str,
            int,
            int,
            float,
            int,
            float,
            str,
            str,
            str,
            int,
            *[type(None)] * 2,
        ]

"""The busiest symbols, from counters of a real day file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.web.busiest import STEPS, Busiest, count_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DAY = "20261120"
OPEN_MS = market.day_start_ms(market.parse_day(DAY)) + 34_200_000


def test_the_counters_are_those_of_the_day_file(tmp_path: Path, tick: Callable[..., TickRow]) -> None:
    """Read while the file is open for writing."""
    file = DayFile(tmp_path / f"{DAY}.db", DAY, "run", OPEN_MS, "test", StoreOptions())
    try:
        rows = [tick("HK.00700", number, OPEN_MS) for number in (1, 2, 3)] + [tick("HK.00005", 1, OPEN_MS)]
        file.write(Batch(rows=rows), OPEN_MS)
        assert count_rows(tmp_path / f"{DAY}.db") == {"HK.00005": 1, "HK.00700": 3}
    finally:
        file.abandon()


def test_the_first_count_is_no_traffic() -> None:
    """What was stored before the page began says nothing about the last ten minutes."""
    busiest = Busiest()
    busiest.add(DAY, {"HK.00700": 5_000_000, "HK.00005": 7})
    assert busiest.top() == []
    busiest.add(DAY, {"HK.00700": 5_000_010, "HK.00005": 10})
    first, second = busiest.top()
    assert (first.symbol, first.rows, first.last_minute) == ("HK.00700", 5_000_010, 10)
    assert (second.symbol, second.steps[-2:]) == ("HK.00005", [None, 3])
    assert busiest.known_s == 10


def test_a_count_that_failed_is_unknown_and_a_new_day_begins_anew() -> None:
    """Neither is drawn as silence, nor as a burst."""
    busiest = Busiest()
    for rows in ({"HK.00700": 1}, None, {"HK.00700": 900}, {"HK.00700": 901}):
        busiest.add(DAY, rows)
    assert busiest.top()[0].steps == [None] * (STEPS - 1) + [1]
    busiest.add("20261121", {"HK.00700": 3})
    assert busiest.top() == []

"""What an answer of OpenD's proves by itself."""

from __future__ import annotations

import pytest

from hk_tick_collector.gaps.answer import Answer, last_fall, part_of, reach
from hk_tick_collector.gaps.symbol_day import Day, SymbolDay

from .table import DAY, TEN_MS, at


def answer(*counters: int, asked: int = 1000, newest_ms: int = 0) -> Answer:
    """One with these ticks."""
    return Answer(
        [(at(counter)[1], at(counter)[2]) for counter in counters], asked, full=False, newest_ms=newest_ms, now_s=1.0
    )


def test_an_answer_that_lacks_the_newest_tick_we_know_is_not_fresh() -> None:
    """OpenD's answers may be three seconds behind its pushes, not more."""
    assert answer(1, 2, newest_ms=TEN_MS + 3_000).is_fresh
    assert not answer(1, 2, newest_ms=TEN_MS + 3_001).is_fresh


def test_an_answer_as_long_as_was_asked_for_is_not_all_there_is() -> None:
    """Only a shorter one says that OpenD has no more."""
    assert [answer(1, 2, asked=asked).complete for asked in (2, 3)] == [False, True]


def test_an_answer_with_less_than_we_know_reaches_nothing() -> None:
    """Where a stored tick between its first and last is missing in it, it says nothing of gaps."""
    day, track = Day(DAY), SymbolDay("HK.00700", next=6, last_seq=at(5)[1], last_ts_ms=at(5)[2])
    day.keep(track)
    whole, holed = answer(1, 2, 3, 4, 5), answer(1, 2, 4, 5)
    reached = reach(day, track, whole, part_of(whole, DAY))
    assert reached is not None
    assert (reached.low, reached.high) == (1, 5)
    assert reach(day, track, holed, part_of(holed, DAY)) is None


@pytest.mark.parametrize(
    ("counters", "index"),
    [
        ([1, 2, 3, 4, 5, 6], 0),
        ([7, 8, 9, 1, 2, 3], 3),
        ([1, 2, 9, 3, 4, 5], 0),  # a single late report
        ([7, 8, 9, 4, 5, 6, 1, 2, 3], 6),
        ([8, 9, 1, 2], 0),  # too few on either side
    ],
)
def test_where_the_counter_falls_last(counters: list[int], index: int) -> None:
    """Several rise, the next is lower, and they rise again from there."""
    assert last_fall([at(counter, second)[1] for second, counter in enumerate(counters)]) == index

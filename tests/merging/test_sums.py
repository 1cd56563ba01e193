"""What a collector says that it has, compared with the union: which symbols are asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.merging.feeds import DAY, NOW_MS, at, part, ticks

from hk_tick_collector.merging.days import MergedDays
from hk_tick_collector.merging.sums import Lacking, lacking
from hk_tick_collector.store.dayfile import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hk_tick_collector.merging.parts import Part


@pytest.fixture
def days(tmp_path: Path) -> Iterator[MergedDays]:
    made = MergedDays(tmp_path, StoreOptions(synchronous="OFF"), "test", lambda: NOW_MS)
    yield made
    made.close_all(None)


def merge(days: MergedDays, *parts: Part) -> None:
    for prepared in days.prepare(parts, at(1)):
        days.commit(prepared)


def sums(counters: Iterable[int], symbol: str = "HK.00700") -> dict[str, tuple[int, int]]:
    rows = ticks(counters, symbol)
    return {symbol: (len(rows), sum(row[1] for row in rows) % 2**64)}


def test_equal_sums_ask_for_nothing(days: MergedDays) -> None:
    """The normal case, with sequences whose sum is far above 64 bits."""
    merge(days, part("a", range(1, 2001)))
    assert sum(row[1] for row in ticks(range(1, 2001))) > 2**64
    assert lacking(days.path(DAY), sums(range(1, 2001))) == Lacking([], [])


def test_a_message_lost_in_mid_log_is_found(days: MergedDays) -> None:
    """The collector has more ticks than the union, also of a symbol that the union does not have at all."""
    merge(days, part("a", [*range(1, 501), *range(601, 1001)]))
    wanted = sums(range(1, 1001)) | sums(range(1, 3), "HK.00005")
    assert lacking(days.path(DAY), wanted) == Lacking(["HK.00700", "HK.00005"], [])


def test_as_many_but_other_ticks_are_found(days: MergedDays) -> None:
    """The numbers of ticks are equal by chance."""
    merge(days, part("a", range(1, 100)), part("b", [101]))
    assert lacking(days.path(DAY), sums(range(1, 101))) == Lacking(["HK.00700"], [])


def test_more_from_another_collector_is_no_loss(days: MergedDays) -> None:
    """The union has every tick, one collector has fewer."""
    merge(days, part("a", range(1, 51)), part("b", range(1, 101)))
    assert lacking(days.path(DAY), sums(range(1, 51))) == Lacking([], [])


def test_a_collector_that_may_fill_a_gap_is_asked(days: MergedDays) -> None:
    """The union has more ticks than the collector and yet a gap, which the collector's lost message may have had."""
    merge(days, part("b", [*range(1, 41), *range(51, 201)]))
    assert lacking(days.path(DAY), sums(range(30, 61))) == Lacking([], ["HK.00700"])

"""Gaps that nobody asks for any more."""

from __future__ import annotations

from hk_tick_collector.gaps.gap import OpenGap
from hk_tick_collector.gaps.lost_gaps import LostGaps

from .table import SYMBOL, TEN_MS, Table, at


def gap(first: int, last: int) -> OpenGap:
    """A gap between these counters."""
    return OpenGap(first, first, last, at(first)[1], at(last)[1], TEN_MS, TEN_MS, "push_lost", TEN_MS)


def test_a_lost_gap_is_filled_when_its_ticks_come_all_the_same() -> None:
    """From the spool of an earlier run, for example: its row shrinks, splits and closes as any other."""
    table = Table()
    table.see(at(1), at(9))
    table.answer(at(9), full=True)
    assert (table.tracker.known.missing(SYMBOL), table.counters()) == (0, [(2, 8)])
    table.see(at(5))
    assert table.counters() == [(2, 4), (6, 8)]
    table.see(*[at(counter) for counter in (2, 3, 4, 6, 7, 8)])
    assert table.open() == []


def test_a_gap_that_is_taken_is_the_one_that_was_added() -> None:
    """All of it comes back, by any counter in it; the others stay in order."""
    gaps, lost = [gap(10, 19), gap(30, 39), gap(1, 5)], LostGaps()
    for each in gaps:
        lost.add(each)
    assert [(each.first, each.last) for each in lost] == [(1, 5), (10, 19), (30, 39)]
    assert (len(lost), lost.last, lost.missing(), lost.missing_between(4, 30)) == (3, 39, 25, 13)
    assert [lost.holds(counter) for counter in (5, 6, 10, 39, 40)] == [True, False, True, True, False]
    taken = lost.take(12)
    assert taken is not None
    assert (taken.first, taken.last, taken.cause, taken.final) == (10, 19, "push_lost", True)
    assert lost.take(12) is None
    assert [each.first for each in lost.take_from(4)] == [1, 30]
    assert not lost

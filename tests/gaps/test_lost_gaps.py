"""Gaps that are no longer requested."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from hk_tick_collector.gaps.gap import OpenGap, first_counter
from hk_tick_collector.gaps.lost_gaps import LostGaps

from .table import SYMBOL, TEN_MS, Table, at


def gap(first: int, last: int) -> OpenGap:
    """A gap between these counters."""
    return OpenGap(first, first, last, at(first)[1], at(last)[1], TEN_MS, TEN_MS, "push_lost", TEN_MS)


def test_a_lost_gap_is_filled_if_its_ticks_still_arrive() -> None:
    """From the spool of an earlier run, for example: its row shrinks, splits and closes like any other."""
    table = Table()
    table.see(at(1), at(9))
    table.answer(at(9), full=True)
    assert (table.tracker.known.missing(SYMBOL), table.counters()) == (0, [(2, 8)])
    table.see(at(5))
    assert table.counters() == [(2, 4), (6, 8)]
    table.see(*[at(counter) for counter in (2, 3, 4, 6, 7, 8)])
    assert table.open() == []


def test_a_gap_is_taken_out_as_it_was_added() -> None:
    """Any counter in it returns the whole gap; the others stay in order."""
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


@pytest.mark.parametrize("seed", range(6))
def test_lost_gaps_act_like_a_plain_list(seed: int) -> None:
    """Added in any order, taken by any counter: gaps, their places and the number of missing ticks equal a list's."""
    random, lost, plain = Random(seed), LostGaps(), dict[int, OpenGap]()
    for step in range(60):
        first = random.randrange(1, 90)
        last = first + random.randrange(4)
        free = all(each.last < first or last < each.first for each in plain.values())
        if free and random.random() < 0.8:
            cause = random.choice(["push_lost", "disconnected", "dropped"])
            added = replace(gap(first, last), id=step, cause=cause, opened_ms=TEN_MS + step, lost_ms=TEN_MS + 9)
            plain[first] = replace(added, final=True, written=True)
            lost.add(added)
        elif random.random() < 0.7:
            there = next((each for each in plain.values() if each.first <= first <= each.last), None)
            assert lost.holds(first) == (there is not None)
            assert lost.take(first) == there
            if there is not None:
                del plain[there.first]
        elif random.random() < 0.2:
            taken = [each for each in sorted(plain.values(), key=first_counter) if each.last >= first]
            assert lost.take_from(first) == taken
            for each in taken:
                del plain[each.first]
        ordered = sorted(plain.values(), key=first_counter)
        assert list(lost) == ordered
        assert (len(lost), bool(lost)) == (len(plain), bool(plain))
        assert (lost.last, lost.newest()) == ((ordered[-1].last, ordered[-1]) if ordered else (0, None))
        counters = {counter for each in ordered for counter in range(each.first, each.last + 1)}
        assert lost.missing() == len(counters)
        assert lost.missing_between(first, last + 20) == sum(first <= counter <= last + 20 for counter in counters)
    rest = list(lost)
    assert lost.clear() == rest
    assert not lost
    lost.add(gap(1, 2))
    assert [each.cause for each in lost] == ["push_lost"]

"""The rule of the sequence for single ticks, and the counts of a symbol's day."""

from __future__ import annotations

import pytest

from hk_tick_collector.gaps.gap import OpenGap
from hk_tick_collector.gaps.symbol_day import COUNTER_MAX, Recent, SymbolDay, continues, follows, is_restart, plausible
from hk_tick_collector.model import SEQ_NEAR_S

from .table import TEN_MS, at

SECOND = 1 << 32


@pytest.mark.parametrize("off_s", [-SEQ_NEAR_S - 1, -SEQ_NEAR_S, 0, SEQ_NEAR_S, SEQ_NEAR_S + 1])
def test_a_sequence_must_be_near_the_ticks_own_time(off_s: int) -> None:
    """Within ten seconds either way; the counter is from 1 to ten million."""
    seq = at(7, off_s)[1]
    assert plausible(seq, TEN_MS) == (abs(off_s) <= SEQ_NEAR_S)
    assert not plausible(at(0)[1], TEN_MS)
    assert plausible(at(COUNTER_MAX)[1], TEN_MS)
    assert not plausible(at(COUNTER_MAX + 1)[1], TEN_MS)


def test_a_larger_jump_needs_more_time() -> None:
    """A thousand counters at any time, more only if seconds have passed."""
    track = SymbolDay("HK.00700", next=10, last_seq=at(9)[1])
    assert continues(track, at(10)[1], near=True)
    assert not continues(track, at(9)[1], near=True)
    assert continues(track, at(1_010)[1], near=True)
    assert not continues(track, at(50_000)[1], near=True)
    assert continues(track, at(50_000, 60)[1], near=True)


def test_a_lower_counter_in_a_later_second_starts_a_new_run() -> None:
    """The next tick must have the next counter."""
    track = SymbolDay("HK.00700", next=10, last_seq=at(9)[1])
    assert is_restart(track, at(1, 5)[1])
    assert not is_restart(track, at(1)[1] - SECOND)
    assert follows(at(2, 5)[1], at(1, 5)[1])
    assert not follows(at(1, 6)[1], at(1, 5)[1])


def test_counters_without_a_tick_are_counted_in_total_and_in_a_range() -> None:
    """Those of open gaps, of lost gaps, and counters that the exchange skipped."""

    def gap(first: int, last: int) -> OpenGap:
        return OpenGap(first, first, last, at(first)[1], at(last)[1], TEN_MS, TEN_MS, "push_lost", TEN_MS)

    track = SymbolDay("HK.00700", next=100, gaps=[gap(10, 19)])
    track.lost.add(gap(30, 39))
    track.skipped.add(gap(50, 50))
    assert track.unstored() == 21
    assert track.unstored_between(15, 34) == 10
    assert track.unstored_between(50, 99) == 1


def test_ticks_received_again_replace_no_other_known_tick() -> None:
    """An answer is compared with all known ticks, also with those that OpenD no longer has."""
    recent = Recent()
    for number in (*range(405), *(list(range(5, 405)) * 8)):
        recent.add(number, number * 1000)
    assert recent.known() == frozenset(range(405))
    assert recent.until(3000) == {0, 1, 2, 3}

"""What was found to be lost: summed, told lately, never told twice."""

from __future__ import annotations

from typing import Any

from hk_tick_collector.gaps.gap import OpenGap
from hk_tick_collector.gaps.losses_by_second import Losses
from hk_tick_collector.gaps.symbol_day import CAUSE_BEFORE_START, CAUSE_PUSH_LOST

NOW_MS = 1_795_140_000_000


def gap(first: int, last: int, cause: str = CAUSE_PUSH_LOST, **more: Any) -> OpenGap:
    """A gap that opened now."""
    return OpenGap(first, first, last, first, last, NOW_MS - 5_000, NOW_MS - 4_000, cause, NOW_MS, **more)


def test_gaps_of_one_second_are_one_sum() -> None:
    """Of known size; those of unknown size are counted apart."""
    losses = Losses()
    losses.add([gap(1, 5), gap(7, 8), gap(0, 0)], NOW_MS)
    lost = losses.since(NOW_MS - 1_000)
    assert (losses.ticks, lost.gaps, lost.ticks, lost.found_ms) == (7, 3, 7, NOW_MS)
    assert (losses.unknown, lost.unknown) == (1, 1)
    assert losses.since(NOW_MS + 1_000).gaps == 0


def test_what_was_traded_before_the_start_is_no_loss_unless_we_should_have_run() -> None:
    """However it comes to be counted: found now, recalled from the file, or counted again."""
    for late, expected in ((False, 0), (True, 3)):
        losses = Losses()
        losses.late_start = late
        losses.add([gap(1, 2, CAUSE_BEFORE_START)], NOW_MS)
        losses.recall([gap(3, 4, CAUSE_BEFORE_START)], NOW_MS - 1)
        assert losses.since(0).gaps == (2 if late else 0)
        losses.recount([gap(first, first, CAUSE_BEFORE_START) for first in (1, 2, 3)])
        assert losses.since(0).gaps == expected


def test_a_gap_that_was_asked_for_again_is_lost_as_before() -> None:
    """After a reconnect it is found again, and is no new loss."""
    losses = Losses()
    losses.add([gap(1, 2, lost_ms=NOW_MS - 60_000)], NOW_MS)
    assert losses.ticks == 0


def test_what_was_filled_from_elsewhere_was_not_lost_but_stays_counted() -> None:
    """The sums of the last hour are made anew; the counter of all never falls."""
    losses = Losses()
    losses.add([gap(1, 5), gap(7, 8)], NOW_MS)
    losses.recount([gap(7, 8, lost_ms=NOW_MS)])
    assert (losses.ticks, losses.since(0).ticks) == (7, 2)

"""Lost gaps: summed by second, reported for an hour, never counted twice."""

from __future__ import annotations

from typing import Any

from hk_tick_collector.gaps.gap import OpenGap
from hk_tick_collector.gaps.losses_by_second import Losses, Lost
from hk_tick_collector.gaps.symbol_day import CAUSE_BEFORE_START, CAUSE_PUSH_LOST

NOW_MS = 1_795_140_000_000


def gap(first: int, last: int, cause: str = CAUSE_PUSH_LOST, **more: Any) -> OpenGap:
    """A gap that opened now."""
    return OpenGap(first, first, last, first, last, NOW_MS - 5_000, NOW_MS - 4_000, cause, NOW_MS, **more)


def test_gaps_of_one_second_are_one_sum() -> None:
    """Those of known size; those of unknown size are counted separately."""
    losses = Losses()
    losses.add([gap(1, 5), gap(7, 8), gap(0, 0)], NOW_MS)
    lost = losses.since(NOW_MS - 1_000)
    assert (losses.ticks, lost.gaps, lost.ticks, lost.found_ms) == (7, 3, 7, NOW_MS)
    assert (losses.unknown, lost.unknown) == (1, 1)
    assert losses.since(NOW_MS + 1_000).gaps == 0


def test_ticks_before_the_start_are_lost_only_if_the_service_should_have_run() -> None:
    """The same for a gap that is found now, read from the file, or counted again."""
    for late, expected in ((False, 0), (True, 3)):
        losses = Losses()
        losses.late_start = late
        losses.add([gap(1, 2, CAUSE_BEFORE_START)], NOW_MS)
        losses.recall([gap(3, 4, CAUSE_BEFORE_START)], NOW_MS - 1)
        assert losses.since(0).gaps == (2 if late else 0)
        losses.recount([gap(first, first, CAUSE_BEFORE_START) for first in (1, 2, 3)])
        assert losses.since(0).gaps == expected


def test_a_lost_gap_that_was_requested_again_is_no_new_loss() -> None:
    """After a reconnect it is found again, and does not count a second time."""
    losses = Losses()
    losses.add([gap(1, 2, lost_ms=NOW_MS - 60_000)], NOW_MS)
    assert losses.ticks == 0


def test_a_gap_filled_later_leaves_the_last_hour_and_stays_in_the_total() -> None:
    """The sums of the last hour are computed again; the total since the start never falls."""
    losses = Losses()
    losses.add([gap(1, 5), gap(7, 8)], NOW_MS)
    losses.recount([gap(7, 8, lost_ms=NOW_MS)])
    assert (losses.ticks, losses.since(0).ticks) == (7, 2)


def test_the_time_of_a_loss_is_when_it_was_found() -> None:
    """Not when it was added. From that time on it is in the sums, with the time range that it covers."""
    losses = Losses()
    early = gap(1, 5, lost_ms=NOW_MS - 900)
    early.from_ts_ms, early.to_ts_ms = NOW_MS - 9_000, NOW_MS - 8_000
    losses.add([gap(7, 8, lost_ms=NOW_MS - 100), early, gap(10, 10, lost_ms=NOW_MS - 3_000)], NOW_MS)
    losses.add([gap(20, 29)], NOW_MS + 5_000)
    assert losses.ticks == 17, "the third was added again, more than a second after it was found"
    assert losses.since(NOW_MS - 2_000) == Lost(3, 17, NOW_MS - 900, NOW_MS - 9_000, NOW_MS - 4_000)
    assert losses.since(NOW_MS) == Lost(1, 10, NOW_MS + 5_000, NOW_MS - 5_000, NOW_MS - 4_000)
    assert losses.since(NOW_MS + 5_000) == Lost(0, 0, 0, 0, 0)


def test_a_loss_found_less_than_a_second_ago_is_new() -> None:
    """One answer finds and adds it; a gap that was found longer ago was requested again, and is no new loss."""
    losses = Losses()
    losses.add([gap(1, 1, lost_ms=NOW_MS - 1_000)], NOW_MS)
    assert losses.ticks == 1
    losses.add([gap(2, 2, lost_ms=NOW_MS - 1_001)], NOW_MS)
    assert losses.ticks == 1


def test_losses_are_reported_for_an_hour() -> None:
    """A loss found an hour before the newest one is no longer reported; the total since the start still has it."""
    losses = Losses()
    for at_s in (0, 1, 2, 3_601):
        losses.add([gap(1, 10)], NOW_MS + at_s * 1_000)
    assert losses.since(0).found_ms == NOW_MS + 2_000
    assert (losses.since(0).gaps, losses.ticks) == (2, 40)


def test_recent_losses_of_an_earlier_run_are_reported_again() -> None:
    """They come from a day's file, with the time when the gap opened. Losses that this run found are not added again,
    and the total of this run does not change.
    """
    losses = Losses()
    old, new, ours = gap(1, 5), gap(7, 8), gap(10, 19, lost_ms=NOW_MS)
    old.opened_ms, new.opened_ms = NOW_MS - 60_000, NOW_MS - 59_999
    losses.recall([ours, old, new], NOW_MS - 60_000)
    assert losses.since(0) == Lost(1, 2, NOW_MS - 59_999, NOW_MS - 5_000, NOW_MS - 4_000)
    assert (losses.ticks, losses.unknown) == (0, 0)


def test_a_recount_reports_each_loss_at_its_own_time() -> None:
    """In any order: the time is when the loss was found, or, if an earlier run found it, when the gap opened."""
    losses = Losses()
    found, opened, unknown = gap(1, 5, lost_ms=NOW_MS - 7_000), gap(7, 8), gap(0, 0, lost_ms=NOW_MS - 5_200)
    opened.opened_ms = NOW_MS - 5_100
    losses.add([gap(1, 1)], NOW_MS)
    losses.recount([opened, found, unknown])
    assert losses.since(0) == Lost(3, 7, NOW_MS - 7_000, NOW_MS - 5_000, NOW_MS - 4_000, 1)
    assert losses.since(NOW_MS - 6_001)[:3] == (2, 2, NOW_MS - 5_200)

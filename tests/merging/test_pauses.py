"""After damage the merge begins again: at once, and later each time that it recurs."""

from __future__ import annotations

from hk_tick_collector.merging.pauses import Pauses


def test_damage_that_recurs_is_waited_for_longer_each_time() -> None:
    """Up to a minute, so that the days that are whole are merged meanwhile."""
    pauses = Pauses()
    assert [pauses.after_damage(float(minute * 60)) for minute in range(6)] == [0.0, 1.0, 5.0, 20.0, 60.0, 60.0]


def test_damage_after_a_quiet_hour_is_the_first_again() -> None:
    """Another disk error on the next day has nothing to do with it."""
    pauses = Pauses()
    assert [pauses.after_damage(now_s) for now_s in (0.0, 10.0, 3700.0, 3701.0)] == [0.0, 1.0, 0.0, 1.0]

"""Rates from counters that were read about once a second."""

from __future__ import annotations

from tests.cli.live_view.scenes import symbol

from hk_tick_collector.cli.live_view.history import History


def test_a_rate_is_the_mean_of_the_last_ten_seconds() -> None:
    """None before the second reading; older readings do not count."""
    history = History()
    assert history.rate("HK.00001") is None
    for second in range(21):
        rows = 100 * second if second <= 10 else 1000 + 5 * (second - 10)
        history.add("20261120", float(second), [symbol(1, rows=rows)])
    assert history.rate("HK.00001") == 5.0
    assert history.trend("HK.00001") == [100.0] * 10 + [5.0] * 10


def test_a_late_reading_is_divided_by_its_time() -> None:
    """A disk that was frozen for a minute: the mean of that minute, no burst."""
    history = History()
    history.add("20261120", 0.0, [symbol(1, rows=0)])
    history.add("20261120", 60.0, [symbol(1, rows=600)])
    assert history.rate("HK.00001") == 10.0


def test_another_day_or_a_new_file_begins_anew() -> None:
    """Fewer rows than before are no negative rate."""
    history = History()
    for day, at_s, rows in (("20261120", 0.0, 500), ("20261120", 1.0, 600), ("20261120", 2.0, 10)):
        history.add(day, at_s, [symbol(1, rows=rows)])
    assert history.rate("HK.00001") is None
    history.add("20261121", 3.0, [symbol(1, rows=700)])
    assert history.rate("HK.00001") is None

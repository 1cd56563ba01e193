"""The last hour of the figures, and what it does not know."""

from __future__ import annotations

from hk_tick_collector.web.history import STEP_S, STEPS, Hour


def test_a_step_is_the_mean_of_the_rate_and_the_worst_of_the_lag() -> None:
    """Fifteen seconds become one value."""
    hour = Hour(0.0)
    for second in range(STEP_S):
        hour.add(float(second), {"rate": float(second), "lag": float(second)})
    assert hour.series("rate", 15.0)[-2:] == [7.0, None]
    assert hour.series("lag", 15.0)[-2:] == [14.0, None]


def test_it_does_not_know_what_was_before_its_start_and_while_nothing_was_reported() -> None:
    """None, never zero."""
    hour = Hour(0.0)
    hour.add(1.0, {"queue": 5})
    hour.add(50.0, {"queue": 7})
    assert hour.series("queue", 50.0) == [None] * (STEPS - 4) + [5.0, None, None, 7.0]
    assert hour.known_s(50.0) == 50.0


def test_it_keeps_one_hour() -> None:
    """However long it runs; also after a pause of a day, as of a host that slept."""
    hour = Hour(0.0)
    for step in range(1000):
        hour.add(float(step * STEP_S), {"spool": step})
    series = hour.series("spool", 999.0 * STEP_S)
    assert (len(series), series[0], series[-1]) == (STEPS, 760.0, 999.0)
    hour.add(86_400.0 * 2, {"spool": 1})
    assert hour.series("spool", 86_400.0 * 2) == [None] * (STEPS - 1) + [1.0]
    assert hour.known_s(86_400.0 * 2) == 3600.0

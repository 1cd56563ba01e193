"""Figures that several parts use in the same way."""

from __future__ import annotations

from hk_tick_collector.stats import percentile


def test_percentiles_are_those_of_the_measured_values() -> None:
    """None without values."""
    assert percentile([], 50) is None
    assert [percentile([3.0, 1.0, 2.0, 4.0], percent) for percent in (0, 50, 99)] == [1.0, 3.0, 4.0]
    assert percentile([0.06, 7], 0) == 0.1

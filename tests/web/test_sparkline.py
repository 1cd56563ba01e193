"""A series as a picture."""

from __future__ import annotations

from hk_tick_collector.web.sparkline import HEIGHT, WIDTH, sparkline


def test_what_is_not_known_is_not_drawn() -> None:
    """Two runs are two lines; the unknown beginning has its width."""
    picture = sparkline([None, None, 1, 2, None, 4, 4, None])
    assert picture.line.count("M") == 2
    assert picture.unknown == WIDTH // 4


def test_a_series_of_zeros_lies_on_the_ground() -> None:
    """No division by the largest value."""
    assert f" {HEIGHT - 1}" in sparkline([0, 0, 0]).line


def test_nothing_known_is_nothing_drawn() -> None:
    """And no error."""
    assert sparkline([None, None]) == ("", "", WIDTH)
    assert sparkline([]).line == ""

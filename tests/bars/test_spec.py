"""Valid requests: one size, and a length that divides a day. Any other request is one line that says what to write."""

from __future__ import annotations

from typing import Any

import pytest

from hk_tick_collector.bars.spec import USUAL, BarSpec
from hk_tick_collector.errors import UsageError


@pytest.mark.parametrize("every", [*USUAL, "2s", "20m", "90s", "45m", "90m", "2h", "12h", "24h"])
def test_lengths_that_divide_a_day(every: str) -> None:
    """The usual ones and any other whole number of seconds, minutes or hours with no rest."""
    length = BarSpec(every=every).every_ms
    assert length
    assert 86_400_000 % length == 0


@pytest.mark.parametrize(
    "every", ["", "1", "m", "0m", "-1m", "1.5m", "1 m", "1M", "1w", "7m", "5h", "2d", "100h", "１m"]
)
def test_other_lengths_are_refused_with_what_to_write(every: str) -> None:
    """The line repeats the value and lists lengths that work."""
    with pytest.raises(UsageError, match=f"every {every} ") as caught:
        BarSpec(every=every)
    assert "1m 5m" in caught.value.one_line()


@pytest.mark.parametrize(
    "spec",
    [
        {"ticks": 0},
        {"ticks": -5},
        {"volume": 0},
        {"turnover": 0.0},
        {"turnover": -1.0},
        {"turnover": float("nan")},
        {"turnover": float("inf")},
        {"ticks": True},
        {"volume": 1.5},
        {"ticks": 2**63},
    ],
)
def test_sizes_are_above_zero(spec: dict[str, Any]) -> None:
    """A size that no sum can reach, or that every sum has reached, is refused."""
    with pytest.raises(UsageError, match="above 0"):
        BarSpec(**spec)


def test_exactly_one_size_is_given() -> None:
    """None, and two, are named."""
    with pytest.raises(UsageError, match="no length"):
        BarSpec()
    with pytest.raises(UsageError, match="every and ticks exclude each other"):
        BarSpec(every="1m", ticks=5)


def test_prices_are_forming_or_all() -> None:
    """Anything else is a spelling mistake."""
    with pytest.raises(UsageError, match="neither forming nor all"):
        BarSpec(every="1m", prices="last")

"""HKEX's spread table as a list of all prices at which a share can trade, in order.

A price is an index of this list (a level), so a step up or down is always a valid price. Prices are exact: levels hold
thousandths of a dollar, the smallest spread.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

# (below this price, the spread), both in thousandths of HKD. HKEX's Second Schedule, Part A, since the first reduction
# of minimum spreads on 2025-08-04 (10 to 20: 0.01, 20 to 50: 0.02). The second reduction halves the spread between 0.50
# and 10 HKD; every price here stays valid under it.
_SPREADS: Final = (
    (250, 1),
    (500, 5),
    (10_000, 10),
    (20_000, 10),
    (50_000, 20),
    (100_000, 50),
    (200_000, 100),
    (500_000, 200),
    (1_000_000, 500),
    (2_000_000, 1_000),
    (5_000_000, 2_000),
    (9_995_000, 5_000),
)
_LOWEST: Final = 10


def _ladder() -> list[int]:
    levels = []
    price = _LOWEST
    for upper, spread in _SPREADS:
        while price < upper:
            levels.append(price)
            price += spread
    levels.append(price)
    return levels


LADDER_MILS: Final = _ladder()  # thousandths of HKD
LADDER: Final = [mils / 1000 for mils in LADDER_MILS]  # HKD, the double nearest to the decimal price


def level_of(price: float) -> int:
    """The highest level not above `price` (HKD); the first or last level for prices outside the table."""
    return max(0, bisect_right(LADDER_MILS, round(price * 1000)) - 1)


def spread_at(price: float) -> float:
    """The distance to the next higher price, HKD."""
    level = min(level_of(price), len(LADDER) - 2)
    return (LADDER_MILS[level + 1] - LADDER_MILS[level]) / 1000

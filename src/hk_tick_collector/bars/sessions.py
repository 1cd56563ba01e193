"""The sessions of a trading day. A bar shorter than a day never crosses from one into the next.

HKEX's securities market: pre-opening auction 09:00 to 09:30, morning to 12:00, afternoon 13:00 to 16:00, closing
auction to 16:10. On a half day the closing auction is from 12:00 to 12:10: it lies in `noon`, which has no trades on
other days but late reports. Every moment belongs to a session, so that no tick is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hk_tick_collector.market import DAY_MS, HKT_OFFSET_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES: Final = ("opening_auction", "morning", "noon", "afternoon", "closing_auction")
WHOLE_DAY: Final = "day"  # of a bar of one day, which has all sessions
_STARTS_MS: Final = np.array([0, 34_200_000, 43_200_000, 46_800_000, 57_600_000], np.int64)  # since midnight


def session_of(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place in NAMES of the session of each time, UTC epoch ms."""
    return np.searchsorted(_STARTS_MS, (ts_ms + HKT_OFFSET_MS) % DAY_MS, side="right") - 1


def session_start_ms(ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """When the session of each time began, UTC epoch ms; the first one begins at midnight in Hong Kong."""
    since_midnight = (ts_ms + HKT_OFFSET_MS) % DAY_MS
    return ts_ms - since_midnight + _STARTS_MS[np.searchsorted(_STARTS_MS, since_midnight, side="right") - 1]


def are_divided_by(length_ms: int) -> bool:
    """Whether bars of this length, counted from midnight, begin anew at each session without being cut."""
    return not (_STARTS_MS % length_ms).any()

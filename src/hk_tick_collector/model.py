"""The values that travel through the collector.

A tick travels as a plain tuple in the order of the table's columns, because one object for every tick is what a burst
cannot afford; `Tick` is the same tuple with names, for everyone who is not in a hurry.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

TickRow: TypeAlias = tuple[str, int, int, float, int, float, str, str, str, int]

PUSH_REALTIME = "realtime"
PUSH_CACHE = "cache"
PUSH_REFILL = "disconnect_refill"
PUSH_BACKFILL = "backfill"


class Tick(NamedTuple):
    """One trade, in the column order of the table `ticks`."""

    symbol: str  # "HK.00700"
    seq: int  # the feed's own sequence, untouched
    ts_ms: int  # when the trade happened, UTC epoch ms
    price: float  # HKD
    volume: int  # shares
    turnover: float  # HKD
    direction: str  # BUY, SELL, NEUTRAL, UNKNOWN
    tick_type: str  # AUTO_MATCH, ODD_LOT, …; TYPE_n for a number n that is not known
    push_type: str  # realtime, cache, disconnect_refill, backfill
    recv_ts_ms: int  # when it reached our socket, UTC epoch ms


class Rejected(NamedTuple):
    """A received tick that cannot be stored, with all that is known of it."""

    symbol: str
    seq: int
    cause: str  # bad_time, non_finite, out_of_range, sealed_day
    detail: str  # the whole tick, for the log
    recv_ts_ms: int

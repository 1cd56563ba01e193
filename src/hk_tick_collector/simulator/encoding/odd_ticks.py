"""Invalid or unusual ticks, as an exchange, a gateway or a network might produce them.

Each is a tick of a real security, with the next counter of its day. A tick that can be stored unchanged is in the truth
file as it was sent; one that cannot (`storable` is false) is in a separate file, so that a checker knows that its
rejection is correct.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.market import DAY_MS

if TYPE_CHECKING:
    from hk_tick_collector.simulator.exchange.made import MadeRow
    from hk_tick_collector.simulator.exchange.market import SyntheticMarket

    from .encode import EntryEncoder

_DOUBLE: Final = struct.Struct("<d").pack
_TIME_AT: Final = slice(4, 16)  # the position of the time text in an entry, see encode.py
_TIMESTAMP_BYTES: Final = 8  # its last bytes
_NO_TIME: Final = b"99:99:99.999"

ODD_KINDS: Final = {
    "nan": "a price that is not a number",
    "infinite": "an infinite turnover",
    "negative": "a negative price and turnover",
    "zero-volume": "a volume of zero",
    "bad-time": "a time like 99:99:99 and no timestamp",
    "odd-time": "a time like 99:99:99 with a valid timestamp",
    "unknown-type": "an unknown type and direction",
    "tomorrow": "dated one day late",
    "yesterday": "dated one day early",
}
_UNSTORABLE: Final = frozenset({"nan", "infinite", "bad-time"})
_UNKNOWN_TYPE, _UNKNOWN_DIRECTION = 99, 9


class OddTick(NamedTuple):
    """The tick in the truth file, the entry that is sent, and whether a collector can store it."""

    row: MadeRow
    entry: bytes
    storable: bool
    kind: str


def odd_tick(kind: str, market: SyntheticMarket, encoder: EntryEncoder, security: int, ts_ms: int) -> OddTick:
    """A tick of one of ODD_KINDS, made at `ts_ms`, UTC epoch ms."""
    ts_ms += {"tomorrow": DAY_MS, "yesterday": -DAY_MS}.get(kind, 0)
    place, seq, _, price, volume, turnover, direction, tick_type = market.single(security, ts_ms)
    match kind:
        case "nan":
            price = math.nan
        case "infinite":
            turnover = math.inf
        case "negative":
            price, turnover = -price, -turnover
        case "zero-volume":
            volume, turnover = 0, 0.0
        case "unknown-type":
            direction, tick_type = _UNKNOWN_DIRECTION, _UNKNOWN_TYPE
    entry = encoder.entries([(place, seq, ts_ms, price, volume, turnover, direction, tick_type)], ts_ms / 1000)[0]
    if kind in ("bad-time", "odd-time"):
        entry = entry[: _TIME_AT.start] + _NO_TIME + entry[_TIME_AT.stop :]
    if kind == "bad-time":
        entry = entry[:-_TIMESTAMP_BYTES] + _DOUBLE(0.0)
    told = 0 if direction == _UNKNOWN_DIRECTION else direction  # the truth file has UNKNOWN
    row = (place, seq, ts_ms, price, volume, turnover, told, tick_type)
    return OddTick(row, entry, kind not in _UNSTORABLE, kind)

"""Which ticks form a price, and what each counts for: the rules of docs/bars.md, by the names of OpenD's SDK."""

from __future__ import annotations

from typing import Final

# What a tick counts for, as bits of its flag.
FORMS_PRICE: Final = 1
LATE: Final = 2
BUY: Final = 4
SELL: Final = 8
NEUTRAL: Final = 16

FLAG_OF_SIDE: Final = {"BUY": BUY, "SELL": SELL, "NEUTRAL": NEUTRAL}
_FORMING: Final = frozenset({"AUTO_MATCH", "INTER_AUTO_MATCH", "AUCTION"})
_LATE: Final = "LATE"


def flag_of_type(tick_type: str, prices: str) -> int:
    """FORMS_PRICE, LATE or 0. `prices` is `forming` or `all`, as in BarSpec; LATE never forms a price."""
    if tick_type == _LATE:
        return LATE
    return FORMS_PRICE if tick_type in _FORMING or (prices == "all" and not is_unknown(tick_type)) else 0


def is_unknown(tick_type: str) -> bool:
    """Whether nothing is known of this type: OpenD gave the number 0, or one that its SDK has no name for."""
    return tick_type == "UNKNOWN" or tick_type.startswith("TYPE_")

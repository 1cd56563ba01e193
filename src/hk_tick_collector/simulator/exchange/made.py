"""A trade as the exchange makes it, and where such trades come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

BUY, SELL, NEUTRAL = 1, 2, 3  # Qot_Common.TickerDirection
AUTO_MATCH, LATE, NON_AUTO_MATCH, INTER_AUTO_MATCH, INTER_NON_AUTO_MATCH, ODD_LOT, AUCTION = 1, 2, 3, 4, 5, 6, 7


class MadeTick(NamedTuple):
    """One trade as the exchange made it; numbers as on OpenD's wire."""

    security: int  # its place in the listing
    seq: int
    ts_ms: int  # UTC epoch ms
    price: float  # HKD
    volume: int  # shares
    turnover: float  # HKD
    direction: int
    tick_type: int


MadeRow: TypeAlias = tuple[int, int, int, float, int, float, int, int]  # a MadeTick without the cost of its name


class Source(Protocol):
    """Where made ticks come from: the synthetic market, or a recorded day."""

    def slot(self, start_ms: int, end_ms: int) -> Sequence[MadeRow]:
        """The ticks from `start_ms` up to `end_ms`, UTC epoch ms; slots are asked for in order."""
        ...

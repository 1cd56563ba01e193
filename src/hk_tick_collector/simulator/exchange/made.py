"""A trade made by the exchange, and the interface of sources of trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

BUY, SELL, NEUTRAL = 1, 2, 3  # Qot_Common.TickerDirection
AUTO_MATCH, LATE, NON_AUTO_MATCH, INTER_AUTO_MATCH, INTER_NON_AUTO_MATCH, ODD_LOT, AUCTION = 1, 2, 3, 4, 5, 6, 7


class MadeTick(NamedTuple):
    """One trade made by the exchange; numbers as in OpenD's messages."""

    security: int  # the position in the listing
    seq: int
    ts_ms: int  # UTC epoch ms
    price: float  # HKD
    volume: int  # shares
    turnover: float  # HKD
    direction: int
    tick_type: int


MadeRow: TypeAlias = tuple[int, int, int, float, int, float, int, int]  # faster to create than a MadeTick


class Source(Protocol):
    """A source of ticks: the synthetic market, or a recorded day."""

    def slot(self, start_ms: int, end_ms: int) -> Sequence[MadeRow]:
        """The ticks from `start_ms` to before `end_ms`, UTC epoch ms; slots are requested in order."""
        ...

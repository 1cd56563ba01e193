"""The ticks that OpenD remembers: the latest 1,000 of each security, and the day's totals.

Ticks are remembered whether or not a client is connected: a collector requests them after an outage.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from hk_tick_collector.market import day_number
from hk_tick_collector.opend.messages import TICKER_WINDOW_ROWS
from hk_tick_collector.simulator.encoding.encode import as_cached
from hk_tick_collector.simulator.exchange.made import AUCTION, AUTO_MATCH, INTER_AUTO_MATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hk_tick_collector.simulator.exchange.listing import Security
    from hk_tick_collector.simulator.exchange.made import MadeRow

_ON_THE_BOOK: Final = frozenset(
    {AUTO_MATCH, INTER_AUTO_MATCH, AUCTION}
)  # odd lots and off-exchange trades do not change the prices


@dataclass(slots=True)
class DayTotals:
    """One security's day. Every trade counts in volume and turnover; only trades of the order book set the prices."""

    last: float = 0.0  # HKD; 0 before the first trade of the day, like the other prices
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    volume: int = 0
    turnover: float = 0.0
    updated_ms: int = 0


class Tape:
    """Remembers ticks by security."""

    def __init__(self, securities: Sequence[Security]) -> None:
        self._windows: list[deque[bytes]] = [deque(maxlen=TICKER_WINDOW_ROWS) for _ in securities]
        self._totals = [DayTotals() for _ in securities]
        self._day = -1

    def record(self, ticks: Sequence[MadeRow], entries: Iterable[bytes]) -> None:
        """Remembers `ticks`, in the order in which they were made, with one entry each."""
        if not ticks:
            return
        day = day_number(ticks[0][2])
        if day != self._day:
            self._day = day
            self._totals = [DayTotals() for _ in self._totals]
        windows, all_totals, on_the_book = self._windows, self._totals, _ON_THE_BOOK
        for (security, _, ts_ms, price, volume, turnover, _, tick_type), entry in zip(ticks, entries, strict=True):
            windows[security].append(entry)
            totals = all_totals[security]
            totals.volume += volume
            totals.turnover += turnover
            totals.updated_ms = ts_ms
            if price != totals.last and tick_type in on_the_book:
                _note_price(totals, price)

    def remember(self, security: int, entry: bytes) -> None:
        """Remembers one entry that does not count in today's totals."""
        self._windows[security].append(entry)

    def totals(self, security: int) -> DayTotals:
        """The day of one security so far."""
        return self._totals[security]

    def latest(self, security: int, rows: int) -> list[bytes]:
        """The latest `rows` entries as they were pushed, oldest first."""
        window = self._windows[security]
        return list(islice(window, max(0, len(window) - rows), None))

    def cached(self, security: int) -> bytes:
        """The latest entry as in a first push, empty if there is none."""
        window = self._windows[security]
        return as_cached(window[-1]) if window else b""


def _note_price(totals: DayTotals, price: float) -> None:
    if not totals.open:
        totals.open = totals.high = totals.low = price
    totals.last = price
    totals.high = max(totals.high, price)
    totals.low = min(totals.low, price)

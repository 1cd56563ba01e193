"""What decisions read of OpenD: whether it is there, what it says of itself and the market, what it serves us.

Enters: what the connection was told. Leaves: facts for whoever decides by them. Written on the event loop alone; any
thread may read. Times are UTC epoch ms, None while there is none.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hk_tick_collector import market

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class OpenDState:
    """As it was last told."""

    connected: bool = False
    link_since_ms: int | None = None
    link_reason: str = "starting"  # why not connected
    link_hint: str = ""  # what to do about it, where that is known
    conn_id: int | None = None
    program: str = ""  # OpenD's own state, "ready" when it can serve, empty where it is not known
    program_detail: str = ""
    quote_logged_in: bool = False
    state_told: bool = False  # OpenD has told its state a short time ago
    market_state: int | None = None  # QotMarketState, the last one that was told
    opend_time_ms: int | None = None  # OpenD's clock when it was last asked
    trouble: dict[str, str] = field(default_factory=dict)  # what OpenD told by Notify and did not take back
    trouble_since_ms: dict[str, int] = field(default_factory=dict)  # since when, of each
    subscribed: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # symbol → OpenD's words
    looked_around: bool = False  # every symbol was compared with OpenD since ticks may have passed us by
    heard: int = 0  # ticks that the intake took, whatever became of them: whether it grows is what matters
    # date → whole, morning, afternoon: what OpenD said of the coming days; empty until it was asked
    calendar: dict[str, str] = field(default_factory=dict)
    calendar_asked_on: int | None = None  # number of the day
    serving: asyncio.Event = field(default_factory=asyncio.Event)  # it answers for the symbols, or pushes their ticks


class ExchangeClock:
    """The day by OpenD's clock as it was last told, else by this host's. `now_ms` is the host's, UTC epoch ms.

    For one thread.
    """

    def __init__(self, opend: OpenDState, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self._opend = opend
        self._told_ms: int | None = None  # OpenD's clock when it was last told, and by how much it was ahead then
        self._ahead_ms = 0

    @property
    def opend_ms(self) -> int | None:
        """OpenD's clock when it was last told."""
        return self._opend.opend_time_ms

    def today(self) -> int:
        """The number of the Hong Kong day."""
        opend_ms, now_ms = self.opend_ms, self.now_ms()
        if opend_ms is not None and opend_ms != self._told_ms:
            self._told_ms, self._ahead_ms = opend_ms, opend_ms - now_ms
        return market.day_number(now_ms + self._ahead_ms)

"""The state of OpenD that decisions depend on: whether it is connected, its own state, the market, our subscriptions.

Only the event loop writes it; any thread may read. Times are UTC epoch ms, None when there is none yet.
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
    """The state as OpenD last reported it."""

    connected: bool = False
    link_since_ms: int | None = None
    link_reason: str = "starting"  # why not connected
    link_hint: str = ""  # what to do about it, where that is known
    conn_id: int | None = None
    program: str = ""  # OpenD's own state, "ready" when it can serve, empty when unknown
    program_detail: str = ""
    quote_logged_in: bool = False
    state_known: bool = False  # OpenD reported its state recently
    market_state: int | None = None  # the last reported QotMarketState
    opend_time_ms: int | None = None  # OpenD's clock in its last answer
    drift_s: float | None = None  # our clock minus OpenD's at that answer; None if it was too slow to tell
    trouble: dict[str, str] = field(
        default_factory=dict
    )  # kind of trouble notice → detail, until OpenD reports its end
    trouble_since_ms: dict[str, int] = field(default_factory=dict)  # kind → when it began
    was_unready: bool = (
        False  # OpenD reported that it cannot serve, or the connection ended, since it last kicked us out
    )
    subscribed: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # symbol → OpenD's error text
    all_checked: bool = False  # every symbol was compared with OpenD since the last interruption
    received: int = 0  # ticks received, stored or not; only used to see whether it increases
    # date → whole, morning, afternoon: OpenD's calendar of the coming days; empty before its first answer
    calendar: dict[str, str] = field(default_factory=dict)
    calendar_asked_on: int | None = None  # number of the day
    serving: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # OpenD answers for our symbols, or pushes their ticks


class ExchangeClock:
    """The current day by OpenD's clock, or by this host's clock while OpenD's is unknown. Used by one thread.

    `now_ms` is this host's clock, UTC epoch ms.
    """

    def __init__(self, opend: OpenDState, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self._opend = opend
        self._told_ms: int | None = None  # OpenD's last reported clock
        self._ahead_ms = 0  # how far it was ahead of this host's clock

    @property
    def opend_ms(self) -> int | None:
        """OpenD's last reported clock, UTC epoch ms."""
        return self._opend.opend_time_ms

    def today(self) -> int:
        """The number of the Hong Kong day."""
        opend_ms, now_ms = self.opend_ms, self.now_ms()
        if opend_ms is not None and opend_ms != self._told_ms:
            self._told_ms, self._ahead_ms = opend_ms, opend_ms - now_ms
        return market.day_number(now_ms + self._ahead_ms)

"""The present faults of OpenD: answers, sessions and the feed read them, scripted faults change them.

By default there are none. A value describes how OpenD behaves, not why: one scripted fault may change several.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.opend import messages

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_MESSAGE: Final = 0  # instead of a protocol number


class Reply(Enum):
    """What happens to a request."""

    NONE = auto()  # it is read and never answered
    SLOW = auto()  # it is answered later
    REFUSED = auto()


@dataclass(slots=True)
class ReplyFault:
    """What happens to requests of one kind; `left` is the number of requests still affected, None for all."""

    kind: Reply
    left: int | None = None
    delay_s: float = 0.0


Change: TypeAlias = "Callable[[int, list[bytes]], tuple[int, list[bytes]]]"


@dataclass(slots=True)
class TickerChange:
    """What happens to answers to GetTicker about some securities; `left` is the number still affected, None for all.

    `change` takes a security and its entries, oldest first, and returns the entries of the answer. With `in_window` it
    gets all entries that OpenD has, otherwise those requested.
    """

    places: frozenset[int]  # positions in the listing
    change: Change
    in_window: bool = False
    left: int | None = None


@dataclass(slots=True)
class TickerFate:
    """What happens to GetTicker requests about some securities."""

    places: frozenset[int]
    fault: ReplyFault


@dataclass(slots=True)
class Conditions:
    """The state of one simulated OpenD."""

    refused: frozenset[str] = frozenset()  # symbols that exist but that OpenD reports as unknown
    suspended: frozenset[str] = frozenset()  # symbols that it reports as suspended
    mute: bool = False  # it reads requests and answers none
    trickle: bool = False  # bytes to send wait, and leave in small portions
    pushes_stop: bool = False  # it receives no ticks from the exchange
    logged_in: bool = True  # to the quote servers
    program: int = messages.PROGRAM_READY
    clock_offset_ms: int = 0  # the error of the time that it reports
    market_state: int | None = None  # reported instead of the true one
    first_push: bool = True
    window_rows: int = messages.TICKER_WINDOW_ROWS  # how many ticks GetTicker returns
    paused: bool = False  # the exchange makes no ticks
    cut_next_ticker: bool = False  # the next answer to GetTicker ends in its middle
    replies: dict[int, ReplyFault] = field(default_factory=dict)  # by protocol number, or EVERY_MESSAGE
    ticker_changes_by: dict[str, TickerChange] = field(default_factory=dict)  # by the name of the step
    ticker_fates: dict[str, TickerFate] = field(default_factory=dict)

    @property
    def trading(self) -> bool:
        """Whether the faults allow the exchange to make ticks."""
        return not self.paused and (self.market_state is None or market.is_trading(self.market_state))

    def fate_of(self, proto_id: int) -> ReplyFault | None:
        """What happens to this request; None for a normal answer. Counts it."""
        for key in (proto_id, EVERY_MESSAGE):
            fault = self.replies.get(key)
            if fault is None:
                continue
            if fault.left is not None:
                fault.left -= 1
                if not fault.left:
                    del self.replies[key]
            return fault
        return None

    def ticker_changes(self, place: int) -> list[TickerChange]:
        """The faults of this answer to GetTicker, in the order in which they began. Counts it."""
        changes = [(name, change) for name, change in self.ticker_changes_by.items() if place in change.places]
        for name, change in changes:
            if change.left is not None:
                change.left -= 1
                if not change.left:
                    del self.ticker_changes_by[name]
        return [change for _, change in changes]

    def ticker_fate(self, place: int) -> ReplyFault | None:
        """What happens to this GetTicker request; None for an answer. Counts it."""
        for name, fate in self.ticker_fates.items():
            if place in fate.places:
                if fate.fault.left is not None:
                    fate.fault.left -= 1
                    if not fate.fault.left:
                        del self.ticker_fates[name]
                return fate.fault
        return None

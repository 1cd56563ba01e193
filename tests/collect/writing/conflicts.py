"""Ticks under whose key another one is stored, and what became of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.collect.conftest import CAP_S

from hk_tick_collector import market
from hk_tick_collector.model import Tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Rig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

DAY: Final = "20261120"
MIDNIGHT_MS: Final = market.day_start_ms(market.parse_day(DAY))
ACCOUNT: Final = "SELECT received, stored, duplicate, rejected, dropped, waiting FROM ledger"


def stop(rig: Rig) -> None:
    """Ends a healthy writer, which leaves nothing."""
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0


def other(row: TickRow) -> TickRow:
    """Another trade under the same key."""
    return Tick(*row)._replace(volume=7700)


def settled(rig: Rig) -> int:
    """Rows that are accounted for."""
    stats = rig.stats
    return stats.stored + stats.duplicate + stats.rejected_total

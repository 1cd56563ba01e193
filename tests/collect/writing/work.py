"""A writer at work on one day."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.collect.conftest import CAP_S

from hk_tick_collector import market

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Rig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

DAY: Final = "20261120"
MIDNIGHT_MS: Final = market.day_start_ms(market.parse_day(DAY))
STOP_S: Final = 0.15
COUNT: Final = "SELECT count(*) FROM ticks"
ACCOUNT: Final = "SELECT received, stored, duplicate, rejected, dropped, waiting FROM ledger"


def hundred(tick: MakeTick, first: int = 0) -> list[TickRow]:
    """A hundred ticks of one symbol."""
    return [tick("HK.00700", seq) for seq in range(first, first + 100)]


def at_work(rig: Rig, tick: MakeTick) -> Rig:
    """Starts its writer, which stores a hundred ticks."""
    rig.put(hundred(tick))
    rig.writer.start()
    rig.wait_stored(100)
    return rig


def stop(rig: Rig) -> None:
    """Ends a healthy writer, which leaves nothing."""
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert not rig.writer.alive

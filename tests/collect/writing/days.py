"""Ticks of today and of days that are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Journal, Rig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

DAY: Final = "20261120"
TODAY: Final = market.parse_day(DAY)
TODAY_MS: Final = market.day_start_ms(TODAY) + 36_000_000


def of_old_days(tick: MakeTick, days: int) -> list[TickRow]:
    """One tick of each day before today, of a symbol of its own: the latest of long suspended ones."""
    return [tick(f"HK.{n:05}", 1, TODAY_MS - n * market.DAY_MS) for n in range(1, days + 1)]


def of_today(tick: MakeTick, count: int, first: int = 0) -> list[TickRow]:
    """Ticks of today."""
    return [tick("HK.00700", seq, TODAY_MS + seq) for seq in range(first, first + count)]


def account(rig: Rig) -> tuple[int, ...]:
    """The sums over all files: received, stored, waiting."""
    rows = [rig.query(path.stem, "SELECT received, stored, waiting FROM ledger") for path in rig.data_root.glob("*.db")]
    return tuple(sum(int(str(row[n])) for (row,) in rows) for n in range(3))


def watch(journal: Journal, on_opened: Callable[[int], None]) -> None:
    """Calls, on the thread that logs it, with the number of each day's file that is opened."""
    write, count = journal.write, [0]

    def watching(text: str) -> int:
        if " day_opened " in text:
            count[0] += 1
            on_opened(count[0])
        return write(text)

    journal.write = watching  # type: ignore[method-assign]

"""Ticks as collectors have them: one market, and what each collector got of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.merging.parts import Part, Position

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hk_tick_collector.model import TickRow

DAY: Final = market.parse_day("20261120")
OPEN_MS: Final = market.day_start_ms(DAY) + 9 * 3_600_000 + 30 * 60_000
NOW_MS: Final = OPEN_MS + 3_600_000


def tick(counter: int, symbol: str = "HK.00700", *, ms: int | None = None, recv_ms: int = 5, day: int = DAY) -> TickRow:
    """The tick with this counter: one every 100 ms from 09:30 on, unless `ms` after the open is given."""
    ts_ms = market.day_start_ms(day) + OPEN_MS - market.day_start_ms(DAY) + (counter * 100 if ms is None else ms)
    seq = ts_ms // 1000 << 32 | counter
    price = 300 + counter % 7
    return symbol, seq, ts_ms, price, 100, price * 100, "BUY", "AUTO_MATCH", "realtime", ts_ms + recv_ms, ts_ms, "P"


def ticks(counters: Iterable[int], symbol: str = "HK.00700", *, recv_ms: int = 5, day: int = DAY) -> list[TickRow]:
    """The ticks with these counters."""
    return [tick(counter, symbol, recv_ms=recv_ms, day=day) for counter in counters]


def part(source: str, counters: Iterable[int], symbol: str = "HK.00700", *, recv_ms: int = 5, day: int = DAY) -> Part:
    """A message of a collector with these counters."""
    return Part(day, source, ticks(counters, symbol, recv_ms=recv_ms, day=day))


def at(stream_seq: int) -> Position:
    """A position in the stream."""
    return Position(stream_seq, f"id-{stream_seq}")

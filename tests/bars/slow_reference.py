"""Bars in plain Python, one tick after another, from the rules in docs/bars.md.

It shares no code with the package: the times of the sessions are written out again.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

DAY_MS = 86_400_000
HKT_MS = 8 * 3_600_000
SESSIONS = [
    ("closing_auction", 16 * 3_600_000),
    ("afternoon", 13 * 3_600_000),
    ("noon", 12 * 3_600_000),
    ("morning", 9 * 3_600_000 + 30 * 60_000),
    ("opening_auction", 0),
]


class Trade(NamedTuple):
    """A tick, as much of it as bars need."""

    day: int  # of its file
    symbol: str
    seq: int
    ts_ms: int
    price: float
    volume: int
    turnover: float
    direction: str
    tick_type: str


def session(ts_ms: int) -> tuple[str, int]:
    """The name of the session, and when it began, UTC epoch ms."""
    midnight_ms = ts_ms - (ts_ms + HKT_MS) % DAY_MS
    return next((name, midnight_ms + start) for name, start in SESSIONS if ts_ms >= midnight_ms + start)


def forms_price(tick_type: str, prices: str) -> bool:
    """Whether a tick of this type counts in open, high, low, close and vwap."""
    if tick_type in ("LATE", "UNKNOWN") or tick_type.startswith("TYPE_"):
        return False
    return prices == "all" or tick_type in ("AUTO_MATCH", "INTER_AUTO_MATCH", "AUCTION")


def reference_bars(stored: list[Trade], /, *, prices: str = "forming", **size: Any) -> list[dict[str, Any]]:
    """`size` is one of every_ms, ticks, volume, turnover."""
    of_symbol: dict[tuple[int, str], list[Trade]] = defaultdict(list)
    for tick in stored:
        of_symbol[tick.day, tick.symbol].append(tick)
    found = []
    for key in sorted(of_symbol):
        groups: list[tuple[Any, list[Trade]]] = []
        for tick in sorted(of_symbol[key], key=lambda tick: (tick.ts_ms, tick.seq)):
            label = _label(tick, size)
            if not groups or groups[-1][0] != label or _is_full(groups[-1][1], size):
                groups.append((label, []))
            groups[-1][1].append(tick)
        found += [_bar(group, prices, size) for _, group in groups]
    return found


def _label(tick: Trade, size: dict[str, Any]) -> Any:
    """Ticks with another label are never in one bar."""
    _, began_ms = session(tick.ts_ms)
    if (every_ms := size.get("every_ms")) is None:
        return began_ms
    start_ms = tick.ts_ms - (tick.ts_ms + HKT_MS) % every_ms
    return start_ms if every_ms == DAY_MS else max(start_ms, began_ms)


def _is_full(group: list[Trade], size: dict[str, Any]) -> bool:
    if "ticks" in size:
        return bool(len(group) >= size["ticks"])
    for name in ("volume", "turnover"):
        if name in size:
            total = _sum(getattr(tick, name) for tick in group)
            return bool(total >= size[name])
    return False


def _sum(values: Any) -> Any:
    total = 0
    for value in values:  # sum() of newer Pythons adds floats in another way
        total += value
    return total


def _bar(group: list[Trade], prices: str, size: dict[str, Any]) -> dict[str, Any]:
    forming = [tick for tick in group if forms_price(tick.tick_type, prices)]
    volume = sum(tick.volume for tick in forming)
    by_time = "every_ms" in size
    bar: dict[str, Any] = {
        "symbol": group[0].symbol,
        "time": _label(group[0], size) if by_time else group[0].ts_ms,
        "open": forming[0].price if forming else None,
        "high": max((tick.price for tick in forming), default=None),
        "low": min((tick.price for tick in forming), default=None),
        "close": forming[-1].price if forming else None,
        "volume": sum(tick.volume for tick in group),
        "turnover": float(_sum(tick.turnover for tick in group)),
        "vwap": _sum(tick.turnover for tick in forming) / volume if volume else None,
        "trades": len(group),
        "late_volume": sum(tick.volume for tick in group if tick.tick_type == "LATE"),
        "session": "day" if size.get("every_ms") == DAY_MS else session(group[0].ts_ms)[0],
    }
    for side in ("BUY", "SELL", "NEUTRAL"):
        bar[f"{side.lower()}_volume"] = sum(tick.volume for tick in group if tick.direction == side)
    return bar if by_time else {**bar, "end": group[-1].ts_ms}

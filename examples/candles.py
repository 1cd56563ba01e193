"""A candle chart of one symbol and day as one small SVG, which every browser shows. No plotting library.

    python examples/candles.py --data-root demo-data [--symbol HK.00700] [--day 20261120] [--every 1m] [--out chart.svg]

Without --symbol it draws the busiest symbol, without --day the newest day.
"""

from __future__ import annotations

import argparse
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import hk_tick_collector
from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _PRICES, _VOLUMES, _LEFT, _TOP, _BOTTOM = 960, 300, 80, 64, 34, 24
_UP, _DOWN, _GREY = "#1a7f37", "#d1242f", "#57606a"
_LABELS: Final = 6


def draw(bars: Sequence[Mapping[str, Any]], title: str) -> str:
    """The chart of bars with time, open, high, low, close and volume. A bar without a price shows its volume alone."""
    priced = [bar for bar in bars if bar["close"] is not None]
    if not priced:
        raise SystemExit("no bar has a price: choose another symbol or day")
    low, high = min(bar["low"] for bar in priced), max(bar["high"] for bar in priced)
    most = max(bar["volume"] for bar in bars) or 1
    step = (_WIDTH - _LEFT - 10) / len(bars)
    bottom = _TOP + _PRICES + 10 + _VOLUMES

    def y(price: float) -> float:
        return float(_TOP + (high - price) / ((high - low) or 1) * _PRICES)

    parts = [f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>']
    for price in (low + (high - low) * share / 4 for share in range(5)):
        line = f'x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(price):.1f}" y2="{y(price):.1f}" stroke="#d0d7de"'
        parts.append(f'<line {line}/><text x="{_LEFT - 6}" y="{y(price) + 4:.1f}" text-anchor="end">{price:.2f}</text>')
    for place, bar in enumerate(bars):
        x = _LEFT + (place + 0.5) * step
        if place % max(1, len(bars) // _LABELS) == 0:
            parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{bar["time"]:%H:%M}</text>')
        tall = bar["volume"] / most * _VOLUMES
        left, wide = x - 0.35 * step, 0.7 * step
        parts.append(_box(left, bottom - tall, wide, tall, "#8c959f"))
        if bar["close"] is None:
            continue
        colour = _UP if bar["close"] >= bar["open"] else _DOWN
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(bar["high"]):.1f}" y2="{y(bar["low"]):.1f}" stroke="{colour}"/>'
        )
        top = y(max(bar["open"], bar["close"]))
        parts.append(_box(left, top, wide, max(0.8, y(min(bar["open"], bar["close"])) - top), colour))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" font-family="sans-serif"'
    return f'{head} font-size="10" fill="{_GREY}">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(
        [*parts, "</svg>\n"]
    )


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}" fill="{colour}"/>'


def main() -> None:
    """Reads the bars and writes the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="demo-data", help="the directory of the day files")
    parser.add_argument("--symbol", help="like HK.00700; default: the busiest")
    parser.add_argument("--day", help="like 20261120; default: the newest")
    parser.add_argument("--every", default="1m", help="the length of a bar, like 30s or 5m")
    parser.add_argument("--out", type=Path, default=Path("chart.svg"))
    args = parser.parse_args()
    store = hk_tick_collector.open(args.data_root)
    days = store.days()
    day = args.day or (days[-1] if days else None)
    symbol = args.symbol
    if symbol is None:
        ticks = store.ticks(day=day, columns=["symbol"], gaps="ignore")
        counts = Counter(symbol for batch in ticks.batches() for symbol in batch.column(0).to_pylist())
        if not counts:
            raise SystemExit(f"{day} has no tick yet")
        symbol = str(counts.most_common(1)[0][0])
    bars = store.bars(symbol, day=day, every=args.every).arrow().to_pylist()
    args.out.write_text(draw(bars, f"{symbol}, {day}, {args.every}: {len(bars)} bars"), "utf-8")
    print(f"{args.out}: {len(bars)} bars of {symbol}; open it in a browser")


if __name__ == "__main__":
    try:
        main()
    except CollectorError as error:
        raise SystemExit(error.one_line()) from None

"""What a browser gets of a `Part` of the view *Symbol*: values of its templates, numbers of its chart. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.text import plain

if TYPE_CHECKING:
    from .symbol_watch import Part

_HKT_S: Final = market.HKT_OFFSET_MS // 1000


class Span(NamedTuple):
    """A gap or an outage in the table."""

    from_ms: int
    to_ms: int
    kind: str  # open, filled, away
    missing: int | None
    cause: str


def figures(part: Part) -> dict[str, Any]:
    """What the figures need beside the part itself."""
    figures, before = part.figures, part.instrument.previous_close if part.instrument else None
    change = None
    if part.last_price is not None and before:
        change = part.last_price - before, (part.last_price - before) / before * 100
    missing = max(0, (figures.expected or 0) - figures.rows) if figures else 0
    share = None
    if figures and figures.expected:
        hundredths = min(figures.rows, figures.expected) * 10**4 // figures.expected  # 100 only if nothing is missing
        share = f"{hundredths // 100}.{hundredths % 100:02}"
    return {"change": change, "missing": missing, "share": share, "day": dashed(part.day)}


def spans(part: Part) -> list[Span]:
    """Gaps and outages: those whose ticks are missing first, then the newest."""
    found = [
        Span(gap.from_ms, gap.to_ms, "open" if gap.status == GAP_OPEN else "filled", gap.missing, gap.cause)
        for gap in part.gaps
    ]
    found += [Span(each.from_ms, each.to_ms, "away", None, each.reason) for each in part.away]
    return sorted(found, key=lambda span: (span.kind != "open", -span.from_ms))


def chart(part: Part) -> dict[str, Any]:
    """What the browser draws. Times are seconds by the clock of Hong Kong, so that any browser shows that one."""
    found: dict[str, Any] = {
        "symbol": plain(part.symbol),
        "day": part.day,
        "whole": part.is_whole,
        "candles": [[candle.time_s + _HKT_S, *candle[1:]] for candle in part.candles],
        "ticks": [
            [_clock(tick.ts_ms), tick.price, tick.volume, plain(tick.direction), plain(tick.tick_type)]
            for tick in part.ticks
        ],
    }
    if part.has_new_spans:
        found["spans"] = [
            [span.from_ms // 1000 + _HKT_S, span.to_ms // 1000 + _HKT_S, span.kind] for span in spans(part)
        ]
    return found


def framed(frame: dict[str, Any], now_ms: int) -> bytes:
    """An event of the stream, with its time: `now_ms`, UTC epoch ms."""
    about = {"time": f"{market.hkt(now_ms):%H:%M:%S}"}
    return f"data: {json.dumps({'about': about, **frame}, separators=(',', ':'))}\n\n".encode()


def _clock(ts_ms: int) -> str:
    return f"{market.hkt(ts_ms):%H:%M:%S}.{ts_ms % 1000:03}"


def dashed(day: str) -> str:
    """`2026-11-20` for `20261120`."""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"

"""The tables of a view: symbols, and last ticks. A column that does not fit is left out whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.ops.findings.words import Words

from .cells import BAD, BOLD, CHOSEN, DIM, GOOD, Span, columns, line, padded, shortened
from .choice import ORDERS, missing_of
from .figures import sparkline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hk_tick_collector.model import Tick
    from hk_tick_collector.store.query import SymbolCount

    from .cells import Line
    from .choice import Choice
    from .history import History

_GAP: Final = "  "
_TREND: Final = 18
_MOST: Final = {"symbol": 18}  # a text that is longer is none of the exchange's: it is cut
_MOST_OF_OTHERS: Final = 28
# The columns that leave a narrow terminal, in that order; the one that sorts stays as long as any.
_SPARE_OF_SYMBOLS: Final = ("volume", "turnover", "trend", "price", "missing", "last", "rate", "ticks")
_SPARE_OF_TICKS: Final = ("seq", "push", "delay", "turnover", "type", "side", "volume", "symbol")
_SIDES: Final = {"BUY": GOOD, "SELL": BAD}
# Widths that keep columns in their place while their figures grow.
_LEAST: Final = {
    "symbol": 8,
    "price": 9,
    "rate": 8,
    "ticks": 9,
    "turnover": 14,
    "volume": 12,
    "missing": 7,
    "last": 8,
    "trend": _TREND,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its cells, and the style of each cell if it has one."""

    key: str
    name: Words
    cells: list[str]
    right: bool = True
    styles: tuple[str, ...] = ()


def symbols_table(
    symbols: Sequence[SymbolCount],
    history: History,
    prices: Mapping[str, float],
    choice: Choice,
    bars: str,
    width: int,
    lang: str,
) -> list[Line]:
    """The symbols' figures of the day, in the given order, under a header. The chosen symbol is marked."""
    rates = [history.rate(each.symbol) for each in symbols]
    found = [
        Column("symbol", ORDERS["symbol"], [each.symbol for each in symbols], right=False),
        Column("price", Words("price", "成交價"), [_price(prices.get(each.symbol)) for each in symbols]),
        Column("rate", ORDERS["rate"], ["-" if rate is None else f"{rate:,.1f}" for rate in rates]),
        Column("ticks", ORDERS["ticks"], [f"{each.rows:,}" for each in symbols]),
        Column("missing", ORDERS["missing"], [_count(missing_of(each, none=-1)) for each in symbols]),
        Column("last", ORDERS["last"], [f"{market.hkt(each.last_ts_ms):%H:%M:%S}" for each in symbols]),
        Column("turnover", ORDERS["turnover"], [f"{each.turnover:,.0f}" for each in symbols]),
        Column("volume", Words("volume", "成交量"), [f"{each.volume:,}" for each in symbols]),
        Column(
            "trend",
            Words(f"last {_TREND} s", f"最近 {_TREND} 秒"),
            [sparkline(history.trend(each.symbol)[-_TREND:], bars) for each in symbols],
            right=False,
        ),
    ]
    spare = [name for name in _SPARE_OF_SYMBOLS if name != choice.order]
    chosen = next((row for row, each in enumerate(symbols) if each.symbol == choice.symbol), None)
    return _drawn(found, [*spare, choice.order], width, lang, bold=choice.order, chosen=chosen)


def ticks_table(ticks: Sequence[Tick], width: int, lang: str, *, of_one: bool) -> list[Line]:
    """Ticks, the newest first, under a header. `of_one`: all are of one symbol, which is not repeated."""
    latest = list(reversed(ticks))
    found = [
        Column("time", Words("time", "時間"), [_time(tick.ts_ms) for tick in latest]),
        Column("symbol", ORDERS["symbol"], [tick.symbol for tick in latest], right=False),
        Column("price", Words("price", "成交價"), [f"{tick.price:,.3f}" for tick in latest]),
        Column("volume", Words("volume", "成交量"), [f"{tick.volume:,}" for tick in latest]),
        Column(
            "side",
            Words("side", "方向"),
            [tick.direction for tick in latest],
            right=False,
            styles=tuple(_SIDES.get(tick.direction, "") for tick in latest),
        ),
        Column("type", Words("type", "類型"), [tick.tick_type for tick in latest], right=False),
        Column("turnover", Words("turnover", "成交額"), [f"{tick.turnover:,.2f}" for tick in latest]),
        Column("delay", Words("delay ms", "延遲毫秒"), [f"{tick.recv_ts_ms - tick.ts_ms:,}" for tick in latest]),
        Column("push", Words("push", "來源"), [tick.push_type for tick in latest], right=False),
        Column("seq", Words("seq", "序號"), [str(tick.seq) for tick in latest]),
    ]
    return _drawn([each for each in found if each.key != "symbol" or not of_one], _SPARE_OF_TICKS, width, lang)


def _drawn(
    found: list[Column], spare: Sequence[str], width: int, lang: str, *, bold: str = "", chosen: int | None = None
) -> list[Line]:
    shown = [(each, [line(cell)[0].text for cell in each.cells]) for each in found]  # made printable, then measured
    widths = {
        each.key: max(
            _LEAST.get(each.key, 0),
            columns(each.name.of(lang)),
            *(
                columns(cell) if each.right else min(_MOST.get(each.key, _MOST_OF_OTHERS), columns(cell))
                for cell in cells
            ),
        )
        for each, cells in shown
    }
    first = found[0].key
    left_out: set[str] = set()
    for name in spare:
        if _total(widths, left_out) <= width:
            break
        if name in widths and name != first:
            left_out.add(name)
    if (over := _total(widths, left_out) - width) > 0:  # a name longer than any symbol of the exchange
        widths[first] = max(1, widths[first] - over)
    kept = [(each, cells) for each, cells in shown if each.key not in left_out]
    header = tuple(
        Span(_cell(each.name.of(lang), widths[each.key], each) + _GAP, BOLD if each.key == bold else DIM)
        for each, _ in kept
    )
    lines = [_stripped(header)]
    for row in range(len(found[0].cells)):
        spans = []
        for each, cells in kept:
            style = each.styles[row] if each.styles else ""
            text = _cell(cells[row], widths[each.key], each) + _GAP
            spans.append(Span(text, CHOSEN if row == chosen else style))
        lines.append(_stripped(tuple(spans)))
    return lines


def _total(widths: dict[str, int], left_out: set[str]) -> int:
    kept = [width for name, width in widths.items() if name not in left_out]
    return sum(kept) + len(_GAP) * (len(kept) - 1)


def _cell(text: str, width: int, column: Column) -> str:
    return padded(shortened(text, width), width, right=column.right)


def _stripped(spans: Line) -> Line:
    """The line without the blanks behind its last column."""
    *others, last = spans
    return (*others, Span(last.text.removesuffix(_GAP), last.style))


def _price(price: float | None) -> str:
    return "-" if price is None else f"{price:,.3f}"


def _count(count: int) -> str:
    return "-" if count < 0 else f"{count:,}"


def _time(ts_ms: int) -> str:
    return f"{market.hkt(ts_ms):%H:%M:%S}.{ts_ms % 1000:03}"

"""The demo's display: on a terminal a panel that is redrawn, elsewhere one plain line a second."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from hk_tick_collector import market
from hk_tick_collector.ops.findings.health import lag_s
from hk_tick_collector.text import plain

from ._show import show
from ._terminal import can_encode, can_redraw

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Group, RenderableType
    from rich.table import Table

    from hk_tick_collector.model import Tick
    from hk_tick_collector.ops.live.status import LiveStatus
    from hk_tick_collector.store.query import SymbolCount, Totals

_BARS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BARS: Final = "_.-=+*#@"  # for a terminal without these characters
_HISTORY: Final = 30  # seconds that a sparkline covers
_BUSIEST: Final = 8
_COLOURS: Final = {"BUY": "green", "SELL": "red"}


class Frame(NamedTuple):
    """The data of one moment; `totals` is None while there is no day file."""

    live: LiveStatus
    totals: Totals | None
    symbols: list[SymbolCount]
    latest: list[Tick]
    file_bytes: int


class DemoView:
    """Draws frames. A context manager that restores the terminal when it ends."""

    def __init__(self) -> None:
        self._history: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_HISTORY))
        self._rows: dict[str, int] = {}
        self._bars = _BARS if can_encode(sys.stdout, _BARS) else _ASCII_BARS
        self._live_display = None
        if can_redraw(sys.stdout):
            from rich.live import Live  # imported late: takes 0.1 s, and plain lines do not need it

            self._live_display = Live(refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        if self._live_display:
            self._live_display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live_display:
            self._live_display.stop()

    def update(self, frame: Frame) -> None:
        """Draws a frame."""
        for symbol in frame.symbols:
            before = self._rows.get(symbol.symbol)
            self._history[symbol.symbol].append(0 if before is None else symbol.rows - before)
            self._rows[symbol.symbol] = symbol.rows
        if self._live_display:
            self._live_display.update(self._panel(frame))
        else:
            show(plain_line(frame), flush=True)

    def _panel(self, frame: Frame) -> Group:
        from rich.console import Group
        from rich.panel import Panel

        tables: list[RenderableType] = [_figures(frame, self._bars)]
        if frame.symbols:
            tables += [self._busiest(), _latest(frame.latest)]
        return Group(Panel(Group(*tables), title="hk-tick-collector demo", subtitle="Ctrl-C ends it", expand=False))

    def _busiest(self) -> Table:
        from rich.text import Text

        table = _table("most active symbols", "ticks", f"ticks/s, last {_HISTORY} s")
        busiest = sorted(self._history, key=lambda name: -sum(self._history[name]))[:_BUSIEST]
        for name in busiest:
            cells = (plain(name), f"{self._rows[name]:,}", sparkline(self._history[name], self._bars))
            table.add_row(*map(Text, cells))
        return table


def plain_line(frame: Frame) -> str:
    """A frame as one line, for pipes and logs."""
    live = frame.live
    behind_s = lag_s(live, live.written_ms)
    return (
        f"{market.hkt(live.written_ms):%H:%M:%S} HKT  rate {_rate(live):,}/s  stored {live.stored:,}"
        f"  lag {'-' if behind_s is None else f'{behind_s:.1f} s'}  queue {live.waiting:,}"
        f"  commit p99 {live.commit_ms_p99 or 0} ms  file {frame.file_bytes / 2**20:.1f} MB"
        f" + WAL {live.wal_bytes / 2**20:.1f} MB"
    )


def sparkline(values: deque[int] | list[int], bars: str = _BARS) -> str:
    """Bars from zero to the largest value."""
    top = max(values, default=0) or 1
    return "".join(bars[value * (len(bars) - 1) // top] for value in values)


def _figures(frame: Frame, bars: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    live = frame.live
    behind_s = lag_s(live, live.written_ms)
    figures = Table.grid(padding=(0, 2))
    for name, text in (
        ("rate", f"{_rate(live):,} ticks/s  {sparkline(live.rows_per_s[-_HISTORY:], bars)}"),
        ("stored", f"{live.stored:,} of {live.received:,} received, {live.subscribed} symbols"),
        ("lag", "-" if behind_s is None else f"{behind_s:.1f} s"),
        ("queue", f"{live.waiting:,} of {live.max_queue_rows:,} rows"),
        ("commit", f"p50 {live.commit_ms_p50 or 0} ms, p99 {live.commit_ms_p99 or 0} ms"),
        ("file", f"{live.newest_day}.db  {frame.file_bytes / 2**20:,.1f} MB + WAL {live.wal_bytes / 2**20:,.1f} MB"),
    ):
        figures.add_row(Text(name, "bold"), Text(plain(text)))
    return figures


def _latest(ticks: list[Tick]) -> Table:
    from rich.text import Text

    table = _table("last ticks", "symbol", "price", "volume", "direction", "type")
    for tick in reversed(ticks):
        colour = _COLOURS.get(tick.direction, "white")
        time = f"{market.hkt(tick.ts_ms):%H:%M:%S}.{tick.ts_ms % 1000:03d}"
        cells = (time, tick.symbol, f"{tick.price:,.3f}", f"{tick.volume:,}", tick.direction, tick.tick_type)
        styles = ("", "", "", "", colour, "")
        table.add_row(*(Text(plain(cell), style) for cell, style in zip(cells, styles, strict=True)))
    return table


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in ("ticks", "price", "volume") else "left")
    return table


def _rate(live: LiveStatus) -> int:
    return live.rows_per_s[-1] if live.rows_per_s else 0

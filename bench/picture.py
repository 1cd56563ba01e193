"""The curves as one small SVG, written without a plotting library."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .growth import Size
    from .latency import Paced
    from .throughput import Cell

_WIDTH, _HEIGHT, _MARGIN = 330, 240, 46
_COLOURS: Final = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df")


class Series(NamedTuple):
    """One line of a chart: the runs measured at each position of the axis."""

    name: str
    runs: Mapping[str, Sequence[float]]


def draw(cells: dict[tuple[int, int], Cell], paced: Sequence[Paced], sizes: Sequence[Size]) -> str:
    """The charts side by side; charts without data are left out."""
    charts = []
    if cells:
        charts.append(("end to end ÷ wide insert alone, by ticks a push", _shares(cells), 0.0, False))
    if paced:
        charts.append(("latency ms, by ticks/s", _latencies(paced), 1.0, True))
    if sizes:
        inserts = {f"{size.rows // 1_000_000}M": [each / 1000 for each in size.inserted] for size in sizes}
        charts.append(("insert, thousand rows/s, by rows in the file", [Series("insert", inserts)], 0.0, False))
        names = sizes[0].queries
        queries = [Series(name, {f"{size.rows // 1_000_000}M": size.queries[name] for size in sizes}) for name in names]
        charts.append(("runbook queries s, by rows in the file", queries, 0.0, False))
    width, parts = _WIDTH * len(charts), []
    for place, (title, series, low, logarithmic) in enumerate(charts):
        chart = _chart(title, series, low, logarithmic=logarithmic)
        parts.append(f'<g transform="translate({place * _WIDTH},0)">{chart}</g>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}"'
    style = 'font-family="sans-serif" font-size="10"'
    return f'{head} {style}>\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"


def _shares(cells: dict[tuple[int, int], Cell]) -> list[Series]:
    by_symbols: dict[int, dict[str, Sequence[float]]] = {}
    for (per_push, symbols), cell in cells.items():
        by_symbols.setdefault(symbols, {})[str(per_push)] = cell.shares
    return [Series(f"{symbols} symbols", runs) for symbols, runs in by_symbols.items()]


def _latencies(paced: Sequence[Paced]) -> list[Series]:
    kinds: dict[str, Callable[[Paced], Sequence[float]]] = {
        "p50": lambda each: each.p50_ms,
        "p99": lambda each: each.p99_ms,
        "max": lambda each: each.max_ms,
    }
    return [
        Series(kind, {f"{each.rate:,}{f' {each.beside}' if each.beside else ''}": read(each) for each in paced})
        for kind, read in kinds.items()
    ]


def _chart(title: str, series: Sequence[Series], low: float, *, logarithmic: bool) -> str:
    """Medians as lines, the spread of the runs as bars."""
    labels = list(dict.fromkeys(label for each in series for label in each.runs))
    top = max(value for each in series for runs in each.runs.values() for value in runs) * 1.1
    left, bottom, plot_width, plot_height = _MARGIN, _HEIGHT - _MARGIN, _WIDTH - _MARGIN - 14, _HEIGHT - 2 * _MARGIN

    def x(label: str) -> float:
        return left + plot_width * (labels.index(label) + 0.5) / len(labels)

    def y(value: float) -> float:
        if logarithmic:
            return bottom - plot_height * math.log(max(value, low) / low) / math.log(max(top, low * 10) / low)
        return bottom - plot_height * (value - low) / (top - low)

    parts = [f'<text x="{left}" y="16" font-size="11" font-weight="bold">{title}</text>']
    for mark in _marks(low, top, logarithmic=logarithmic):
        parts.append(f'<path d="M{left} {y(mark):.0f}h{plot_width}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 4}" y="{y(mark) + 3:.0f}" text-anchor="end">{mark:,.3g}</text>')
    for place, label in enumerate(labels):
        lower = 12 * (place % 2) if len(labels) > 3 else 0  # long labels would overlap
        parts.append(f'<text x="{x(label):.0f}" y="{bottom + 14 + lower}" text-anchor="middle">{label}</text>')
    for place, each in enumerate(series):
        colour = _COLOURS[place % len(_COLOURS)]
        points = [f"{x(label):.1f},{y(statistics.median(runs)):.1f}" for label, runs in each.runs.items()]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for label, runs in each.runs.items():
            bar = f"M{x(label):.1f} {y(min(runs)):.1f}V{y(max(runs)):.1f}"
            parts.append(f'<path d="{bar}" stroke="{colour}" stroke-width="4" stroke-opacity="0.4"/>')
        at_x = left + place * plot_width / len(series)
        parts.append(f'<text x="{at_x:.0f}" y="30" fill="{colour}">{each.name}</text>')
    return "".join(parts)


def _marks(low: float, top: float, *, logarithmic: bool) -> list[float]:
    if logarithmic:
        return [low * 10**power for power in range(6) if low * 10**power <= top]
    step = 10 ** math.floor(math.log10(top / 2))
    step = next(step * factor for factor in (1, 2, 5, 10) if top / (step * factor) <= 6)
    return [step * number for number in range(int(top / step) + 1)]

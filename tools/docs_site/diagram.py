"""A Mermaid flowchart → SVG, so that a page shows its diagram without a script from another host. Pure.

It supports what our pages use: `flowchart TD` or `LR`, boxes `A["text"]`, decisions `A{"text"}`, stores `A[("text")]`,
arrows `-->`, `-- "label" -->`, `-. "label" .->`. ValueError for any other line.
"""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass, field
from typing import Final

_NODE: Final = r"(?P<{0}>\w+)(?P<{0}shape>\[\(\"[^\"]*\"\)\]|\[\"[^\"]*\"\]|\{{\"[^\"]*\"\}})?"
_EDGE: Final = re.compile(
    r"^\s*"
    + _NODE.format("a")
    + r"\s*(?:-- \"(?P<label>[^\"]*)\" -->|-\. \"(?P<dotted>[^\"]*)\" \.->|-->)\s*"
    + _NODE.format("b")
    + r"\s*$"
)
_WORD: Final = re.compile(r"(?:[\u3400-\u9fff]|[^\s\u3000-\u9fff\uff00-\uffef]+)[\u3000-\u303f\uff00-\uffef]*\s*")
_HEIGHT, _GAP, _LEVEL = 34, 26, 66  # of a box, between boxes, between levels, in pixels
_WRAP: Final = 26  # the width of a line of text, in Latin characters


@dataclass
class _Node:
    lines: list[str]
    shape: str = "["
    level: int = 0
    x: float = 0  # of the centre
    y: float = 0

    @property
    def width(self) -> float:
        return max(map(_width, self.lines)) * 7.4 + (48 if self.shape == "{" else 24)

    @property
    def height(self) -> float:
        return _HEIGHT + 17 * (len(self.lines) - 1) + (14 if self.shape == "{" else 0)


@dataclass
class _Chart:
    across: bool
    nodes: dict[str, _Node] = field(default_factory=dict)
    edges: list[tuple[str, str, str, bool]] = field(default_factory=list)


def svg(lines: list[str]) -> str:
    """The picture; colours are those of the page's text."""
    chart = _parse(lines)
    _levels(chart)
    width, height = _place(chart)
    parts = [_arrow(chart, *edge) for edge in chart.edges] + [_box(node) for node in chart.nodes.values()]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        ' font-family="inherit" font-size="13" fill="none" stroke="currentColor" role="img">'
    )
    marker = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="currentColor" stroke="none"/></marker></defs>'
    )
    return "".join([head, marker, *parts, "</svg>"])


def _parse(lines: list[str]) -> _Chart:
    chart = _Chart(across=lines[0].split() == ["flowchart", "LR"])
    if not chart.across and lines[0].split() != ["flowchart", "TD"]:
        raise ValueError(f"{lines[0]!r} is neither flowchart TD nor flowchart LR")
    for line in lines[1:]:
        match = _EDGE.match(line)
        if match is None:
            raise ValueError(f"{line!r} is not an arrow between two nodes")
        for end in ("a", "b"):
            name, shape = match[end], match[f"{end}shape"]
            if shape:
                kind = "(" if shape.startswith("[(") else shape[0]
                chart.nodes[name] = _Node(_wrapped(shape.strip('[]{}()"')), kind)
            elif name not in chart.nodes:
                chart.nodes[name] = _Node([name])
        dotted = match["dotted"] is not None
        chart.edges.append((match["a"], match["b"], match["dotted"] or match["label"] or "", dotted))
    return chart


def _levels(chart: _Chart) -> None:
    """The level of each node: after all nodes that lead to it."""
    for _ in chart.nodes:
        for start, end, *_rest in chart.edges:
            chart.nodes[end].level = max(chart.nodes[end].level, chart.nodes[start].level + 1)
    if any(chart.nodes[end].level <= chart.nodes[start].level for start, end, *_rest in chart.edges):
        raise ValueError("the arrows go round in a circle")


def _place(chart: _Chart) -> tuple[float, float]:
    """Sets the position of each node; returns width and height of the whole."""
    rows: dict[int, list[_Node]] = {}
    for node in chart.nodes.values():
        rows.setdefault(node.level, []).append(node)
    if chart.across:
        left = 8.0
        for level in sorted(rows):
            widest = max(node.width for node in rows[level])
            labels = [_width(label) * 6.6 for a, _b, label, _d in chart.edges if chart.nodes[a].level == level]
            for at, node in enumerate(rows[level]):
                node.x, node.y = left + widest / 2, 50 + at * (_HEIGHT + _LEVEL)
            left += widest + max([_LEVEL, *(label + 30 for label in labels)])
        right = max(node.x + node.width / 2 for node in chart.nodes.values())
        return right + 8, max(node.y + node.height / 2 for node in chart.nodes.values()) + 12
    total = max(sum(node.width + _GAP for node in row) for row in rows.values())
    top = 8.0
    for level in sorted(rows):
        left = (total - sum(node.width + _GAP for node in rows[level])) / 2 + _GAP / 2
        tallest = max(node.height for node in rows[level])
        for node in rows[level]:
            node.x, node.y = left + node.width / 2, top + tallest / 2
            left += node.width + _GAP
        top += tallest + _LEVEL
    return total, top - _LEVEL + 8


def _arrow(chart: _Chart, start: str, end: str, label: str, dotted: bool) -> str:
    a, b = chart.nodes[start], chart.nodes[end]
    if chart.across:
        x1, y1, x2, y2 = a.x + a.width / 2, a.y, b.x - b.width / 2, b.y
        bend = f"C{(x1 + x2) / 2:.0f} {y1:.0f} {(x1 + x2) / 2:.0f} {y2:.0f}"
    else:
        x1, y1, x2, y2 = a.x, a.y + a.height / 2, b.x, b.y - b.height / 2
        bend = f"C{x1:.0f} {(y1 + y2) / 2:.0f} {x2:.0f} {(y1 + y2) / 2:.0f}"
    dash = ' stroke-dasharray="4 4"' if dotted else ""
    line = f'<path d="M{x1:.0f} {y1:.0f}{bend} {x2:.0f} {y2:.0f}" marker-end="url(#arrow)"{dash}/>'
    if not label:
        return line
    # On the curve: near its end, where the arrows of one decision are apart, or above it.
    x, y = ((x1 + x2) / 2, (y1 + y2) / 2 - 6) if chart.across else (x1 + (x2 - x1) * 0.86, y1 + (y2 - y1) * 0.72)
    return line + _text(x, y, [label], 11.5)


def _box(node: _Node) -> str:
    x, y, w, h = node.x - node.width / 2, node.y - node.height / 2, node.width, node.height
    if node.shape == "{":
        up, along = f"{h / 2:.0f}", f"{w - 36:.0f}"
        edge = f'<path d="M{x:.0f} {node.y:.0f}l18 -{up}h{along}l18 {up}l-18 {up}h-{along}z"/>'
    else:
        edge = f'<rect x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h:.0f}" rx="{14 if node.shape == "(" else 4}"/>'
    return edge + _text(node.x, node.y - 17 * (len(node.lines) - 1) / 2 + 4.5, node.lines, 13)


def _text(x: float, y: float, lines: list[str], size: float) -> str:
    spans = "".join(
        f'<tspan x="{x:.0f}" y="{y + 17 * at:.0f}">{html.escape(line)}</tspan>' for at, line in enumerate(lines)
    )
    return f'<text text-anchor="middle" font-size="{size}" class="words">{spans}</text>'


def _wrapped(text: str) -> list[str]:
    """Lines of about the same width. Chinese may break anywhere except before punctuation; Latin words stay whole."""
    limit = _width(text) / math.ceil(_width(text) / _WRAP) + 4
    lines = [""]
    for word in _WORD.findall(text):
        if _width((lines[-1] + word).rstrip()) > limit and lines[-1]:
            lines.append("")
        lines[-1] += word
    return [line.strip() for line in lines]


def _width(text: str) -> int:
    """The width in Latin characters."""
    return sum(2 if char >= "\u2e80" else 1 for char in text)

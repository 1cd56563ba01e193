"""The results: figures, the table on the terminal and in docs/performance.md and .en.md, and bench/report.json."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
_REACHED: Final = {True: "reached", False: "NOT reached", None: ""}


class _Words(NamedTuple):
    facts: str
    head: str
    reached: dict[bool | None, str]


_WORDS: Final = {
    "en": _Words(
        "{taken}, {cores} cores, Python {python}, SQLite {sqlite}, {took_s:.0f} seconds in all.",
        "| Figure | Unit | Runs | Min | Median | Max | Target | |",
        {True: "reached", False: "**not reached**", None: ""},
    ),
    "zh-Hant": _Words(
        "{taken}，{cores} 核，Python {python}，SQLite {sqlite}，全程 {took_s:.0f} 秒。",
        "| 項目 | 單位 | 次數 | 最小 | 中位 | 最大 | 目標 | |",
        {True: "達標", False: "**未達標**", None: ""},
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A target: `limit` is the least, or the most, that the judged value may be."""

    limit: float
    at_least: bool = False
    worst: bool = False  # judged by the worst run instead of the median

    def reached(self, runs: Sequence[float]) -> bool:
        """Whether these runs reach the target."""
        judged = statistics.median(runs)
        if self.worst:
            judged = min(runs) if self.at_least else max(runs)
        return judged >= self.limit if self.at_least else judged <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: the same thing measured `len(runs)` times."""

    topic: str
    name: str
    unit: str
    runs: Sequence[float]
    target: Target | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        return self.target.reached(self.runs) if self.target else None

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    def cells(self) -> list[str]:
        """Name, unit, runs, min, median, max, target."""
        low, middle, high = (_number(value) for value in (min(self.runs), self.median, max(self.runs)))
        limit = f"{'≥' if self.target.at_least else '≤'} {_number(self.target.limit)}" if self.target else ""
        return [self.name, self.unit, str(len(self.runs)), low, middle, high, limit]


def table(figures: Iterable[Figure]) -> str:
    """The table for the terminal."""
    head = ["", "unit", "runs", "min", "median", "max", "target", ""]
    rows, topic = [], ""
    for figure in figures:
        if figure.topic != topic:
            topic = figure.topic
            rows.append([f"— {topic}", *[""] * 7])
        rows.append([*figure.cells(), _REACHED[figure.reached]])
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(8)]
    lines = []
    for row in [head, *rows]:
        left = [row[column].ljust(widths[column]) for column in (0, 1)]
        right = [row[column].rjust(widths[column]) for column in range(2, 7)]
        lines.append("  ".join([*left, *right, row[7]]).rstrip())
    return "\n".join(lines)


def markdown(figures: Iterable[Figure], took_s: float, language: str) -> str:
    """The table for docs/performance.md (`zh-Hant`) or docs/performance.en.md (`en`), between its two marks."""
    words = _WORDS[language]
    lines = [words.facts.format(**facts(), took_s=took_s), "", words.head, "|---|---|--:|--:|--:|--:|--:|---|"]
    topic = ""
    for figure in figures:
        if figure.topic != topic:
            topic = figure.topic
            lines.append(f"| **{topic}** | | | | | | | |")
        lines.append("| " + " | ".join([*figure.cells(), words.reached[figure.reached]]) + " |")
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Puts the table between the marks of the page."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


def write_json(path: Path, figures: Iterable[Figure], took_s: float) -> None:
    """All runs, to compare two reports."""
    rows = [
        {
            "topic": figure.topic,
            "name": figure.name,
            "unit": figure.unit,
            "runs": list(figure.runs),
            "target": figure.target and figure.target.limit,
            "reached": figure.reached,
        }
        for figure in figures
    ]
    path.write_text(json.dumps({**facts(), "took_s": round(took_s), "figures": rows}, indent=1, ensure_ascii=False))


def facts() -> dict[str, object]:
    """The machine and versions on which the figures depend."""
    return {
        "taken": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
    }


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

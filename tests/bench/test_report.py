"""The table of figures in docs/performance.md and .en.md, as `make bench ARGS=--write-docs` writes it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from bench import report

DOCS: Final = Path(__file__).parent.parent.parent / "docs"
FIGURES: Final = [
    report.Figure("latency", "5,000 ticks/s: p99", "ms", [185.0, 187.0, 189.0], report.Target(300)),
    report.Figure("latency", "5,000 ticks/s: max", "ms", [191.0, 1_282.0], report.Target(1_000, worst=True)),
    report.Figure("cost", "Python's start alone", "s", [0.01]),
]


@pytest.mark.parametrize(
    ("name", "language", "said"),
    [
        ("performance.md", "zh-Hant", ["達標", "**未達標**", ""]),
        ("performance.en.md", "en", ["reached", "**not reached**", ""]),
    ],
)
def test_the_table_is_written_in_the_language_of_the_page(
    tmp_path: Path, name: str, language: str, said: list[str]
) -> None:
    """Between its marks; the head of the table that is there now is the one that would be written."""
    page = tmp_path / name
    shutil.copyfile(DOCS / name, page)
    before = page.read_text("utf-8")
    report.write_page(page, report.markdown(FIGURES, 438.2, language))
    after = page.read_text("utf-8")
    head = re.compile(r"^\|.*\|\n\|---\|---\|--:.*$", re.MULTILINE)
    assert head.findall(after) == head.findall(before)
    rows = [line.split(" | ") for line in after.splitlines() if line.startswith("| ") and "ticks/s" in line]
    assert [row[-1].removesuffix(" |") for row in rows if len(row) == 8] == said[:2]
    for mark in (report.BEGIN, report.END):
        assert (
            after.partition(mark)[0 if mark == report.BEGIN else 2]
            == before.partition(mark)[0 if mark == report.BEGIN else 2]
        )

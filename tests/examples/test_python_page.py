"""docs/python.md, docs/stream.md and .en.md: the code on both pages is the same, and runs as it is written."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import pytest
from tests.data.conftest import Days

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[str]:
    """The Python code of a page, in its order."""
    return [textwrap.dedent(code) for _, code in BLOCK.findall((ROOT / "docs" / name).read_text("utf-8"))]


def test_the_code_of_the_page_runs(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Block after block, in the directory of a clone after `make demo`."""
    days = Days(workdir)
    for name in ("20261119", "20261120"):
        days.collect(name).close()
    days.data_root.rename(workdir / "demo-data")
    (workdir / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setattr("sys.path", [*sys.path])
    names: dict[str, object] = {}
    for block in blocks("python.en.md"):
        exec(block, names)
    assert (workdir / "chart.svg").read_text("utf-8").startswith("<svg")
    assert names["rows"] == 180
    assert "HK.00700" in capsys.readouterr().out


@pytest.mark.usefixtures("one_day")
def test_the_code_of_the_page_about_streams_runs(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Block after block, in the directory of a clone whose demo is running; the last but one goes on after itself."""
    days = Days(workdir)
    live = days.collect(market.day_name(market.day_number(now_ms())))
    days.data_root.rename(workdir / "demo-data")
    names: dict[str, object] = {}
    for block in blocks("stream.en.md"):
        exec(block, names)
    assert (workdir / "strategy.position").read_text("utf-8").startswith("{")
    assert "False ()" in capsys.readouterr().out
    live.abandon()


@pytest.mark.parametrize("page", ["python", "stream"])
def test_both_languages_have_the_same_code(page: str) -> None:
    assert blocks(f"{page}.md") == blocks(f"{page}.en.md") != []

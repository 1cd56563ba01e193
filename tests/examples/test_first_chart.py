"""The example notebook and the chart: what a researcher runs first works on the files that `make demo` leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.data.conftest import Days

ROOT = Path(__file__).parent.parent.parent
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def place(workdir: Path) -> Path:
    """A directory as after `make demo`: `demo-data` with one day, which no collector has open."""
    days = Days(workdir)
    days.collect("20261120").close()
    days.data_root.rename(workdir / "demo-data")
    shutil.copytree(ROOT / "examples", workdir / "examples")
    return workdir


def candles(chart: Path) -> int:
    """The number of candles in a chart."""
    wicks = [line for line in ET.parse(chart).iter(f"{SVG}line") if line.get("x1") == line.get("x2")]
    return len(wicks)


@pytest.mark.parametrize("folder", ["", "examples"])
def test_the_notebook_runs_from_top_to_bottom(place: Path, folder: str) -> None:
    """Its cells in order, in a fresh process without Jupyter: in the end there is a chart with a candle a minute.
    Jupyter runs a notebook in the notebook's own directory.
    """
    notebook = json.loads((ROOT / "examples" / "first-chart.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    code = "import sys, json\nnames = {}\nfor cell in json.load(sys.stdin):\n    exec(cell, names)\n"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=json.dumps(cells),
        text=True,
        cwd=place / folder,
        check=True,
        timeout=300,
    )
    assert candles(place / folder / "chart.svg") == 60


def test_the_script_draws_the_same(place: Path) -> None:
    """The command of the readme; without a day it says so in one line."""
    script = [sys.executable, str(ROOT / "examples" / "candles.py")]
    done = subprocess.run(
        [*script, "--every", "5m"], cwd=place, capture_output=True, text=True, check=True, timeout=300
    )
    assert "12 bars of HK." in done.stdout
    assert candles(place / "chart.svg") == 12
    done = subprocess.run([*script, "--data-root", "none"], cwd=place, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "there is no directory none" in done.stderr

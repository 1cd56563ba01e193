"""Renews docs/one-day.svg: runs the recipe "one whole trading day in four minutes" of the readme, then draws its chart.

    python tools/draw_one_day.py [--data-root DIR]

It takes as long as the recipe, and loads the machine. With --data-root it draws a day that is already there.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_RECIPE: Final = re.compile(r"## One whole trading day in four minutes\n.*?```bash[^\n]*\n(.*?)```", re.DOTALL)


def recipe() -> str:
    """The commands of the readme that collect the day."""
    found = _RECIPE.search((ROOT / "README.md").read_text("utf-8"))
    assert found, "README.md has no recipe"
    return found[1]


def main() -> None:
    """Collects the day in a temporary directory, unless one is given, and draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    given = parser.parse_args().data_root
    with tempfile.TemporaryDirectory() as scratch:
        if given is None:
            commands = recipe().replace(".venv/bin", str(Path(sys.executable).parent))
            subprocess.run(["bash", "-m", "-c", commands.partition("make chart")[0]], cwd=scratch, check=True)
        data = Path(scratch, "one-day") if given is None else given
        out = ROOT / "docs" / "one-day.svg"
        chart = [sys.executable, str(ROOT / "examples" / "candles.py"), "--every", "5m", "--out", str(out)]
        subprocess.run([*chart, "--data-root", str(data)], check=True)


if __name__ == "__main__":
    main()

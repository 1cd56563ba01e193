"""Row 23: the soak's cut for every day. `make soak` runs the same for ten minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from .soak import soak

SECONDS: Final = 40.0  # with its start, its calm and its verdict about a minute


@pytest.mark.early
@pytest.mark.parametrize("seed", [23])
def test_a_day_of_faults_loses_nothing(workdir: Path, seed: int) -> None:
    """Row 23: a trading day in less than a minute with random faults: the verdict is OK for a collector that is never
    killed, and for those that are killed repeatedly and whose files are damaged; memory and descriptors do not grow.
    Also cuts of rows 6 and 7.
    """
    figures = soak(workdir, SECONDS, seed)
    assert figures.failures == []
    assert figures.lost == 0
    assert figures.kills >= 6
    assert figures.faults >= 5
    assert figures.damages > 0


@pytest.mark.parametrize("options", [(), ("--hostile",)])
def test_it_runs_as_a_program_too(options: tuple[str, ...]) -> None:
    """`make soak` starts the file by its path, outside of the package that tests import it from."""
    program = Path(__file__).with_name("soak.py")
    done = subprocess.run(
        [sys.executable, str(program), *options, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--seed" in done.stdout

"""For the tests of scripts/: runs the script as an operator does, at a time that the test sets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from tests.preloaded.library import suite_clock
from tests.preloaded.wrong_clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = ROOT / "scripts" / "db_health_check.sh"


class Check(Protocol):
    """Runs the health check."""

    def __call__(self, *args: object, at_s: int = 0, user: int | None = None, **environ: str) -> Checked:
        """With the wall clock wrong by so many seconds, as root or as another user."""


class Checked:
    """What it printed, and its exit code."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert not done.stdout or not done.stderr, done
        self.code = done.returncode
        self.lines = (done.stdout or done.stderr).splitlines()
        self.verdict = self.lines[0]
        self.figures = {line[:12].strip(): line[12:] for line in self.lines[1:] if not line.startswith(" ")}

    def only_line(self) -> str:
        """The only line, when no figures follow it."""
        assert len(self.lines) == 1, self.lines
        return self.verdict


@pytest.fixture
def check(tmp_path: Path, build_library: Callable[[str], Path]) -> Check:
    """`bash scripts/db_health_check.sh ARGS`, with no variable of this shell's environment."""
    clock = Clock(build_library("wrong_clock"), tmp_path / "offset")

    def run(*args: object, at_s: int = 0, user: int | None = None, **environ: str) -> Checked:
        if at_s:
            clock.stop_at(at_s)
            environ = {**clock.environ, **environ}
        done = subprocess.run(
            ["bash", str(SCRIPT), *map(str, args)],
            env={"PATH": os.defpath, "DISK_MIN_FREE_MB": "1", **suite_clock(), **environ},
            cwd=tmp_path,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Checked(done)

    return run

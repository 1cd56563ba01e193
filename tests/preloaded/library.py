"""One such library: a C file of this directory, compiled, and the file that tells it what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def suite_clock() -> dict[str, str]:
    """What a process with an environment of its own needs for the clock that the suite runs with, if it has one."""
    return {name: value for name, value in os.environ.items() if name == "LD_PRELOAD" or name.startswith("FAKETIME")}


class Library:
    """The library `built`, under whoever is started with `environ`; `told` is its file."""

    def __init__(self, built: Path, told: Path) -> None:
        self._told = told
        others = os.environ.get("LD_PRELOAD", "")  # the suite itself may run with a clock of its own
        self.environ = {"LD_PRELOAD": f"{built} {others}".strip(), f"{built.stem.upper()}_FILE": str(told)}

    def tell(self, text: str) -> None:
        """What it does from now on. It may be reading, so the file is replaced in one step."""
        fresh = self._told.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._told)


def build(directory: Path, name: str) -> Path:
    """Compiles the C file of that name into `directory`; skips the test without a C compiler."""
    if shutil.which("cc") is None:
        pytest.skip(f"{name}.c is for a C compiler, and there is none")
    source, built = Path(__file__).with_name(f"{name}.c"), directory / f"{name}.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(built), str(source), "-ldl"], check=True)
    return built

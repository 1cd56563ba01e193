"""The wall clock of one process, set by the test: a small C library, preloaded."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

_SOURCE: Final = Path(__file__).parent / "reliability" / "wrong_clock.c"


def library(directory: Path) -> Path:
    """Builds it; skips the test without a C compiler."""
    if shutil.which("cc") is None:
        pytest.skip("a wall clock can only be set for one process with a C compiler")
    built = directory / "wrong_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(built), str(_SOURCE), "-ldl"], check=True)
    return built


def offset_s(day: str, clock: str) -> int:
    """What to add to this host's clock for it to be `10:00:00` of `20261120` in Hong Kong."""
    moment = datetime.strptime(f"{day} {clock} +0800", "%Y%m%d %H:%M:%S %z")
    return int(moment.timestamp() - datetime.now(UTC).timestamp())


def environ(built: Path, offset: Path, seconds: int) -> dict[str, str]:
    """What makes a process's clock wrong by so many seconds; `offset` is the file that says so."""
    offset.write_text(str(seconds))
    return {"LD_PRELOAD": str(built), "WRONG_CLOCK_FILE": str(offset)}

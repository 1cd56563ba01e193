"""For the tests of the store: day files open for writing, and a reader that may not write."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import pytest
from tests.others import open_to_others

from hk_tick_collector.store.dayfile import DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65_534
DAY = "20261120"
NOW_MS = 1_795_140_000_000  # 2026-11-20 10:00 in Hong Kong


class OpenDay(Protocol):
    """Opens a day file for writing, as one run of the service would."""

    def __call__(self, path: Path, run_id: str = "run", options: StoreOptions | None = None) -> DayFile:
        """The file at `path`, whose stem is the day."""


class Sqlite3(Protocol):
    """Runs the stock `sqlite3` of the system as a member of the group that may read and not write."""

    def __call__(self, path: Path, sql: str, *, immutable: bool = False) -> str:
        """Its output; AssertionError with its error text if it fails."""


@pytest.fixture
def open_day() -> Iterator[OpenDay]:
    """Opens day files for writing, and closes those that a test left open."""
    opened: list[DayFile] = []

    def make(path: Path, run_id: str = "run", options: StoreOptions | None = None) -> DayFile:
        opened.append(DayFile(path, path.stem, run_id, NOW_MS, "test", options or StoreOptions(busy_timeout_ms=50)))
        return opened[-1]

    yield make
    for day in opened:
        day.abandon()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's day file, which may not exist yet."""
    return tmp_path / f"{DAY}.db"


@pytest.fixture
def group_path(tmp_path: Path) -> Iterator[Path]:
    """The path of a day file in a directory as in production: 0750, readable by the group, umask 0027."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    open_to_others(tmp_path)
    root = tmp_path / "HK"
    root.mkdir()
    os.chown(root, 0, NOBODY)
    root.chmod(0o2750)  # the group is inherited, as if the service's own group wrote
    before = os.umask(0o027)
    yield root / f"{DAY}.db"
    os.umask(before)


@pytest.fixture
def sqlite3() -> Sqlite3:
    """The system's `sqlite3`, as another user in the group."""

    def run(path: Path, sql: str, *, immutable: bool = False) -> str:
        uri = f"file:{path}?mode=ro" + ("&immutable=1" if immutable else "")
        done = subprocess.run(
            ["sqlite3", uri, sql],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def killed_writer() -> KilledWriter:
    """A writer that SIGKILL ended after its first commit."""
    return kill_writer


class KilledWriter(Protocol):
    """Writes rows to a day file in a process of its own, which is then killed."""

    def __call__(self, path: Path, rows: int) -> None:
        """Returns when the process is gone."""


def kill_writer(path: Path, rows: int) -> None:
    """Writes `rows` ticks of HK.00700 in a process of its own and kills it with the file open."""
    program = f"""
import os, signal, sys
from pathlib import Path
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
os.umask(0o027)
day = DayFile(Path(sys.argv[1]), {path.stem!r}, "killed", {NOW_MS}, "test", StoreOptions())
tail = 1.0, 1, 1.0, "BUY", "AUTO_MATCH", "realtime", {NOW_MS}, {NOW_MS}, " "
rows = [("HK.00700", n, {NOW_MS} + n, *tail) for n in range({rows})]
day.write(Batch(rows=rows), {NOW_MS})
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, timeout=300, check=False)
    assert done.returncode == -9, done.stderr

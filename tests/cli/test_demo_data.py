"""Each demo starts a new day file and does not touch a day file of another collector."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.cli._demo_data import begin
from hk_tick_collector.cli._options import today
from hk_tick_collector.errors import OwnedError, UsageError
from hk_tick_collector.store.collector_lock import OwnerLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import DayFile

    Cli = Callable[..., subprocess.CompletedProcess[str]]


def run_demo(workdir: Path) -> str:
    """Runs a demo, ends it as by Ctrl-C after it has stored ticks, and returns its output."""
    command = [sys.executable, "-m", "hk_tick_collector", "demo", "--symbols", "5", "--rate", "50"]
    with subprocess.Popen(command, cwd=workdir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout
        said = ""
        for line in demo.stdout:
            said += line
            if re.search(r"  stored [1-9]", line):
                demo.send_signal(signal.SIGINT)
                said += demo.stdout.read()
                break
        assert demo.wait(300) == 0, said
    return said


def rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM ticks").fetchone()[0])


@pytest.mark.usefixtures("one_day")
def test_a_second_demo_begins_its_own_day(cli: Cli, workdir: Path) -> None:
    """The second day is complete and without gaps, like the first; the first one's files are moved beside it."""
    run_demo(workdir)
    day = workdir / "demo-data" / f"{today()}.db"
    first = rows(day)
    second = run_demo(workdir)
    (aside,) = (workdir / "demo-data").glob("earlier-*")
    assert f"The files of an earlier demo of today are now in {aside}" in second
    assert rows(aside / day.name) == first
    document = json.loads(cli("status", "--json", DATA_ROOT="demo-data").stdout)["day"]
    assert document["completeness"]["percent"] == 100.0
    assert (document["gaps_open"], document["missing"]) == (0, 0)


def test_what_a_killed_demo_left_goes_as_a_whole(tmp_path: Path, make_day: Callable[..., DayFile]) -> None:
    """File with WAL, spool and live state are moved, so that the next day file finds none of them."""
    root = tmp_path / "demo-data"
    assert begin(root) is None
    day = make_day(today(), root)
    day.execute("UPDATE meta SET value = 'kept' WHERE key = 'market'")
    (root / ".spool").mkdir()
    (root / "status.json").write_text("{}")
    aside = begin(root)
    assert aside is not None
    assert {path.name for path in aside.iterdir()} >= {f"{today()}.db", f"{today()}.db-wal", ".spool", "status.json"}
    assert {path.name for path in root.iterdir()} == {aside.name, ".demo", ".collector.lock"}
    assert begin(root) is None


def test_no_demo_writes_among_the_days_of_a_collector(
    cli: Cli, workdir: Path, make_day: Callable[..., DayFile]
) -> None:
    """A directory with day files that no demo made is refused with exit code 2, and nothing in it changes."""
    root = workdir / "HK"
    root.mkdir()
    make_day("20261120", root).db.close()
    before = sorted(path.name for path in root.iterdir())
    done = cli("demo", "--seconds", "1", "--data", str(root))
    assert done.returncode == 2
    assert "day files that no demo made: name another directory" in done.stderr
    assert sorted(path.name for path in root.iterdir()) == before


def test_a_demo_that_runs_is_not_disturbed(tmp_path: Path, make_day: Callable[..., DayFile]) -> None:
    """A second demo does not move the file of a running demo."""
    root = tmp_path / "demo-data"
    begin(root)
    make_day(today(), root)
    lock = OwnerLock(root, "pid 1")
    with pytest.raises(OwnedError, match="is locked by pid"):
        begin(root)
    lock.release()
    assert (root / f"{today()}.db").exists()


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    """One line with the cause."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot use"):
        begin(tmp_path / "file" / "below")

"""`prune`: what an operator sees; at any moment a day file exists or a copy is proved to be elsewhere."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.archived_days import flip, seal_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.s3_server import S3Server

    Cli = Callable[..., subprocess.CompletedProcess[str]]

DAYS: Final = ("20261118", "20261119", "20261120")
KILLS: Final = int(os.environ.get("PRUNE_KILLS", "20"))


@pytest.fixture
def data(workdir: Path, cli: Cli) -> Path:
    """DATA_ROOT with three sealed, archived days, and the archive, both with blanks in their names."""
    root = workdir / "the 數據"
    root.mkdir()
    (workdir / "the 檔案").mkdir()
    (workdir / ".env").write_text(f"DATA_ROOT={root}\nARCHIVE_DIR={workdir}/the 檔案\n")
    for day in DAYS:
        seal_day(root, day)
    assert cli("archive").returncode == 0
    return root


def days_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*.db*"))


def test_a_dry_run_and_the_real_one(cli: Cli, data: Path) -> None:
    """The same lines; only --yes frees. Then restore brings a day back."""
    done = cli("prune", "--keep-days", "1")
    assert done.returncode == 0
    assert "is on the disk of the day files: if that disk fails, both are lost" in done.stderr
    first, second, last = done.stdout.splitlines()
    assert first.startswith("20261118.db: would free 0.1 MB: proved in ")
    assert second.startswith("20261119.db: would free")
    assert last.endswith("the newest 1 day stays; nothing was changed -> hk-tick-collector prune --yes --keep-days 1")
    assert len(days_in(data)) == 3
    done = cli("prune", "--keep-days", "1", "--yes", "--json")
    told = json.loads(done.stdout)
    assert [(each["day"], each["freed"]) for each in told["files"]] == [
        (DAYS[0], True),
        (DAYS[1], True),
        (DAYS[2], False),
    ]
    assert told["freed_bytes"] > 0
    assert days_in(data) == ["20261120.db"]
    assert cli("restore", "20261118").returncode == 0
    assert days_in(data) == ["20261118.db", "20261120.db"]


def test_a_fault_is_reported_and_sets_the_exit_code(cli: Cli, data: Path, s3_server: S3Server) -> None:
    """A damaged archive keeps the day; a right copy in an object store frees it, if one copy is enough."""
    place = f"s3://{s3_server.bucket}/copy-of-prune"
    assert cli("archive", "--to", place, **s3_server.variables).returncode == 0
    flip(next((data.parent / "the 檔案").glob("ticks/date=2026-11-18/*")))
    done = cli("prune", "--keep-days", "2", "--yes")
    assert done.returncode == 1
    assert "20261118.db: stays: " in done.stderr
    assert "is not what was signed" in done.stderr
    assert len(days_in(data)) == 3
    done = cli("prune", "--keep-days", "2", "--yes", "--copy", place, **s3_server.variables)
    assert done.returncode == 1  # a copy is not right, and is named
    assert f"20261118.db: freed 0.1 MB: proved in {place}\n" in done.stdout
    assert done.stderr.count("is not what was signed") == 1  # told once


def test_a_copy_that_is_not_there_is_told(cli: Cli, data: Path) -> None:
    """Its disk is not mounted: it is named for each day, whether the other copies are enough or not."""
    none = data.parent / "not mounted"
    done = cli("prune", "--keep-days", "1", "--copy", str(none))
    assert done.returncode == 1
    assert f"20261118.db: a copy is not right: there is no directory {none}\n" in done.stderr
    assert f"20261119.db: a copy is not right: there is no directory {none}\n" in done.stderr
    assert f"20261118.db: would free 0.1 MB: proved in {data.parent}/the 檔案\n" in done.stdout
    again = done.stdout.partition(" -> ")[2].split()
    assert again == f"hk-tick-collector prune --yes --keep-days 1 --copy {shlex.quote(str(none))}".split()
    done = cli("prune", "--keep-days", "2", "--yes", "--archive", str(none))
    assert done.returncode == 1
    assert f"20261118.db: stays: there is no directory {none}\n" in done.stderr
    assert len(days_in(data)) == 3


def test_wrong_usage_is_one_line(cli: Cli, data: Path) -> None:
    """More copies than places, one place named twice, no key: what was wrong and what to do."""
    done = cli("prune", "--copies", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--copies 2 is more than the places that are named, 1: name more with --copy" in done.stderr
    done = cli("prune", "--copy", f"{data}/../the 檔案/.")
    assert done.returncode == 2
    assert "are the same place: name each copy once" in done.stderr
    (data / ".certificate_key").unlink()
    done = cli("prune")
    assert done.returncode == 1
    assert ".certificate_key" in done.stderr
    assert len(days_in(data)) == 3


def test_the_operators_language(cli: Cli, data: Path) -> None:
    """The results of the four verbs of the archive follow OPERATOR_LANG; documents for programs stay English."""
    chinese = {"OPERATOR_LANG": "zh-Hant", "LC_ALL": "C.UTF-8"}
    where = data.parent / "the 檔案"
    assert cli("archive", **chinese).stdout == f"3 日先前已歸檔於 {where}\n"
    seal_day(data, "20261117")
    assert cli("archive", **chinese).stdout.startswith("20261117：已歸檔並驗證：60 筆 tick，not_provable，")
    assert cli("certificate", "--check", **chinese).stdout.startswith("20261117：與 ")
    done = cli("prune", "--keep-days", "1", "--yes", **chinese)
    assert done.stdout.startswith(f"20261117.db: 已騰出 0.1 MB: 證明存於 {where}\n")
    assert done.stdout.splitlines()[-1].endswith("；最近 1 日保留")
    done = cli("restore", "20261117", **chinese)
    assert done.stdout.startswith(f"{data}/20261117.db：60 筆 tick，已與證書核對（not_provable），")
    assert json.loads(cli("prune", "--json", **chinese).stdout)["files"][0]["why"] == "it is one of the newest 30 days"


def test_killed_at_any_moment(cli: Cli, data: Path) -> None:
    """A day is there or proved, and the next run finishes. PRUNE_KILLS=200 tries more moments."""
    archive = data.parent / "the 檔案"
    flip(next(archive.glob("ticks/date=2026-11-18/*")))
    (data / "20261120.db").unlink()
    killer = Path(__file__).parent / "kill_prune.py"
    done = subprocess.run(
        [sys.executable, killer, data, "20261119", "20261118", str(KILLS)],
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)  # with -s: in how many runs the day was there, aside, freed
    assert done.stdout.startswith(f"{KILLS} killed: ")
    cli("prune", "--yes", "--keep-days", "0")
    assert days_in(data) == ["20261118.db"]

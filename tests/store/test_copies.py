"""Copies of the day are found by the files that `sqlite3` puts beside them; nothing else is taken for one."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector.store.copies import find_copies

if TYPE_CHECKING:
    from pathlib import Path

DAY: Final = "20261120"
CAP_S: Final = 300.0  # ends only a test that would wait for ever


def find(*directories: Path) -> dict[str, tuple[int, ...]]:
    """The copies found while the file of DAY is written."""
    return find_copies(directories, lambda day: day == DAY)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A WAL database of some 40 MB, which takes the shell a while to copy."""
    path = tmp_path / f"{DAY}.db"
    fill = (
        "PRAGMA journal_mode=wal; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB);"
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10000)"
        " INSERT INTO t SELECT n, randomblob(4000) FROM c;"
    )
    subprocess.run(["sqlite3", str(path), fill], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("before", ["", "wal", "delete"])
@pytest.mark.parametrize("name", [f"{DAY}.snapshot.db", "noon.db"])
def test_the_progress_and_the_end_of_a_backup_are_seen(source: Path, before: str, name: str) -> None:
    """To a new file, over the copy of an earlier `.backup`, and over a database that is not in WAL mode."""
    target = source.with_name(name)
    if before:
        subprocess.run(["sqlite3", str(source), f".backup '{target}'"], check=True)
        subprocess.run(["sqlite3", str(target), f"PRAGMA journal_mode={before}"], check=True, capture_output=True)
    assert find(source.parent) == {}
    process = subprocess.Popen(["sqlite3", str(source), f".backup '{target}'"])
    marks = set()
    deadline_s = time.monotonic() + CAP_S
    while process.poll() is None:
        marks |= set(find(source.parent).items())
        assert time.monotonic() < deadline_s
    assert {path for path, _ in marks} == {str(target)}
    assert len(marks) > 1
    assert find(source.parent) == {}


def test_what_is_no_copy_of_this_day_is_passed_over(tmp_path: Path) -> None:
    """Day files, drafts, renamed files, other days, journals without a copy, a missing directory."""
    for name in (f"{DAY}.db", "20261119.db", f".{DAY}.db.new", f"{DAY}.db.damaged-20261120T010203Z", "20261119.x.db"):
        for suffix in ("", "-journal", "-wal"):
            (tmp_path / (name + suffix)).write_bytes(b"x")
    (tmp_path / "gone.db-journal").write_bytes(b"x")
    assert find(tmp_path, tmp_path / "nowhere") == {}
    for suffix in ("", "-journal"):
        (tmp_path / f"{DAY}.x.db{suffix}").write_bytes(b"x")
    assert list(find(tmp_path)) == [str(tmp_path / f"{DAY}.x.db")]


def test_a_reader_of_an_earlier_copy_never_changes(source: Path) -> None:
    """Reading a copy that is marked as WAL makes an empty `-wal` beside it, as the begin of the next copy does: it is
    seen, and what does not change is not waited for.
    """
    target = source.with_name(f"{DAY}.snapshot.db")
    subprocess.run(["sqlite3", str(source), f".backup '{target}'"], check=True)
    reader = sqlite3.connect(target)
    reader.execute("SELECT count(*) FROM t").fetchone()
    seen = find(source.parent)
    assert list(seen) == [str(target)]
    reader.execute("SELECT sum(length(b)) FROM t").fetchone()
    assert find(source.parent) == seen
    reader.close()

"""`restore`: archived days back as day files, whole or not at all."""

from __future__ import annotations

import json
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.archived_days import flip, seal_day, sums

from hk_tick_collector.store.schema import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.s3_server import S3Server

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "the 日檔 data"
    path.mkdir()
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "the 歸檔 archive"
    path.mkdir()
    return path


@pytest.fixture
def run(cli: Run, root: Path, archive: Path) -> Run:
    """A verb with these two directories; it must succeed unless `code` is given."""

    def run(*args: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        settings = {"DATA_ROOT": str(root), "ARCHIVE_DIR": str(archive), **more}
        done = cli(*args, **settings)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def query(path: Path, sql: str) -> str:
    """What the stock sqlite3 says, reading only."""
    return subprocess.run(["sqlite3", "-readonly", str(path), sql], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("schema", range(2, VERSION + 1))
def test_archive_restore_archive_gives_the_same_files(run: Run, root: Path, archive: Path, schema: int) -> None:
    """Of any schema: same rows in all tables, sealed, mode 0440; archived again, every file has the same bytes."""
    day = seal_day(root, gaps=2, schema=schema)
    run("archive", "--day", "20261120")
    before, dump = sums(archive), query(day, ".dump")
    day.rename(root / "kept")
    told = run("restore", "20261120").stdout
    assert "60 ticks, compared with the certificate (gaps_known)" in told
    assert stat.S_IMODE(day.stat().st_mode) == 0o440
    assert sorted(query(day, ".dump").splitlines()) == sorted(dump.splitlines())
    assert "the same content" in run("archive", "--day", "20261120").stdout
    assert sums(archive) == before
    assert run("gaps", "--day", "20261120", "--json").stdout
    assert [path.name for path in sorted(root.iterdir())] == [".certificate_key", "20261120.db", "kept"]


def test_from_a_file_to_another_directory(run: Run, root: Path, archive: Path, tmp_path: Path) -> None:
    """A Parquet file names its archive and its day; several days are restored at once, and the document says how."""
    for day in ("20261119", "20261120"):
        seal_day(root, day)
    run("archive")
    (file,) = archive.glob("ticks/date=2026-11-20/*.parquet")
    there = tmp_path / "elsewhere"
    there.mkdir()
    done = run("restore", str(file), "20261119", "--to", str(there), "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    assert [(day["day"], day["restored"], day["rows"]) for day in told["days"]] == [
        ("20261120", True, 60),
        ("20261119", True, 60),
    ]
    assert query(there / "20261120.db", "SELECT count(*) FROM ticks") == "60\n"


def test_an_existing_file_stays(run: Run, root: Path) -> None:
    """A day file, and a WAL without one, which SQLite would apply to the new file, are never replaced."""
    day = seal_day(root)
    run("archive")
    before = day.read_bytes()
    assert "exists: it is not replaced: name another directory with --to" in run("restore", "20261120", code=1).stderr
    assert day.read_bytes() == before
    day.unlink()
    day.with_name("20261120.db-wal").write_bytes(b"x")
    assert "20261120.db-wal exists" in run("restore", "20261120", code=1).stderr


@pytest.mark.parametrize("pattern", ["ticks/*/*.parquet", "books/*.db", "certificates/*.txt", "certificates/*.sig"])
def test_a_flipped_bit_is_noticed(run: Run, root: Path, archive: Path, pattern: str) -> None:
    """In each kind of file: nothing is restored, and nothing half-made stays."""
    seal_day(root).rename(root / "kept")
    (root / "kept").rename(root / "20261120.db")
    run("archive")
    (root / "20261120.db").unlink()
    (file,) = archive.glob(pattern)
    flip(file)
    told = run("restore", "20261120", code=1).stderr
    assert told.startswith("hk-tick-collector: 20261120 is not restored: ") or "20261120" in told
    assert told.count("\n") == 1
    assert [path.name for path in root.iterdir()] == [".certificate_key"]


def test_what_is_not_there_is_named(run: Run, root: Path, tmp_path: Path) -> None:
    """A day that was never archived, a directory that does not exist, an argument that is no day: one line each."""
    seal_day(root)
    run("archive")
    assert "there is no certificate of 20261118" in run("restore", "20261118", code=1).stderr
    assert "there is no directory" in run("restore", "20261120", "--to", str(tmp_path / "none"), code=1).stderr
    assert "is not a date" in run("restore", "20261332", code=2).stderr
    assert "is neither a day nor a file of an archive" in run("restore", "x.parquet", code=2).stderr
    assert "no archive is named" in run("restore", "20261120", code=2, ARCHIVE_DIR="").stderr


def test_a_killed_run_leaves_nothing_that_stops_the_next(run: Run, root: Path) -> None:
    """The next run uses the hidden directory again and removes it."""
    seal_day(root)
    run("archive")
    (root / "20261120.db").unlink()
    left = root / ".restoring-20261120"
    left.mkdir()
    (left / "20261120.db").write_bytes(b"half")
    run("restore", "20261120")
    assert not left.exists()


def test_from_an_object_store(run: Run, root: Path, s3_server: S3Server) -> None:
    """archive and restore through S3, with the keys from the usual variables, which no line shows."""
    seal_day(root, gaps=1)
    place = {"ARCHIVE_DIR": f"s3://{s3_server.bucket}/of the verb", **s3_server.variables}
    place["ARCHIVE_DIR"] = f"s3://{s3_server.bucket}/of-the-verb"
    first = run("archive", **place)
    (root / "20261120.db").rename(root / "kept")
    second = run("restore", "20261120", **place)
    assert "60 ticks" in second.stdout
    assert "the same content" in run("archive", "--day", "20261120", **place).stdout
    secret = s3_server.variables["AWS_SECRET_ACCESS_KEY"]
    assert secret not in first.stdout + first.stderr + second.stdout + second.stderr

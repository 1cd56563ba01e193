"""`restore`: archived days back as day files, whole or not at all."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.archived_days import seal_day, sums

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


def test_days_come_back(run: Run, root: Path, archive: Path, tmp_path: Path) -> None:
    """By day and by the Parquet file, which names its archive and its day; archived again, they are the same."""
    for day in ("20261119", "20261120"):
        seal_day(root, day, gaps=1)
    run("archive")
    before = sums(archive)
    (root / "20261120.db").rename(root / "kept")
    told = run("restore", "20261120").stdout
    assert told.startswith(f"{root}/20261120.db: 60 ticks, compared with the certificate (")
    assert "the same content" in run("archive", "--day", "20261120").stdout
    assert sums(archive) == before
    (file,) = archive.glob("ticks/date=2026-11-20/*.parquet")
    there = tmp_path / "elsewhere"
    there.mkdir()
    document: dict[str, Any] = json.loads(run("restore", str(file), "20261119", "--to", str(there), "--json").stdout)
    assert [(day["day"], day["restored"], day["rows"]) for day in document["days"]] == [
        ("20261120", True, 60),
        ("20261119", True, 60),
    ]
    count = ["sqlite3", "-readonly", str(there / "20261120.db"), "SELECT count(*) FROM ticks"]
    assert subprocess.run(count, capture_output=True, text=True, check=True).stdout == "60\n"


def test_what_is_not_there_is_named(run: Run, root: Path, tmp_path: Path) -> None:
    """A file in the way, a day never archived, no such directory, an argument that is no day: one line each."""
    seal_day(root)
    run("archive")
    assert "exists: it is not replaced: name another directory with --to" in run("restore", "20261120", code=1).stderr
    assert "there is no certificate of 20261118" in run("restore", "20261118", code=1).stderr
    assert "there is no directory" in run("restore", "20261120", "--to", str(tmp_path / "none"), code=1).stderr
    assert "is not a date" in run("restore", "20261332", code=2).stderr
    assert "is neither a day nor a file of an archive" in run("restore", "x.parquet", code=2).stderr
    assert "no archive is named" in run("restore", "20261120", code=2, ARCHIVE_DIR="").stderr


def test_a_file_that_is_not_certified_is_not_restored(run: Run, root: Path, archive: Path, tmp_path: Path) -> None:
    """Another Parquet file of the same day, there or not: the day would be made of the certified one instead."""
    seal_day(root)
    run("archive")
    (file,) = archive.glob("ticks/date=2026-11-20/*.parquet")
    other = file.with_name("ticks-ffffffffffffffff.parquet")
    there = tmp_path / "elsewhere"
    there.mkdir()
    said = run("restore", str(other), "--to", str(there), code=2).stderr
    assert f"{other.relative_to(archive)} is not in the certificate certificates/2026-11-20.txt" in said
    assert file.name in said
    assert list(there.iterdir()) == []
    run("restore", str(archive / "books/2026-11-20.db"), "--to", str(there))


def test_from_an_object_store(run: Run, root: Path, s3_server: S3Server) -> None:
    """archive and restore through S3, with the keys from the usual variables, which no line shows."""
    seal_day(root, gaps=1)
    place = {"ARCHIVE_DIR": f"s3://{s3_server.bucket}/of-the-verb", **s3_server.variables}
    first = run("archive", **place)
    (root / "20261120.db").rename(root / "kept")
    second = run("restore", "20261120", **place)
    assert "60 ticks" in second.stdout
    assert "the same content" in run("archive", "--day", "20261120", **place).stdout
    secret = s3_server.variables["AWS_SECRET_ACCESS_KEY"]
    assert secret not in first.stdout + first.stderr + second.stdout + second.stderr

"""`export`, `bars` and `quality` read days of an archive in an object store in place, in child processes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.archived_days import seal_day
from tests.s3_server import KEYS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.s3_server import S3Server

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(
    cli: Run, workdir: Path, s3_server: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """A verb on a host whose days are in the bucket alone; it must succeed unless `code` is given, and shows no key."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    root, temporary = workdir / "data", workdir / "temporary"
    root.mkdir()
    temporary.mkdir()
    settings = {"DATA_ROOT": str(root), "ARCHIVE_DIR": f"s3://{s3_server.bucket}/{request.node.name}"}
    settings |= {"TMPDIR": str(temporary), **s3_server.variables}

    def run(*args: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = cli(*args, **{**settings, **more})
        assert done.returncode == code, done.stdout + done.stderr
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
        if not code:  # the books that were downloaded are gone; after an error they go with the process itself
            assert not any(path.is_dir() for path in temporary.iterdir())
        return done

    for day in ("20261119", "20261120"):
        seal_day(root, day, gaps=2)
    run("archive")
    for path in root.glob("*.db"):
        path.unlink()
    return run


def test_export(run: Run, workdir: Path) -> None:
    """One symbol of two days, with the gaps that the books list."""
    done = run("export", "--since", "20261119", "--symbols", "HK.00700", "--out", "a.parquet")
    assert "40 ticks of 2 days" in done.stdout
    assert "4 open gaps in the range" in done.stderr
    assert pl.read_parquet(workdir / "a.parquet")["symbol"].unique().to_list() == ["HK.00700"]
    assert "days there: 20261119 to 20261120" in run("export", "--day", "20261118", code=1).stderr


def test_bars(run: Run) -> None:
    """Of the symbol with the most ticks, and as a document."""
    done = run("bars", "--day", "20261120", "--every", "1d", "--json")
    assert [bar["trades"] for bar in json.loads(done.stdout)["bars"]] == [20, 20, 20]


def test_quality(run: Run) -> None:
    """The verdict of both days, and one with every tick read; a store that is away is one line."""
    found = json.loads(run("quality", "--json", code=2).stdout)["days"]
    assert [(day["day"], day["archived"], day["rows"]) for day in found] == [
        ("20261119", True, 60),
        ("20261120", True, 60),
    ]
    found = json.loads(run("quality", "--day", "20261120", "--json", code=2).stdout)["days"]
    assert found[0]["ticks"]["rows"] == 60
    assert found[0]["file"].startswith("s3://ticks-archive/test_quality/books/2026-11-20.db")
    done = run("quality", "--json", code=3, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert "archived days are left out: cannot list s3://ticks-archive/test_quality" in done.stderr

"""deploy/day_files.py: day files migrated by a newer version can be opened by the older one, with every tick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from hk_tick_collector.store import schema
from hk_tick_collector.store.dayfile import Batch, DayFile, Ledger, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.model import TickRow

SCRIPT = Path(__file__).parents[2] / "deploy/day_files.py"
DAY = "20261120"
NOW_MS = 1_795_140_000_000  # 2026-11-20 10:00 in Hong Kong
NEWER = schema.VERSION + 1
ADDING = "ALTER TABLE ticks ADD COLUMN extra TEXT; CREATE TABLE more (x INTEGER) STRICT;"
REPLACING = """
    CREATE TABLE other (symbol TEXT, seq INTEGER, content TEXT, PRIMARY KEY (symbol, seq)) STRICT, WITHOUT ROWID;
    DROP TRIGGER ticks_counted;
    DROP TABLE ticks;
    ALTER TABLE symbols RENAME COLUMN rows TO how_many;
"""


def day_files(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the script as install.sh does."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(first: int, count: int) -> list[TickRow]:
    return [
        (
            "HK.00700",
            seq,
            NOW_MS + seq,
            400.5,
            100,
            40_050.0,
            "BUY",
            "AUTO_MATCH",
            "realtime",
            NOW_MS + seq,
            NOW_MS + seq,
            "P",
        )
        for seq in range(first, first + count)
    ]


def store(path: Path, run: str, ticks: list[TickRow]) -> Ledger:
    """One run of this version's collector, killed after its commit, so that the WAL remains."""
    day = DayFile(path, DAY, run, NOW_MS, "test", StoreOptions(busy_timeout_ms=50))
    day.write(Batch(rows=ticks), NOW_MS)
    day.abandon()
    return day.ledger


def migrate(path: Path, script: str, ticks: Sequence[TickRow] = ()) -> None:
    """What a newer version does with a day file before it dies: its tables and ticks, in the WAL."""
    db = apsw.Connection(str(path))
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute(f"BEGIN; {script}; PRAGMA user_version = {NEWER}; COMMIT")
    if ticks:
        names = ", ".join(schema.TICK_COLUMNS)
        db.executemany(f"INSERT INTO ticks ({names}) VALUES ({', '.join('?' * len(schema.TICK_COLUMNS))})", ticks)
    db.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A day file with ten ticks, as a killed collector leaves it."""
    path = tmp_path / f"{DAY}.db"
    store(path, "old", rows(1, 10))
    return path


@pytest.mark.parametrize("copied", [True, False])
def test_the_older_version_reads_what_the_newer_one_stored(path: Path, copied: bool) -> None:
    """Its ticks, counters, ledger; with and without an earlier copy. The newer file is kept."""
    if copied:
        assert day_files("keep", path.parent, NEWER).returncode == 0
    migrate(path, ADDING, rows(11, 5))
    with pytest.raises(Exception, match="schema"):
        store(path, "again", [])
    done = day_files("fit", path.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{DAY}.db: rebuilt with schema {schema.VERSION}, 15 ticks" in done.stdout
    assert store(path, "old", rows(14, 3)).stored == 11  # the run's ledger goes on; two of the three were there
    db = apsw.Connection(str(path))
    assert db.execute("SELECT count(*), min(seq), max(seq) FROM ticks").get == (16, 1, 16)
    assert db.execute("SELECT rows, max_seq FROM symbols").get == (16, 16)
    db.close()
    newer = apsw.Connection(f"{path}.newer-schema-{NEWER}")
    assert newer.execute("SELECT count(*) FROM ticks").get == 15
    newer.close()


def test_a_destructive_migration_is_undone_with_the_copy(path: Path) -> None:
    """All ticks of the copy are there, and the symbols are counted again."""
    assert day_files("keep", path.parent, NEWER).stdout == f"{DAY}.db: copied, 0 MB\n"
    migrate(path, REPLACING)
    done = day_files("fit", path.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ticks is from the copy" in done.stdout
    store(path, "old", rows(10, 2))
    db = apsw.Connection(str(path))
    assert db.execute("SELECT rows FROM symbols").get == db.execute("SELECT count(*) FROM ticks").get == 11
    db.close()


def test_files_that_are_not_newer_are_not_changed(path: Path) -> None:
    """The file is not changed; `forget` removes only the files that `keep` made."""
    before = path.stat()
    assert day_files("keep", path.parent, schema.VERSION).stdout == ""
    assert day_files("fit", path.parent).stdout == ""
    assert day_files("forget", path.parent).returncode == 0
    assert path.stat() == before
    assert not (path.parent / ".before-upgrade").exists()


def test_a_sealed_day_of_the_newer_version_stays_sealed(path: Path) -> None:
    """Rebuilt too, with its mode, so that the older version can read it."""
    migrate(path, ADDING)
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "delete")
    db.close()
    path.chmod(0o440)
    done = day_files("fit", path.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o440
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.pragma("user_version") == schema.VERSION
    db.close()


def test_a_killed_rebuild_starts_again(path: Path) -> None:
    """An unfinished draft is not used and does not disturb."""
    migrate(path, ADDING, rows(11, 1))
    path.with_name(f".{path.name}.fit").write_bytes(b"half a file")
    path.with_name(f".{path.name}.fit-journal").write_bytes(b"half a journal")
    done = day_files("fit", path.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "11 ticks" in done.stdout


def test_foreign_files_are_not_changed(path: Path) -> None:
    """A predecessor's file, a damaged one, an empty one."""
    other = path.with_name("20261119.db")
    db = apsw.Connection(str(other))
    db.execute("CREATE TABLE ticks (x); PRAGMA user_version = 99")
    db.close()
    path.with_name("20261118.db").write_bytes(b"no database" * 100)
    path.with_name("20261117.db").touch()
    before = {file.name: file.read_bytes() for file in path.parent.glob("2026111[789].db")}
    assert day_files("keep", path.parent, NEWER).returncode == 0
    assert day_files("fit", path.parent).returncode == 0
    assert {file.name: file.read_bytes() for file in path.parent.glob("2026111[789].db")} == before

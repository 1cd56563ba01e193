"""A day file of each older schema is migrated when it is opened; if that fails, the version before can still open it.

The older files are made by the released migrations, whose text never changes, and hold ticks as those versions wrote
them.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store import schema
from hk_tick_collector.store.dayfile import Batch
from hk_tick_collector.store.query import DayReader
from hk_tick_collector.store.schema_check import difference

from .days import NOW_MS, open_day, ticks, verdict
from .faulty_disk import Fault
from .power_loss import PowerLossDisk

if TYPE_CHECKING:
    from hk_tick_collector.model import TickRow

    from .faulty_disk import FaultyDisk

OLDER: Final = range(1, schema.VERSION)
ROWS: Final = 600  # some tens of pages
RELEASED: Final = {  # the start of the SHA-256 of each migration
    1: "c5f3360f6c8a7f4f",
    2: "a85197949ec1d48e",
    3: "77c0f87245aa5762",
    4: "cc72f2e5e94d99da",
}
OLD_COLUMNS: Final = schema.TICK_COLUMNS[:10]
OLD_INSERT: Final = f"INSERT INTO ticks ({', '.join(OLD_COLUMNS)}) VALUES ({', '.join('?' * 10)})"


def make(path: Path, version: int, *, killed: bool) -> list[TickRow]:
    """A file as a collector of this schema left it, and its ticks; a killed one leaves them in the WAL."""
    path.parent.mkdir(exist_ok=True)
    stored = ticks(1, ROWS)
    db = apsw.Connection(str(path))
    for migration in schema.MIGRATIONS[:version]:
        db.execute(migration)
    db.pragma("application_id", schema.APPLICATION_ID)
    db.pragma("user_version", version)
    db.pragma("journal_mode", "wal")
    db.execute("BEGIN")
    db.executemany(OLD_INSERT, (row[:10] for row in stored))
    db.execute(f"INSERT INTO ledger VALUES ('old', 1, 2, 1, {ROWS}, {ROWS}, 0, 0, 0, 0)")
    db.execute("COMMIT")
    if killed:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    else:
        db.pragma("journal_mode", "delete")
    db.close()
    return sorted((*row[:10], None, None) for row in stored)


def assert_whole(path: Path, version: int, stored: list[TickRow]) -> int:
    """The file is a whole one of some schema from `version` on, with every tick; a version of that schema writes it."""
    with closing(apsw.Connection(str(path))) as db:
        found = int(db.pragma("user_version"))
        assert version <= found <= schema.VERSION
        assert difference(db) is None
        assert db.execute("PRAGMA integrity_check").get == "ok"
        columns = ", ".join(OLD_COLUMNS)
        assert list(db.execute(f"SELECT {columns} FROM ticks ORDER BY symbol, seq")) == [row[:10] for row in stored]
        there = tuple(name for (name,) in db.execute("SELECT name FROM pragma_table_info('ticks')"))
        assert there == schema.tick_columns(found)
        db.execute("BEGIN")
        db.execute(OLD_INSERT, ticks(ROWS + 1, 1)[0][:10])
        db.execute("ROLLBACK")
    return found


def test_a_released_migration_never_changes() -> None:
    """Day files that exist were made by them: what changes is a new migration."""
    digests = {n: hashlib.sha256(text.encode()).hexdigest()[:16] for n, text in enumerate(schema.MIGRATIONS, start=1)}
    assert digests == RELEASED


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("version", OLDER)
def test_every_older_file_is_migrated(path: Path, version: int, killed: bool) -> None:
    """Each tick as it was, NULL in the columns that it had not; then it is written and read like any other."""
    stored = make(path, version, killed=killed)
    with DayReader(path) as reader:
        assert sorted(map(tuple, reader.ticks())) == stored, "it is readable before as well"
        assert reader.instruments() == []
    day = open_day(path)
    fresh = ticks(ROWS - 9, 20)  # ten of them are stored: pushed and backfilled copies may differ in the new columns
    written = day.write(Batch(rows=fresh), NOW_MS)
    assert (written.stored, written.duplicate, written.conflicts) == (10, 10, ())
    assert day.close()
    assert verdict(path) == sorted([*stored, *fresh[10:]])
    with DayReader(path) as reader:
        assert (reader.schema_version(), reader.meta()["schema_version"]) == (schema.VERSION, str(schema.VERSION))
        assert reader.integrity() == "ok"


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_at_any_moment(
    tmp_path: Path, disk: FaultyDisk, operation: str, error: str, killed: bool
) -> None:
    """Full or broken at its n-th operation: the file is a whole one that the version before opens, with every tick."""
    version, moments = schema.VERSION - 1, 0
    for after in range(200):
        path = tmp_path / str(after) / "20261120.db"
        stored = make(path, version, killed=killed)
        fault = disk.inject(Fault(operations=(operation,), error=error, after=after))
        try:
            open_day(path, vfs=disk.name).abandon()
        except (StoreError, apsw.Error):
            disk.lift(fault)
            moments += assert_whole(path, version, stored) == version
        else:
            disk.lift(fault)
            break
        open_day(path).abandon()
        assert verdict(path) == stored
    assert fault.hits == 0, "no operation was left to fail"
    assert moments


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("version", OLDER)
def test_a_power_cut_at_any_moment(tmp_path: Path, version: int, killed: bool) -> None:
    """Or SIGKILL: each time the file is a whole one of the older schema or a later one, and the next start ends it."""
    disk = PowerLossDisk(f"migrating-{version}-{killed}", seed=version)
    path, cuts = tmp_path / "live" / "20261120.db", list[Path]()
    stored = make(path, version, killed=killed)

    def cut(_operation: str, _path: str) -> None:
        cuts.append(tmp_path / f"cut-{len(cuts)}" / path.name)
        disk.crash(cuts[-1].parent, len(cuts))

    disk.after_change = cut
    open_day(path, vfs=disk.name).abandon()
    disk.unregister()
    assert len(cuts) > 5
    found = []
    for each in cuts[:: max(1, len(cuts) // 20)]:
        found.append(assert_whole(each, version, stored))
        open_day(each).abandon()
        assert verdict(each) == stored
    assert min(found) == version

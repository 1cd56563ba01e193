"""Tables that another program changes: harmless changes have no effect, others are named, and no tick is lost."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector.errors import SchemaChangedError
from hk_tick_collector.store.dayfile import Batch, StoreOptions, seal
from hk_tick_collector.store.faults import diagnose
from hk_tick_collector.store.query import DayReader

from .conftest import NOW_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .conftest import OpenDay

    MakeTick = Callable[..., TickRow]

HARMLESS: Final = [
    *(f"ALTER TABLE {table} ADD COLUMN note TEXT" for table in ("symbols", "ticks", "gaps", "meta", "ledger")),
    "ALTER TABLE connections ADD COLUMN note TEXT",
    "ALTER TABLE ticks ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE reconciliation ADD COLUMN note TEXT",
    "CREATE INDEX of_mine ON ticks (ts_ms)",
    "CREATE VIEW of_mine AS SELECT * FROM ticks",
    "CREATE TABLE of_mine (a); CREATE TRIGGER of_mine AFTER INSERT ON ticks BEGIN INSERT INTO of_mine VALUES (1); END",
    "CREATE VIRTUAL TABLE of_mine USING fts4 (a)",
    "VACUUM",
    "ANALYZE",
]
MENDED: Final = {
    "DROP TRIGGER ticks_counted": "trigger ticks_counted was missing",
    "DROP INDEX gaps_by_symbol": "index gaps_by_symbol was missing",
    "DROP TRIGGER ticks_counted; CREATE TRIGGER ticks_counted AFTER INSERT ON ticks BEGIN SELECT 1; END": (
        "trigger ticks_counted was altered"
    ),
}
NAMED: Final = {
    "DROP TABLE connections": "the table connections is missing",
    "ALTER TABLE ticks RENAME TO trades": "the table ticks is missing",
    "ALTER TABLE ledger RENAME COLUMN stored TO kept": "the column ledger.stored is missing",
    "DROP TABLE symbols; CREATE VIEW symbols AS SELECT 1 AS symbol": "the table symbols is a view",
    "DROP TABLE gaps; CREATE TABLE gaps (a)": "the column gaps.symbol is missing",
    "CREATE TRIGGER guard BEFORE INSERT ON ticks BEGIN SELECT RAISE(ABORT, 'no'); END": "the trigger guard was added",
    "CREATE TRIGGER guard AFTER INSERT ON ledger BEGIN SELECT unheard_of(); END": "the trigger guard was added",
    "CREATE UNIQUE INDEX guard ON ticks (tick_type)": "the index guard was added to ticks",
    "CREATE TRIGGER guard BEFORE INSERT ON ticks BEGIN SELECT RAISE(IGNORE); END": "prevents 2 ticks from being stored",
}


def stock(path: Path, sql: str) -> None:
    """A change by another program, with the system's sqlite3."""
    done = subprocess.run(["sqlite3", str(path), sql], capture_output=True, text=True, timeout=30, check=False)
    assert not done.stderr, done.stderr


@pytest.mark.parametrize("reopened", [False, True], ids=["live", "at the next start"])
@pytest.mark.parametrize("sql", HARMLESS)
def test_harmless_changes_stop_nothing(
    open_day: OpenDay, path: Path, tick: MakeTick, sql: str, *, reopened: bool
) -> None:
    """Columns that may be empty, indexes, views, tables of others, VACUUM: the next batch is stored, and counted."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    stock(path, sql)
    if reopened:
        day.close()
        day = open_day(path)
    written = day.write(Batch(rows=[tick("HK.00700", 1), tick("HK.00700", 2)]), NOW_MS)
    assert (written.stored, written.duplicate, written.undone) == (1, 1, ())
    day.close()
    with DayReader(path) as reader:
        assert reader.totals().rows == reader.ledger()[-1].stored == 2
        assert reader.miscounted() == []
    assert seal(path, NOW_MS, StoreOptions(busy_timeout_ms=50))


@pytest.mark.parametrize("reopened", [False, True], ids=["live", "at the next start"])
@pytest.mark.parametrize("sql", MENDED)
def test_our_triggers_and_indexes_are_restored(
    open_day: OpenDay, path: Path, tick: MakeTick, sql: str, *, reopened: bool
) -> None:
    """A dropped or changed trigger or index is restored before the next tick, and logged once."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    stock(path, sql)
    if reopened:
        day.close()
        day = open_day(path)
    assert day.write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS).undone == (MENDED[sql],)
    assert day.write(Batch(rows=[tick("HK.00700", 3)]), NOW_MS).undone == ()
    with DayReader(path) as reader:
        assert reader.totals().rows == 3
        assert reader.miscounted() == []


@pytest.mark.parametrize("reopened", [False, True], ids=["live", "at the next start"])
@pytest.mark.parametrize("sql", NAMED)
def test_changes_that_prevent_commits_are_named(
    open_day: OpenDay, path: Path, tick: MakeTick, sql: str, *, reopened: bool
) -> None:
    """The error says what was changed, counts as a disk fault and not as a bug, and no row of the batch is stored."""
    day = open_day(path)
    stock(path, sql)
    with pytest.raises(SchemaChangedError, match=NAMED[sql]) as caught:  # noqa: PT012 - opening or writing, as it comes
        if reopened:
            day.abandon()
            day = open_day(path)
        day.write(Batch(rows=[tick("HK.00700", 1), tick("HK.00700", 2)]), NOW_MS)
    assert diagnose(caught.value) == ("schema_changed", True)
    assert day.ledger.stored == 0


@pytest.mark.parametrize("version", [0, 1])
def test_a_version_that_was_set_back_is_named(open_day: OpenDay, path: Path, version: int) -> None:
    """The migrations find the tables that they are to make."""
    open_day(path).close()
    stock(path, f"PRAGMA user_version = {version}")
    with pytest.raises(SchemaChangedError, match=f"user_version is {version}, but the table"):
        open_day(path)


def test_when_a_change_is_undone_the_next_batch_is_stored(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """The connection that met the change continues when it is undone."""
    day = open_day(path)
    stock(path, "ALTER TABLE ticks RENAME TO trades")
    with pytest.raises(SchemaChangedError):
        day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    stock(path, "ALTER TABLE trades RENAME TO ticks")
    assert day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS).stored == 1
    with DayReader(path) as reader:
        assert reader.miscounted() == []


def test_an_error_of_ours_stays_a_bug(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """If our own tables are unchanged, a failing statement is a bug and not a temporary problem."""
    day = open_day(path)
    broken = (*tick("HK.00700", 1)[:3], "a price", *tick("HK.00700", 1)[4:])
    with pytest.raises(apsw.ConstraintError):
        day.write(Batch(rows=[broken]), NOW_MS)  # type: ignore[list-item]


@pytest.mark.parametrize("sql", ["DROP TABLE gaps", "ALTER TABLE ledger RENAME COLUMN stored TO kept"])
def test_readers_name_what_was_changed(open_day: OpenDay, path: Path, sql: str) -> None:
    """No reader gives the bare error of SQLite."""
    open_day(path).close()
    stock(path, sql)
    with DayReader(path) as reader, pytest.raises(SchemaChangedError, match="is missing"):
        _ = reader.gaps(), reader.ledger()

"""Damaged or malicious day files: readers and the writer name the file, with bounded work."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector.errors import CollectorError, NoDayError, SchemaChangedError, StoreError
from hk_tick_collector.model import Gap, Reconciled
from hk_tick_collector.store import schema
from hk_tick_collector.store.dayfile import Batch, ConnectionChange, DayFile, StoreOptions, seal
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose
from hk_tick_collector.store.inventory import survey
from hk_tick_collector.store.query import DayReader
from hk_tick_collector.store.schema_check import columns_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

DAY: Final = "20261120"
NOW_MS: Final = 1_795_138_200_000
RECONCILED: Final = Reconciled("lunch", "HK.00700", NOW_MS, 1, 1.0, 0, 0.0, 0, 0.0, 1, 1.0, "match")
GAP: Final = Gap("HK.00700", 5, 6, NOW_MS, NOW_MS, 2, "outage", "open", NOW_MS, None, 1)
ENDLESS: Final = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
CAP_S: Final = 100.0  # of this process's time; what SQLite may take of it is 2 s


def loose(table: str) -> str:
    """The table without its types, as `CREATE TABLE ... AS` makes it."""
    return f"CREATE TABLE loose AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE loose RENAME TO {table};"


def view(table: str, columns: str) -> str:
    """A view without an end in the place of a table."""
    return f"DROP TABLE {table}; CREATE VIEW {table} AS {ENDLESS} SELECT {columns} FROM n"


# What is done to a file → words of the error that some reader gives of it.
TOLD: Final = {
    view("symbols", "'' AS symbol, x AS rows, 1 AS first_ts_ms, 1 AS last_ts_ms, 1 AS max_seq, 1 AS volume,"
         " 1.0 AS turnover, 1 AS expected, '' AS rule, 0 AS run_seq"): "the table symbols is a view",
    view("ticks", "x AS seq"): "the table ticks is a view",
    view("gaps", "x AS id"): "the table gaps is a view",
    view("meta", "x AS key, 'v' AS value"): "the table meta is a view",
    "DROP TRIGGER ticks_counted;" + loose("symbols") + "UPDATE symbols SET rows = 'many'": "symbols.rows is 'many'",
    loose("ticks") + "UPDATE ticks SET ts_ms = 'yesterday'": "ticks.ts_ms is 'yesterday'",
    loose("gaps") + "UPDATE gaps SET missing = 'x'": "gaps.missing is 'x'",
    loose("gaps") + "UPDATE gaps SET id = 'x'": "gaps.id is 'x'",
    "UPDATE gaps SET id = 9223372036854775807": "gaps.id is 9223372036854775807",
    "UPDATE gaps SET id = -5": "gaps.id is -5",
    loose("meta") + "UPDATE meta SET value = x'ff'": "meta.value is b'",
    "UPDATE ticks SET ts_ms = 9223372036854775807": "ticks.ts_ms is 9223372036854775807",
    "UPDATE symbols SET last_ts_ms = 9223372036854775807": "last_ts_ms",
    "UPDATE symbols SET rows = -5": "rows of symbols",
    "UPDATE ticks SET price = 9e999": "ticks.price is inf",
    "UPDATE gaps SET opened_ms = -9223372036854775808": "gaps.opened_ms is -9",
    "INSERT INTO symbols SELECT 'HK.1', 9223372036854775807, 1, 1, 1, 1, 1.0, 1, '', 0": "integer overflow",
    "UPDATE ticks SET symbol = hex(zeroblob(5000000))": "too big",
    "UPDATE gaps SET cause = CAST(x'ff41' AS TEXT)": "not UTF-8",
    "DROP TABLE gaps": "gaps is missing",
    "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE NONSENSE' WHERE name = 'symbols'": "damaged",
    "PRAGMA application_id = 0": "another program's database",
}  # fmt: skip
EVIL: Final = "the trigger evil changes the table ticks"
# What keeps the writer from a file; no bare error of SQLite, for that would be a bug, and the end of the service.
REFUSED: Final = {
    "PRAGMA user_version = -7": "has schema -7",
    "PRAGMA user_version = 0": "user_version is 0",
    "DROP TABLE connections": "the table connections is missing",
    "UPDATE gaps SET missing = 9223372036854775807": "the sum of gaps.missing is",
    "UPDATE symbols SET volume = 9223372036854775807": "values that no collector wrote",
    "UPDATE symbols SET last_ts_ms = 9223372036854775807": "symbols.last_ts_ms is 9223372036854775807",
    "CREATE TRIGGER evil AFTER INSERT ON ticks BEGIN DELETE FROM ticks; END": EVIL,
    "CREATE TRIGGER evil AFTER INSERT ON ticks BEGIN UPDATE ticks SET price = 1; END": (EVIL),
    "CREATE TRIGGER evil AFTER UPDATE ON symbols BEGIN DELETE FROM ticks; END": (EVIL),
    "CREATE TABLE other (a); CREATE TRIGGER first AFTER INSERT ON ticks BEGIN INSERT INTO other VALUES (1); END;"
    "CREATE TRIGGER evil AFTER INSERT ON other BEGIN DELETE FROM ticks; END": EVIL,
    "CREATE TABLE other (a); CREATE TRIGGER evil AFTER INSERT ON ticks BEGIN INSERT INTO other "
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n; END": "may run without end",
    "CREATE TRIGGER evil AFTER INSERT ON meta BEGIN SELECT RAISE(ABORT, 'no'); END": "the trigger evil was added",
    "ALTER TABLE symbols ADD COLUMN x TEXT GENERATED ALWAYS AS (hex(zeroblob(400000000)))": "symbols",
}


@pytest.fixture
def path(tmp_path: Path, tick: MakeTick) -> Path:
    """A closed day file with three ticks and an open gap."""
    path = tmp_path / f"{DAY}.db"
    day = DayFile(path, DAY, "first", NOW_MS, "test", StoreOptions())
    rows, link = (
        [tick("HK.00700", n, NOW_MS) for n in (1, 2, 3)],
        ConnectionChange(NOW_MS, connected=True, conn_id=1, reason=""),
    )
    day.write(Batch(rows=rows, gaps=[GAP], connections=[link], reconciled=[RECONCILED]), NOW_MS)
    day.close()
    return path


def change(path: Path, sql: str) -> None:
    """As a stranger with the stock sqlite3."""
    db = apsw.Connection(str(path))
    db.execute(sql)
    db.close()


def read_all(path: Path) -> list[str]:
    """Every query of the verbs on a day; all errors must be ours."""
    said = []
    for ask in (
        DayReader.totals, DayReader.completeness, lambda reader: reader.least_complete(3), DayReader.rules,
        DayReader.reconciliation, DayReader.gaps, DayReader.connections, DayReader.ledger, DayReader.meta,
        lambda reader: reader.latest(3), lambda reader: list(reader.ticks()), DayReader.symbols, DayReader.miscounted,
        DayReader.integrity, lambda reader: list(reader.open_gaps_and_marks(("rejected",))), DayReader.highest_gap_id,
        lambda reader: reader.incomplete(first_day=True), lambda reader: list(reader.seqs("HK.00700", 0)),
        lambda reader: reader.newest_of("HK.00700", 3), lambda reader: reader.top_seq("HK.00700", 0, 9),
        lambda reader: reader.odd_seqs("HK.00700", 5), lambda reader: reader.has_seqs(0, 9),
        lambda reader: reader.sums_of_type("AUTO_MATCH"), lambda reader: reader.ticks_after("HK.00700", 0, 9),
    ):  # fmt: skip
        try:
            with DayReader(path) as reader, reader.snapshot():
                ask(reader)
        except CollectorError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("sql", TOLD)
def test_readers_name_the_file_and_what_is_wrong_in_it(path: Path, sql: str) -> None:
    """Every query gives an answer or an error of that file, with bounded work; and `report` continues."""
    change(path, sql)
    began_s = time.process_time()
    said = read_all(path)
    kept = survey(path.parent, path.parent, path.parent / ".spool", read_snapshots=False)
    assert time.process_time() - began_s < CAP_S
    assert any(TOLD[sql] in words for words in said), said
    assert all(str(path) in words for words in said)
    assert [day.day for day in kept.days] == [DAY]


@pytest.mark.parametrize("sql", REFUSED)
def test_the_writer_names_what_it_cannot_write_to(path: Path, tick: MakeTick, sql: str) -> None:
    """Only ticks of that file wait, and none of them is counted as stored."""
    change(path, sql)
    with pytest.raises(DISK_ERRORS, match=REFUSED[sql]) as met:
        _write(path, tick)
    assert diagnose(met.value)[0] in ("schema_changed", "foreign_file")
    with pytest.raises(DISK_ERRORS):
        _seal(path)


VALUES: Final = (
    "'x'",
    "'99999999999999999999'",
    "x'ff'",
    "CAST(x'ff' AS TEXT)",
    "1.5",
    "-5",
    "9223372036854775807",
    "NULL",
)


@pytest.mark.parametrize("table", ["ticks", "symbols", "meta", "gaps", "connections", "ledger", "reconciliation"])
def test_any_value_in_any_column_is_a_fault_of_that_file(path: Path, tick: MakeTick, table: str) -> None:
    """For a reader and the writer: an error of the file, with its name, or an answer; never a bug of ours."""
    whole, told = path.read_bytes(), 0
    trigger = _asked(path, "SELECT sql FROM sqlite_schema WHERE name = 'ticks_counted'")
    for column in columns_of(schema.MIGRATIONS, table):
        for value in VALUES:
            for beside in path.parent.iterdir():
                beside.unlink()
            path.write_bytes(whole)
            change(
                path,
                f"DROP TRIGGER ticks_counted; {loose(table)} UPDATE {table} SET {column.name} = {value}; {trigger}",
            )
            said = read_all(path)
            told += bool(said)
            assert all(str(path) in words for words in said), (column, value, said)
            with suppress(*DISK_ERRORS):
                _write(path, tick)
            with suppress(*DISK_ERRORS):
                _seal(path)
    assert told or table in ("connections", "ledger", "reconciliation", "meta")


def _asked(path: Path, sql: str) -> str:
    db = apsw.Connection(str(path))
    try:
        return str(db.execute(sql).get)
    finally:
        db.close()


def _write(path: Path, tick: MakeTick) -> None:
    day = DayFile(path, DAY, "second", NOW_MS, "test", StoreOptions(synchronous="OFF"))
    try:
        day.write(Batch(rows=[tick("HK.00700", 4, NOW_MS)]), NOW_MS)
    finally:
        day.abandon()


def _seal(path: Path) -> None:
    """Seals like the collector after the day; sealing checks less than the writer."""
    seal(path, NOW_MS, StoreOptions())
    raise StoreError("sealed")


def test_a_foreign_trigger_takes_no_stored_tick_away(path: Path, tick: MakeTick) -> None:
    """One that deletes what is inserted: the three ticks from before are all there."""
    change(path, "CREATE TRIGGER evil AFTER INSERT ON ticks BEGIN DELETE FROM ticks; END")
    with pytest.raises(SchemaChangedError):
        _write(path, tick)
    with DayReader(path) as reader:
        assert len(list(reader.ticks())) == 3


def test_a_sum_that_no_float_can_hold_is_a_number_all_the_same(path: Path, tick: MakeTick) -> None:
    """Two turnovers of 1e308 are numbers; their sum is shown as the largest number, because JSON has no infinity."""
    day = DayFile(path, DAY, "second", NOW_MS, "test", StoreOptions())
    rows = [(*tick("HK.00700", n, NOW_MS)[:5], 1e308, *tick("HK.00700", n, NOW_MS)[6:]) for n in (7, 8)]
    day.write(Batch(rows=rows), NOW_MS)
    day.close()
    with DayReader(path) as reader:
        assert reader.totals().turnover == pytest.approx(1.7976931348623157e308)
        assert reader.symbols()[0].rows == 5


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    """A pipe, a device, a directory, a link to itself, nothing at all, a WAL without its file."""
    path = tmp_path / f"{DAY}.db"
    os.mkfifo(path)
    with pytest.raises(StoreError, match="is not a regular file"):
        DayReader(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="is not a regular file"):
        DayReader(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="is a directory"):
        DayReader(path)
    path.rmdir()
    path.symlink_to(path)
    with pytest.raises(StoreError, match="Too many levels of symbolic links"):
        DayReader(path)
    path.unlink()
    path.touch()
    with pytest.raises(StoreError, match="another program's database"):
        DayReader(path)
    path.rename(tmp_path / f"{DAY}.db-wal")
    with pytest.raises(NoDayError):
        DayReader(path)

"""The only writer: what one transaction leaves in a day file, and what it refuses to touch."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.other_readers import query

from hk_tick_collector.errors import DamagedFileError, ForeignFileError, SchemaChangedError, StoreError
from hk_tick_collector.model import Instrument, Reconciled, Tick
from hk_tick_collector.store import schema
from hk_tick_collector.store.dayfile import Batch, ConnectionChange, DayFile, Ledger, StoreOptions, Written
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.opening import set_aside
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .conftest import OpenDay

    MakeTick = Callable[..., TickRow]

NOW_MS: Final = 1_795_140_000_000
NULLABLE: Final = ("opend_recv_ts_ms", "type_sign")
FULL_MARKET_BATCH: Final = 12_001  # many of the widest statements, and an odd rest

RECOUNT: Final = """
    SELECT symbol, count(*), min(ts_ms), max(ts_ms), max(seq), sum(volume), sum(turnover), NULL, '', 0
    FROM ticks GROUP BY symbol ORDER BY symbol
"""


def contents(directory: Path) -> dict[str, bytes]:
    """Every file with its bytes, without the shared memory, which says nothing."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith("-shm")}


# --- rows ---


def test_a_batch_is_there_when_write_returns(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Every column as given, for another reader, as soon as `write` has returned."""
    day = open_day(path)
    rows = [tick("HK.00700", 2**62 + 1, NOW_MS), tick("HK.00005", -1), tick("HK.00700", 3, 0)]
    assert day.write(Batch(rows=rows), NOW_MS) == Written(3, 0)
    with DayReader(path) as reader:
        assert sorted(reader.ticks()) == sorted(map(Tick._make, rows))


def test_a_batch_of_any_size_is_one_commit(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Thousands of rows go through statements of every width; those stored before are counted as duplicates."""
    day = open_day(path)
    rows = [tick(f"HK.{n % 7:05}", n) for n in range(FULL_MARKET_BATCH)]
    assert day.write(Batch(rows=rows[::3]), NOW_MS) == Written(len(rows[::3]), 0)
    assert day.write(Batch(rows=rows), NOW_MS) == Written(len(rows) - len(rows[::3]), len(rows[::3]))
    assert day.ledger.commits == 2
    assert query(path, "SELECT count(*) FROM ticks") == [(FULL_MARKET_BATCH,)]
    assert query(path, RECOUNT) == query(path, "SELECT * FROM symbols ORDER BY symbol")


def test_statements_are_prepared_once(
    open_day: OpenDay, path: Path, tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statements that the first batch of new rows and the first batch of duplicates prepare are used for all later
    batches of any size. Preparing a wide statement takes half as long as running it.
    """
    connections: list[apsw.Connection] = []
    open_day(path).abandon()  # the file is made, and what it is compared with
    monkeypatch.setattr(apsw, "connection_hooks", [*apsw.connection_hooks, connections.append])
    day = open_day(path)
    rows = [tick("HK.00700", n) for n in range(1, FULL_MARKET_BATCH)]
    prepared = []
    for _ in range(4):
        day.write(Batch(rows=rows), NOW_MS)
        stats = connections[-1].cache_stats()
        prepared.append((stats["misses"], stats["too_big"]))
    assert [too_big for _, too_big in prepared] == [0] * 4
    assert prepared[1] == prepared[2] == prepared[3]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_batches_stores_the_same_ticks(
    data: st.DataObject, tick: MakeTick, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With repeated rows, in any order and batches: each key is stored once, and every counter equals a recount.

    Between batches the file is closed, or left as after a crash, and opened again; also by another run.
    """
    keys = st.tuples(st.sampled_from(["HK.00005", "HK.00700", "HK.09988"]), st.integers(0, 12))
    path = tmp_path_factory.mktemp("day") / "20261120.db"
    day = DayFile(path, path.stem, "first", NOW_MS, "test", StoreOptions())
    received: dict[str, int] = {}
    run, told = "first", Written(0, 0)
    stored: set[TickRow] = set()
    for batch in data.draw(st.lists(st.lists(keys, max_size=90), max_size=6)):
        rows = [tick(*key) for key in batch]
        written = day.write(Batch(rows=rows, rejected=1, dropped=2), NOW_MS)
        assert written == Written(len(set(rows) - stored), len(rows) - len(set(rows) - stored))
        stored.update(rows)
        received[run] = received.get(run, 0) + len(rows) + 3
        told = Written(told.stored + written.stored, told.duplicate + written.duplicate)
        match data.draw(st.sampled_from(["keep", "close", "abandon"])):
            case "close":
                assert day.close()
            case "abandon":
                day.abandon()
            case _:
                continue
        run = data.draw(st.sampled_from(["first", "second"]))
        day = DayFile(path, path.stem, run, NOW_MS, "test", StoreOptions())
    assert day.close()
    with DayReader(path) as reader:
        assert set(reader.ticks()) == stored
        assert {run.run_id: run.received for run in reader.ledger()} == received
        assert sum(run.stored for run in reader.ledger()) == told.stored == len(stored)
        assert sum(run.duplicate for run in reader.ledger()) == told.duplicate
    assert query(path, RECOUNT) == query(path, "SELECT * FROM symbols ORDER BY symbol")
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("column", schema.TICK_COLUMNS)
@pytest.mark.parametrize("wrong", [None, b"bytes"])
def test_a_wrong_value_stores_nothing_of_its_batch(
    open_day: OpenDay, path: Path, tick: MakeTick, column: str, wrong: object
) -> None:
    """NOT NULL and STRICT hold for every column: an error, never a silent "duplicate"; the batch leaves no trace.

    Only the two columns that OpenD may leave out can be NULL.
    """
    if wrong is None and column in NULLABLE:
        wrong = b"bytes"
    day = open_day(path)
    bad: list[object] = list(tick("HK.00700", 2))
    bad[schema.TICK_COLUMNS.index(column)] = wrong
    before = day.ledger
    with pytest.raises((apsw.ConstraintError, TypeError)):
        day.write(Batch(rows=[tick("HK.00001", 1), tuple(bad), tick("HK.09988", 3)]), NOW_MS)  # type: ignore[list-item]
    assert day.ledger == before
    assert query(path, "SELECT (SELECT count(*) FROM ticks), (SELECT count(*) FROM symbols)") == [(0, 0)]
    assert day.write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS) == Written(1, 0)


def test_not_a_number_is_an_error(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """SQLite turns NaN into NULL: it must not pass for a duplicate."""
    with pytest.raises(apsw.ConstraintError):
        open_day(path).write(Batch(rows=[Tick(*tick("HK.00700", 1))._replace(price=float("nan"))]), NOW_MS)


# --- ledger and connections ---


def test_the_ledger_balances(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """received = stored + duplicate + rejected + dropped + waiting, in the transaction of the ticks, a row a run."""
    day = open_day(path, "monday")
    day.write(Batch(rows=[tick("HK.00700", 1), tick("HK.00700", 1)], rejected=3, waiting=40), NOW_MS)
    day.write(Batch(rows=[tick("HK.00700", 2)], dropped=5, duplicate=7, waiting=0), NOW_MS + 1)
    assert day.ledger == Ledger(stored=2, duplicate=8, rejected=3, dropped=5, waiting=0, commits=2)
    open_day(path, "tuesday").write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS)
    with DayReader(path) as reader:
        runs = {run.run_id: run for run in reader.ledger()}
    assert [(run.received, run.commits) for run in runs.values()] == [(18, 2), (1, 1)]
    assert runs["monday"].updated_ms == NOW_MS + 1
    assert all(run.received == sum(run[5:]) for run in runs.values())


def test_a_run_continues_its_own_account(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """A file that is opened again in the same run continues the counters and keeps the start time."""
    open_day(path).write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    again = DayFile(path, path.stem, "run", NOW_MS + 9, "test", StoreOptions())
    assert again.ledger == Ledger(stored=1, commits=1)
    assert again.newest_ts_ms == tick("HK.00700", 1)[2]
    again.write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS + 9)
    again.abandon()
    assert query(path, "SELECT started_ms, updated_ms, stored FROM ledger") == [(NOW_MS, NOW_MS + 9, 2)]


def test_connections_follow_each_other_without_a_pause(open_day: OpenDay, path: Path) -> None:
    """Each connection ends where the next begins, and only the last one has no end."""
    day = open_day(path)
    links = [
        ConnectionChange(10, False, None, "starting"),
        ConnectionChange(20, True, 7, ""),
        ConnectionChange(30, False, None, "gone"),
    ]
    day.write(Batch(connections=links[:2]), NOW_MS)
    day.write(Batch(connections=links[2:]), NOW_MS)
    with DayReader(path) as reader:
        stretches = reader.connections()
    assert [(s.from_ms, s.to_ms, s.connected, s.conn_id, s.reason) for s in stretches] == [
        (10, 20, False, None, "starting"),
        (20, 30, True, 7, ""),
        (30, None, False, None, "gone"),
    ]
    assert all(before.to_ms == after.from_ms for before, after in pairwise(stretches))


def test_a_reconciliation_replaces_that_of_its_session(open_day: OpenDay, path: Path) -> None:
    """One row a symbol and session: a later look at the same session takes the place of the first."""
    day = open_day(path)
    first = Reconciled("lunch", "HK.00700", NOW_MS, 100, 1.5, 0, 0.0, 0, 0.0, None, None, "no_answer")
    day.write(Batch(reconciled=[first, first._replace(symbol="HK.00005")]), NOW_MS)
    second = first._replace(at_ms=NOW_MS + 1, official_volume=100, official_turnover=1.5, explained="match")
    day.write(Batch(reconciled=[second]), NOW_MS)
    with DayReader(path) as reader:
        assert reader.reconciliation() == [first._replace(symbol="HK.00005"), second]


def test_the_file_keeps_the_drift_furthest_from_zero(open_day: OpenDay, path: Path) -> None:
    """Over restarts too: the file compares, not the process."""
    day = open_day(path)
    for drift_s, kept in ((0.25, "0.250"), (-0.1, "0.250"), (-3.5, "-3.500"), (3.5, "-3.500"), (10.0, "10.000")):
        day.write(Batch(drift_s=drift_s), NOW_MS)
        with DayReader(path) as reader:
            assert reader.meta()["clock_drift_max_s"] == kept


# --- what is opened, and what is refused ---


def test_a_new_file_says_what_it_is(open_day: OpenDay, path: Path) -> None:
    """`meta`, the schema's version and our application id; WAL as the contract wants it."""
    open_day(path)
    with DayReader(path) as reader:
        meta = reader.meta()
    assert meta.pop("created_ms") == str(NOW_MS)
    assert meta == {
        "schema_version": str(schema.VERSION),
        "market": "HK",
        "trading_day": "20261120",
        "software_version": "test",
        "sqlite_version": apsw.sqlite_lib_version(),
    }
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA application_id") == [(schema.APPLICATION_ID,)]
    assert query(path, "PRAGMA user_version") == [(schema.VERSION,)]


def test_every_table_is_strict_and_ticks_have_the_contracts_columns(open_day: OpenDay, path: Path) -> None:
    """Names, types, NOT NULL and key as the contract says."""
    open_day(path)
    assert query(path, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict ORDER BY name") == [
        ("sqlite_schema",)
    ]
    columns = query(path, "SELECT name, type, \"notnull\", pk FROM pragma_table_info('ticks') ORDER BY cid")
    assert columns == [
        ("symbol", "TEXT", 1, 1),
        ("seq", "INTEGER", 1, 2),
        ("ts_ms", "INTEGER", 1, 0),
        ("price", "REAL", 1, 0),
        ("volume", "INTEGER", 1, 0),
        ("turnover", "REAL", 1, 0),
        ("direction", "TEXT", 1, 0),
        ("tick_type", "TEXT", 1, 0),
        ("push_type", "TEXT", 1, 0),
        ("recv_ts_ms", "INTEGER", 1, 0),
        ("opend_recv_ts_ms", "INTEGER", 0, 0),
        ("type_sign", "TEXT", 0, 0),
    ]


def test_a_later_answer_replaces_what_is_known_of_a_symbol(open_day: OpenDay, path: Path) -> None:
    """Suspension may change during the day. A field that the later answer lacks keeps its earlier value."""
    day = open_day(path)
    first = Instrument("HK.00700", "騰訊控股", 100, "STOCK", False, "2004-06-16", 618.5, NOW_MS)
    other = Instrument("HK.00001", None, None, None, None, None, None, NOW_MS)
    day.write(Batch(instruments=[first, other]), NOW_MS)
    day.write(Batch(instruments=[first._replace(name=None, suspended=True, updated_ms=NOW_MS + 1)]), NOW_MS)
    with DayReader(path) as reader:
        assert reader.instruments() == [other, first._replace(suspended=True, updated_ms=NOW_MS + 1)]
        assert reader.instruments(["HK.00700", "HK.00002"]) == reader.instruments()[1:]
    with pytest.raises(apsw.ConstraintError):
        day.write(Batch(instruments=[first._replace(suspended=7)]), NOW_MS)  # type: ignore[arg-type]


@pytest.mark.parametrize("mask", [0o027, 0o077, 0o000])
def test_a_new_file_is_never_open_to_others(open_day: OpenDay, path: Path, mask: int) -> None:
    """0640 under the service's umask 0027, for the WAL and the shared memory too; a stricter umask is respected."""
    before = os.umask(mask)
    try:
        open_day(path)
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys((path.name, f"{path.name}-wal", f"{path.name}-shm"), 0o640 & ~mask)


def test_the_wal_of_a_removed_file_is_not_applied_to_the_new_one(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Its pages may be newer than those that were copied into the removed file: the new file would be damaged."""
    old = open_day(path)
    old.write(Batch(rows=[tick("HK.00700", seq) for seq in range(1, 100)]), NOW_MS)
    old.abandon()
    path.unlink()
    with pytest.raises(DamagedFileError, match="its WAL is there"):
        open_day(path)
    set_aside(path, NOW_MS)
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 200)]), NOW_MS)
    with DayReader(path) as reader:
        assert [row.seq for row in reader.ticks()] == [200]
    assert len(list(path.parent.glob("*.damaged-*-wal"))) == 1


@pytest.mark.parametrize("rest", ["-journal", "-wal", "-shm"])
def test_an_unfinished_draft_is_no_obstacle(open_day: OpenDay, path: Path, tick: MakeTick, rest: str) -> None:
    """A crash while a day file is created leaves at most a draft with another name: it is created again."""
    draft = path.with_name(f".{path.name}.new")
    draft.touch()
    draft.with_name(draft.name + rest).write_bytes(b"of the crash")
    assert open_day(path).write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS) == Written(1, 0)
    assert not list(path.parent.glob(f"{draft.name}*"))


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_appears_while_a_new_one_is_built_is_not_replaced(
    open_day: OpenDay, path: Path, tick: MakeTick, monkeypatch: pytest.MonkeyPatch, *, hard_links: bool
) -> None:
    """Somebody moves the file of the day back at that moment: its ticks stay, and it is the file that is written."""
    theirs = path.parent / "aside" / path.name
    theirs.parent.mkdir()
    day = open_day(theirs, "old")
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    assert day.close()
    real = os.link

    def link(source: Path, target: Path) -> None:
        if theirs.exists():
            theirs.rename(path)
        if not hard_links:
            raise PermissionError(errno.EPERM, "no hard links here")
        real(source, target)

    monkeypatch.setattr("os.link", link)
    again = open_day(path)
    assert again.write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS) == Written(1, 0)
    assert query(path, "SELECT seq FROM ticks ORDER BY seq") == [(1,), (2,)]
    assert open_day(path.with_name("20261121.db")).write(Batch(), NOW_MS) == Written(0, 0)
    assert not list(path.parent.glob("*.new"))


def newer_schema(path: Path) -> None:
    """Leaves a file of a later version."""
    day = DayFile(path, path.stem, "run", NOW_MS, "test", StoreOptions())
    assert day.close()
    _alter(path, f"PRAGMA user_version = {schema.VERSION + 1}")


def foreign_database(path: Path) -> None:
    """Leaves a database of another program."""
    _alter(path, "CREATE TABLE ticks (t INTEGER); INSERT INTO ticks VALUES (1)")


def foreign_application(path: Path) -> None:
    """Leaves an empty database that another program marked as its own."""
    _alter(path, "PRAGMA application_id = 77")


def text_file(path: Path) -> None:
    """Leaves notes."""
    path.write_text("symbol,seq,price\nHK.00700,1,388.2\n")


def dump(path: Path) -> None:
    """Leaves a day as text, as `.dump` writes it: our tables' names in a file that never was a day file."""
    path.write_text("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n" + ";\n".join(schema.MIGRATIONS))


def other_beginning(path: Path) -> None:
    """Leaves bytes of no format that we know."""
    path.write_bytes(b"\x1f\x8b\x08\0" + bytes(range(1, 256)) * 200)


def _alter(path: Path, sql: str) -> None:
    db = apsw.Connection(str(path))
    db.execute(sql)
    db.close()


@pytest.mark.parametrize(
    ("leave", "told"),
    [
        (newer_schema, f"has schema {schema.VERSION + 1}"),
        (foreign_database, "another program's database"),
        (foreign_application, "another program's database"),
        (text_file, "is not an SQLite file"),
        (dump, "is not an SQLite file"),
        (other_beginning, "is not an SQLite file"),
    ],
)
def test_a_foreign_file_is_refused_untouched(
    open_day: OpenDay, path: Path, leave: Callable[[Path], None], told: str
) -> None:
    """One error with a remedy; no byte of it changes, and no file appears beside it."""
    leave(path)
    before = contents(path.parent)
    with pytest.raises(ForeignFileError, match=told) as caught:
        open_day(path)
    assert caught.value.hint
    assert contents(path.parent) == before


@pytest.mark.parametrize("statement", [f"PRAGMA user_version = {schema.VERSION + 1}", "PRAGMA application_id = 77"])
def test_a_foreign_file_keeps_its_write_ahead_log(
    open_day: OpenDay, tmp_path: Path, path: Path, statement: str
) -> None:
    """A newer collector was killed: refusing its file neither moves its WAL into it nor takes the WAL from readers."""
    alive = tmp_path / "alive"
    alive.mkdir()
    day = open_day(alive / path.name)
    db = apsw.Connection(str(day.path))
    db.execute(statement)
    for suffix in ("", "-wal", "-shm"):  # as SIGKILL would leave them
        path.with_name(path.name + suffix).write_bytes((alive / (path.name + suffix)).read_bytes())
    db.close()
    files = {name: (tmp_path / name).read_bytes() for name in (path.name, f"{path.name}-wal")}
    with pytest.raises(ForeignFileError):
        open_day(path)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert path.with_name(f"{path.name}-shm").exists()


def test_what_is_no_file_is_refused(open_day: OpenDay, path: Path) -> None:
    """A directory, a FIFO (without waiting for its writer), a missing DATA_ROOT: named, with a remedy."""
    path.mkdir()
    with pytest.raises(ForeignFileError, match="is a directory"):
        open_day(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ForeignFileError, match="not a regular file"):
        open_day(path)
    with pytest.raises(StoreError, match="No such file or directory") as caught:
        open_day(path.parent / "gone" / path.name)
    assert "DATA_ROOT" in caught.value.hint


def test_a_damaged_file_is_an_error_and_stays(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Flipped bytes in the schema's page raise; the file is not replaced."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", n) for n in range(100)]), NOW_MS)
    assert day.close()
    data = bytearray(path.read_bytes())
    data[100:600] = b"\xa5" * 500
    path.write_bytes(data)
    with pytest.raises(DamagedFileError):
        open_day(path)
    assert path.read_bytes() == bytes(data)


# --- migrations ---


def test_a_failing_migration_changes_nothing(
    open_day: OpenDay, path: Path, tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration is one transaction: when its second statement fails, the first one never was."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    assert day.close()
    before = contents(path.parent)
    broken = "ALTER TABLE ticks ADD COLUMN venue TEXT; CREATE TABLE ticks (x);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(apsw.SQLError, match="already exists"):
        open_day(path)
    assert contents(path.parent) == before


def test_a_migration_keeps_the_ticks_and_marks_its_version(
    open_day: OpenDay, path: Path, tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older file is brought to the version of the program that writes it, with all that it holds."""
    open_day(path).write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE venues (name TEXT) STRICT"))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    assert open_day(path).write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS) == Written(0, 1)
    assert query(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert query(path, "SELECT value FROM meta WHERE key = 'schema_version'") == [(str(schema.VERSION),)]
    assert query(path, "SELECT count(*) FROM venues") == [(0,)]


# --- the disk ---


class Synced(apsw.VFS):
    """A disk that counts the syncs of each file, by the end of its name."""

    def __init__(self) -> None:
        self.syncs: Counter[str] = Counter()
        super().__init__("synced", base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's
        """Opens a file of this disk."""
        return SyncedFile(self, name, flags)


class SyncedFile(apsw.VFSFile):
    """A file on it."""

    def __init__(self, disk: Synced, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._end = path.rpartition(".")[2]
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Syncs."""
        self._disk.syncs[self._end] += 1
        super().xSync(flags)


@pytest.fixture
def synced() -> Iterator[Synced]:
    """A disk that counts its syncs."""
    disk = Synced()
    yield disk
    disk.unregister()


@pytest.mark.parametrize(("synchronous", "syncs"), [("FULL", 5), ("NORMAL", 0)])
def test_a_commit_is_on_the_disk_when_write_returns(
    open_day: OpenDay, path: Path, tick: MakeTick, synced: Synced, synchronous: str, syncs: int
) -> None:
    """A power cut behind `write` costs no tick: with FULL each commit syncs the WAL once, with NORMAL none does."""
    day = open_day(path, options=StoreOptions(synchronous=synchronous, vfs="synced"))
    day.write(Batch(rows=[tick("HK.00700", 0)]), NOW_MS)
    synced.syncs.clear()
    for seq in range(1, 6):
        day.write(Batch(rows=[tick("HK.00700", seq)]), NOW_MS)
    assert synced.syncs == Counter({"db-wal": syncs} if syncs else {})


def test_a_new_file_is_on_the_disk_before_it_has_its_name(open_day: OpenDay, path: Path, synced: Synced) -> None:
    """Its tables are synced under the name of the draft: a power cut leaves a whole file or none."""
    open_day(path, options=StoreOptions(synchronous="FULL", vfs="synced"))
    assert synced.syncs["new"] >= len(schema.MIGRATIONS)


def test_the_wal_stays_small(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """It is copied into the file each time it has the size of the setting. If a reader has let it grow, it is truncated
    to twice that size when the reader ends. `status` shows its size; after the end of the file it is 0.
    """
    options = StoreOptions(wal_autocheckpoint_pages=11)
    day = open_day(path, options=options)

    def write(turns: int) -> None:
        for turn in range(turns):
            day.write(Batch(rows=[tick("HK.00700", day.ledger.stored + n) for n in range(100)]), NOW_MS + turn)

    write(20)
    assert 0 < day.wal_bytes() <= 4 * options.wal_autocheckpoint_bytes
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN; SELECT count(*) FROM ticks").fetchall()
    write(20)
    assert day.wal_bytes() > 8 * options.wal_autocheckpoint_bytes
    reader.close()
    write(3)
    assert day.wal_bytes() == path.with_name(f"{path.name}-wal").stat().st_size
    assert day.wal_bytes() <= 2 * options.wal_autocheckpoint_bytes
    assert day.close()
    assert day.wal_bytes() == 0


def test_a_file_that_was_moved_away_is_noticed(open_day: OpenDay, path: Path) -> None:
    """Moved away, replaced by another file, or its directory moved: rows written to it would be lost for readers."""
    day = open_day(path)
    assert day.in_place()
    aside = path.with_name("aside")
    path.rename(aside)
    assert not day.in_place()
    path.write_bytes(aside.read_bytes())
    assert not day.in_place(), "a copy is another file"
    path.unlink()
    aside.rename(path)
    assert day.in_place()
    path.parent.rename(path.parent.with_name(f"{path.parent.name}-elsewhere"))
    assert not day.in_place()
    path.parent.touch()
    assert not day.in_place()


_MOVES: Final = """
import os, sys
path, aside = sys.argv[1:]
while True:
    for act in (lambda: os.rename(path, aside), lambda: os.unlink(path + "-wal"), lambda: os.unlink(path + "-shm")):
        try:
            act()
        except OSError:
            pass
"""


def test_a_file_that_is_moved_while_it_is_opened_is_an_error_of_the_disk(open_day: OpenDay, path: Path) -> None:
    """Another process moves it away at every moment: that can be tried again, and is neither a bug nor damage."""
    damaged = []
    mover = subprocess.Popen([sys.executable, "-c", _MOVES, str(path), str(path.with_name("aside"))])
    try:
        for _ in range(200):
            try:
                open_day(path).abandon()
            except DamagedFileError as error:
                damaged.append(str(error))
            except DISK_ERRORS:
                continue
    finally:
        mover.kill()
        mover.wait()
    assert [each for each in damaged if "its WAL is there" not in each] == []  # the WAL of the file that was moved


def test_changes_by_others_are_reported_with_the_commit_that_corrects_them(
    open_day: OpenDay, path: Path, tick: MakeTick
) -> None:
    """Once, by a commit that happened: not by one that failed, and not again by the next."""
    day = open_day(path)
    other = apsw.Connection(str(path))
    other.execute("DROP TRIGGER ticks_counted")
    other.close()
    bad = (*tick("HK.00700", 1)[:3], None, *tick("HK.00700", 1)[4:])
    with pytest.raises(SchemaChangedError):
        day.write(Batch(rows=[bad]), NOW_MS)  # type: ignore[list-item]
    attempted = day.attempted
    assert attempted is None
    written = day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    assert written.undone == ("trigger ticks_counted was missing",)
    assert day.attempted == written
    assert day.write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS).undone == ()
    assert query(path, RECOUNT) == query(path, "SELECT * FROM symbols ORDER BY symbol")


def test_ticks_that_a_trigger_of_others_keeps_out_are_named(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """How many, and the first of them by its key; nothing of the batch is stored."""
    day = open_day(path)
    other = apsw.Connection(str(path))
    other.execute("CREATE TRIGGER guard BEFORE INSERT ON ticks WHEN NEW.seq > 6 BEGIN SELECT RAISE(IGNORE); END")
    other.close()
    with pytest.raises(
        SchemaChangedError, match=r"prevents 2 ticks from being stored, the first is HK\.00700 7\n"
    ) as caught:
        day.write(Batch(rows=[tick("HK.00700", seq) for seq in (5, 6, 7, 8)]), NOW_MS)
    assert "docs/sqlite-wal.md" in caught.value.hint
    assert query(path, "SELECT count(*) FROM ticks") == [(0,)]

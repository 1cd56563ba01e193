"""Ticks of real day files as Arrow batches: every column exact, beside a writer, and the faults of a file by name."""

from __future__ import annotations

import datetime as dt
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pytest

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError, ForeignFileError, NoDayError, StoreError
from hk_tick_collector.frames.columns import NAMES, schema
from hk_tick_collector.frames.day_file import read_ticks
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DAY: Final = "20261120"
OPEN_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 34_200_000


def write(path: Path, rows: list[TickRow]) -> DayFile:
    """An open day file with these rows, as the collector writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = DayFile(path, DAY, "run", OPEN_MS, "test", StoreOptions())
    if rows:
        file.write(Batch(rows=rows), OPEN_MS)
    return file


@pytest.fixture
def path(tmp_path: Path, tick: Callable[..., TickRow]) -> Path:
    """A day of two symbols in a directory with blanks and Chinese in its name; its writer has been killed."""
    path = tmp_path / "資料 # 100%?" / f"{DAY}.db"
    rows = [tick(symbol, n, OPEN_MS + n) for symbol in ("HK.00005", "HK.00700") for n in range(1, 101)]
    write(path, rows).abandon()
    return path


def test_a_copy_may_have_any_name_that_is_no_other_day(path: Path) -> None:
    """Its day is written in it. A name that is its day, with hyphens too, is right; another day is an error."""
    with closing(sqlite3.connect(path)) as db:
        for name in ("copy", "2026-11-20", "20261123"):
            db.execute("VACUUM INTO ?", (str(path.with_name(f"{name}.db")),))
    for name in ("copy", "2026-11-20"):
        assert sum(batch.num_rows for batch in read_ticks(path.with_name(f"{name}.db"))) == 200
    with pytest.raises(StoreError, match="is the file of 20261120, not of 20261123"):
        list(read_ticks(path.with_name("20261123.db")))


def test_every_column_is_as_stored(path: Path) -> None:
    """Types as declared; sequences above 2^53 to the last digit; the order is that of (symbol, seq)."""
    table = pa.Table.from_batches(read_ticks(path))
    assert table.schema == schema()
    with DayReader(path) as reader:
        stored = list(reader.ticks_by_key())
    utc = dt.UTC
    told = [
        (row["symbol"], row["seq"], row["ts"], row["price"], row["volume"], row["turnover"])
        for row in table.to_pylist()
    ]
    assert told == [
        (
            tick.symbol,
            tick.seq,
            dt.datetime.fromtimestamp(tick.ts_ms / 1000, utc),
            tick.price,
            tick.volume,
            tick.turnover,
        )
        for tick in stored
    ]
    assert set(table["date"].to_pylist()) == {dt.date(2026, 11, 20)}
    assert table["opend_recv_ts"].cast(pa.int64()).to_pylist() == [tick.opend_recv_ts_ms for tick in stored]
    assert table["type_sign"].to_pylist() == [tick.type_sign for tick in stored]


def test_columns_that_the_feed_left_out_are_null(tmp_path: Path, tick: Callable[..., TickRow]) -> None:
    """Also where the first batch has no value at all, from which the driver takes the types, and later ones have."""
    path = tmp_path / f"{DAY}.db"
    rows = [tick("HK.00005", n, OPEN_MS + n) for n in range(1, 66_001)]
    write(path, [(*row[:10], None, None) for row in rows] + [tick("HK.00700", 1), tick("HK.00700", 2)]).close()
    table = pa.Table.from_batches(read_ticks(path))
    assert (table["opend_recv_ts"].null_count, table["type_sign"].null_count) == (66_000, 66_000)
    assert table["type_sign"].to_pylist()[-2:] == [" ", " "]
    assert table["opend_recv_ts"].cast(pa.int64()).to_pylist()[-2:] == [tick("HK.00700", n)[10] for n in (1, 2)]


def test_a_file_of_an_older_schema_has_null_in_the_newer_columns(tmp_path: Path) -> None:
    """Of schema 1 to 3: the columns are there, without values; the others are as ever."""
    for version in (1, 2, 3):
        path = tmp_path / f"2026112{version}.db"
        with closing(sqlite3.connect(path)) as db:
            for migration in MIGRATIONS[:version]:
                db.executescript(migration)
            db.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}")
            row = ("HK.00700", 1, OPEN_MS, 1.5, 100, 150.0, "BUY", "AUTO_MATCH", "realtime", OPEN_MS + 3)
            db.execute(f"INSERT INTO ticks VALUES ({', '.join('?' * 10)})", row)
            db.commit()
        (told,) = pa.Table.from_batches(read_ticks(path)).to_pylist()
        assert list(told) == list(NAMES)
        assert (told["seq"], told["opend_recv_ts"], told["type_sign"]) == (1, None, None)


def test_symbols_times_and_columns_are_chosen(path: Path) -> None:
    """The end of the time is not included; a symbol without ticks has none."""
    asked = read_ticks(
        path, symbols=["HK.00700", "HK.00001"], from_ms=OPEN_MS + 10, to_ms=OPEN_MS + 20, columns=["ts", "symbol"]
    )
    table = pa.Table.from_batches(asked, schema(("ts", "symbol")))
    assert table.column_names == ["ts", "symbol"]
    assert table["ts"].cast(pa.int64()).to_pylist() == [OPEN_MS + n for n in range(10, 20)]
    assert set(table["symbol"].to_pylist()) == {"HK.00700"}
    assert pa.Table.from_batches(read_ticks(path, columns=["date"]), schema(("date",))).num_rows == 200


def test_a_day_without_ticks_has_the_same_columns(tmp_path: Path) -> None:
    """An empty day has no batch, or an empty one of the declared types."""
    path = tmp_path / f"{DAY}.db"
    write(path, []).close()
    assert all(batch.schema == schema() and batch.num_rows == 0 for batch in read_ticks(path))
    assert pa.Table.from_batches(read_ticks(path), schema()).column_names == list(NAMES)


def test_a_day_that_is_being_written_is_read_from_one_moment(tmp_path: Path, tick: Callable[..., TickRow]) -> None:
    """What is committed after the first batch is not in the answer, and the writer is not kept from committing."""
    path = tmp_path / f"{DAY}.db"
    file = write(path, [tick("HK.00700", n, OPEN_MS + n) for n in range(1, 70_001)])
    reading = read_ticks(path)
    first = next(reading)
    file.write(Batch(rows=[tick("HK.00700", n, OPEN_MS + n) for n in range(70_001, 70_101)]), OPEN_MS)
    assert first.num_rows + sum(batch.num_rows for batch in reading) == 70_000
    assert sum(batch.num_rows for batch in read_ticks(path)) == 70_100
    file.close()


def test_faults_of_a_file_are_named(tmp_path: Path, path: Path) -> None:
    """No day, no file of ours, a damaged one: the errors of the other readers."""
    with pytest.raises(NoDayError):
        next(read_ticks(tmp_path / "20261121.db"))
    other = tmp_path / "20261122.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE ticks (a)")
    with pytest.raises(ForeignFileError):
        next(read_ticks(other))
    plain = tmp_path / f"{DAY}.db"
    write(plain, []).close()
    with plain.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (plain.stat().st_size - 4096))
    with pytest.raises(StoreError):
        list(read_ticks(plain))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("direction = CAST(x'ff41' AS TEXT)", "direction has text that is not UTF-8"),
        ("ts_ms = 9223372036854775800", "ts is 9223372036854775800"),
        ("recv_ts_ms = -1", "recv_ts is -1"),
    ],
)
def test_values_that_no_collector_writes(path: Path, change: str, says: str) -> None:
    """One line names the file and the column. The other columns and symbols are read, and all of it to compare it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"UPDATE ticks SET {change} WHERE symbol = 'HK.00700' AND seq = 100")
        db.commit()
    with pytest.raises(StoreError) as told:
        list(read_ticks(path))
    assert told.value.one_line() == f"{path}: {says}: see docs/sqlite-wal.md for what can be saved"
    rest = [name for name in NAMES if name != says.partition(" ")[0]]
    assert sum(batch.num_rows for batch in read_ticks(path, columns=rest)) == 200
    assert sum(batch.num_rows for batch in read_ticks(path, symbols=["HK.00005"])) == 100
    assert sum(batch.num_rows for batch in read_ticks(path, as_stored=True)) == 200


def test_a_text_of_an_upgraded_opend_may_be_of_any_language(tmp_path: Path, tick: Callable[..., TickRow]) -> None:
    """Text that is UTF-8 and not ASCII is no fault."""
    path = tmp_path / f"{DAY}.db"
    row = tick("HK.00700", 1, OPEN_MS)
    write(path, [(*row[:7], "自動對盤", *row[8:])]).close()
    assert pa.Table.from_batches(read_ticks(path))["tick_type"].to_pylist() == ["自動對盤"]


def test_damage_after_the_first_batch(tmp_path: Path, tick: Callable[..., TickRow]) -> None:
    """It is one line too: the driver tells it in another way than damage at the beginning."""
    path = tmp_path / f"{DAY}.db"
    write(path, [tick("HK.00700", n, OPEN_MS + n) for n in range(1, 140_001)]).close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size * 9 // 10 // 4096 * 4096)
        file.write(b"\xff" * (size // 20))
    batches = read_ticks(path)
    assert next(batches).num_rows == 65_536
    with pytest.raises(StoreError, match=rf"cannot read {path} \(.*malformed"):
        list(batches)


def test_an_unknown_column_is_refused(path: Path) -> None:
    with pytest.raises(KeyError):
        next(read_ticks(path, columns=["bid"]))


def test_without_the_extra_it_says_how_to_install_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pip, or with the installer on a host where it put the service."""
    monkeypatch.setitem(sys.modules, "adbc_driver_sqlite.dbapi", None)
    with pytest.raises(CollectorError) as told:
        next(read_ticks(path))
    assert told.value.one_line() == "adbc_driver_sqlite is not installed: pip install 'hk-tick-collector[data]'"
    monkeypatch.setattr(sys, "prefix", "/opt/futu_tick_downloader/releases/1/.venv")
    with pytest.raises(CollectorError) as told:
        next(read_ticks(path))
    assert told.value.hint == "sudo bash deploy/install.sh --upgrade --extras data"


def test_more_symbols_than_sqlite_has_parameters(path: Path) -> None:
    """A list of the whole market, and more, is no error."""
    names = [f"HK.{number:05d}" for number in range(40_000)]
    assert sum(batch.num_rows for batch in read_ticks(path, symbols=names)) == 200

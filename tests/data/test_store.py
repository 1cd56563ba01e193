"""`Store`: any symbols over any days, from the archive, from day files and from a day that is being written."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pyarrow.parquet as pq
import pytest

import hk_tick_collector
from hk_tick_collector.data.gap_count import GapWarning
from hk_tick_collector.data.store import Store
from hk_tick_collector.errors import CollectorError, ForeignFileError, GapsError, NoDayError, StoreError, UsageError
from hk_tick_collector.store.dayfile import Batch
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Days

WEEK = [dt.date(2026, 11, 18), dt.date(2026, 11, 19), dt.date(2026, 11, 20), dt.date(2026, 11, 23)]
EACH = 60


@pytest.fixture
def store(week: Days) -> Store:
    return Store(week.data_root, week.archive)


def test_days_of_both_places_are_one_list(store: Store, week: Days) -> None:
    """A day in both is listed once; a range includes both its ends; a file that is no day is not listed."""
    (week.data_root / "20261120.snapshot.db").touch()
    (week.archive / "ticks" / "date=2026-02-30").mkdir()
    assert store.days() == WEEK
    assert store.days("20261119", dt.date(2026, 11, 22)) == WEEK[1:3]
    assert Store(week.data_root).days() == WEEK[1:]
    assert Store(None, week.archive).days() == WEEK[:2]


def test_a_range_over_a_weekend_is_one_result(store: Store) -> None:
    """Every tick of every day once, in the order of day, symbol and sequence, whichever file it comes from."""
    table = store.ticks().arrow()
    assert table.num_rows == 4 * 3 * EACH
    keys = list(zip(*(table[name].to_pylist() for name in ("date", "symbol", "seq")), strict=True))
    assert keys == sorted(set(keys))
    assert store.ticks().days == tuple(WEEK)


def test_an_archived_day_is_read_from_the_archive(store: Store, week: Days) -> None:
    """Also while its day file is still there; after that file is gone the same question has the same answer."""
    before = store.ticks(day="20261119").arrow()
    week.path("20261119").unlink()
    assert store.ticks(day="20261119").arrow().equals(before)


def test_both_kinds_of_file_give_the_same(days: Days) -> None:
    """The same day from its day file and from Parquet: every column, to the last bit."""
    days.collect("20261120").close()
    stored = Store(days.data_root).ticks("HK.00700").arrow()
    days.to_archive("20261120")
    assert Store(None, days.archive).ticks("HK.00700").arrow().equals(stored)


def test_symbols_times_and_columns_are_chosen(store: Store, minutes: Callable[[Any], list[int]]) -> None:
    """For each day, from the archive and from a day file; the end of the time is not included."""
    asked = store.ticks(
        ["HK.09988", "HK.00005"],
        "20261119",
        "20261120",
        columns=["ts", "symbol"],
        from_time="09:40",
        to_time=dt.time(9, 42),
    )
    table = asked.arrow()
    assert table.column_names == ["ts", "symbol"]
    assert minutes(table["ts"]) == [580, 581] * 4
    assert table["symbol"].to_pylist() == ["HK.00005"] * 2 + ["HK.09988"] * 2 + ["HK.00005"] * 2 + ["HK.09988"] * 2


def test_one_moment_cuts_the_first_day_alone(store: Store) -> None:
    """A datetime with a time zone is one moment: days before it are left out, those after it are whole."""
    moment = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.UTC)  # 10:00 in Hong Kong
    rows = store.ticks("HK.00700", from_time=moment).arrow()["date"].to_pylist()
    assert {date: rows.count(date) for date in rows} == {WEEK[2]: EACH - 30, WEEK[3]: EACH}


def test_a_day_that_is_being_written_is_read_from_one_moment(days: Days) -> None:
    """What is committed while the batches are read belongs to the next reading, and the writer is not kept waiting."""
    file = days.collect("20261123", each=30_000)
    result = Store(days.data_root).ticks()
    with closing(result.batches()) as batches:
        first = next(batches)
        file.write(Batch(rows=[days.tick("20261123", "HK.00011", n) for n in range(10)]), 0)
        assert first.num_rows + sum(batch.num_rows for batch in batches) == 90_000
    assert result.arrow().num_rows == 90_010
    file.close()


def test_open_gaps_are_reported_with_their_number(week: Days) -> None:
    """Those of the requested symbols, days and times, from day files and books; closed gaps are not reported."""
    week.collect("20261117").close()
    week.gap("20261117", "HK.00700", 7)
    week.to_archive("20261117")
    week.gap("20261120", "HK.00700", 5)
    week.gap("20261120", "HK.00005", 9)
    week.gap("20261120", "HK.00700", 11, status="healed")
    store = Store(week.data_root, week.archive)
    with pytest.warns(GapWarning, match=r"^2 open gaps in the range, 12 ticks are known to be missing") as told:
        store.ticks("HK.00700")
    assert "20261117, 20261120" in str(told[0].message)
    assert told[0].filename == __file__
    with pytest.warns(GapWarning, match="1 open gap in the range, 7 ticks"):
        store.ticks("HK.00700", day="20261117", from_time="10:00", to_time="10:30")
    with pytest.raises(GapsError, match="3 open gaps"):
        store.ticks(gaps="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.ticks("HK.00700", gaps="ignore")
        store.ticks("HK.00700", day="20261120", from_time="10:02")
        store.ticks("HK.09988")


def test_days_without_data_are_reported(store: Store, week: Days) -> None:
    """Weekdays of the range that have no data are named; a weekend is not."""
    week.path("20261120").unlink()
    with pytest.warns(GapWarning, match=r"no data of 2 weekdays of the range, .*\(20261117, 20261120\)"):
        result = store.ticks("HK.00700", "20261117", "20261123")
    assert result.arrow().num_rows == 3 * EACH


def test_gaps_of_a_day_without_its_book_are_not_known(days: Days) -> None:
    """A warning says so; `gaps` says where the book belongs."""
    days.collect("20261120").close()
    days.to_archive("20261120", book=False)
    store = Store(None, days.archive)
    with pytest.warns(GapWarning, match="the gaps of 20261120 are not known"):
        assert store.ticks().arrow().num_rows == 3 * EACH
    assert store.symbols() == ["HK.00005", "HK.00700", "HK.09988"]
    with pytest.raises(StoreError, match="book of 20261120 is missing"):
        store.gaps().arrow()


def test_gaps_are_a_table(week: Days) -> None:
    """From day file and book; an unknown end is null, and sequences stay whole numbers in pandas."""
    week.gap("20261120", "HK.00700", 5)
    store = Store(week.data_root, week.archive)
    frame = store.gaps(only_open=True).pandas()
    assert list(frame["missing"]) == [5]
    assert frame["from_seq"][0] == (1 << 62) + 1
    assert str(frame.dtypes["from_seq"]) == "Int64"
    assert frame["to_seq"].isna().all()
    assert str(frame["from_ts"][0]) == "2026-11-20 10:00:00+08:00"
    assert store.gaps("HK.00005").arrow().num_rows == 0


def test_symbols_that_never_traded(store: Store) -> None:
    """They have no rows, with the same columns; `symbols` lists only those with ticks."""
    assert store.symbols(day="20261120") == ["HK.00005", "HK.00700", "HK.09988"]
    table = store.ticks("HK.00001").arrow()
    assert (table.num_rows, table.schema) == (0, store.ticks().schema)
    assert store.ticks("HK.00001").pandas().dtypes.equals(store.ticks("HK.00700").pandas().dtypes)


def test_a_day_without_ticks(days: Days) -> None:
    """It is a day, and has no rows, from its day file and from the archive."""
    days.collect("20261120", symbols=()).close()
    assert Store(days.data_root).ticks().polars().shape == (0, len(Store(days.data_root).ticks().schema))
    days.to_archive("20261120")
    store = Store(None, days.archive)
    assert (store.days(), store.symbols(), store.ticks().arrow().num_rows) == ([WEEK[2]], [], 0)


def test_a_file_of_schema_1_is_read(days: Days) -> None:
    """A day that an early version wrote, before it was migrated."""
    days.collect("20261120").close()
    old = days.path("20261119")
    with closing(apsw.Connection(str(old))) as db:
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", 1)
        db.execute(MIGRATIONS[0])
        marks = ", ".join("?" * 10)
        db.executemany(f"INSERT INTO ticks VALUES ({marks})", [days.tick("20261119", "HK.00700", 1)[:10]])
        db.execute("INSERT INTO meta VALUES ('trading_day', '20261119')")
    assert Store(days.data_root).ticks("HK.00700").arrow().num_rows == 1 + EACH
    assert Store(days.data_root).instruments().arrow().num_rows == 0


def test_a_foreign_file_is_named(days: Days) -> None:
    """The error names the file; days beside it can still be read."""
    days.collect("20261120").close()
    with closing(sqlite3.connect(days.path("20261119"))) as db:
        db.execute("CREATE TABLE trades (a)")
    store = Store(days.data_root)
    with pytest.raises(ForeignFileError, match="20261119"):
        store.ticks()
    assert store.ticks(day="20261120").arrow().num_rows == 3 * EACH


def test_a_file_under_the_name_of_another_day(days: Days) -> None:
    """It was renamed by hand: nothing of it is read as of that day, neither a day file nor an archived one."""
    days.collect("20261119").close()
    parquet = days.to_archive("20261119", keep=True)
    days.path("20261119").rename(days.path("20261120"))
    for ask in (Store(days.data_root).ticks, Store(days.data_root).gaps, Store(days.data_root).bars):
        with pytest.raises(StoreError, match="is the file of 20261119, not of 20261120\ngive it its own name again"):
            ask(day="20261120").arrow()
    with pytest.raises(StoreError, match="is the file of 20261119"):
        Store(days.data_root).symbols(day="20261120")
    days.path("20261120").unlink()
    moved = parquet.parent.with_name("date=2026-11-20")
    parquet.parent.rename(moved)
    (days.archive / "books/2026-11-19.db").rename(days.archive / "books/2026-11-20.db")
    with pytest.raises(StoreError, match="is the file of 20261119, not of 20261120"):
        Store(None, days.archive).symbols()
    metadata = {"hk_tick_collector.day": "2026-11-19"}
    table = pq.read_table(moved / parquet.name, partitioning=None)
    pq.write_table(table.replace_schema_metadata(metadata), moved / parquet.name)
    with pytest.raises(StoreError, match="is the file of 20261119, not of 20261120"):
        Store(None, days.archive).ticks(gaps="ignore").arrow()


def test_which_parquet_file_is_the_day(days: Days) -> None:
    """That of the certificate; without one the only one, and only where no day file is; several are an error."""
    days.collect("20261120").close()
    old = days.to_archive("20261120", certified=False, keep=True)
    assert "0 of them archived" in repr(Store(days.data_root, days.archive).ticks())
    only = Store(None, days.archive)
    assert only.ticks().arrow().num_rows == 3 * EACH
    shutil.copy(old, old.with_name("ticks-00000000000000ff.parquet"))
    with pytest.raises(StoreError, match="no certificate says which"):
        only.ticks()
    days.to_archive("20261120")
    assert only.ticks(gaps="ignore").arrow().num_rows == 3 * EACH


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"day": "20261121"}, NoDayError, "no data of 20261121, a Saturday"),
        ({"day": "20261116"}, NoDayError, "days there: 20261118 to 20261123"),
        ({"since": "20270101"}, NoDayError, "20270101 to the last day"),
        ({"day": "20261118", "from_time": "2026-11-20 09:30"}, NoDayError, "check from_time"),
        ({"symbols": "700"}, UsageError, "did you mean HK.00700?"),
        ({"symbols": ["HK.00700", "AAPL"]}, UsageError, "'AAPL' is not a valid symbol: a symbol looks like HK.00700"),
        ({"symbols": []}, UsageError, "empty list"),
        ({"symbols": 700}, UsageError, "symbols=700 is no symbol and no list of symbols: write HK.00700"),
        ({"columns": 5}, UsageError, "columns=5 is no list of names"),
        ({"columns": [["seq"]]}, UsageError, "there is no column ['seq']"),
        ({"columns": ["price", "bid"]}, UsageError, "there is no column 'bid': columns are date, symbol, seq"),
        ({"columns": []}, UsageError, "names none"),
        ({"gaps": "no"}, UsageError, "warn"),
    ],
)
def test_a_question_that_cannot_be_answered(
    store: Store, asked: dict[str, Any], error: type[Exception], says: str
) -> None:
    """It is refused at once, in one line with the reason and what to do."""
    with pytest.raises(error) as told:
        store.ticks(**asked)
    assert says in told.value.one_line()  # type: ignore[attr-defined]


def test_nothing_there_at_all(tmp_path: Path) -> None:
    """An empty directory, a missing one, an archive whose disk is not mounted."""
    assert Store(tmp_path).days() == []
    with pytest.raises(NoDayError, match="no day in"):
        Store(tmp_path).ticks()
    for ask in (Store(tmp_path / "none").days, Store(tmp_path / "none").ticks):
        with pytest.raises(StoreError, match="there is no directory"):
            ask()
    with pytest.raises(StoreError, match="no archive"):
        Store(tmp_path, tmp_path / "none").days()


def test_open_takes_the_settings_in_force(week: Days, workdir: Path) -> None:
    """Without arguments it reads where the collector writes; with one it reads only that."""
    (workdir / ".env").write_text(f"DATA_ROOT={week.data_root}\n")
    assert hk_tick_collector.open().days() == WEEK[1:]
    assert hk_tick_collector.open(archive=week.archive).days() == WEEK[:2]
    assert hk_tick_collector.open(str(week.data_root), week.archive).days() == WEEK
    (workdir / ".env").write_text("DATA_ROOT=\n")
    with pytest.raises(UsageError, match="DATA_ROOT"):
        hk_tick_collector.open()


def test_importing_the_package_imports_no_extra() -> None:
    """Nor does `open`: the first result does."""
    code = """
import sys
before = set(sys.modules)
import hk_tick_collector
names = {name.partition('.')[0] for name in set(sys.modules) - before}
hk_tick_collector.open('.')
extras = {'pyarrow', 'adbc_driver_sqlite', 'duckdb', 'polars', 'pandas', 'obstore', 'deltalake', 'numpy'}
assert not extras & {name.partition('.')[0] for name in sys.modules}, sys.modules
assert 'pydantic' not in names and 'apsw' not in names, names
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_archive_elsewhere_is_refused(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kind of address, or one that is none. Without the extra that of the settings is left out, and said so."""
    with pytest.raises(UsageError, match="gs://bucket cannot be read\nname a directory, or s3://BUCKET/PREFIX"):
        hk_tick_collector.open(archive="gs://bucket")
    with pytest.raises(UsageError, match="s3://b is not the address of a bucket"):
        hk_tick_collector.open(archive="s3://b")
    monkeypatch.setitem(sys.modules, "obstore", None)
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\nARCHIVE_DIR=s3://bucket\n")
    with pytest.warns(UserWarning, match="archived days are left out: obstore is not installed: pip install"):
        store = hk_tick_collector.open()
    assert store.days() == []
    with pytest.raises(CollectorError, match="obstore is not installed"):
        hk_tick_collector.open(archive="s3://bucket")


def test_certificates_need_an_archive(store: Store, week: Days) -> None:
    """Without one, and for a day that has none, the error says what to do."""
    with pytest.raises(UsageError, match="no archive is given"):
        Store(week.data_root).certificate("20261120")
    with pytest.raises(NoDayError, match="no certificate of 20261120"):
        store.certificate("20261120")


@pytest.mark.parametrize("name", ["name", "lot_size", "type", "listing_date", "previous_close"])
def test_a_column_that_most_instruments_lack(days: Days, name: str) -> None:
    """The first thousands of a market have no value, the last one has: it is read with its type."""
    days.collect("20261120").close()
    row = {"name": "騰訊", "lot_size": 100, "type": "STOCK", "listing_date": "2004-06-16", "previous_close": 1.5}
    with closing(sqlite3.connect(days.path("20261120"))) as db, db:
        for number in range(1, 1501):
            values = row | ({name: None} if number < 1500 else {})
            db.execute(
                f"INSERT INTO instruments (symbol, updated_ms, {', '.join(values)}) VALUES (?, 5, ?, ?, ?, ?, ?)",
                (f"HK.{number:05}", *values.values()),
            )
    found = Store(days.data_root).instruments().arrow()
    assert found[name].null_count == 1499
    assert str(found[name][1499]) == str(row[name])


def test_a_name_that_is_not_utf_8(days: Days) -> None:
    """One line with the file and the column."""
    days.collect("20261120").close()
    with closing(sqlite3.connect(days.path("20261120"))) as db, db:
        db.execute("INSERT INTO instruments (symbol, name, updated_ms) VALUES ('HK.00700', CAST(x'ff' AS TEXT), 5)")
    with pytest.raises(
        StoreError, match=f"{days.path('20261120')}: name has text that is not UTF-8".replace("?", r"\?")
    ):
        Store(days.data_root).instruments().arrow()


def test_instruments_of_each_day(days: Days) -> None:
    """What OpenD said on each day, with types; a day whose file has no such table has no rows."""
    for name in ("20261119", "20261120"):
        days.collect(name).close()
    columns = "symbol TEXT PRIMARY KEY, name TEXT, lot_size INTEGER, type TEXT, suspended INTEGER, listing_date TEXT"
    with closing(sqlite3.connect(days.path("20261120"))) as db, db:
        db.execute(
            f"CREATE TABLE IF NOT EXISTS instruments ({columns}, previous_close REAL, updated_ms INTEGER NOT NULL)"
            " STRICT, WITHOUT ROWID"
        )
        rows = [
            ("HK.00700", "騰訊控股", 100, "STOCK", 0, "2004-06-16", 612.5, 1_795_138_200_000),
            ("HK.00005", None, None, None, None, None, None, 1_795_138_200_000),
        ]
        db.executemany("INSERT INTO instruments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    found = Store(days.data_root).instruments().arrow().to_pylist()
    assert [(row["date"], row["symbol"], row["name"]) for row in found] == [
        (WEEK[2], "HK.00005", None),
        (WEEK[2], "HK.00700", "騰訊控股"),
    ]
    assert found[1]["listing_date"] == dt.date(2004, 6, 16)
    assert (found[1]["lot_size"], found[1]["suspended"], found[1]["previous_close"]) == (100, False, 612.5)
    assert Store(days.data_root).instruments("HK.00700").polars().height == 1

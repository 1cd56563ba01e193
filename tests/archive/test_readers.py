"""Every engine that researchers use reads the same from the archive, also while a day is replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import deltalake
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from tests.archive.conftest import open_ms
from tests.archive.test_day import archived, changed

from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.delta import register
from hk_tick_collector.archive.places import Directory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.conftest import MakeDay

    from hk_tick_collector.archive.sshsig import SigningKey

DAYS = ("20261119", "20261120", "20261123")
# In a process of its own. deltaLakeLocal() takes only directories below the current one, by their whole path.
_CHDB = """
import chdb, os, sys
os.chdir("/")
for source in ("file('{}/ticks/date=*/*.parquet', Parquet)", "deltaLakeLocal('{}/ticks/')"):
    sql = "SELECT count(), sum(volume), sum(turnover), countDistinct(date), countDistinct(symbol) FROM "
    print(chdb.query(sql + source.format(sys.argv[1]), "TSV"))
"""


def registered(place: Directory) -> None:
    with place.hold() as workspace:
        register(place, [each.ticks_name for each in read_chain(place).by_day.values()], open_ms(DAYS[0]), workspace)


@pytest.fixture
def plain(tmp_path: Path) -> Directory:
    """An archive without blanks in its path: polars does not read the Delta log of another one."""
    root = tmp_path / "archive"
    root.mkdir()
    return Directory(root)


def sums_of(name: str, root: Path) -> tuple[Any, ...]:
    """Count, sums of volume and turnover, number of days and of symbols."""
    hive = f"{root}/ticks/date=*/*.parquet"
    if name == "duckdb":
        sql = f"SELECT count(*), sum(volume), sum(turnover), count(DISTINCT date), count(DISTINCT symbol) FROM '{hive}'"
        with duckdb.connect() as db:
            return tuple(db.execute(sql).fetchall()[0])
    if name in ("polars", "polars delta"):
        frame = pl.scan_delta(f"{root}/ticks") if "delta" in name else pl.scan_parquet(hive)
        wanted = pl.len(), pl.sum("volume"), pl.sum("turnover"), pl.n_unique("date"), pl.n_unique("symbol")
        named = [each.alias(str(number)) for number, each in enumerate(wanted)]
        return tuple(frame.select(named).collect().row(0))
    if name in ("pandas", "pyarrow table"):  # as docs/archive.md says: without a second column `date` from the path
        whole, folder = pd.read_parquet if name == "pandas" else pq.read_table, f"{root}/ticks"
        table = whole(folder, partitioning=None)
        table = pa.Table.from_pandas(table) if name == "pandas" else table
    elif name == "pyarrow":
        files = ds.dataset(f"{root}/ticks", format="parquet", partitioning=None, exclude_invalid_files=False)
        table = files.to_table()
    else:
        table = deltalake.DeltaTable(f"{root}/ticks").to_pyarrow_table()
    totals = (pc.sum(table.column(column)).as_py() for column in ("volume", "turnover"))
    distinct = (pc.count_distinct(table.column(column)).as_py() for column in ("date", "symbol"))
    return (table.num_rows, *totals, *distinct)


def test_every_engine_reads_the_same(make_day: MakeDay, plain: Directory, key: SigningKey) -> None:
    """pyarrow, polars, duckdb, deltalake and chdb: equal counts and sums, of the files and of the Delta log."""
    for day, rows in zip(DAYS, (50, 70, 90), strict=True):
        archived(plain, key, make_day(day, rows))
    registered(plain)
    expected = (420, 42_000, 420 * 38_820.0, 3, 2)
    for name in ("duckdb", "polars", "polars delta", "pyarrow", "pyarrow table", "pandas", "deltalake"):
        assert sums_of(name, plain.root) == expected, name
    done = subprocess.run([sys.executable, "-c", _CHDB, plain.root], capture_output=True, text=True, check=False)
    shown = [tuple(float(each) for each in line.split("\t")) for line in done.stdout.splitlines() if line]
    assert shown == [expected, expected], done.stderr


def test_readers_while_a_day_is_replaced(make_day: MakeDay, plain: Directory, key: SigningKey) -> None:
    """A reader with a version open reads it to its end; a new reader sees the day once, with the new content."""
    source = make_day(DAYS[1])
    archived(plain, key, source)
    registered(plain)
    (name,) = plain.list("ticks/date=2026-11-20/")
    before = sums_of("deltalake", plain.root)
    with plain.open(name) as reader:
        changed(source)
        archived(plain, key, source, replace=True)
        registered(plain)
        assert len(reader.read()) == os.fstat(reader.fileno()).st_size
    after = sums_of("deltalake", plain.root)
    assert after == before  # a price differs, and no count
    assert sums_of("duckdb", plain.root) == after
    (new,) = plain.list("ticks/date=2026-11-20/")
    assert new != name
    assert deltalake.DeltaTable(f"{plain.root}/ticks").file_uris() == [f"{plain.root}/{new}"]

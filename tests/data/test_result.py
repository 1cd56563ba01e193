"""`Result`: the same rows in every library, exact sequences, times of Hong Kong, and any number of readings."""

from __future__ import annotations

import datetime as dt
import errno
import sys
import traceback
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hk_tick_collector.data.complete import write_file
from hk_tick_collector.data.formats import Format
from hk_tick_collector.data.store import Store
from hk_tick_collector.errors import CollectorError, StoreError, UsageError
from hk_tick_collector.frames.columns import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hk_tick_collector.data.result import Result

    from .conftest import Days

BIG = (1_795_138_200 << 32) | 1  # of the first tick of 20261120: beyond what a double holds
NINE_THIRTY = dt.datetime(2026, 11, 20, 1, 30, tzinfo=dt.UTC)


@pytest.fixture
def result(week: Days) -> Result:
    """One symbol from the archive, from a day file, and from the archive."""
    return Store(week.data_root, week.archive).ticks("HK.00700", "20261119", "20261120")


def test_every_library_has_the_same_rows(result: Result) -> None:
    """Count, sums and the exact sequence are those of pyarrow; a result can be asked again."""
    table = result.arrow()
    expected = (table.num_rows, 120 * 100, BIG)
    for _ in range(2):
        frame = result.polars()
        assert (frame.height, frame["volume"].sum(), frame["seq"][60]) == expected
        pandas = result.pandas()
        assert (len(pandas), pandas["volume"].sum(), pandas["seq"][60]) == expected
        relation = result.duckdb()
        assert relation.aggregate("count(*), sum(volume)::BIGINT").fetchall() == [expected[:2]]
        assert relation.filter(f"seq = {BIG}").count("*").fetchall() == [(1,)]


def test_types_are_the_same_everywhere(result: Result) -> None:
    """seq is int64, prices are float64, times have the zone of Hong Kong."""
    frame = result.polars()
    assert frame.schema["seq"] == pl.Int64
    assert frame.schema["price"] == pl.Float64
    assert frame.schema["ts"] == pl.Datetime("ms", "Asia/Hong_Kong")
    assert frame.schema["symbol"] == pl.String
    kinds = {name: str(kind) for name, kind in result.pandas().dtypes.items()}
    assert kinds["seq"] == "int64"
    assert kinds["price"] == "float64"
    assert kinds["ts"] == kinds["recv_ts"] == "datetime64[ms, Asia/Hong_Kong]"
    assert result.arrow().schema.field("ts").type == pa.timestamp("ms", "Asia/Hong_Kong")
    assert result.schema == result.arrow().schema
    assert str(frame["ts"][60]) == "2026-11-20 09:30:00+08:00"
    assert result.pandas()["ts"][60] == NINE_THIRTY


def test_other_libraries_read_a_result_directly(result: Result) -> None:
    """Through the Arrow PyCapsule interface, streamed."""
    assert pl.DataFrame(result).height == 120
    assert pa.table(result).num_rows == 120
    assert pa.RecordBatchReader.from_stream(result).read_all().num_rows == 120
    with closing(duckdb.connect()) as connection:
        assert connection.sql("SELECT count(*) FROM result WHERE price > 100").fetchall() == [(118,)]
        mine = result.duckdb(connection)
        assert connection.sql("SELECT count(DISTINCT date) FROM mine").fetchall() == [(2,)]
        assert mine is not None


def test_duckdb_has_the_hours_of_hong_kong(result: Result) -> None:
    """In its own connection and without a download: the hour of 09:30 is 9."""
    assert result.duckdb().aggregate("min(hour(ts))").fetchall() == [(9,)]


def test_batches_stream(result: Result) -> None:
    """A reader may stop after the first batch; later readings are whole."""
    with closing(result.batches()) as batches:
        assert next(batches).num_rows > 0
    assert sum(batch.num_rows for batch in result.batches()) == 120


def test_a_parquet_file_is_like_those_of_the_archive(result: Result, tmp_path: Path) -> None:
    """Its types are those of the archive, so that both can be read as one; an existing file is kept by default."""
    path = tmp_path / "騰訊 2026.parquet"
    assert result.parquet(path) == 120
    assert pq.read_schema(path).remove_metadata() == schema()
    assert pq.read_table(path)["seq"].to_pylist() == result.arrow()["seq"].to_pylist()
    with pytest.raises(UsageError, match="exists already"):
        result.parquet(path)
    assert result.parquet(path, replace=True) == 120
    assert [each.name for each in tmp_path.glob("*.parquet*")] == [path.name]
    with pytest.raises(StoreError, match="no directory"):
        result.parquet(tmp_path / "none" / "x.parquet")


def test_a_file_that_vanished_meanwhile_is_named(result: Result, week: Days) -> None:
    """A result reads when it is used: what is gone by then is an error, not fewer rows."""
    week.path("20261120").unlink()
    with pytest.raises(StoreError, match="20261120"):
        result.arrow()


@pytest.mark.parametrize("name", ["polars", "pandas", "duckdb"])
def test_a_missing_library_is_named(result: Result, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CollectorError) as told:
        getattr(result, name)()
    assert told.value.one_line() == f"{name} is not installed: pip install {name}"


def test_a_traceback_shows_what_to_do() -> None:
    """In a notebook nobody prints `hint`: the last lines of a traceback have it."""
    with pytest.raises(UsageError) as told:
        Store(None, None).certificate("20261120")
    assert traceback.format_exception(told.value)[-1] == "give archive, or set ARCHIVE_DIR\n"


def test_without_the_extra_the_question_says_so(week: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CollectorError) as told:
        Store(week.data_root).ticks()
    assert told.value.one_line() == "pyarrow is not installed: pip install 'hk-tick-collector[data]'"


def test_a_result_says_what_it_is(result: Result) -> None:
    assert repr(result) == "<ticks of HK.00700, 20261119 to 20261120: 2 days, 1 of them archived>"


def test_a_full_disk_leaves_nothing(result: Result, tmp_path: Path) -> None:
    """/dev/full stands for the disk where no small one can be mounted: tests/cli/test_export_verb.py has a real one."""
    from hk_tick_collector.data.complete import named_errors

    with pytest.raises(StoreError, match=r"no room to write .*: nothing is left of it"), named_errors(tmp_path / "x"):
        raise OSError("Error writing bytes to file. Detail: [errno 28] No space left on device")
    with pytest.raises(StoreError, match="no room"), named_errors(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_two_writers_of_one_name(tmp_path: Path) -> None:
    """As two threads do it: the first one to finish has the name, with its own rows, and the other one is told."""
    batch = pa.record_batch({"seq": [1, 2, 3]})
    path = tmp_path / "ticks.parquet"

    def rows() -> Iterator[pa.RecordBatch]:
        yield batch
        with pytest.raises(UsageError, match="exists already"):
            write_file(path, Format.PARQUET, batch.schema, slow(), about={})
        yield batch

    def slow() -> Iterator[pa.RecordBatch]:
        yield batch
        assert write_file(path, Format.PARQUET, batch.schema, [batch], about={}) == 3
        yield batch

    with pytest.raises(UsageError, match="exists already"):
        write_file(path, Format.PARQUET, batch.schema, rows(), about={})
    assert pq.read_table(path).num_rows == 3
    assert list(tmp_path.iterdir()) == [path]

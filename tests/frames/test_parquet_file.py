"""Ticks of Parquet files: exactly the requested ones, older schemas, and damaged files by name."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hk_tick_collector.errors import StoreError
from hk_tick_collector.frames.columns import MS_UTC, schema
from hk_tick_collector.frames.parquet_file import read_ticks

if TYPE_CHECKING:
    from pathlib import Path

OPEN_MS: Final = 1_795_051_800_000
SYMBOLS: Final = ("HK.00005", "HK.00700", "HK.09988")


@pytest.fixture
def table() -> pa.Table:
    """1,000 ticks of each of three symbols, a second apart."""
    rows = [(symbol, n) for symbol in SYMBOLS for n in range(1000)]
    count = len(rows)
    return pa.table(
        [
            pa.array([dt.date(2026, 11, 20)] * count, pa.date32()),
            pa.array([symbol for symbol, _ in rows]),
            pa.array([2**60 + n for _, n in rows], pa.int64()),
            pa.array([OPEN_MS + 1000 * n for _, n in rows], MS_UTC),
            pa.array([388.2] * count),
            pa.array([100] * count),
            pa.array([38_820.0] * count),
            pa.array(["BUY"] * count),
            pa.array(["AUTO_MATCH"] * count),
            pa.array(["realtime"] * count),
            pa.array([OPEN_MS + 1000 * n + 80 for _, n in rows], MS_UTC),
            pa.array([OPEN_MS + 1000 * n + 70 for _, n in rows], MS_UTC),
            pa.array([" "] * count),
        ],
        schema=schema(),
    )


def test_requested_ticks_are_complete_across_row_groups(tmp_path: Path, table: pa.Table) -> None:
    """Symbols and times at the ends of row groups and across them; the end of the time is not included."""
    for group in (1, 7, 1000, 5000):
        path = tmp_path / f"{group}.parquet"
        pq.write_table(table, path, row_group_size=group)
        assert pa.Table.from_batches(read_ticks(path)).equals(table)
        asked = read_ticks(path, symbols=["HK.00700"], from_ms=OPEN_MS + 5000, to_ms=OPEN_MS + 9000, columns=["seq"])
        found = pa.Table.from_batches(asked, schema(("seq",)))
        assert found["seq"].to_pylist() == [2**60 + n for n in range(5, 9)]
        assert list(read_ticks(path, symbols=["HK.00001"])) == []
        assert list(read_ticks(path, from_ms=OPEN_MS + 1_000_000)) == []


@pytest.mark.parametrize("dictionaries", [True, False])
def test_values_that_no_collector_writes(tmp_path: Path, table: pa.Table, *, dictionaries: bool) -> None:
    """Text that is not UTF-8 and an impossible time: one line. Other columns, and other symbols, can be read."""
    bad: dict[str, Any] = {
        "direction": pa.array([b"BUY"] * 2999 + [b"\xff"], pa.binary()).cast(pa.string(), safe=False).view(pa.string()),
        "ts": pa.array([OPEN_MS] * 2999 + [2**62], pa.int64()).cast(MS_UTC),
    }
    for name, column in bad.items():
        path = tmp_path / f"{name}.parquet"
        at = table.schema.get_field_index(name)
        pq.write_table(table.set_column(at, table.schema.field(name), column), path, row_group_size=1000)
        with pytest.raises(StoreError, match=f"{name}.parquet: {name} "):
            list(read_ticks(path, dictionaries=dictionaries))
        others = read_ticks(path, symbols=["HK.00005"], dictionaries=dictionaries)
        assert sum(batch.num_rows for batch in others) == 1000
        rest = [each for each in table.column_names if each != name]
        assert sum(batch.num_rows for batch in read_ticks(path, columns=rest, dictionaries=dictionaries)) == 3000
        assert sum(batch.num_rows for batch in read_ticks(path, dictionaries=dictionaries, as_stored=True)) == 3000


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_texts_come_as_dictionaries_on_request(tmp_path: Path, table: pa.Table, *, use_dictionary: bool) -> None:
    """The same ticks, whatever encoding the file has; also filtered, and with a column that the file does not have."""
    path = tmp_path / "day.parquet"
    pq.write_table(table.drop_columns(["push_type"]), path, use_dictionary=use_dictionary)
    choices: list[dict[str, Any]] = [{}, {"symbols": ["HK.00700"], "from_ms": OPEN_MS + 5000}]
    for asked in choices:
        found = pa.Table.from_batches(read_ticks(path, dictionaries=True, **asked))
        assert pa.types.is_dictionary(found["symbol"].type)
        assert pa.types.is_dictionary(found["tick_type"].type)
        plain = pa.Table.from_batches(read_ticks(path, **asked)).drop_columns(["push_type"])
        assert found.drop_columns(["push_type"]).cast(plain.schema).equals(plain)
        assert found["push_type"].null_count == found.num_rows == plain.num_rows > 0


def test_a_column_of_a_later_schema_is_null(tmp_path: Path, table: pa.Table) -> None:
    """An archived day keeps the columns of its time."""
    pq.write_table(table.drop_columns(["push_type"]), tmp_path / "older.parquet")
    found = pa.Table.from_batches(read_ticks(tmp_path / "older.parquet", columns=["seq", "push_type"]))
    assert found["push_type"].null_count == table.num_rows


def test_faults_of_a_file_are_named(tmp_path: Path, table: pa.Table) -> None:
    """Missing, cut, another kind of file, another table: one line with the name of the file."""
    path = tmp_path / "day.parquet"
    pq.write_table(table, path)
    content = path.read_bytes()
    for name, data in (("cut", content[:-100]), ("empty", b""), ("text", b"hello " * 100)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(StoreError, match=name):
            list(read_ticks(tmp_path / name))
    with pytest.raises(StoreError, match="nothing"):
        list(read_ticks(tmp_path / "nothing"))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other")
    with pytest.raises(StoreError, match="is not an archived day"):
        list(read_ticks(tmp_path / "other"))

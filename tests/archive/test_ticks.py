"""Ticks are read from the Parquet file as they were written, and the bytes of the file are always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.archive.conftest import SYMBOLS

from hk_tick_collector.archive import ticks
from hk_tick_collector.archive.digests import Digests
from hk_tick_collector.errors import ArchiveError, StoreError
from hk_tick_collector.frames.columns import schema
from hk_tick_collector.frames.parquet_file import read_ticks
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.conftest import MakeDay

DAY = "20261120"


def write(source: Path, target: Path) -> ticks.Written:
    return ticks.write(source, target, {"schema": "3"}, 400, lambda *_: None)


def test_every_value_comes_back(make_day: MakeDay, tmp_path: Path) -> None:
    """Row by row, in the order of symbol and seq."""
    source = make_day(DAY)
    written = write(source, tmp_path / "x.parquet")
    assert written[:3] == (400, dict.fromkeys(SYMBOLS, (200, 20_000)), 3)
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    with DayReader(source) as reader:
        stored = list(reader.ticks_by_key())
    assert [(row["symbol"], row["seq"], row["price"], row["push_type"]) for row in rows] == [
        (tick.symbol, tick.seq, tick.price, tick.push_type) for tick in stored
    ]
    assert [row["ts"].timestamp() * 1000 for row in rows] == [tick.ts_ms for tick in stored]


def test_how_it_is_written(make_day: MakeDay, tmp_path: Path) -> None:
    """Types, order, encodings and what the file says of itself."""
    written = write(make_day(DAY), tmp_path / "x.parquet")
    with pq.ParquetFile(tmp_path / "x.parquet") as file:
        about = file.metadata
        group = about.row_group(0)
        columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
        assert "DELTA_BINARY_PACKED" in columns["seq"].encodings
        assert "RLE_DICTIONARY" in columns["price"].encodings
        assert {column.compression for column in columns.values()} == {"ZSTD"}
        assert str(file.schema_arrow.field("ts").type) == "timestamp[ms, tz=UTC]"
        nullable = [field.name for field in file.schema_arrow if field.nullable]
        assert nullable == ["opend_recv_ts", "type_sign"]  # what schema 4 added
        assert "DELTA_BINARY_PACKED" in columns["opend_recv_ts"].encodings
        told = about.metadata or {}
        assert told[b"hk_tick_collector.digest"].decode() == written.digest
        assert told[b"hk_tick_collector.schema"] == b"3"
        assert [each.column_index for each in group.sorting_columns] == [1, 2]


def test_the_same_bytes_each_time(make_day: MakeDay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows a batch of the day file has."""
    source = make_day(DAY)
    monkeypatch.setattr(ticks, "ROW_GROUP_ROWS", 150)
    write(source, tmp_path / "one")
    monkeypatch.setattr("hk_tick_collector.frames.day_file.BATCH_ROWS", 37)
    write(source, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with pq.ParquetFile(tmp_path / "one") as file:
        assert [file.metadata.row_group(at).num_rows for at in range(3)] == [150, 150, 100]


def test_a_day_without_ticks_has_a_file(make_day: MakeDay, tmp_path: Path) -> None:
    """With every column and no row."""
    written = write(make_day(DAY, 0), tmp_path / "x.parquet")
    assert written[:3] == (0, {}, None)
    assert pq.read_table(tmp_path / "x.parquet").num_columns == len(schema())


def test_no_flipped_byte_gives_other_ticks_unnoticed(make_day: MakeDay, tmp_path: Path) -> None:
    """Wherever it is in the file: it is damage, or another digest, or every tick is as before."""
    digest = write(make_day(DAY), tmp_path / "x.parquet").digest
    content, before = (tmp_path / "x.parquet").read_bytes(), pq.read_table(tmp_path / "x.parquet")
    noticed = 0
    for at in range(4, len(content), 97):
        (tmp_path / "y.parquet").write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        digests = Digests(schema())
        try:
            for batch in ticks.read_back(tmp_path / "y.parquet"):
                digests.update(batch)
            noticed += digests.content() != digest
        except ArchiveError:
            noticed += 1
            continue
        assert digests.content() != digest or pq.read_table(tmp_path / "y.parquet").equals(before)
    assert noticed > 10


def test_a_flipped_bit_is_an_error_to_every_reader(make_day: MakeDay, tmp_path: Path) -> None:
    """Also to who reads without the certificate: a page whose checksum is wrong gives no tick, and no wrong price."""
    path = tmp_path / "x.parquet"
    write(make_day(DAY), path)
    whole, group = path.read_bytes(), pq.read_metadata(path).row_group(0)
    before = pa.Table.from_batches(list(read_ticks(path, day=DAY)))
    for column in map(group.column, range(group.num_columns)):
        end = column.dictionary_page_offset or column.data_page_offset
        end += column.total_compressed_size
        for at in (end - 1, end - 2, end - 3):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            with pytest.raises(StoreError, match="cannot read"):
                list(read_ticks(path, day=DAY))
    path.write_bytes(whole)
    assert pa.Table.from_batches(list(read_ticks(path, day=DAY))).equals(before)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("direction = CAST(x'ff41' AS TEXT)", "direction has text that is not UTF-8"),
        ("push_type = CAST(x'eda080' AS TEXT)", "push_type has text that is not UTF-8"),
        ("ts_ms = ts_ms | (1 << 62)", "ts is 4611"),
        ("ts_ms = ts_ms + 86400000", "which is not on 2026-11-20"),
        ("recv_ts_ms = recv_ts_ms | (1 << 58)", "recv_ts is 28823"),
        ("opend_recv_ts_ms = -1", "opend_recv_ts is -1"),
    ],
)
def test_nothing_is_archived_that_its_readers_refuse(make_day: MakeDay, tmp_path: Path, change: str, says: str) -> None:
    """One value that no collector writes, such as after one changed bit: one line with the file and the column."""
    source = make_day(DAY)
    source.chmod(0o640)
    with apsw.Connection(str(source)) as db:
        db.execute(f"UPDATE ticks SET {change} WHERE symbol = 'HK.00700' AND seq & 255 = 9")
    with pytest.raises(StoreError) as told:
        write(source, tmp_path / "x.parquet")
    assert str(told.value).startswith(f"{source}: ")
    assert says in str(told.value)


def test_counters_that_do_not_agree(make_day: MakeDay, tmp_path: Path) -> None:
    """A tick that another program moved from one symbol to another in a sealed file: the sums of the day are right."""
    source = make_day(DAY)
    source.chmod(0o640)
    with apsw.Connection(str(source)) as db:
        db.execute("UPDATE ticks SET symbol = 'HK.00005', seq = seq + 1 WHERE symbol = 'HK.00700' AND seq & 15 = 8")
    written = write(source, tmp_path / "x.parquet")
    counters = dict.fromkeys(SYMBOLS, (200, 20_000))
    assert written.rows == sum(rows for rows, _ in counters.values())
    with pytest.raises(
        StoreError, match=r"ticks of HK.00005 with volume .* its counters say 200 with 20,000; so with 2"
    ):
        ticks.demand_counters(source, written, counters)

"""Writes the ticks of a day as one Parquet file, reads it back from the disk, and compares.

Enters: a day file. Leaves: a Parquet file whose columns have the digests of the day file's columns. The same ticks give
the same bytes, whenever and however often they are written, with the same version of pyarrow. Memory holds two row
groups and the batch that is read ahead.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from hk_tick_collector import market
from hk_tick_collector.errors import ArchiveError, StoreError
from hk_tick_collector.frames.ahead import ahead
from hk_tick_collector.frames.day_file import BATCH_ROWS, read_ticks
from hk_tick_collector.frames.extras import need
from hk_tick_collector.store.bounded_reading import SAVE_HINT

from .digests import Digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    Progress = Callable[[str, int, int], None]  # (name of the step, done, in total), of rows or of bytes

ROW_GROUP_ROWS: Final = 131_072  # from 16 thousand to a million rows the size of the file changes by 2 %
DELTA: Final = ("seq", "ts", "recv_ts", "opend_recv_ts")  # numbers that grow: their differences are small
METADATA: Final = "hk_tick_collector."  # the prefix of our entries in the file's metadata
_COMPRESSION: Final = "zstd"
_NONE: Final = (0, 0)
_LEVEL: Final = 3  # level 15 saves 4 % of the bytes and needs 14 times the CPU time


class Written(NamedTuple):
    """A Parquet file that was written and read back."""

    rows: int
    by_symbol: dict[str, tuple[int, int]]  # symbol → ticks, volume (shares)
    least_delay_ms: int | None  # of the ticks that were pushed in real time: from the trade to our socket
    digest: str  # of the content, as hex digits: see digests.py


def write(source: Path, target: Path, facts: dict[str, str], expected_rows: int, progress: Progress) -> Written:
    """Writes the ticks of a day file as `target`, synced, and compares what it reads back from the disk.

    `facts` go into the file's metadata, with the digests. Raises the errors of the day file's reading, so nothing is
    archived that a reader of the archive refuses; StoreError for a tick of another day; ArchiveError if the copy cannot
    be written or differs.
    """
    need("pyarrow.parquet", "data")
    from hk_tick_collector.frames.columns import schema

    digests, sums = Digests(schema()), _Sums()
    with target.open("wb") as file, closing(ahead(read_ticks(source))) as ticks:
        told = _told(_of_one_day(ticks, source), digests, sums, lambda: progress("write", digests.rows, expected_rows))
        write_parquet(told, file, lambda: _metadata(facts, digests))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that the check reads from the disk
    copy = Digests(schema())
    for batch in ahead(read_back(target)):
        copy.update(batch)
        progress("verify", copy.rows, digests.rows)
    if copy.by_column() != digests.by_column() or copy.rows != digests.rows:
        raise ArchiveError(
            f"what was read back from {target.parent} is not what was written", hint="check its disk: sudo dmesg | tail"
        )
    return Written(digests.rows, sums.by_symbol, sums.least_delay_ms, digests.content())


def read_back(source: Path | Any) -> Iterator[pa.RecordBatch]:
    """The batches of a Parquet file of ours, all columns in their order. ArchiveError if it is damaged or another's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hk_tick_collector.frames.columns import schema

    try:
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            if not file.schema_arrow.remove_metadata().equals(schema()):
                raise ArchiveError(f"{source} does not have the columns of an archived day")
            yield from file.iter_batches(BATCH_ROWS)
    except (OSError, pa.ArrowException, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ArchiveError(f"{source} is damaged ({words})", hint="hk-tick-collector certificate --check") from error


def write_parquet(batches: Iterable[pa.RecordBatch], file: Any, metadata: Callable[[], dict[str, str]]) -> None:
    """Writes batches of all columns, sorted by (symbol, seq), as the archive has them; `metadata` is asked last."""
    import pyarrow.parquet as pq

    from hk_tick_collector.frames.columns import schema as columns

    schema = columns()
    with pq.ParquetWriter(
        file,
        schema,
        compression=_COMPRESSION,
        compression_level=_LEVEL,
        use_dictionary=cast("bool", [name for name in schema.names if name not in DELTA]),  # its stubs know no list
        column_encoding=dict.fromkeys(DELTA, "DELTA_BINARY_PACKED"),
        write_page_checksum=True,  # so that a flipped bit is an error to every reader, not a wrong price
        sorting_columns=[pq.SortingColumn(schema.names.index(name)) for name in ("symbol", "seq")],
    ) as writer:
        for group in _groups(batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata(metadata())


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables of ROW_GROUP_ROWS, so that the file does not depend on the size of the batches."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        left: pa.RecordBatch = batch
        while rows + left.num_rows >= ROW_GROUP_ROWS:
            part = left.slice(0, ROW_GROUP_ROWS - rows)
            yield pa.Table.from_batches([*waiting, part])
            left, waiting, rows = left.slice(part.num_rows), [], 0
        if left.num_rows:
            waiting.append(left)
            rows += left.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)


def _of_one_day(batches: Iterable[pa.RecordBatch], source: Path) -> Iterator[pa.RecordBatch]:
    """The same batches. StoreError for a tick that was not traded on its day: a collector stores it in another file."""
    import pyarrow as pa
    import pyarrow.compute

    min_max: Any = pyarrow.compute.min_max
    for batch in batches:
        if batch.num_rows:
            day = market.parse_day(batch.column("date")[0].as_py().isoformat())
            for ms in min_max(batch.column("ts").cast(pa.int64())).as_py().values():
                if market.day_number(ms) != day:
                    raise StoreError(
                        f"{source}: ts is {ms}, which is not on {market.day_date(day)}",
                        hint=SAVE_HINT,
                    )
        yield batch


def _told(
    batches: Iterable[pa.RecordBatch], digests: Digests, sums: _Sums, tell: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        digests.update(batch)
        sums.update(batch)
        tell()
        yield batch


def _metadata(facts: dict[str, str], digests: Digests) -> dict[str, str]:
    own = {**facts, "rows": str(digests.rows), "digest": digests.content()}
    own["digests"] = json.dumps(digests.by_column(), sort_keys=True)
    return {METADATA + name: text for name, text in sorted(own.items())}


class _Sums:
    """The figures of the ticks in the certificate; the counters of the day file must agree with them."""

    def __init__(self) -> None:
        self.by_symbol: dict[str, tuple[int, int]] = {}
        self.least_delay_ms: int | None = None

    def update(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not batch.num_rows:
            return
        wanted: Any = [("volume", "count"), ("volume", "sum")]
        sums = pa.table(batch.select(["symbol", "volume"])).group_by("symbol").aggregate(wanted).to_pydict()
        for symbol, rows, volume in zip(sums["symbol"], sums["volume_count"], sums["volume_sum"], strict=True):
            before = self.by_symbol.get(symbol, (0, 0))  # a symbol may go on in the next batch
            self.by_symbol[symbol] = (before[0] + rows, before[1] + volume)
        delays = pc.subtract(batch.column("recv_ts").cast(pa.int64()), batch.column("ts").cast(pa.int64()))
        realtime = pc.equal(batch.column("push_type"), pa.scalar("realtime"))
        least = pc.min(pc.if_else(realtime, delays, None)).as_py()
        if least is not None and (self.least_delay_ms is None or least < self.least_delay_ms):
            self.least_delay_ms = least


def demand_counters(source: Path, written: Written, counters: Mapping[str, tuple[int, int]]) -> None:
    """Raises StoreError unless the counters of each symbol (its ticks, its volume) agree: a trigger has updated them
    with each tick.
    """
    found = written.by_symbol
    wrong = sorted(symbol for symbol in {*found, *counters} if found.get(symbol, _NONE) != counters.get(symbol, _NONE))
    if wrong:
        rows, volume = found.get(wrong[0], _NONE)
        counted_rows, counted_volume = counters.get(wrong[0], _NONE)
        raise StoreError(
            f"{source} has {rows:,} ticks of {wrong[0]} with volume {volume:,}, and its counters say {counted_rows:,}"
            f" with {counted_volume:,}; so with {len(wrong):,} symbols",
            hint="its bytes were changed since: take it from a snapshot or a backup; see docs/sqlite-wal.md",
        )


def spare_memory() -> None:
    """Makes Arrow use an allocator that keeps less memory: 220 MB instead of 280 MB for a day of 5 M rows. It affects
    the whole process, so call it only in a process that does nothing else.
    """
    pa = need("pyarrow", "data")
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())

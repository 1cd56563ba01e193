"""Ticks of an archived day as Arrow record batches. Row groups that cannot match are not read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.disk import open_regular

from .day_file import BATCH_ROWS
from .extras import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq

_GROUPS_AT_ONCE: Final = 8  # of a remote file: some 9 MB with all columns


def read_ticks(
    source: Path | Any,
    *,
    day: str = "",
    symbols: Sequence[str] = (),
    from_ms: int | None = None,
    to_ms: int | None = None,
    columns: Sequence[str] = (),
    dictionaries: bool = False,
    remote: str = "",
    named: str = "",
    as_stored: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yields the ticks of a Parquet file of the archive, as `day_file.read_ticks` does. `source` is a path or a file.

    `day`: like `20261120`; a file whose metadata says that it is of another day is refused. A column that the file does
    not have, because its schema is older, is NULL. With `dictionaries` texts stay codes of a dictionary, as they are
    read: that saves as much again. `remote`: the name of a file whose reads are requests over the network; those that
    lie side by side are joined. `named`: the name of another open file in errors. Text that is not UTF-8 and impossible
    times are errors, except with `as_stored`, which is for a copy that is compared. Raises StoreError for a file that
    is missing, damaged, or no archived day; CollectorError without the extra `data`.
    """
    pa, parquet = need("pyarrow", "data"), need("pyarrow.parquet", "data")
    from .columns import COLUMNS, NAMES, schema
    from .faults import fault_of

    named = named or remote or str(source)
    names = tuple(columns) or NAMES
    target = schema(names)
    if dictionaries:
        coded = pa.dictionary(pa.int32(), pa.string())
        target = pa.schema([field.with_type(coded) if field.type == pa.string() else field for field in target])
    try:
        if isinstance(source, Path):
            os.close(open_regular(source))  # Arrow would wait for ever for a named pipe
        about = parquet.read_metadata(source)
        there = set(about.schema.to_arrow_schema().names)
        # Texts as codes of a dictionary take a third of the time.
        texts = [column.name for column in COLUMNS if column.type == pa.string() and column.name in there]
        checked = {"page_checksum_verification": True, "pre_buffer": bool(remote)}  # old files have no checksums
        with parquet.ParquetFile(source, metadata=about, read_dictionary=texts, **checked) as file:
            if day and (own := _day_of(about)) not in ("", day):
                raise StoreError(
                    f"{named} is the file of {own}, not of {day}", hint="hk-tick-collector certificate --check"
                )
            if missing := {"symbol", "seq", "ts"} - there:
                raise StoreError(f"{named} is not an archived day: it has no column {min(missing)}")
            groups = [group for group in range(file.num_row_groups) if _may_match(file, group, symbols, from_ms, to_ms)]
            asked = [name for name in dict.fromkeys((*names, "symbol", "ts")) if name in there]
            for batch in _batches(file, groups, asked, at_once=_GROUPS_AT_ONCE if remote else len(groups)):
                kept = _kept(batch, symbols, from_ms, to_ms)
                if kept.num_rows:
                    arrays = [
                        kept.column(field.name).cast(field.type)
                        if field.name in there
                        else pa.nulls(kept.num_rows, field.type)
                        for field in target
                    ]
                    typed = pa.RecordBatch.from_arrays(arrays, schema=target)
                    # The codes are checked faster than the texts, but may have a text that only other rows have.
                    if not as_stored and fault_of(kept) and (fault := fault_of(typed)):
                        raise StoreError(f"{named}: {fault}", hint="hk-tick-collector certificate --check")
                    yield typed
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:  # also a name that is not UTF-8
        words = " ".join(str(error).split())[:300]
        raise StoreError(f"cannot read {named} ({words})", hint="hk-tick-collector certificate --check") from error


def _batches(file: pq.ParquetFile, groups: list[int], columns: list[str], *, at_once: int) -> Iterator[pa.RecordBatch]:
    """The batches of these row groups. Where reads are joined, `at_once` groups are read before their first batch."""
    for start in range(0, len(groups), max(1, at_once)):
        yield from file.iter_batches(BATCH_ROWS, row_groups=groups[start : start + at_once], columns=columns)


def _day_of(about: pq.FileMetaData) -> str:
    """The day that the metadata of an archived file states, like `20261120`; empty if it states none."""
    return (about.metadata or {}).get(b"hk_tick_collector.day", b"").decode("ascii", "replace").replace("-", "")


def _may_match(
    file: pq.ParquetFile, group: int, symbols: Sequence[str], from_ms: int | None, to_ms: int | None
) -> bool:
    """Whether a row group can have such ticks, by the lowest and highest values that the file states for it.

    Only the values that are needed are decoded: a damaged one of another column is no reason to refuse the file.
    """
    wanted = {*(["symbol"] if symbols else []), *([] if from_ms is None and to_ms is None else ["ts"])}
    about = file.metadata.row_group(group)
    for index in range(about.num_columns):
        column = about.column(index)
        if column.path_in_schema not in wanted:
            continue
        stated = column.statistics
        if stated is None or not stated.has_min_max:
            continue
        least: Any = stated.min
        most: Any = stated.max
        if column.path_in_schema == "symbol" and not any(least <= each <= most for each in symbols):
            return False
        if column.path_in_schema == "ts":
            low, high = (int(value.timestamp() * 1000) for value in (least, most))
            if (from_ms is not None and high + 1 < from_ms) or (to_ms is not None and low - 1 >= to_ms):
                return False
    return True


def _kept(batch: pa.RecordBatch, symbols: Sequence[str], from_ms: int | None, to_ms: int | None) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: Any = None
    if symbols:
        symbol = cast("pa.DictionaryArray[Any, Any]", batch.column("symbol"))
        codes = [code for code, name in enumerate(symbol.dictionary.to_pylist()) if name in symbols]
        found = pc.is_in(symbol.indices, pa.array(codes, symbol.indices.type))
    ts = batch.column("ts")
    if from_ms is not None:
        later = pc.greater_equal(ts, pa.scalar(from_ms, ts.type))
        found = later if found is None else pc.and_(found, later)
    if to_ms is not None:
        earlier = pc.less(ts, pa.scalar(to_ms, ts.type))
        found = earlier if found is None else pc.and_(found, earlier)
    return batch if found is None or pc.all(found).as_py() else batch.filter(found)

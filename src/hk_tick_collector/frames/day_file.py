"""Ticks of a day file as Arrow record batches, through ADBC: a quarter of the CPU that rows as tuples cost.

It reads only, in one transaction, beside the collector.
"""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from hk_tick_collector import market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.bounded_reading import SAVE_HINT
from hk_tick_collector.store.query import DayReader, demand_day, is_date

from .extras import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from pathlib import Path

    import pyarrow as pa

_LISTED: Final = 1000
BATCH_ROWS: Final = 65_536  # larger batches are not faster, smaller ones are slower
# The driver takes a column's type from the first batch, and int64 if all of it is NULL. A text in a later batch would
# then be an error. So a missing text is read as an empty one, which no day file has, and made null again.
_SELECTED: Final = {"type_sign": "ifnull(type_sign, '') AS type_sign"}


def read_ticks(
    path: Path,
    *,
    symbols: Sequence[str] = (),
    from_ms: int | None = None,
    to_ms: int | None = None,
    columns: Sequence[str] = (),
    as_stored: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yields the ticks of a day file in the order of (symbol, seq), as batches of the columns of `columns.COLUMNS`.

    `symbols`: only these; `from_ms` and `to_ms`: only ticks with from_ms <= ts < to_ms, UTC epoch ms; `columns`: only
    these, in this order. Text that is not UTF-8 and impossible times are errors, except with `as_stored`, which is
    for comparisons only. Close the iterator soon: while it is open, the WAL of a day that is being written grows.
    Raises NoDayError, ForeignFileError or another StoreError, CollectorError without the extra `data`.
    """
    need("pyarrow", "data")
    driver = need("adbc_driver_sqlite.dbapi", "data")
    from .columns import COLUMNS, NAMES, schema
    from .faults import fault_of

    names = tuple(columns) or NAMES
    target = schema(names)
    stored = {column.name: column.stored for column in COLUMNS if column.stored}
    with DayReader(path) as reader:  # checks what the file is, and names what is wrong with it
        meta, there = reader.meta(), reader.tick_columns
    named = market.day_name(market.parse_day(path.stem)) if is_date(path.stem) else ""
    day = named or meta["trading_day"]  # a copy may have any name
    demand_day(path, day, meta)
    stored = {name: column for name, column in stored.items() if column in there}  # an older schema has fewer
    chosen = [_SELECTED.get(stored[name], stored[name]) for name in names if name in stored] or ["seq"]
    where, values = _where(symbols, from_ms, to_ms)
    sql = f"SELECT {', '.join(chosen)} FROM ticks {where} ORDER BY symbol, seq"  # noqa: S608 - our own names
    trading_day = market.day_date(market.parse_day(day))
    with named_errors(path), closing(driver.connect(f"file:{quote(str(path.absolute()))}?mode=ro")) as connection:
        cursor = connection.cursor()
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": BATCH_ROWS})
        with closing(cursor):
            cursor.execute(sql, values)
            for batch in cursor.fetch_record_batch():
                typed = _typed(batch, names, target, stored, trading_day)
                if not as_stored and (fault := fault_of(typed)):
                    raise StoreError(f"{path}: {fault}", hint=SAVE_HINT)
                yield typed


def _where(symbols: Sequence[str], from_ms: int | None, to_ms: int | None) -> tuple[str, tuple[Any, ...]]:
    terms: list[str] = []
    values: list[Any] = []
    if symbols:
        # One parameter for all, because SQLite allows 32,766. For few symbols a list is read faster.
        many = len(symbols) > _LISTED
        chosen = "SELECT value FROM json_each(?)" if many else ", ".join("?" * len(symbols))
        terms.append(f"symbol IN ({chosen})")
        values += [json.dumps(symbols)] if many else symbols
    if from_ms is not None:
        terms.append("ts_ms >= ?")
        values.append(from_ms)
    if to_ms is not None:
        terms.append("ts_ms < ?")
        values.append(to_ms)
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), tuple(values)


def _typed(
    batch: pa.RecordBatch, names: Sequence[str], target: pa.Schema, stored: dict[str, str], trading_day: date
) -> pa.RecordBatch:
    """The batch with the declared types. The driver takes its types from the first rows, and has none without rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays = []
    for name, field in zip(names, target, strict=True):
        if name in stored:
            values: Any = batch.column(stored[name]).cast(field.type)
            if stored[name] in _SELECTED:
                values = pc.if_else(pc.equal(values, pa.scalar("")), pa.scalar(None, field.type), values)
            arrays.append(values)
        elif name != "date":
            arrays.append(pa.nulls(batch.num_rows, field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(trading_day, field.type), batch.num_rows))
    return pa.RecordBatch.from_arrays(arrays, schema=target)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Replaces errors of the driver and of Arrow by StoreErrors that name the file."""
    import adbc_driver_manager
    import pyarrow as pa

    try:
        yield
    except (adbc_driver_manager.Error, pa.ArrowException, OSError, OverflowError) as error:  # OSError: a later batch
        words = " ".join(str(error).split())[:300]
        raise StoreError(f"cannot read {path} ({words})", hint=SAVE_HINT) from error

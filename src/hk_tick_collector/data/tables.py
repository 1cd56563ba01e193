"""The other tables of a day as Arrow: gaps, symbols, instruments, from the day file or from the book of the archive.

Small tables only: each is read whole. Each read is one statement, so its rows are of one moment.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from hk_tick_collector import market
from hk_tick_collector.archive.remote import RemoteFile
from hk_tick_collector.errors import StoreError
from hk_tick_collector.frames.day_file import named_errors
from hk_tick_collector.frames.extras import need
from hk_tick_collector.model import Gap
from hk_tick_collector.store.bounded_reading import SAVE_HINT
from hk_tick_collector.store.query import DayReader, demand_day

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from .days import Source


SYMBOLS: Final = "SELECT symbol FROM symbols WHERE rows > 0"
_NO_END: Final = 2**63 - 1  # the end of the gap is unknown
_ADDED_ROWS: Final = 10_000


class Table(NamedTuple):
    """One table over all days: its columns, the first of which is `date`, and the statement for the others."""

    name: str
    schema: pa.Schema
    sql: str
    may_lack: bool  # days written by an earlier version do not have it

    def of_day(self, source: Source, symbols: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a day. StoreError if the day has no book, or if the file lacks a table that it should have."""
        pa = need("pyarrow", "data")
        found = read(source, self.sql, symbols, pa.schema(list(self.schema)[1:]))
        if found is None and source.book is None:
            raise StoreError(
                f"the book of {source.name} is missing: its {self.name} are not known",
                hint=f"it belongs to {source.books}",
            )
        if found is None and not self.may_lack:
            raise StoreError(f"{source.book} has no table {self.name}", hint="it is not a file of this collector")
        if found is not None and found.num_rows:
            dates = pa.repeat(pa.scalar(market.day_date(source.day), pa.date32()), found.num_rows)
            yield from pa.Table.from_arrays([dates, *found.columns], schema=self.schema).to_batches()


def gaps(symbols: Sequence[str], *, only_open: bool) -> Table:
    """The gaps, oldest first; `to_seq` is NULL where the end is unknown."""
    where = f"{of_symbols(symbols)} AND status = 'open'" if only_open else of_symbols(symbols)
    sql = f"""SELECT symbol, from_seq, nullif(to_seq, {_NO_END}), from_ts_ms, to_ts_ms, missing, cause, status,
                     opened_ms, closed_ms FROM gaps WHERE {where} ORDER BY opened_ms, symbol, from_seq"""  # noqa: S608
    filled = ("symbol str", "cause str", "status str", "opened ms")
    some = ("from_seq int", "to_seq int", "from_ts ms", "to_ts ms", "missing int", "closed ms")
    order = ("symbol", "from_seq", "to_seq", "from_ts", "to_ts", "missing", "cause", "status", "opened", "closed")
    return Table("gaps", _schema(order, filled, some), sql, may_lack=False)


def gaps_by_id(source: Source) -> pa.Table:
    """All gaps of a day that has a book, with the columns and numbers of the day file; times are UTC epoch ms."""
    pa = need("pyarrow", "data")
    text, columns = ("symbol", "cause", "status"), Gap._fields
    schema = pa.schema([(name, pa.string() if name in text else pa.int64()) for name in columns])
    found = read(source, f"SELECT {', '.join(columns)} FROM gaps", (), schema)  # noqa: S608 - our own names
    if found is None:
        raise StoreError(f"{source.book} has no table gaps", hint="it is not a file of this collector")
    return found


def instruments(symbols: Sequence[str]) -> Table:
    """What OpenD said about each symbol, by name of the symbol."""
    columns = "symbol, name, lot_size, type, suspended, listing_date, previous_close, updated_ms"
    sql = f"SELECT {columns} FROM instruments WHERE {of_symbols(symbols)} ORDER BY symbol"  # noqa: S608
    filled = ("symbol str", "updated ms")
    some = ("name str", "lot_size int", "type str", "suspended bool", "listing_date date", "previous_close float")
    order = ("symbol", "name", "lot_size", "type", "suspended", "listing_date", "previous_close", "updated")
    return Table("instruments", _schema(order, filled, some), sql, may_lack=True)


def names_schema() -> pa.Schema:
    """The schema of `SYMBOLS`."""
    return _schema(("symbol",), ("symbol str",), (), date=False)


def _schema(order: Sequence[str], filled: Sequence[str], some: Sequence[str], *, date: bool = True) -> pa.Schema:
    """A schema from `name type`: columns in `filled` are never NULL, those in `some` may be."""
    need("pyarrow", "data")
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "str": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "date": pa.date32(),
        "ms": pa.timestamp("ms", "UTC"),
    }
    fields = {}
    for columns, nullable in ((filled, False), (some, True)):
        for name, _, kind in (column.partition(" ") for column in columns):
            fields[name] = pa.field(name, types[kind], nullable)
    first = [pa.field("date", pa.date32(), nullable=False)] if date else []
    return pa.schema([*first, *(fields[name] for name in order)])


def read(source: Source, sql: str, values: Sequence[Any], schema: pa.Schema) -> pa.Table | None:
    """The rows of a statement, with the types of `schema`; None if the day has no book, or if the table does not exist.

    Raises StoreError for a file that cannot be read, CollectorError without the extra `data`.
    """
    if source.book is None:
        return None
    book = source.book.local() if isinstance(source.book, RemoteFile) else source.book
    demand_day(book, source.name, _meta(book, finished=source.is_archived))
    return _rows(book, sql, values, schema, finished=source.is_archived)


def _meta(path: Path, *, finished: bool) -> dict[str, str]:
    """The table `meta`, of which a book is asked for the day alone."""
    if not finished:
        with DayReader(path) as reader:  # checks what the file is, and names what is wrong with it
            return reader.meta()
    pa = need("pyarrow", "data")
    sql = "SELECT value FROM meta WHERE key = 'trading_day'"
    found = _rows(path, sql, (), pa.schema([("value", pa.string())]), finished=True)
    return {"trading_day": str(found["value"][0])} if found else {}


def _rows(path: Path, sql: str, values: Sequence[Any], schema: pa.Schema, *, finished: bool) -> pa.Table | None:
    need("pyarrow", "data")
    driver = need("adbc_driver_sqlite.dbapi", "data")
    import pyarrow as pa

    from hk_tick_collector.frames.faults import text_fault

    # A book is finished: no file is created beside it, also where the reader might write.
    uri = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if finished else ''}"
    try:
        with (
            named_errors(path),
            closing(driver.connect(uri)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            # The driver takes the type of a column from its first batch, and int64 if all of it is NULL. So there is
            # one batch, with room for rows that are added meanwhile.
            cursor.execute(f"SELECT count(*) FROM ({sql})", tuple(values))  # noqa: S608 - our own statements
            rows = cursor.fetchone()[0] + _ADDED_ROWS
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": rows})
            cursor.execute(sql, tuple(values))
            found: pa.Table = cursor.fetch_arrow_table()
            columns = [
                pa.nulls(len(column), field.type) if column.null_count == len(column) else column.cast(field.type)
                for column, field in zip(found.columns, schema, strict=True)
            ]
            table = pa.Table.from_arrays(columns, schema=schema)
    except StoreError as error:
        if "no such table" in str(error.__cause__):
            return None
        raise
    for batch in table.to_batches():
        for field, column in zip(schema, batch.columns, strict=True):
            if fault := text_fault(column):
                raise StoreError(f"{path}: {field.name} {fault}", hint=SAVE_HINT)
    return table


def of_symbols(symbols: Sequence[str]) -> str:
    """A term of WHERE for these symbols, or for all; its values are the symbols."""
    return f"symbol IN ({', '.join('?' * len(symbols))})" if symbols else "1"

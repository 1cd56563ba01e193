"""The result of a request to a `Store`: it streams, or becomes a frame of the library that the caller uses.

No file is read before a method is called. Each method reads the files again, so a result can be used several times and
uses no memory between calls. If a day is being written, a later call has more ticks.
"""

from __future__ import annotations

import importlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.errors import CollectorError
from hk_tick_collector.frames.extras import need

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import date
    from os import PathLike
    from types import ModuleType

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

ZONE: Final = "Asia/Hong_Kong"


class Result:
    """Rows of one schema, in record batches. It can be asked any number of times; each time the files are read again.

    Times are `timestamp[ms]` with the zone Asia/Hong_Kong in every frame, and UTC in a Parquet file; `seq` is int64,
    prices and turnover are float64. The order of ticks is that of (date, symbol, seq), which within a symbol is the
    order of the feed. Any library that reads the Arrow PyCapsule interface takes a result as it is:
    `polars.DataFrame(result)`, `pyarrow.table(result)`, `duckdb.sql("SELECT … FROM result")`.

    Every method may raise StoreError (a file is damaged, missing or locked) and CollectorError (a library is missing;
    the hint is the command that installs it).
    """

    def __init__(
        self,
        schema: pa.Schema,
        read: Callable[[], Generator[pa.RecordBatch, None, None]],
        words: str,
        days: tuple[date, ...],
    ) -> None:
        self._stored = schema  # as in files: times in UTC
        self._read = read
        self._words = words
        self.days = days  #: the days that are read, oldest first

    def __repr__(self) -> str:
        return f"<{self._words}>"

    @property
    def schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        return _in_hong_kong(self._stored)

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows as `pyarrow.RecordBatch`, at most 65,536 in each, while they are read.

        Close the iterator if you stop early (`contextlib.closing`): while it is open, the WAL of a day that is being
        written cannot be emptied.
        """
        pa = need("pyarrow", "data")
        schema = self.schema
        with closing(self._read()) as batches:
            for batch in batches:
                columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as a stream of the Arrow C interface: for polars, pyarrow, DuckDB and others that read it."""
        pa = need("pyarrow", "data")
        stream: object = pa.RecordBatchReader.from_batches(self.schema, self.batches()).__arrow_c_stream__(
            requested_schema
        )
        return stream

    def arrow(self) -> pa.Table:
        """All rows as a `pyarrow.Table`."""
        need("pyarrow", "data")
        import pyarrow as pa

        return pa.Table.from_batches(self.batches(), self.schema)

    def polars(self) -> pl.DataFrame:
        """All rows as a `polars.DataFrame`. Texts are `String`, times `Datetime("ms", "Asia/Hong_Kong")`."""
        polars = _library("polars")
        frame: pl.DataFrame = polars.from_arrow(self.arrow())
        return frame

    def pandas(self) -> pd.DataFrame:
        """All rows as a `pandas.DataFrame`. `date` is `datetime64` without a zone, times have Asia/Hong_Kong.

        Where a whole number may be missing (gaps, bars), the column is `Int64`: a float would round sequences.
        """
        pa, pandas = need("pyarrow", "data"), _library("pandas")
        may_be_missing = any(field.nullable and pa.types.is_integer(field.type) for field in self._stored)
        types = {pa.int64(): pandas.Int64Dtype()} if may_be_missing else {}
        frame: pd.DataFrame = self.arrow().to_pandas(
            date_as_object=False, types_mapper=types.get, split_blocks=True, self_destruct=True
        )
        return frame

    def duckdb(self, connection: DuckDBPyConnection | None = None) -> DuckDBPyRelation:
        """The rows as a DuckDB relation, which streams: memory does not hold them all. Each query reads them again.

        `connection` is one of yours; without it a new one in memory is made, with the time zone Asia/Hong_Kong.
        """
        duckdb = _library("duckdb")
        if connection is None:
            connection = duckdb.connect()
            connection.execute(f"SET TimeZone = '{ZONE}'")
        relation: DuckDBPyRelation = connection.from_arrow(self)
        return relation

    def parquet(self, path: str | PathLike[str], *, replace: bool = False) -> int:
        """Writes all rows into one Parquet file with the types of the archive, and returns their number.

        The file appears when it is complete and on the disk. UsageError if it exists, unless `replace`; StoreError if
        it cannot be written: then nothing is left of it.
        """
        need("pyarrow", "data")
        from .complete import write_file
        from .formats import Format

        return write_file(Path(path), Format.PARQUET, self._stored, self._read(), about={}, replace=replace)


def _library(name: str) -> ModuleType:
    """Imports a library of the caller's choice, which no extra of this package installs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise CollectorError(f"{name} is not installed", hint=f"pip install {name}") from None


def _in_hong_kong(schema: pa.Schema) -> pa.Schema:
    """The same columns with times of Hong Kong: the same moments, shown there."""
    pa = need("pyarrow", "data")
    zoned = pa.timestamp("ms", ZONE)
    fields = [field.with_type(zoned) if pa.types.is_timestamp(field.type) else field for field in schema]
    found: Any = pa.schema(fields)
    return found  # type: ignore[no-any-return]

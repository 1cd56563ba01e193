"""Batches → Parquet, CSV, Arrow or JSON lines, into an open file. At most one row group of Parquet stays in memory.

Parquet and Arrow keep the types of the batches. In CSV and JSON lines a time is Hong Kong time with its offset, like
`2026-11-20T09:30:00.250+08:00`; a number is the shortest text that gives the same number again.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from hk_tick_collector import market
from hk_tick_collector.frames.extras import need

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

GROUP_ROWS: Final = 131_072  # of Parquet; 16,384 to a million make files of the same size
_DELTA: Final = ("seq", "ts", "recv_ts", "opend_recv_ts")  # increasing within a symbol: half the bytes


class Format(StrEnum):
    """The format of a file; its value is also the suffix of the file's name."""

    PARQUET = "parquet"
    CSV = "csv"
    CSV_ZST = "csv.zst"
    ARROW = "arrow"
    JSONL = "jsonl"


class Writer(Protocol):
    """Writes batches of one schema. After `close` the file has all of them; the file itself stays open."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Writes a batch. Raises OSError."""
        ...

    def flush(self) -> None:
        """Writes the rows that are still in memory. Raises OSError."""
        ...

    def close(self) -> None:
        """Writes the remaining rows and the end of the file. Raises OSError."""
        ...


def writer(form: Format, file: IO[bytes], schema: pa.Schema, about: Mapping[str, str]) -> Writer:
    """A writer into an open file. `about` goes into the metadata of Parquet and Arrow files."""
    need("pyarrow", "data")
    if form is Format.PARQUET:
        return _Parquet(file, schema, about)
    if form is Format.ARROW:
        return _Arrow(file, schema, about)
    if form is Format.JSONL:
        return _JsonLines(file, schema)
    return _Csv(file, schema, compressed=form is Format.CSV_ZST)


class _Parquet:
    """The encodings of the archive; the rows are in the order in which they come."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, about: Mapping[str, str]) -> None:
        from pyarrow import parquet

        delta = [name for name in _DELTA if name in schema.names]
        make: Any = parquet.ParquetWriter  # its types do not know every argument
        self._writer = make(
            _Borrowed(file),
            schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=[name for name in schema.names if name not in delta],
            column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
        )
        self._writer.add_key_value_metadata(dict(about))
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """As `Writer.write`."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """As `Writer.flush`: writes a row group."""
        import pyarrow as pa

        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=GROUP_ROWS)
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        """As `Writer.close`."""
        self.flush()
        self._writer.close()

    def __del__(self) -> None:
        """If it was not closed, the file was given up: pyarrow would write its end, and complain that it cannot."""
        if made := getattr(self, "_writer", None):
            made.is_open = False


class _Arrow:
    """An Arrow file (Feather version 2), compressed with zstd."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, about: Mapping[str, str]) -> None:
        import pyarrow as pa

        self._schema = schema.with_metadata({**(schema.metadata or {}), **about})
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        make: Any = pa.ipc.new_file
        self._writer = make(_Borrowed(file), self._schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """As `Writer.write`."""
        import pyarrow as pa

        self._writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))

    def flush(self) -> None:
        """As `Writer.flush`: nothing is held back."""

    def close(self) -> None:
        """As `Writer.close`."""
        self._writer.close()


class _Csv:
    """A header, then a line for each row."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, *, compressed: bool) -> None:
        import pyarrow as pa
        from pyarrow import csv

        compress: Any = pa.CompressedOutputStream
        self._stream = compress(_Borrowed(file), "zstd") if compressed else None
        self._schema = pa.schema([(field.name, _text_type(field.type)) for field in schema])
        make: Any = csv.CSVWriter  # its types do not know every file
        self._writer = make(
            self._stream or _Borrowed(file),
            self._schema,
            write_options=csv.WriteOptions(quoting_style="needed", batch_size=65_536),
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """As `Writer.write`."""
        import pyarrow as pa

        self._writer.write_batch(
            pa.RecordBatch.from_arrays([_times_as_text(column) for column in batch.columns], schema=self._schema)
        )

    def flush(self) -> None:
        """As `Writer.flush`: nothing is held back."""

    def close(self) -> None:
        """As `Writer.close`."""
        self._writer.close()
        if self._stream is not None:
            self._stream.close()


class _Borrowed:
    """A file that stays open: Arrow's compressed stream closes what it writes to.

    Once the file is closed, because its disk is full, what Arrow still writes is lost: Arrow ends a writer that was
    given up when it is deleted, and would print a traceback.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        """Writes. Raises OSError."""
        return len(data) if self._file.closed else self._file.write(data)

    def flush(self) -> None:
        """Flushes. Raises OSError."""
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        """Closes nothing."""
        self.flush()


class _JsonLines:
    """An object for each row. A number that JSON does not have, and an empty cell, is null."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._file = file
        self._names = [json.dumps(name) for name in schema.names]

    def write(self, batch: pa.RecordBatch) -> None:
        """As `Writer.write`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        parts: list[Any] = []
        for place, (name, column) in enumerate(zip(self._names, batch.columns, strict=True)):
            parts += [f"{', ' if place else '{'}{name}: ", _as_json(column)]
        join: Any = pc.binary_join_element_wise
        lines = join(*(pa.scalar(part) if isinstance(part, str) else part for part in parts), "}\n", "")
        if batch.num_rows:
            _, offsets, text = lines.buffers()
            ends = memoryview(offsets).cast("i")
            self._file.write(memoryview(text)[ends[lines.offset] : ends[lines.offset + len(lines)]])

    def flush(self) -> None:
        """As `Writer.flush`: nothing is held back."""

    def close(self) -> None:
        """As `Writer.close`."""


def _as_json(column: pa.Array[Any]) -> pa.Array[Any]:
    """The values as JSON texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    if pa.types.is_string(kind):
        coded = column.dictionary_encode()
        texts: Any = pa.array([json.dumps(text) for text in coded.dictionary.to_pylist()], pa.string())
        found: Any = texts.take(coded.indices)
    elif pa.types.is_temporal(kind):
        join: Any = pc.binary_join_element_wise
        found = join('"', _times_as_text(column).cast(pa.string()), '"', "")
    else:
        found = column.cast(pa.string())
    return found.fill_null("null")  # type: ignore[no-any-return]


def _text_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return pa.string() if pa.types.is_timestamp(kind) else kind


def _times_as_text(column: pa.Array[Any]) -> pa.Array[Any]:
    """A time as Hong Kong time with its offset; any other column as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(column.type):
        return column
    # Numbers, not a time zone: Hong Kong's offset is fixed, and no database of zones is needed.
    shifted = pc.add(column.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()), market.HKT_OFFSET_MS)
    text: Any = shifted.cast(pa.timestamp("ms")).cast(pa.string())
    join: Any = pc.binary_join_element_wise
    return join(pc.binary_replace_slice(text, 10, 11, "T"), "+08:00", "")  # type: ignore[no-any-return]

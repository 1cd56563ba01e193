"""The digest of ticks: SHA-256 of each column, whatever file and whatever batches they come from.

So a Parquet file can be compared with the day file it was made from, and a restored day file with both. The rule, for
whoever computes it anew: a column of numbers or times is hashed as its values, 8 bytes (`date`: 4) each, little-endian;
a column of text as the lengths of its values in bytes, 4 bytes each, in one hash, and as its bytes in another, and the
column's digest is the SHA-256 of both hashes. A column that can be NULL has one byte a row more, 1 for a value, in a
hash that goes first; a NULL counts as zero or as an empty text.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pyarrow as pa


class Digests:
    """Takes batches of one schema, in order."""

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = [_Column(field) for field in schema]
        self.rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Adds the rows of a batch."""
        for column, array in zip(self._columns, batch.columns, strict=True):
            column.update(array)
        self.rows += batch.num_rows

    def by_column(self) -> dict[str, str]:
        """Name of the column → its SHA-256 as hex digits, so far."""
        return {column.name: column.hexdigest() for column in self._columns}

    def content(self) -> str:
        """The digest of all of it, as hex digits: of a line for each column with its name, type and digest."""
        lines = [f"{column.name} {column.type} {column.hexdigest()}\n" for column in self._columns]
        return hashlib.sha256(f"rows {self.rows}\n{''.join(lines)}".encode()).hexdigest()


class _Column:
    def __init__(self, field: pa.Field[Any]) -> None:
        self.name = field.name
        self.type = str(field.type)
        self._is_text = self.type == "string"
        self._nullable = field.nullable
        self._valid = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()

    def update(self, array: pa.Array[Any]) -> None:
        import pyarrow.compute as pc

        if self._nullable:
            self._valid.update(_values(pc.cast(pc.is_valid(array), "uint8")))
            array = array.fill_null("" if self._is_text else _zero(array.type))
        if self._is_text:
            lengths: Any = pc.binary_length(cast("pa.StringArray", array))
            self._lengths.update(_values(lengths))
            self._values.update(_bytes_of_text(array))
        else:
            self._values.update(_values(array))

    def hexdigest(self) -> str:
        hashes = [self._valid] * self._nullable + [self._lengths] * self._is_text + [self._values]
        if len(hashes) == 1:
            return self._values.hexdigest()
        return hashlib.sha256(b"".join(each.digest() for each in hashes)).hexdigest()


def _zero(kind: pa.DataType) -> pa.Scalar[Any]:
    """The zero of a type of numbers or times."""
    import pyarrow as pa

    return pa.scalar(0, pa.int64()).cast(kind)


def _values(array: pa.Array[Any]) -> memoryview:
    """The values of an array without NULL, as they lie in memory."""
    width = array.type.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is None:  # an empty array may have none
        return memoryview(b"")
    return memoryview(buffer)[array.offset * width : (array.offset + len(array)) * width]


def _bytes_of_text(array: pa.Array[Any]) -> memoryview:
    """The bytes of an array of text without NULL, one value after the other."""
    _, offsets, data = array.buffers()
    if not len(array) or data is None:
        return memoryview(b"")
    assert offsets is not None
    places = memoryview(offsets).cast("i")
    return memoryview(data)[places[array.offset] : places[array.offset + len(array)]]

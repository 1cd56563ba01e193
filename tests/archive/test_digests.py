"""The digest of ticks depends only on the rows: not on their batches, and not on the file that they are read from."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pyarrow as pa
import pytest

from hk_tick_collector.archive.digests import Digests

FIELDS: list[pa.Field[Any]] = [
    pa.field("name", pa.string(), nullable=False),
    pa.field("size", pa.int64(), nullable=False),
]
SCHEMA = pa.schema(FIELDS)


def batch(rows: list[tuple[Any, Any]], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    columns = [pa.array([row[at] for row in rows], schema.field(at).type) for at in range(2)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def content(*batches: pa.RecordBatch, schema: pa.Schema = SCHEMA) -> str:
    digests = Digests(schema)
    for each in batches:
        digests.update(each)
    return digests.content()


ROWS = [("HK.00700", 1), ("", 2), ("騰訊", 3), ("x", -4)]


def test_batches_do_not_matter() -> None:
    """One batch, several, slices of a larger one, and empty ones."""
    whole = batch(ROWS)
    assert (
        content(whole)
        == content(batch(ROWS[:1]), batch([]), batch(ROWS[1:]))
        == content(batch([("before", 0), *ROWS, ("after", 0)]).slice(1, 4))
    )


@pytest.mark.parametrize(
    "rows",
    [
        [("HK.00700", 1), ("", 2), ("騰訊", 3), ("x", -5)],
        [("HK.0070", 1), ("0", 2), ("騰訊", 3), ("x", -4)],
        ROWS[::-1],
        ROWS[:3],
    ],
)
def test_every_change_is_noticed(rows: list[tuple[str, int]]) -> None:
    """A value, a border between two texts, the order, a missing row."""
    assert content(batch(rows)) != content(batch(ROWS))


def test_a_null_is_not_a_zero() -> None:
    """In a column that a later schema added."""
    schema = pa.schema([field.with_nullable(True) for field in FIELDS])
    rows: list[tuple[Any, Any]] = [(None, None), ("a", 1)]
    found = {content(batch([each, ("a", 1)], schema), schema=schema) for each in [("", 0), ("", None), (None, 0)]}
    assert len({content(batch(rows, schema), schema=schema), *found}) == 4


def test_it_can_be_computed_by_others() -> None:
    """As the module says: values as little-endian numbers, texts as lengths and bytes."""
    digests = Digests(SCHEMA)
    digests.update(batch(ROWS))
    sizes = hashlib.sha256(struct.pack("<4q", *(size for _, size in ROWS)))
    texts = [name.encode() for name, _ in ROWS]
    lengths = hashlib.sha256(struct.pack("<4i", *map(len, texts)))
    joined = hashlib.sha256(lengths.digest() + hashlib.sha256(b"".join(texts)).digest())
    assert digests.by_column() == {"name": joined.hexdigest(), "size": sizes.hexdigest()}

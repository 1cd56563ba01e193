"""Batches of ticks → chunks that hold all ticks of a symbol and a day together, as arrays of numpy.

Ticks are collected until there are CHUNK_ROWS of them; the symbols that are whole by then are a chunk. So memory is
that of CHUNK_ROWS and of the busiest symbol's day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from hk_tick_collector.errors import CollectorError

from .price_rule import FLAG_OF_SIDE, flag_of_type, is_unknown

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

CHUNK_ROWS: Final = 131_072


@dataclass(frozen=True, slots=True)
class Chunk:
    """Ticks in the order (day, symbol, seq). `firsts` has the first row of each symbol and day, `keys` their names."""

    keys: list[tuple[int, str]]  # days since 1970-01-01, symbol
    firsts: NDArray[np.int64]
    ts_ms: NDArray[np.int64]
    price: NDArray[np.float64]
    volume: NDArray[np.int64]
    turnover: NDArray[np.float64]
    flags: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ts_ms)

    def taken(self, rows: NDArray[np.int64] | slice) -> tuple[NDArray[Any], ...]:
        """ts_ms, price, volume, turnover and flags of these rows."""
        return tuple(array[rows] for array in (self.ts_ms, self.price, self.volume, self.turnover, self.flags))


def chunks(batches: Iterable[pa.RecordBatch], prices: str, unknown: Counter[str]) -> Iterator[Chunk]:
    """Yields all ticks in chunks of whole symbols, and counts in `unknown` those of an unknown type.

    Raises CollectorError if the batches are not in the order (day, symbol), or if volumes exceed 64 bits.
    """
    waiting: list[Chunk] = []
    last: tuple[int, str] | None = None
    rows, splits = 0, False
    for batch in batches:
        if not batch.num_rows:
            continue
        part = _chunk_of(batch, prices, unknown)
        last, is_new = _demand_order(part.keys, last), last != part.keys[0]
        splits = splits or len(part.keys) > 1 or (bool(waiting) and is_new)
        waiting.append(part)
        rows += len(part)
        if splits and rows >= CHUNK_ROWS:
            joined = _joined(waiting)
            yield _part(joined, 0, -1)
            waiting, splits = [_part(joined, -1, None)], False
            rows = len(waiting[0])
    if waiting:
        joined = _joined(waiting)
        waiting.clear()
        yield joined


def _chunk_of(batch: pa.RecordBatch, prices: str, unknown: Counter[str]) -> Chunk:
    codes, symbols = _codes(batch, "symbol")
    days = _numbers(batch, "date", pa.int32())
    changes = np.flatnonzero((codes[1:] != codes[:-1]) | (days[1:] != days[:-1])) + 1
    firsts = np.concatenate([np.zeros(1, np.int64), changes])
    types, names = _codes(batch, "tick_type")
    for code, name in enumerate(names):
        if is_unknown(name) and (count := int(np.count_nonzero(types == code))):
            unknown[name] += count
    sides, directions = _codes(batch, "direction")
    flags = np.array([flag_of_type(name, prices) for name in names], np.uint8)[types]
    flags |= np.array([FLAG_OF_SIDE.get(name, 0) for name in directions], np.uint8)[sides]
    keys = [(int(days[row]), str(symbols[int(codes[row])])) for row in firsts]
    return Chunk(
        keys,
        firsts,
        _numbers(batch, "ts", pa.int64()),
        _numbers(batch, "price", pa.float64()),
        _numbers(batch, "volume", pa.int64()),
        _numbers(batch, "turnover", pa.float64()),
        flags,
    )


def _codes(batch: pa.RecordBatch, name: str) -> tuple[NDArray[Any], list[str]]:
    """Texts as numbers, and the text of each number."""
    column: Any = _demand_values(batch, name)
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _numbers(batch: pa.RecordBatch, name: str, stored: pa.DataType) -> NDArray[Any]:
    """A column as an array. Dates and times become the numbers that Arrow stores."""
    column: Any = _demand_values(batch, name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    found: NDArray[Any] = column.cast(stored).to_numpy(zero_copy_only=False)
    return found


def _demand_values(batch: pa.RecordBatch, name: str) -> Any:
    column = batch.column(name)
    if column.null_count:
        raise CollectorError(f"{column.null_count} ticks have no {name}", hint="no collector wrote them: see the file")
    return column


def _demand_order(keys: list[tuple[int, str]], last: tuple[int, str] | None) -> tuple[int, str]:
    for key in keys:
        if last is not None and key < last:
            raise CollectorError(
                f"the ticks of {key[1]} come after those of {last[1]}",
                hint="bars need ticks in the order of day, symbol and sequence",
            )
        last = key
    return keys[-1]


def _joined(parts: list[Chunk]) -> Chunk:
    """Joins the parts; a symbol that continues in the next part stays one symbol."""
    keys: list[tuple[int, str]] = []
    firsts: list[int] = []
    offset = 0
    for part in parts:
        for key, first in zip(part.keys, part.firsts, strict=True):
            if not keys or keys[-1] != key:
                keys.append(key)
                firsts.append(offset + int(first))
        offset += len(part)
    columns = [np.concatenate(arrays) for arrays in zip(*(part.taken(slice(None)) for part in parts), strict=True)]
    _demand_sums_that_fit(columns[2])
    return Chunk(keys, np.array(firsts, np.int64), *columns)


def _demand_sums_that_fit(volume: NDArray[np.int64]) -> None:
    if max(abs(int(volume.max())), abs(int(volume.min()))) * len(volume) >= 2**63:
        raise CollectorError("the volumes of these ticks exceed 64 bits", hint="no exchange sends them: see the file")


def _part(chunk: Chunk, begin: int, end: int | None) -> Chunk:
    """The symbols of a chunk from `begin` to `end`, as in a slice of a list."""
    starts = chunk.firsts[begin:end]
    after = len(chunk) if end is None else int(chunk.firsts[end])
    columns = (array.copy() if end is None else array for array in chunk.taken(slice(int(starts[0]), after)))
    return Chunk(chunk.keys[begin:end], starts - starts[0], *columns)

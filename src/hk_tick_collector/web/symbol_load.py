"""Reads all ticks of one symbol and makes their candles, in another process. Needs the extra `data`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector.model import Tick
from hk_tick_collector.quality.places import ticks_file

from .candles import COLUMNS, Candles
from .symbol import TICKS

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa

    from hk_tick_collector.quality.places import DayLocation


class Loaded(NamedTuple):
    """What was read of a symbol."""

    candles: Candles
    ticks: list[Tick]  # of an archived day the newest TICKS in order of sequence; none of a day file: `look` reads them


def load(place: DayLocation, symbol: str) -> Loaded:
    """The candles of all ticks of a symbol. Raises StoreError; CollectorError without the extra `data`."""
    newest: list[Tick] = []
    with closing(_batches(place, symbol, newest)) as batches:
        return Loaded(Candles.of(place.day, batches), newest)


def _batches(place: DayLocation, symbol: str, newest: list[Tick]) -> Generator[pa.RecordBatch, None, None]:
    """All ticks, with COLUMNS; of an archived day `newest` then has the last TICKS of them."""
    from hk_tick_collector.frames import day_file, parquet_file

    if place.ticks is None:
        yield from day_file.read_ticks(place.path, symbols=(symbol,), columns=COLUMNS)
        return
    source = ticks_file(place.ticks)
    for batch in parquet_file.read_ticks(source, day=place.day, symbols=(symbol,), dictionaries=True):
        newest += _ticks(batch.slice(max(0, batch.num_rows - TICKS)))
        del newest[:-TICKS]
        yield batch.select(COLUMNS)


def _ticks(batch: pa.RecordBatch) -> list[Tick]:
    import pyarrow as pa

    from hk_tick_collector.frames.columns import COLUMNS as ALL

    stored = [column for column in ALL if column.stored]
    assert tuple(column.stored for column in stored) == Tick._fields
    values = [
        (
            batch.column(column.name).cast(pa.int64())
            if pa.types.is_timestamp(column.type)
            else batch.column(column.name)
        )
        for column in stored
    ]
    return [Tick(*row) for row in zip(*(each.to_pylist() for each in values), strict=True)]

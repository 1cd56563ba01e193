"""Reads all ticks of one symbol and makes their candles, in another process. Needs the extra `data`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from hk_tick_collector.quality.places import ticks_file

from .candles import COLUMNS, Candles

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa

    from hk_tick_collector.quality.places import Place


def load(place: Place, symbol: str) -> Candles:
    """The candles of all ticks of a symbol. Raises StoreError; CollectorError without the extra `data`."""
    with closing(_ticks(place, symbol)) as batches:
        return Candles.of(place.day, batches)


def _ticks(place: Place, symbol: str) -> Generator[pa.RecordBatch, None, None]:
    from hk_tick_collector.frames import day_file, parquet_file

    if place.ticks is None:
        yield from day_file.read_ticks(place.path, symbols=(symbol,), columns=COLUMNS)
    else:
        source = ticks_file(place.ticks)
        yield from parquet_file.read_ticks(source, day=place.day, symbols=(symbol,), columns=COLUMNS, dictionaries=True)

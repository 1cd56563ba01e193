"""A chunk of ticks and where its bars begin → a batch of bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from hk_tick_collector.market import DAY_MS

from . import price_rule
from .sessions import NAMES, WHOLE_DAY, session_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .chunks import Chunk
    from .cutting import Cuts
    from .spec import BarSpec

_MS_UTC: Final = pa.timestamp("ms", "UTC")
_PRICES: Final = ("open", "high", "low", "close")
_VOLUMES: Final = {
    "buy_volume": price_rule.BUY,
    "sell_volume": price_rule.SELL,
    "neutral_volume": price_rule.NEUTRAL,
    "late_volume": price_rule.LATE,
}


def schema(spec: BarSpec) -> pa.Schema:
    """The columns of bars. Only bars that are not by time have `end`; only prices and vwap can be null."""
    fields: list[pa.Field[Any]] = [
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("time", _MS_UTC, nullable=False),
    ]
    if spec.every is None:
        fields.append(pa.field("end", _MS_UTC, nullable=False))
    fields += [pa.field(name, pa.float64()) for name in _PRICES]
    fields += [pa.field("volume", pa.int64(), nullable=False), pa.field("turnover", pa.float64(), nullable=False)]
    fields += [pa.field("vwap", pa.float64()), pa.field("trades", pa.int64(), nullable=False)]
    fields += [pa.field(name, pa.int64(), nullable=False) for name in _VOLUMES]
    return pa.schema([*fields, pa.field("session", pa.string(), nullable=False)])


def summed(chunk: Chunk, cuts: Cuts, spec: BarSpec) -> pa.RecordBatch:
    """The bars of a chunk, in the order of `schema`. The chunk must be in the order of time and have a tick."""
    firsts = cuts.firsts
    lengths = np.diff(firsts, append=len(chunk))
    bar_of = np.repeat(np.arange(len(firsts)), lengths)
    columns: dict[str, Any] = {
        "symbol": _symbols(chunk, firsts),
        "time": pa.array(cuts.start_ms).cast(_MS_UTC),
        "end": pa.array(chunk.ts_ms[firsts + lengths - 1]).cast(_MS_UTC),
        "volume": pa.array(np.add.reduceat(chunk.volume, firsts)),
        "turnover": pa.array(np.bincount(bar_of, chunk.turnover)),  # it adds tick by tick, whatever the batches are
        "trades": pa.array(lengths),
        "session": _sessions(cuts.start_ms, spec),
        **_prices(chunk, bar_of, len(firsts)),
    }
    for name, flag in _VOLUMES.items():
        counts = (chunk.flags & flag) // flag  # 1 or 0: multiplying is faster than a condition
        columns[name] = pa.array(np.add.reduceat(chunk.volume * counts, firsts))
    target = schema(spec)
    return pa.RecordBatch.from_arrays([columns[name] for name in target.names], schema=target)


def _prices(chunk: Chunk, bar_of: NDArray[np.int64], bars: int) -> dict[str, Any]:
    """Open, high, low, close and vwap of the ticks that form prices; null in a bar without one."""
    rows = np.flatnonzero(chunk.flags & price_rule.FORMS_PRICE)
    price, bar = chunk.price[rows], bar_of[rows]
    begins = np.flatnonzero(np.diff(bar, prepend=-1))
    there = bar[begins]
    found: dict[str, NDArray[np.float64]] = dict.fromkeys(_PRICES, price[:0])
    shares = np.zeros(0, np.int64)
    if len(rows):
        found["open"] = price[begins]
        found["close"] = price[np.append(begins[1:], len(rows)) - 1]
        found["high"] = np.maximum.reduceat(price, begins)
        found["low"] = np.minimum.reduceat(price, begins)
        shares = np.add.reduceat(chunk.volume[rows], begins)
    columns = {name: _spread(values, there, bars) for name, values in found.items()}
    traded = shares != 0  # a bar whose ticks have volume 0 has prices but no average
    paid = np.bincount(bar, chunk.turnover[rows], minlength=bars)[there]
    columns["vwap"] = _spread(paid[traded] / shares[traded], there[traded], bars)
    return columns


def _spread(values: NDArray[np.float64], bars: NDArray[np.int64], count: int) -> Any:
    """A column of `count` bars with these values in these bars, null elsewhere."""
    column = np.zeros(count)
    column[bars] = values
    is_null = np.ones(count, np.bool_)
    is_null[bars] = False
    return pa.array(column, mask=is_null)


def _symbols(chunk: Chunk, firsts: NDArray[np.int64]) -> Any:
    return _named(np.searchsorted(chunk.firsts, firsts, side="right") - 1, [key[1] for key in chunk.keys])


def _sessions(start_ms: NDArray[np.int64], spec: BarSpec) -> Any:
    if spec.every_ms == DAY_MS:
        return pa.repeat(WHOLE_DAY, len(start_ms))
    return _named(session_of(start_ms), NAMES)


def _named(places: NDArray[np.int64], names: Sequence[str]) -> Any:
    return pa.DictionaryArray.from_arrays(places.astype(np.int32), list(names)).cast(pa.string())

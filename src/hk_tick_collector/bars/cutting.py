"""A chunk of ticks → the same ticks in the order of time, and the first row of each bar."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hk_tick_collector.market import DAY_MS, HKT_OFFSET_MS

from .chunks import Chunk
from .sessions import are_divided_by, session_start_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .spec import BarSpec

PART_ROWS: Final = 131_072  # that are summed at once


class Cuts(NamedTuple):
    """For each bar: its first row, and the time at which it starts, UTC epoch ms."""

    firsts: NDArray[np.int64]
    start_ms: NDArray[np.int64]


def in_order_of_time(chunk: Chunk) -> Chunk:
    """The chunk with each symbol's ticks in the order (ts, seq). Only symbols with a late report are sorted."""
    falls = np.flatnonzero(chunk.ts_ms[1:] < chunk.ts_ms[:-1]) + 1
    symbols = np.searchsorted(chunk.firsts, falls, side="right") - 1
    symbols = np.unique(symbols[chunk.firsts[symbols] != falls])  # time may fall from one symbol to the next
    if not len(symbols):
        return chunk
    order = np.arange(len(chunk))
    ends = np.append(chunk.firsts[1:], len(chunk))
    for begin, end in zip(chunk.firsts[symbols], ends[symbols], strict=True):
        order[begin:end] = begin + np.argsort(chunk.ts_ms[begin:end], kind="stable")  # stable: seq decides ties
    ts_ms, price, volume, turnover, flags = chunk.taken(order)
    return replace(chunk, ts_ms=ts_ms, price=price, volume=volume, turnover=turnover, flags=flags)


def cut(chunk: Chunk, spec: BarSpec) -> Cuts:
    """Where each bar begins. The chunk must be in the order of time."""
    if spec.every_ms is not None:
        starts = _time_starts(chunk.ts_ms, spec.every_ms)
        firsts = np.flatnonzero(_changes(starts, chunk.firsts))
        return Cuts(firsts, starts[firsts])
    begins = _changes(session_start_ms(chunk.ts_ms), chunk.firsts)
    if spec.ticks is not None:
        begins |= _every_nth(begins, spec.ticks)
    elif spec.volume is not None:
        begins = _crossings(begins, chunk.volume, spec.volume)
    elif spec.turnover is not None:
        begins = _crossings(begins, chunk.turnover, spec.turnover)
    firsts = np.flatnonzero(begins)
    return Cuts(firsts, chunk.ts_ms[firsts])


def parts(chunk: Chunk, cuts: Cuts) -> Iterator[tuple[Chunk, Cuts]]:
    """The same in parts of whole bars, as small as they can be with PART_ROWS rows: summing needs several times the
    memory of the ticks that it sums. The `firsts` of the symbols of a part may lie outside of it.
    """
    bar = 0
    while bar < len(cuts.firsts):
        begin = int(cuts.firsts[bar])
        after = int(np.searchsorted(cuts.firsts, begin + PART_ROWS))
        end = int(cuts.firsts[after]) if after < len(cuts.firsts) else len(chunk)
        ts_ms, price, volume, turnover, flags = chunk.taken(slice(begin, end))
        yield (
            Chunk(chunk.keys, chunk.firsts - begin, ts_ms, price, volume, turnover, flags),
            Cuts(cuts.firsts[bar:after] - begin, cuts.start_ms[bar:after]),
        )
        bar = after


def _time_starts(ts_ms: NDArray[np.int64], every_ms: int) -> NDArray[np.int64]:
    """When the bar of each tick starts: bars are counted from midnight in Hong Kong, and cut at the sessions."""
    starts = ts_ms - (ts_ms + HKT_OFFSET_MS) % every_ms
    if every_ms == DAY_MS or are_divided_by(every_ms):
        return starts
    cut_starts: NDArray[np.int64] = np.maximum(starts, session_start_ms(ts_ms))
    return cut_starts


def _changes(values: NDArray[np.int64], firsts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a row begins something: its value differs from that of the row before, or its symbol or day does."""
    begins = np.empty(len(values), np.bool_)
    begins[1:] = values[1:] != values[:-1]
    begins[firsts] = True
    return begins


def _every_nth(begins: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Whether a row is the first, or a multiple of `count` rows after the last row that begins something."""
    rows = np.arange(len(begins))
    since = rows - np.maximum.accumulate(np.where(begins, rows, 0))
    is_nth: NDArray[np.bool_] = since % count == 0
    return is_nth


def _crossings(
    begins: NDArray[np.bool_], values: NDArray[np.int64] | NDArray[np.float64], size: float
) -> NDArray[np.bool_]:
    """Whether a row begins a bar: the sum of `values` in the bar before has reached `size`, or something else begins.

    The sum is added tick by tick, as anyone would who checks it: sums of floats in another order end elsewhere.
    """
    found = begins.tolist()
    total: float = 0
    is_full = False
    for row, (value, begin) in enumerate(zip(values.tolist(), found, strict=True)):
        if begin or is_full:
            found[row] = True
            total = 0
        total += value
        is_full = total >= size
    return np.array(found, np.bool_)

"""Ticks of one symbol → candles of one minute, made again only where ticks are new. The rules are those of `bars`.

Enters: all ticks of a symbol once, then new ones. Leaves: the candles that changed. The ticks of the last two minutes
are kept; a new tick before them cannot be added, and the caller then reads the symbol again. Needs the extra `data`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from hk_tick_collector import market
from hk_tick_collector.bars import TICK_COLUMNS, BarSpec
from hk_tick_collector.bars import bars as bars_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from hk_tick_collector.model import Tick

COLUMNS: Final = (*TICK_COLUMNS, "seq")

_SPEC: Final = BarSpec(every="1m")
_MINUTE_MS: Final = 60_000
_LOWEST_SEQ: Final = -(2**63)


class Candle(NamedTuple):
    """A bar of one minute. The prices are None if none of its ticks forms a price."""

    time_s: int  # when the minute begins, UTC epoch seconds
    open: float | None  # HKD
    high: float | None
    low: float | None
    close: float | None
    volume: int  # shares
    buy_volume: int
    sell_volume: int
    trades: int


class Candles:
    """The candles of one symbol and day. `rows` and `top_seq` say which ticks they are made of. It can be pickled."""

    def __init__(self, day: str) -> None:
        self.by_time: dict[int, Candle] = {}  # time_s → candle
        self.rows = 0
        self.top_seq = _LOWEST_SEQ
        self._date = market.day_date(market.parse_day(day))
        # Every tick from `_tail_from_ms` on: the minute in which it was traded → in the order of the sequence.
        self._tail: dict[int, list[pa.RecordBatch]] = {}
        self._tail_from_ms = 0

    @classmethod
    def of(cls, day: str, batches: Iterable[pa.RecordBatch]) -> Self:
        """Those of all ticks of a symbol, with COLUMNS and in the order of sequence.

        Raises the errors of the iterator and of `bars`. Memory is that of the symbol's ticks.
        """
        loaded, found = _Loaded(), cls(day)
        found.by_time = _by_time(loaded.counted(batches))
        found.rows, found.top_seq = loaded.rows, loaded.top_seq
        found._tail_from_ms = max(_tail_from(loaded.last_ts_ms), loaded.kept_from_ms)
        found._tail = _by_minute(loaded.kept, found._tail_from_ms)
        return found

    @property
    def last_price(self) -> float | None:
        """The close of the newest candle that has one (HKD)."""
        closes = (self.by_time[time_s].close for time_s in sorted(self.by_time, reverse=True))
        return next((close for close in closes if close is not None), None)

    def differing(self, before: Candles) -> list[Candle]:
        """The candles that `before` does not have, or has otherwise. A candle never ends to exist."""
        return [candle for time_s, candle in self.by_time.items() if before.by_time.get(time_s) != candle]

    def add(self, ticks: Sequence[Tick]) -> list[Candle] | None:
        """Adds ticks whose sequence is above all others, in that order; returns the candles that changed.

        None if one is of an earlier minute than those that are kept: nothing was added, and `of` is needed.
        """
        if not ticks:
            return []
        if min(tick.ts_ms for tick in ticks) < self._tail_from_ms:
            return None
        found: dict[int, Candle] = {}
        for minute_ms, new in _of_minutes(ticks).items():  # other minutes keep their candles
            self._tail[minute_ms] = _joined([*self._tail.get(minute_ms, ()), self._batch(new)])
            found |= _by_time(self._tail[minute_ms])
        changed = [candle for time_s, candle in found.items() if self.by_time.get(time_s) != candle]
        self.by_time.update(found)
        self.rows += len(ticks)
        self.top_seq = ticks[-1].seq
        if (from_ms := _tail_from(ticks[-1].ts_ms)) > self._tail_from_ms:
            self._tail_from_ms = from_ms
            self._tail = {minute_ms: kept for minute_ms, kept in self._tail.items() if minute_ms >= from_ms}
        return changed

    def _batch(self, ticks: Sequence[Tick]) -> pa.RecordBatch:
        import pyarrow as pa

        from hk_tick_collector.frames.columns import schema

        target = schema(COLUMNS)
        stored = {"ts": "ts_ms"}
        values = dict(zip(ticks[0]._fields, zip(*ticks, strict=True), strict=True)) if ticks else {}
        columns: list[Any] = [
            [self._date] * len(ticks) if name == "date" else values.get(stored.get(name, name), ()) for name in COLUMNS
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, target, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=target)


class _Loaded:
    """What is noted while all ticks of a symbol pass."""

    def __init__(self) -> None:
        self.rows = 0
        self.top_seq = _LOWEST_SEQ
        self.last_ts_ms = 0  # of the tick with the highest sequence
        self.kept: list[pa.RecordBatch] = []  # those that can have a tick of the last two minutes
        self.kept_from_ms = 0  # the first minute of which no tick was left out

    def counted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches."""
        import pyarrow as pa

        latest: list[int] = []  # of each kept batch
        for batch in batches:
            if not batch.num_rows:
                continue
            ts: Any = batch.column("ts").cast(pa.int64()).to_numpy(zero_copy_only=False)
            self.rows += batch.num_rows
            self.top_seq = int(batch.column("seq")[-1].as_py())
            self.last_ts_ms = int(ts[-1])
            self.kept.append(batch)
            latest.append(int(ts.max()))
            while latest[0] < _tail_from(self.last_ts_ms):
                self.kept.pop(0)
                self.kept_from_ms = max(self.kept_from_ms, _tail_from(latest.pop(0)) + 2 * _MINUTE_MS)
            yield batch


def _tail_from(ts_ms: int) -> int:
    """The beginning of the minute before that of a tick."""
    return ts_ms // _MINUTE_MS * _MINUTE_MS - _MINUTE_MS


def _of_minutes(ticks: Sequence[Tick]) -> dict[int, list[Tick]]:
    """The minute in which a tick was traded → its ticks, in the same order."""
    found: dict[int, list[Tick]] = {}
    for tick in ticks:
        found.setdefault(tick.ts_ms // _MINUTE_MS * _MINUTE_MS, []).append(tick)
    return found


def _by_minute(batches: Iterable[pa.RecordBatch], from_ms: int) -> dict[int, list[pa.RecordBatch]]:
    """The same for the ticks of these batches from a minute on."""
    import pyarrow as pa

    found: dict[int, list[pa.RecordBatch]] = {}
    for batch in batches:
        ts: Any = batch.column("ts").cast(pa.int64()).to_numpy(zero_copy_only=False)
        minutes = ts // _MINUTE_MS * _MINUTE_MS
        for minute_ms in sorted({int(each) for each in minutes[minutes >= from_ms]}):
            found.setdefault(minute_ms, []).append(batch.filter(pa.array(minutes == minute_ms)))
    return found


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The same ticks in one batch: `bars` has a fixed cost for each."""
    import pyarrow as pa

    return pa.Table.from_batches(batches).combine_chunks().to_batches()


def _by_time(batches: Iterable[pa.RecordBatch]) -> dict[int, Candle]:
    import pyarrow as pa

    found: dict[int, Candle] = {}
    for batch in bars_of(batches, _SPEC):
        times = batch.column("time").cast(pa.int64()).to_pylist()
        columns = (batch.column(name).to_pylist() for name in Candle._fields[1:])
        for ms, *values in zip(times, *columns, strict=True):
            found[ms // 1000] = Candle(ms // 1000, *values)
    return found

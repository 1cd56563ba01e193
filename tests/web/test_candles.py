"""Candles that are made again only where ticks are new are the bars of the whole day, in whatever parts it comes."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.quality.days import DAY, Collected

from hk_tick_collector.frames.day_file import read_ticks
from hk_tick_collector.model import Tick
from hk_tick_collector.web.candles import COLUMNS, Candle, Candles

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

SYMBOL: Final = "HK.00700"
OPEN_MS: Final = 1_795_138_200_000  # 2026-11-20 09:30 in Hong Kong
TYPES: Final = ("AUTO_MATCH", "AUTO_MATCH", "AUTO_MATCH", "ODD_LOT", "LATE", "AUCTION", "TYPE_77")


def some_ticks(count: int, seed: int, step_ms: int = 900) -> list[Tick]:
    """Ticks in the order of sequence; most of them in the order of time too."""
    dice, ts_ms, found = random.Random(seed), OPEN_MS, []
    for number in range(count):
        ts_ms += dice.randrange(2 * step_ms)
        at_ms = ts_ms - dice.choice((0, 0, 0, 0, 400, 3000))
        direction = dice.choice(("BUY", "SELL", "NEUTRAL"))
        price, kind = 388 + dice.randrange(40) / 5, dice.choice(TYPES)
        found.append(Tick(SYMBOL, number + 1, at_ms, price, 100, price * 100, direction, kind, "realtime", at_ms + 5))
    return found


def batches(ticks: list[Tick], size: int) -> list[pa.RecordBatch]:
    """The same ticks as a reader gives them, in batches of this size."""
    maker = Candles(DAY)
    return [maker._batch(ticks[at : at + size]) for at in range(0, len(ticks), size)]  # noqa: SLF001 - the same columns


def whole(ticks: list[Tick]) -> dict[int, Candle]:
    return Candles.of(DAY, batches(ticks, 100_000)).by_time


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(0, 2**32), st.lists(st.integers(1, 60), max_size=20), st.integers(1, 50))
def test_any_parts_give_the_candles_of_the_whole(count: int, seed: int, parts: list[int], size: int) -> None:
    """Whatever was loaded and whatever was added in whatever parts: each candle is that of all ticks together."""
    ticks = some_ticks(count, seed)
    cut = max(0, count - sum(parts))
    candles = Candles.of(DAY, batches(ticks[:cut], size))
    shown = dict(candles.by_time)
    for part in parts:
        new = [tick for tick in ticks if tick.seq > candles.top_seq][:part] if candles.rows else ticks[:part]
        changed = candles.add(new)
        if changed is None:
            before, candles = candles, Candles.of(DAY, batches(ticks[: candles.rows + len(new)], size))
            changed = candles.differing(before)
        shown.update({candle.time_s: candle for candle in changed})
        assert candles.by_time == whole(ticks[: candles.rows])
    assert shown == candles.by_time, "what is told as changed is enough to have all of it"


def test_a_tick_of_an_earlier_minute_is_not_added() -> None:
    """It would change a candle whose other ticks are not kept: the caller must read the symbol again."""
    ticks = some_ticks(400, 1)
    candles = Candles.of(DAY, batches(ticks, 50))
    before = dict(candles.by_time)
    late = ticks[-1]._replace(seq=1000, ts_ms=OPEN_MS)
    assert candles.add([late]) is None
    assert (candles.rows, candles.by_time) == (400, before)


def test_a_tick_with_an_odd_time_does_not_spoil_the_candles_after_it() -> None:
    """One tick dated 23:59 among those of 09:30 costs a reading of the symbol, and no candle is wrong."""
    ticks = some_ticks(300, 2)
    ticks[150] = ticks[150]._replace(ts_ms=OPEN_MS + 14 * 3_600_000)
    for size in (1, 151):
        candles = Candles.of(DAY, batches(ticks[:200], size))
        for at in range(200, 260):
            if candles.add(ticks[at : at + 1]) is None:
                candles = Candles.of(DAY, batches(ticks[: at + 1], size))
            assert candles.by_time == whole(ticks[: at + 1])


def test_memory_is_that_of_two_minutes() -> None:
    """A long day of one symbol keeps its candles and the ticks of the last two minutes, not its ticks."""
    ticks = some_ticks(20_000, 3)
    candles = Candles(DAY)
    for at in range(0, len(ticks), 200):
        if candles.add(ticks[at : at + 200]) is None:
            pytest.fail("no tick of this day is more than a minute late")
    kept = [batch.num_rows for minute in candles._tail.values() for batch in minute]  # noqa: SLF001
    assert sum(kept) < 600
    assert candles.by_time == whole(ticks)


def test_candles_are_those_of_the_day_file(tmp_path: Path) -> None:
    """What is read from a day file and added later as rows gives the same candles as `bars` of the whole file."""
    with closing(Collected(tmp_path / f"{DAY}.db")) as day:
        ticks = some_ticks(600, 4)
        day.add([(*tick[:10], None, None) for tick in ticks[:500]])
        candles = Candles.of(DAY, read_ticks(day.path, symbols=(SYMBOL,), columns=COLUMNS))
        day.add([(*tick[:10], None, None) for tick in ticks[500:]])
        assert candles.add(ticks[500:]) is not None
        again = Candles.of(DAY, read_ticks(day.path, symbols=(SYMBOL,), columns=COLUMNS))
    assert candles.by_time == again.by_time
    assert sum(candle.trades for candle in candles.by_time.values()) == candles.rows == 600

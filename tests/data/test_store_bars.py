"""`Store.bars`: what the package `bars` makes, of days wherever they are, as any other result."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

import pytest
from tests.bars.slow_reference import Trade, reference_bars

import hk_tick_collector
from hk_tick_collector import market
from hk_tick_collector.bars import UnknownTypeWarning
from hk_tick_collector.errors import UsageError
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DAYS: Final = ("20261119", "20261120")


def rows_of(day: str) -> list[TickRow]:
    """Three ticks of one symbol; on the second day one has an unknown type."""
    open_ms = market.day_start_ms(market.parse_day(day)) + 34_200_000
    kinds = ("AUTO_MATCH", "ODD_LOT", "TYPE_99" if day == DAYS[1] else "LATE")
    return [
        (
            "HK.00700",
            (open_ms // 1000) << 32 | n,
            open_ms + n,
            380.0 + n,
            100,
            38_000.0,
            "BUY",
            kind,
            "realtime",
            open_ms,
            None,
            None,
        )
        for n, kind in enumerate(kinds)
    ]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Day files of both days."""
    for day in DAYS:
        start_ms = market.day_start_ms(market.parse_day(day))
        file = DayFile(tmp_path / f"{day}.db", day, "run", start_ms, "test", StoreOptions())
        file.write(Batch(rows=rows_of(day)), start_ms)
        file.close()
    return tmp_path


def test_bars_of_some_days_are_those_of_the_slow_reference(data_root: Path) -> None:
    """A minute is the default; the frame has Hong Kong times; unknown types are reported after the bars were read."""
    store = hk_tick_collector.open(data_root)
    with pytest.warns(UnknownTypeWarning, match=r"TYPE_99 \(1\)"):
        table = store.bars("HK.00700").arrow()
    trades = [Trade(market.parse_day(day), *row[:8]) for day in DAYS for row in rows_of(day)]
    wanted = reference_bars(trades, every_ms=60_000)
    assert table["close"].to_pylist() == [bar["close"] for bar in wanted] == [380.0, 380.0]
    assert table["volume"].to_pylist() == [bar["volume"] for bar in wanted]
    assert str(table["time"][0].as_py()) == "2026-11-19 09:30:00+08:00"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.bars(ticks=2, day=DAYS[0]).arrow()["trades"].to_pylist() == [2, 1]


def test_a_bad_size_is_refused_before_anything_is_read(data_root: Path) -> None:
    """At the call, not when the result is used."""
    with pytest.raises(UsageError, match="every 7m does not divide a day"):
        hk_tick_collector.open(data_root).bars(every="7m")

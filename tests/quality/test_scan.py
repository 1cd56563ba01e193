"""Ticks by minute and their delay: exact counts, the same from SQLite and from Parquet, in bounded memory."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest
from tests.quality.days import DAY, Collected, archive

from hk_tick_collector.quality.places import ticks_file
from hk_tick_collector.quality.scan import Scan, Scanner, parquet_minutes
from hk_tick_collector.store import quality_reading
from hk_tick_collector.store.quality_reading import MinuteStep, QualityReader

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import TickRow

ODD_DELAYS: Final = (
    -(2**40), -3_600_001, -1000, -999, -1, 0, 9, 10, 99, 100, 999, 1000, 9_999, 10_000, 99_999, 100_000, 2**40,
)  # fmt: skip


def ticks(day: Collected) -> list[TickRow]:
    """Ticks of three symbols at random times, some with odd delays, one in four backfilled."""
    dice = random.Random(13)
    rows: list[TickRow] = []
    for symbol in ("HK.00005", "HK.00700", "HK.09988"):
        for number in range(1500):
            ts_ms = day.at(9.5) + dice.randrange(5 * 3_600_000)
            delay = ODD_DELAYS[number % 50] if number % 50 < len(ODD_DELAYS) else dice.randrange(20_000)
            push = "backfill" if dice.random() < 0.25 else "realtime"
            rows.append((symbol, number + 1, ts_ms, 1.0, 1, 1.0, "BUY", "AUTO_MATCH", push, ts_ms + delay, None, " "))
    return rows


def of_file(path: Path, symbols: tuple[str, ...] = ()) -> Scan:
    """The scan of a day file."""
    scanner = Scanner()
    with QualityReader(path) as reader, reader.snapshot():
        for _, part in reader.minutes(symbols):
            scanner.add(part)
    return scanner.result()


@pytest.fixture
def day(tmp_path: Path) -> Collected:
    """A day with such ticks."""
    day = Collected(tmp_path / f"{DAY}.db")
    rows = [(*row[:9], max(0, row[9]), *row[10:]) for row in ticks(day)]
    day.add(rows)
    day.rows = rows  # type: ignore[attr-defined]
    return day


@pytest.mark.parametrize("part_rows", [1, 2000, 10**6])
def test_every_tick_is_counted_once(day: Collected, monkeypatch: pytest.MonkeyPatch, part_rows: int) -> None:
    """In its minute, however the file is divided into parts; delays are exact at their ends."""
    monkeypatch.setattr(quality_reading, "_PART_ROWS", part_rows)
    rows: list[TickRow] = day.rows  # type: ignore[attr-defined]
    found = of_file(day.path)
    assert {minute.minute: minute.rows for minute in found.minutes} == Counter(row[2] // 60_000 for row in rows)
    live = [row[9] - row[2] for row in rows if row[8] == "realtime"]
    assert (found.rows, found.live_rows, found.most_ms) == (len(rows), len(live), max(live))
    assert found.half_ms is not None
    assert sum(delay <= found.half_ms for delay in live) >= len(live) / 2
    assert sum(delay <= found.half_ms * 0.5 for delay in live) < len(live) / 2


def test_parquet_and_sqlite_give_the_same_figures(day: Collected, tmp_path: Path) -> None:
    """Arrow and SQL agree on every minute, step and delay, also on delays below zero, for all symbols and for one."""
    place = archive(day.path, tmp_path / "archive")
    assert place.ticks is not None
    for symbols in ((), ("HK.00700",)):
        scanner, read = Scanner(), 0
        for read, part in parquet_minutes(ticks_file(place.ticks), place.day, symbols):  # noqa: B007 - the last one counts
            scanner.add(part)
        assert scanner.result() == of_file(day.path, symbols)
        assert read == (1500 if symbols else 4500)


def test_chosen_symbols_are_not_a_range(day: Collected) -> None:
    """Two symbols with another between them: only theirs."""
    assert of_file(day.path, ("HK.00005", "HK.09988")).rows == 3000


def test_memory_is_bounded_for_ticks_of_any_time() -> None:
    """The number of minutes is bounded; the ticks are counted all the same."""
    scanner = Scanner()
    scanner.add(MinuteStep(minute, 1, 10, 1, 5, 5) for minute in range(100_000))
    found = scanner.result()
    assert (found.rows, len(found.minutes)) == (100_000, 3000)


def test_a_delay_beyond_the_last_step_is_not_called_an_hour() -> None:
    """The last step has no upper end, and a step ends later than its latest tick: no figure is above the latest."""
    scanner = Scanner()
    scanner.add([MinuteStep(1, 1, 3_600_000, 3, 812_000_000, 826_000_000), MinuteStep(2, 1, 10, 1, 3, 3)])
    found = scanner.result()
    assert (found.half_ms, found.most_within_ms, found.most_ms) == (826_000_000, 826_000_000, 826_000_000)
    assert [minute.half_ms for minute in found.minutes] == [826_000_000, 3]


def test_a_day_without_live_ticks_has_no_delay() -> None:
    """Nothing is known about delay and clock then."""
    scanner = Scanner()
    scanner.add([MinuteStep(1, 0, 10, 7, 5, 5)])
    found = scanner.result()
    assert (found.rows, found.live_rows, found.half_ms, found.most_ms, found.clock_ms) == (7, 0, None, None, None)

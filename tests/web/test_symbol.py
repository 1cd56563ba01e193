"""The Symbol view's reader: a viewer gets everything once and then only what changed, each tick exactly once."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeVar

import apsw
import pytest
from tests.quality.days import DAY, Collected, archive
from tests.web.inline import Inline

from hk_tick_collector.errors import NoDayError, StoreError
from hk_tick_collector.quality.places import DayLocation
from hk_tick_collector.store import query
from hk_tick_collector.web import symbol as symbol_module
from hk_tick_collector.web import symbol_load
from hk_tick_collector.web.symbol import TICKS, list_symbols
from hk_tick_collector.web.symbol_watch import NOTHING, DayWatch, Known, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.model import Tick, TickRow
    from hk_tick_collector.web.candles import Candle

_T = TypeVar("_T")

TENCENT: Final = "HK.00700"
BANK: Final = "HK.00005"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Viewer:
    """A page: it asks, and keeps what it was told."""

    def __init__(self, watch: DayWatch, symbol: str, now_ms: int) -> None:
        self.watch = watch
        self.symbol = symbol
        self.now_ms = now_ms
        self.known = NOTHING
        self.candles: dict[int, Candle] = {}
        self.seqs: list[int] = []

    def look(self) -> Part:
        part = asyncio.run(self.watch.part(self.symbol, self.known, self.now_ms))
        if part.is_whole:
            self.candles, self.seqs = {}, []
        self.candles.update({candle.time_s: candle for candle in part.candles})
        self.seqs += [tick.seq for tick in part.ticks]
        self.known = part.known
        return part

    @property
    def trades(self) -> int:
        return sum(candle.trades for candle in self.candles.values())


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Collected]:
    with closing(Collected(tmp_path / f"{DAY}.db")) as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watch_of(day: Collected, clock: Clock) -> DayWatch:
    return DayWatch(DayLocation(DAY, day.path, None), "first", Inline(), clock)


def viewer_of(day: Collected, clock: Clock, symbol: str = TENCENT) -> Viewer:
    return Viewer(watch_of(day, clock), symbol, day.at(10))


def ticks_of(day: Collected, first: int, count: int, symbol: str = TENCENT) -> list[TickRow]:
    """Ticks with these counters, one a second from 09:30 on."""
    rows: list[TickRow] = []
    for number in range(first, first + count):
        ts_ms = day.at(9.5) + number * 1000
        seq = ts_ms // 1000 << 32 | number
        rows.append((symbol, seq, ts_ms, 388.2, 100, 38820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms + 3, None, None))
    return rows


def test_everything_once_then_only_what_changed(day: Collected, clock: Clock) -> None:
    """The first answer has all candles and the newest ticks; later ones the candles and ticks that are new."""
    day.add(ticks_of(day, 1, 300))
    viewer = viewer_of(day, clock)
    first = viewer.look()
    assert first.is_whole
    assert viewer.trades == 300
    assert len(first.ticks) == TICKS
    assert first.figures is not None
    assert first.figures.rows == 300
    clock.now_s += 1
    nothing = viewer.look()
    assert (nothing.is_whole, nothing.candles, nothing.ticks, nothing.has_new_figures) == (False, [], [], False)
    day.add(ticks_of(day, 301, 5))
    clock.now_s += 1
    then = viewer.look()
    assert not then.is_whole
    assert len(then.candles) == 1
    assert len(then.ticks) == 5
    assert viewer.trades == 305
    assert then.last_price == 388.2
    assert sorted(set(viewer.seqs)) == sorted(viewer.seqs), "no tick is told twice"


def test_a_look_reads_only_ticks_above_the_highest_sequence(
    day: Collected, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at a day that grows asks SQLite for the new ticks alone: it never reads a symbol again for them."""
    day.add(ticks_of(day, 1, 2000))
    viewer = viewer_of(day, clock)
    viewer.look()
    asked: list[tuple[int, int]] = []
    real = query.DayReader.ticks_after

    def counted(reader: query.DayReader, symbol: str, seq: int, limit: int) -> list[Tick]:
        found = real(reader, symbol, seq, limit)
        asked.append((seq, len(found)))
        return found

    monkeypatch.setattr(query.DayReader, "ticks_after", counted)
    monkeypatch.setattr(symbol_load, "_ticks", None)  # reading the symbol as a whole would fail
    for number in range(3):
        day.add(ticks_of(day, 2001 + number * 4, 4))
        clock.now_s += 1
        viewer.look()
    assert [count for _, count in asked] == [4, 4, 4]
    assert viewer.trades == 2012


def test_a_file_that_did_not_change_is_not_opened(
    day: Collected, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks at a quiet day cost no SQLite: the kernel says that the file is as it was read."""
    day.add(ticks_of(day, 1, 20))
    viewer = viewer_of(day, clock)
    for suffix in ("", "-wal"):
        os.utime(f"{day.path}{suffix}", (1_700_000_000, 1_700_000_000))
    viewer.look()
    monkeypatch.setattr(symbol_module, "opened", None)  # opening it would fail
    clock.now_s += 1
    assert viewer.look().candles == []


def test_late_ticks_are_found(day: Collected, clock: Clock) -> None:
    """A backfill stores ticks between those that are known: the candles have them at the next look."""
    everything = ticks_of(day, 1, 200)
    day.add(everything[:50] + everything[150:])
    viewer = viewer_of(day, clock)
    viewer.look()
    assert viewer.trades == 100
    day.add(everything[50:150])
    clock.now_s += 5
    viewer.look()
    assert viewer.trades == 200


def test_reading_again_has_a_limit(day: Collected, clock: Clock) -> None:
    """If a whole symbol takes a second to read, late ticks wait, are told as such, and new ticks go on meanwhile."""
    everything = ticks_of(day, 1, 200)
    day.add(everything[:50] + everything[150:190])
    viewer = viewer_of(day, clock)
    viewer.look()
    viewer.watch._reload_not_before_s = clock.now_s + 20  # noqa: SLF001 - as after one second on a slow disk
    day.add(everything[50:60] + everything[190:])
    clock.now_s += 2
    assert viewer.look().late_rows == 10
    assert viewer.trades == 100
    clock.now_s += 20
    assert viewer.look().late_rows == 0
    assert viewer.trades == 110


def test_viewers_share_one_look(day: Collected, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten pages of one symbol open the file once a second, not ten times."""
    day.add(ticks_of(day, 1, 20))
    watch = watch_of(day, clock)
    viewers = [Viewer(watch, TENCENT, day.at(10)) for _ in range(10)]
    for viewer in viewers:
        viewer.look()
    opened: list[DayLocation] = []
    real = symbol_module.opened

    def counted(place: DayLocation) -> object:
        opened.append(place)
        return real(place)

    monkeypatch.setattr(symbol_module, "opened", counted)
    clock.now_s += 1
    day.add(ticks_of(day, 21, 1))
    assert [len(viewer.look().ticks) for viewer in viewers] == [1] * 10
    assert len(opened) == 1


def test_a_page_that_slept_gets_what_it_missed(day: Collected, clock: Clock) -> None:
    """A telephone that comes back after an hour asks with an old version: nothing is missing, nothing is told twice."""
    day.add(ticks_of(day, 1, 20))
    watch = watch_of(day, clock)
    asleep, awake = (Viewer(watch, TENCENT, day.at(10)) for _ in range(2))
    asleep.look()
    for number in range(21, 140):
        day.add(ticks_of(day, number, 1))
        clock.now_s += 1
        awake.look()
    asleep.look()
    assert asleep.candles == awake.candles
    clock.now_s += 3600  # so long that nobody watched the symbol, and it was forgotten
    awake.look()
    day.add(ticks_of(day, 140, 1))
    clock.now_s += 1
    asleep.look()
    assert asleep.trades == 140


def test_a_version_of_another_watch_means_nothing(day: Collected, clock: Clock) -> None:
    """After a restart of the page's process a viewer gets everything, whatever version it had."""
    day.add(ticks_of(day, 1, 20))
    viewer = viewer_of(day, clock)
    viewer.known = Known("an earlier process", 10**6)
    assert viewer.look().is_whole
    assert viewer.trades == 20


def test_a_file_that_was_replaced_is_read_from_the_start(day: Collected, clock: Clock, tmp_path: Path) -> None:
    """A damaged day is set aside and a new file begins: nothing of the first one stays on the page."""
    day.add(ticks_of(day, 1, 20))
    viewer = viewer_of(day, clock)
    viewer.look()
    day.close()
    day.path.rename(tmp_path / "aside")
    with closing(Collected(day.path)) as other:
        other.add(ticks_of(other, 101, 7))
        clock.now_s += 1
        assert viewer.look().is_whole
        assert viewer.trades == 7
    Collected(tmp_path / "20261119.db").close()  # the fixture closes `day` once more
    day.db = apsw.Connection(":memory:")


def test_gaps_outages_and_counters(day: Collected, clock: Clock) -> None:
    """Gaps of the symbol and outages of the day come with their times; they are told again only if they changed."""
    day.ticks(TENCENT, 100, skip=7)
    day.gap(TENCENT, 7)
    day.gap(BANK, 1)
    day.db.execute("UPDATE connections SET to_ms = ?", (day.at(9.75),))
    day.connection(9.75, 9.8, connected=False, reason="timeout")
    day.connection(9.8, None)
    viewer = viewer_of(day, clock)
    first = viewer.look()
    assert [(span.missing, span.status) for span in first.gaps] == [(7, "open")]
    assert [(each.from_ms, each.to_ms, each.reason) for each in first.away] == [(day.at(9.75), day.at(9.8), "timeout")]
    assert first.figures is not None
    assert (first.figures.rows, first.figures.expected) == (100, 107)
    day.add(ticks_of(day, 300, 1))
    clock.now_s += 1
    assert not viewer.look().has_new_spans
    day.db.execute("UPDATE gaps SET status = 'healed', missing = 0 WHERE symbol = ?", (TENCENT,))
    clock.now_s += 6
    then = viewer.look()
    assert then.has_new_spans
    assert [span.status for span in then.gaps] == ["healed"]


def test_a_symbol_without_ticks_is_empty_until_the_first_one(day: Collected, clock: Clock) -> None:
    """A symbol that did not trade yet, or that nobody collects, gives an empty answer and no error."""
    viewer = viewer_of(day, clock, "HK.09999")
    first = viewer.look()
    assert (first.candles, first.figures) == ([], None)
    day.add(ticks_of(day, 1, 3, "HK.09999"))
    clock.now_s += 1
    viewer.look()
    assert viewer.trades == 3


def test_a_bar_without_a_price_has_none(day: Collected, clock: Clock) -> None:
    """A minute with odd lots alone has volume and no candle: the rules are those of `bars`."""
    (row,) = ticks_of(day, 1, 1)
    day.add([(*row[:7], "ODD_LOT", *row[8:])])
    viewer = viewer_of(day, clock)
    (candle,) = viewer.look().candles
    assert (candle.open, candle.close, candle.volume, candle.buy_volume) == (None, None, 100, 100)


def test_no_file_a_foreign_one_and_a_damaged_one_are_named(tmp_path: Path, clock: Clock) -> None:
    """What cannot be read raises the error that says why, at every look, and the watch goes on once it can be read."""
    path = tmp_path / f"{DAY}.db"
    watch = DayWatch(DayLocation(DAY, path, None), "first", Inline(), clock)
    with pytest.raises(NoDayError):
        asyncio.run(watch.part(TENCENT, NOTHING, 0))
    path.write_bytes(b"SQLite format 3\0" + bytes(4096))
    clock.now_s += 1
    with pytest.raises(StoreError):
        asyncio.run(watch.part(TENCENT, NOTHING, 0))
    path.unlink()
    with closing(Collected(path)) as day:
        day.add(ticks_of(day, 1, 3))
        clock.now_s += 1
        assert sum(candle.trades for candle in asyncio.run(watch.part(TENCENT, NOTHING, 0)).candles) == 3


def test_symbols_that_nobody_watches_are_forgotten(day: Collected, clock: Clock) -> None:
    """A viewer that opens one symbol after the other, or many at once, does not fill the memory."""
    names = [f"HK.{number:05}" for number in range(1, 61)]
    for name in names:
        day.add(ticks_of(day, 1, 2, name))
    watch = watch_of(day, clock)
    for name in names:
        asyncio.run(watch.part(name, NOTHING, 0))
    assert len(watch._symbols) <= 33  # noqa: SLF001 - what it keeps
    clock.now_s += 60
    asyncio.run(watch.part(names[0], NOTHING, 0))
    assert list(watch._symbols) == [names[0]]  # noqa: SLF001 - what it keeps


class Slow(Inline):
    """Answers after others had their turn. The next reading takes `next_s` by the test's clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.next_s = 0.0

    async def read(self, work: Callable[[], _T], path: Path) -> _T:
        await asyncio.sleep(0)
        self.clock.now_s += self.next_s
        self.next_s = 0.0
        return await super().read(work, path)


def test_a_symbol_that_is_forgotten_while_its_viewer_waits_is_read_again(day: Collected, clock: Clock) -> None:
    """A download of a known symbol waits for the readings of others, and was then an empty file."""
    for name in (TENCENT, BANK, "HK.00981"):
        day.add(ticks_of(day, 1, 3, name))
    reads = Slow(clock)
    watch = DayWatch(DayLocation(DAY, day.path, None), "first", reads, clock)

    async def look() -> Part:
        await watch.part(TENCENT, NOTHING, 0)
        clock.now_s += 2
        reads.next_s = 12
        viewers = [asyncio.create_task(watch.part(name, NOTHING, 0)) for name in ("HK.00981", BANK, TENCENT)]
        return (await asyncio.gather(*viewers))[-1]

    part = asyncio.run(look())
    assert part.figures is not None
    assert (part.figures.rows, sum(candle.trades for candle in part.candles)) == (3, 3)


def test_an_archived_day(day: Collected, clock: Clock, tmp_path: Path) -> None:
    """A day of which only the archive has a copy shows the same candles, last ticks, gaps and counters."""
    day.add(ticks_of(day, 1, 130))
    day.gap(TENCENT, 4)
    live = viewer_of(day, clock)
    shown = live.look().ticks
    place = archive(day.path, tmp_path / "archive")
    viewer = Viewer(DayWatch(place, "second", Inline(), clock), TENCENT, day.at(20))
    part = viewer.look()
    assert viewer.candles == live.candles
    assert part.ticks == shown
    assert len(part.ticks) == 60
    assert part.figures is not None
    assert part.figures.rows == 130
    assert [span.missing for span in part.gaps] == [4]
    assert part.is_archived
    assert part.is_over
    assert {row.symbol for row in list_symbols(place)} == {TENCENT}
    shutil.rmtree(tmp_path / "archive")


def test_a_file_under_the_name_of_another_day_is_named(day: Collected) -> None:
    """A copy made by hand is not shown as of that day."""
    copy = day.path.with_name("20261123.db")
    day.db.execute("INSERT OR REPLACE INTO meta VALUES ('trading_day', ?)", (DAY,))
    day.db.execute("VACUUM INTO ?", (str(copy),))
    with pytest.raises(StoreError, match=f"20261123.db is the file of {DAY}, not of 20261123"):
        list_symbols(DayLocation("20261123", copy, None))


def test_the_symbols_of_a_day(day: Collected) -> None:
    """The list has each symbol with a tick, the busiest first, with its name as OpenD sent it."""
    day.add(ticks_of(day, 1, 3, BANK) + ticks_of(day, 1, 5, TENCENT))
    day.db.execute(
        "INSERT INTO instruments VALUES (?, '<b>TENCENT', 100, 'STOCK', 0, '2004-06-16', 380.0, 1)", (TENCENT,)
    )
    rows = list_symbols(DayLocation(DAY, day.path, None))
    assert [(row.symbol, row.name, row.rows) for row in rows] == [(TENCENT, "<b>TENCENT", 5), (BANK, "", 3)]

"""Following day files: each tick exactly once, in order, from anywhere, over everything that happens to the files."""

from __future__ import annotations

import datetime as dt
import os
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.others_lock import in_transaction

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import NoDayError, StoreError
from hk_tick_collector.following import archived_day, watched_file
from hk_tick_collector.following import day as day_module
from hk_tick_collector.following.archived_day import cuts
from hk_tick_collector.following.local_days import StreamWarning
from hk_tick_collector.following.watched_file import WatchedFile
from hk_tick_collector.store import day_connection
from hk_tick_collector.store.dayfile import StoreOptions, seal
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS, VERSION

from .conftest import Days, Reading, demand_in_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]
    MakeDay = Callable[..., Any]

SYMBOLS = ("HK.00005", "HK.00700", "HK.09988")
BASE = 1_795_138_200 << 32  # 2026-11-20 09:30:00 in Hong Kong


def today() -> str:
    """The Hong Kong date, as the name of its file."""
    return market.day_name(market.day_number(now_ms()))


@pytest.fixture
def tick() -> MakeTick:
    """A tick from a symbol and a sequence; its time is 09:30 unless given."""

    def make(symbol: str, seq: int, ts_ms: int = 1_795_138_200_000) -> TickRow:
        return (symbol, seq, ts_ms, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms + 3, ts_ms + 2, " ")

    return make


def keys(found: list[Any]) -> list[tuple[str, int]]:
    return [(tick[0], tick[1]) for tick in found]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_tick_once_in_any_order_of_arrival(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is stored between looks, in any order, with small looks and resumed at any place: each tick once."""
    root = tmp_path_factory.mktemp("follow")
    start = data.draw(st.sampled_from(["new", "day"]))
    db = apsw.Connection(str(root / f"{today()}.db"))
    db.pragma("synchronous", "off")
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", VERSION)
    db.pragma("journal_mode", "wal")
    for migration in MIGRATIONS:
        db.execute(migration)
    step = data.draw(st.sampled_from([1, 1 << 32, (1 << 32) + 1]))  # counters alone, no counters, as the feed
    order = data.draw(st.permutations([(symbol, BASE + n * step) for symbol in SYMBOLS for n in range(12)]))
    begun = data.draw(st.integers(0, len(order)))
    patch = pytest.MonkeyPatch()
    patch.setattr(day_module, "MOST_TICKS", data.draw(st.integers(1, 9)))
    read: list[Any] = []
    reading: Reading | None = None
    try:
        for place, (symbol, seq) in enumerate([*order, ("", 0)]):
            if place == begun:
                reading = Reading(root, start=start)
            if symbol:
                row = (symbol, seq, (seq >> 32) * 1000, 1.0, 1, 1.0, "BUY", "X", "realtime", 1_795_138_200_000 + place)
                db.execute(f"INSERT INTO ticks VALUES ({', '.join('?' * 12)})", (*row, None, None))
            if reading and (not symbol or data.draw(st.booleans())):
                if data.draw(st.booleans()):
                    read.append(next_batch) if (next_batch := _one_or_none(reading)) else None
                else:
                    read += reading.read()
            if reading and data.draw(st.integers(0, 4)) == 0:
                saved = str(reading.position)
                reading.close()
                reading = Reading(root, start=saved)
        assert reading
        while found := reading.read():
            read += found
        reading.close()
    finally:
        patch.undo()
        db.close()
    rows = [tick for batch in read for tick in batch.rows]
    assert sorted(keys(rows)) == sorted(order[begun:] if start == "new" else order)
    demand_in_order(read)


def _one_or_none(reading: Reading) -> Any:
    """One batch, if there is one: the others stay for later, or for the one that is resumed."""
    try:
        return reading.one()
    except AssertionError:
        return None


def test_late_ticks_come_in_batches_that_say_so(make_day: MakeDay, tick: MakeTick, root: Path) -> None:
    """A backfilled tick below delivered ones comes at once, marked late; higher ones of the same commit do not."""
    day = make_day()
    day.add([tick("HK.00700", BASE + n) for n in (1, 2, 5, 9)])
    reading = Reading(root, start="2026-11-20")
    reading.read()
    day.add([tick("HK.00700", BASE + n) for n in (10, 4, 3, 8)] + [tick("HK.00005", BASE + 1)])
    in_order, late = reading.read()
    assert (in_order.late, [each.seq - BASE for each in in_order.rows]) == (False, [1, 10])
    assert (late.late, [each.seq - BASE for each in late.rows]) == (True, [3, 4, 8])
    demand_in_order(reading.batches)


def test_a_symbol_without_a_counter_misses_nothing(make_day: MakeDay, tick: MakeTick, root: Path) -> None:
    """Sequences in which no tick can lie between two others by their counter, and one does all the same."""
    day = make_day()
    day.add([tick("HK.00700", 1 << 32 | 7), tick("HK.00700", 9 << 32 | 8)])
    reading = Reading(root, start="2026-11-20")
    reading.read()
    between = ("HK.00700", 5 << 32 | 7, *tick("HK.00700", 3)[2:9], 1_795_138_999_000, None, None)
    day.add([between])
    assert keys(reading.read()[0].rows) == [("HK.00700", 5 << 32 | 7)]
    saved = str(reading.position)
    again = ("HK.00700", 6 << 32 | 9, *tick("HK.00700", 3)[2:9], 1_795_139_000_000, None, None)
    day.add([again])
    assert keys(reading.read()[0].rows) == keys(Reading(root, start=saved).read()[0].rows) == [again[:2]]
    assert reading.read() == []


def test_a_backlog_comes_in_the_order_of_the_market(make_day: MakeDay, tick: MakeTick, root: Path) -> None:
    """Three hours of many symbols from the day's begin: no symbol is hours ahead of another in the stream."""
    day = make_day()
    rows = []
    for second in range(0, 10_800, 2):
        for number in range(8):
            at_ms = 1_795_138_200_000 + second * 1000
            rows.append(tick(f"HK.0000{number + 1}", (at_ms // 1000 << 32) | second + 1, at_ms + number))
    random.Random(5).shuffle(rows)
    day.add(rows)
    reading = Reading(root, start="2026-11-20")
    read = reading.read()
    assert len(read) > 3
    assert sorted(keys(reading.rows)) == sorted(keys(rows))
    assert [each.ts_ms for each in reading.rows] == sorted(each.ts_ms for each in reading.rows)
    demand_in_order(read)


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("10:00", range(30, 60)),
        ("2026-11-20 10:29", range(59, 60)),
        ("2026-11-20T02:00:00+00:00", range(30, 60)),
        ("12:00", range(0)),
        (((1_795_138_200 + 57 * 60) << 32) | 58, range(57, 60)),
        ("day", range(60)),
    ],
)
def test_it_begins_anywhere(days: Days, start: Any, wanted: range) -> None:
    """At a time, a sequence or the day's begin; what is backfilled later comes only if it lies after that."""
    file = days.collect("20261120")
    for written in days.data_root.glob("20261120.db*"):
        os.utime(
            written, (time.time(), time.time())
        )  # a day is over once its WAL is old: also with a false clock it is not
    reading = Reading(days.data_root, day="20261120", start=start, symbols="HK.00700")
    reading.read()
    assert keys(reading.rows) == keys([days.tick("20261120", "HK.00700", n) for n in wanted])
    from hk_tick_collector.store.dayfile import Batch as Written

    early, last = days.tick("20261120", "HK.00700", 0), days.tick("20261120", "HK.00700", 400)
    file.write(Written(rows=[(early[0], early[1] - 1, early[2] - 1, *early[3:]), last]), early[2])
    found = [each for batch in reading.read() for each in batch.rows]
    assert keys(found) == [last[:2]] + ([(early[0], early[1] - 1)] if start == "day" else [])
    file.abandon()


def test_from_now_on_has_nothing_of_before(make_day: MakeDay, tick: MakeTick, root: Path) -> None:
    """`new`: only what is committed after the begin, also ticks that fill a gap of before, and new symbols."""
    day = make_day(today())
    day.add([tick("HK.00700", BASE + n) for n in range(0, 2000, 2)])
    reading = Reading(root, start="new")
    assert reading.read() == []
    day.add([tick("HK.00700", BASE + 3), tick("HK.00700", BASE + 5000), tick("HK.00005", BASE + 1)])
    assert sorted(keys(reading.rows + [each for batch in reading.read() for each in batch.rows])) == [
        ("HK.00005", BASE + 1),
        ("HK.00700", BASE + 3),
        ("HK.00700", BASE + 5000),
    ]


def test_a_replaced_file_repeats_nothing(make_day: MakeDay, tick: MakeTick, root: Path) -> None:
    """A damaged file was set aside and a new one is filled: nothing comes twice, everything else comes."""
    day = make_day()
    day.add([tick("HK.00700", BASE + n) for n in range(50)])
    reading = Reading(root, start="2026-11-20")
    reading.read()
    fresh = make_day("fresh")
    fresh.add([tick("HK.00700", BASE + n) for n in (5, 6, 60)])
    fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm", ""):
        path = root / f"20261120.db{suffix}"
        path.rename(root / f"aside.db{suffix}")
    assert reading.read() == []
    (root / "fresh.db").rename(day.path)
    (root / "fresh.db-wal").rename(root / "20261120.db-wal")
    (root / "fresh.db-shm").unlink()
    assert keys(reading.read()[0].rows) == [("HK.00700", BASE + 60)]
    assert reading.read() == []
    assert Reading(root, start=str(reading.position)).read() == []


def test_gaps_are_told_in_place(make_day: MakeDay, tick: MakeTick, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open gap with the ticks after it, also in a backlog; a change with the tick that fills it; each once."""
    monkeypatch.setattr(day_module, "MOST_TICKS", 500)  # the backlog comes in many batches
    day = make_day()
    times = [(n, 1_795_138_200_000 + n * 1000) for n in range(5_000) if n != 3_000]
    day.add([tick("HK.00700", (at_ms // 1000 << 32) | n, at_ms) for n, at_ms in times])
    low, high = ((1_795_138_200 + n) << 32 | n for n in (2_999, 3_001))
    day.execute(
        f"INSERT INTO gaps VALUES ('HK.00700', {low + 1}, {high - 1}, 1, 2, 1, 'disconnect', 'open', 4, NULL, 1)"
    )
    reading = Reading(root, start="2026-11-20")
    reading.read()
    assert len(reading.batches) > 3
    place = next(number for number, batch in enumerate(reading.batches) if batch.gaps)
    assert [gap.missing for gap in reading.gaps] == [1]
    assert all(each.seq < low for batch in reading.batches[:place] for each in batch.rows)
    assert any(each.seq >= high for each in reading.batches[place].rows)
    saved = str(reading.position)
    filled = tick("HK.00700", (1_795_138_200 + 3_000) << 32 | 3_000, 1_795_141_200_000)
    with day.db:
        day.db.execute(f"INSERT INTO ticks VALUES ({', '.join('?' * 12)})", filled)
        day.db.execute("UPDATE gaps SET status = 'healed', missing = 0, closed_ms = 9")
    for each in (reading, Reading(root, start=saved)):
        (late,) = each.read()
        assert (late.late, keys(late.rows), [gap.status for gap in late.gaps]) == (True, [filled[:2]], ["healed"])
        assert each.read() == []


def test_a_gap_that_is_lost_without_a_tick_is_told(make_day: MakeDay, tick: MakeTick, root: Path) -> None:
    """A gap that opens and changes with no tick: told in batches without ticks."""
    day = make_day()
    day.add([tick("HK.00700", BASE + 1)])
    reading = Reading(root, start="2026-11-20")
    reading.read()
    day.execute(f"INSERT INTO gaps VALUES ('HK.00700', {BASE}, {BASE}, 1, 2, NULL, 'x', 'open', 4, NULL, 1)")
    assert [(len(batch), [gap.missing for gap in batch.gaps]) for batch in reading.read()] == [(0, [None])]


@pytest.mark.usefixtures("one_day")
def test_over_the_change_of_day(make_day: MakeDay, tick: MakeTick, root: Path) -> None:
    """Both files are followed after midnight; a tick of the earlier day is late once its symbol has one of the later.

    A later file that is no day file is left out with a warning, and one tick of tomorrow ends no day.
    """
    number = market.day_number(now_ms())
    first, second = market.day_name(number), market.day_name(number + 1)
    day = make_day(first)
    day.add([tick("HK.00700", BASE + 1)])
    (root / "99991230.db").write_text("no day file")
    reading = Reading(root, start="day")
    with pytest.warns(StreamWarning, match="99991230 is left out"):
        reading.read()
    later = make_day(second)
    later.add([tick("HK.00700", BASE + 9)])
    day.add([tick("HK.00700", BASE + 2), tick("HK.00005", BASE + 1)])
    reading.read()
    day.add([tick("HK.00700", BASE + 3), tick("HK.00005", BASE + 2)])
    reading.read()
    demand_in_order(reading.batches)
    told = [(batch.late, keys(batch.rows)) for batch in reading.batches]
    assert (True, [("HK.00700", BASE + 3)]) in told
    assert (False, [("HK.00005", BASE + 2)]) in told
    assert len(reading.rows) == 6


def test_a_sealed_day_is_left_and_the_position_forgets_it(days: Days, root: Path) -> None:
    """From days ago: archived days, finished day files, then the live one; the position names only the live one."""
    for name in ("20261118", "20261119", "20261120", "20261123"):
        file = days.collect(name)
        file.write(_meta_sealed(), 0)
        file.close()
    live = days.collect("20261124")
    days.to_archive("20261118")
    days.to_archive("20261119", keep=True)
    reading = Reading(days.data_root, days.archive, start="2026-11-18")
    reading.read()
    demand_in_order(reading.batches)
    wanted = [days.tick(name, symbol, n) for name in ("20261118", "20261119", "20261120", "20261123", "20261124")
              for symbol in SYMBOLS for n in range(60)]  # fmt: skip
    assert sorted(keys(reading.rows)) == sorted(keys(wanted))
    assert [each.ts_ms for each in reading.rows] == sorted(each.ts_ms for each in reading.rows)
    assert set(reading.position.days) == {market.parse_day("20261124")}
    live.abandon()


def _meta_sealed() -> Any:
    from hk_tick_collector.store.dayfile import Batch as Written

    return Written(meta={"sealed_ms": "1"})


@pytest.mark.parametrize("archived", [False, True])
def test_a_finished_day_ends_and_is_resumed(days: Days, archived: bool) -> None:
    """A day file of the past, and an archived one: in the order of time, its open gap told, then the end.

    From a position in its middle the rest comes, each tick once.
    """
    file = days.collect("20261119", each=8_000)
    file.write(_meta_sealed(), 0)
    file.close()
    days.gap("20261119", "HK.00700", 3)
    if archived:
        days.to_archive("20261119")
    whole = Reading(days.data_root, days.archive, day="20261119")
    whole.read()
    assert whole.is_over
    demand_in_order(whole.batches)
    assert sorted(keys(whole.rows)) == sorted(
        days.tick("20261119", symbol, n)[:2] for symbol in SYMBOLS for n in range(8_000)
    )
    assert [each.ts_ms for each in whole.rows] == sorted(each.ts_ms for each in whole.rows)
    assert [(gap.symbol, gap.missing) for gap in whole.gaps] == [("HK.00700", 3)]
    first = Reading(days.data_root, days.archive, day="20261119")
    rows = first.one().rows
    first.close()
    rest = Reading(days.data_root, days.archive, day="20261119", start=str(first.position))
    rest.read()
    assert rest.is_over
    assert 0 < len(rows) < 24_000
    assert sorted(keys([*rows, *rest.rows])) == sorted(keys(whole.rows))


def test_a_position_goes_on_in_the_archive(days: Days) -> None:
    """The day file was archived and removed meanwhile: the rest comes from the archive. Without that, one error."""
    file = days.collect("20261119", each=30)
    reading = Reading(days.data_root, days.archive, start="2026-11-19")
    reading.read()
    file.write(_rows([days.tick("20261119", symbol, n) for symbol in SYMBOLS for n in range(30, 60)]), 0)
    file.close()
    reading.close()
    days.to_archive("20261119")
    rest = Reading(days.data_root, days.archive, start=str(reading.position))
    rest.read()
    assert len(rest.rows) == 90
    assert sorted(keys([*reading.rows, *rest.rows])) == sorted(
        days.tick("20261119", symbol, n)[:2] for symbol in SYMBOLS for n in range(60)
    )
    with pytest.raises(NoDayError, match="the position is in 20261119"):
        Reading(days.data_root, start=str(reading.position))


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([5 << 32 | 7], []),
        ([5 << 32 | 7, 6 << 32 | 900, 9 << 32 | 1], [6 << 32, 9 << 32]),
        ([5 << 32 | 7, 5 << 32 | 900, 9 << 32 | 1], [5 << 32 | 900, 9 << 32]),
        ([1, 1001, 2001], [1001, 2001]),  # a counter without a second
        ([1, 3, 3, 4], [3, 4]),  # many symbols with the same sequences
        ([-5, -3, 2], [-3, 0]),
    ],
)
def test_parts_of_an_archived_day_have_a_limit(starts: list[int], expected: list[int]) -> None:
    """Memory holds one part. It begins with a second, or where sequences have no second at the sequence itself."""
    assert cuts(starts) == expected


def test_an_archived_day_of_counters_in_parts(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences without the second: each tick once, each symbol in the order of its sequences."""
    monkeypatch.setattr(archived_day, "_PART_TICKS", 100)
    file = days.collect("20261119", ())
    rows = []
    for symbol in SYMBOLS:
        for n in range(500):
            row = days.tick("20261119", symbol, n)
            rows.append((symbol, n + 1, *row[2:]))
    file.write(_rows(rows), 0)
    file.close()
    days.to_archive("20261119")
    reading = Reading(days.data_root, days.archive, day="20261119")
    reading.read()
    demand_in_order(reading.batches)
    assert reading.is_over
    assert sorted(keys(reading.rows)) == sorted((row[0], row[1]) for row in rows)


@pytest.mark.parametrize("archived", [False, True])
def test_a_day_without_a_wanted_tick_is_passed_over(days: Days, archived: bool) -> None:
    """A day on which the symbol did not trade, and one without any tick: no error, and the days after them."""
    traded = {"20261118": ("HK.00700",), "20261119": (), "20261120": ("HK.00005",)}
    for name, symbols in traded.items():
        days.collect(name, symbols).close()
        days.gap(name, "HK.00005", 1)
        with closing(sqlite3.connect(days.path(name))) as db:
            db.execute("INSERT INTO meta VALUES ('sealed_ms', 1)")
            db.commit()
        if archived:
            days.to_archive(name)
    reading = Reading(days.data_root, days.archive, symbols="HK.00005", start="2026-11-18")
    reading.read()
    assert {str(each.day) for each in reading.batches if each.rows} == {"2026-11-20"}
    assert [str(each.day) for each in reading.batches if each.gaps] == ["2026-11-18", "2026-11-19", "2026-11-20"]
    for name in ("20261118", "20261119"):
        only = Reading(days.data_root, days.archive, symbols="HK.00005", day=name)
        only.read()
        assert (only.is_over, only.rows, [gap.missing for gap in only.gaps]) == (True, [], [1])


def test_a_named_pipe_in_place_of_a_book_is_not_opened(days: Days) -> None:
    """Opening it would wait for ever, and Ctrl-C would not end that: it counts as a missing book."""
    days.collect("20261119").close()
    days.to_archive("20261119")
    book = days.archive / "books/2026-11-19.db"
    book.unlink()
    os.mkfifo(book)
    reading = Reading(days.data_root, days.archive, day="20261119")
    with pytest.warns(UserWarning, match="the book of 20261119 is missing: its gaps are not told"):
        reading.read()
    assert (reading.is_over, len(reading.rows)) == (True, 180)


def _rows(rows: list[Any]) -> Any:
    from hk_tick_collector.store.dayfile import Batch as Written

    return Written(rows=rows)


def test_days_that_are_freed_meanwhile_come_from_the_archive(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archived and freed while the stream is in the middle of the first: the rest, each tick once and in order."""
    monkeypatch.setattr(day_module, "MOST_TICKS", 50)
    names = ["20261118", "20261119", "20261120", "20261123", "20261124", "20261125", "20261126"]
    for name in names:
        days.collect(name).close()
    reading = Reading(days.data_root, days.archive, start="2026-11-18")
    reading.one()
    for name in names[:-1]:
        days.to_archive(name)
    reading.read()
    demand_in_order(reading.batches)
    assert [each.day for each in reading.batches] == sorted(each.day for each in reading.batches)
    assert sorted((tick.ts_ms, tick.symbol) for tick in reading.rows) == sorted(
        days.tick(name, symbol, n)[2::-2] for name in names for symbol in SYMBOLS for n in range(60)
    )


def test_day_files_between_archived_days_are_not_passed_over(days: Days) -> None:
    """Five days that could not be archived, then five that were: all ten, in order."""
    names = [f"202611{day:02}" for day in range(2, 13)]
    for name in names:
        days.collect(name, each=2).close()
    for name in names[5:]:
        days.to_archive(name)
    reading = Reading(days.data_root, days.archive, start="2026-11-02")
    reading.read()
    assert [market.day_name((each.day - dt.date(1970, 1, 1)).days) for each in reading.batches] == names


def test_a_file_that_is_gone_is_told(days: Days) -> None:
    """Removed in the middle of its day, and archived nowhere: a warning, and the next day."""
    for name in ("20261119", "20261120"):
        days.collect(name).close()
    reading = Reading(days.data_root, start="2026-11-19")
    days.path("20261119").unlink()
    with pytest.warns(StreamWarning, match="the file of 20261119 is gone"):
        reading.read()
    assert [str(each.day) for each in reading.batches] == ["2026-11-20"]


def test_a_day_that_was_left_out_is_followed_again(
    make_day: MakeDay, tick: MakeTick, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later of two days cannot be read for a while, then another file is there: nothing twice, nothing missing."""
    monkeypatch.setattr(watched_file, "_PATIENCE_S", 0.0)
    make_day("20261119").add([tick("HK.00700", 1)])
    make_day().add([tick("HK.00700", BASE + n) for n in range(20)])
    reading = Reading(root, start="2026-11-19")
    reading.read()
    for suffix in ("-wal", "-shm", ""):
        (root / f"20261120.db{suffix}").rename(root / f"aside.db{suffix}")
    (root / "20261120.db").write_text("no database")
    with pytest.warns(StreamWarning, match="20261120 is left out"):
        assert reading.read() == []
    assert reading.read() == []
    position = str(reading.position)
    (root / "20261120.db").unlink()
    fresh = make_day()
    fresh.add([tick("HK.00700", BASE + n) for n in range(25)])
    assert keys(reading.read()[0].rows) == [("HK.00700", BASE + n) for n in range(20, 25)]
    assert keys(Reading(root, start=position).read()[0].rows) == [("HK.00700", BASE + n) for n in range(20, 25)]
    demand_in_order(reading.batches)


def _ticks_leaf(path: Path) -> tuple[int, int]:
    """Where a page of ticks in the last quarter of a day file begins, and its size, in bytes."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        sql = "SELECT pageno FROM dbstat WHERE name = 'ticks' AND pagetype = 'leaf' ORDER BY path"
        pages = [int(page) for (page,) in db.execute(sql)]
        size = int(db.pragma("page_size"))
    return (pages[len(pages) * 3 // 4] - 1) * size, size


def read_to_the_end(reading: Reading) -> None:
    while not reading.is_over:
        reading.read()


@pytest.mark.parametrize("only", [None, "20261119"])
def test_a_read_error_that_passes_loses_nothing_of_a_past_day(days: Days, only: str | None) -> None:
    """A page of a past day cannot be read, then it can: nothing of a later day before that, and every tick once."""
    for name in ("20261119", "20261120"):
        days.collect(name, each=4000).close()
    path = days.path("20261119")
    at, size = _ticks_leaf(path)
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * size)
    reading = Reading(days.data_root, start="2026-11-19", day=only)
    reading.read()
    assert reading.rows == []
    assert not reading.is_over
    with path.open("r+b") as file:
        file.write(whole)
    reading.read()
    got = Counter[str]()
    for batch in reading.batches:
        got[str(batch.day)] += len(batch.rows)
    assert list(got.items()) == [("2026-11-19", 12_000), ("2026-11-20", 12_000)][: 1 if only else 2]
    assert not any(batch.late for batch in reading.batches)
    demand_in_order(reading.batches)


def test_a_read_error_of_a_past_day_that_lasts_is_raised(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged page of a past day ends the stream with the error, not as if the day had no more ticks."""
    monkeypatch.setattr(watched_file, "_PATIENCE_S", 0.05)
    days.collect("20261119", each=4000).close()
    path = days.path("20261119")
    at, size = _ticks_leaf(path)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * size)
    reading = Reading(days.data_root, day="20261119")
    with pytest.raises(StoreError, match=r"20261119\.db is damaged"):
        read_to_the_end(reading)


def test_a_locked_past_day_is_waited_for(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds a lock on a past day: the later day comes, then the locked one, late, and not less."""
    for name in ("20261119", "20261120"):
        days.collect(name).close()
    monkeypatch.setattr(day_connection, "_BUSY_MS", 10)
    with in_transaction(days.path("20261119"), "PRAGMA journal_mode = DELETE;", "BEGIN EXCLUSIVE;"):
        reading = Reading(days.data_root, start="2026-11-19")
        reading.read()
    reading.read()
    assert [(str(batch.day), batch.late) for batch in reading.batches] == [("2026-11-20", False), ("2026-11-19", True)]
    demand_in_order(reading.batches)


def test_a_position_of_a_day_file_fits_its_gaps_in_the_archive(days: Days) -> None:
    """What was told is not told again, what was not is; filled ones are told as closed, late ticks as late."""
    file = days.collect("20261119", each=30)
    late = [days.tick("20261119", "HK.00700", n) for n in (40, 42)]
    file.write(_rows(late), 0)
    file.close()
    for missing, status in ((1, "healed"), (2, "open"), (3, "open")):
        days.gap("20261119", "HK.00700", missing, status=status)
    reading = Reading(days.data_root, days.archive, start="2026-11-19")
    reading.read()
    assert [(gap.missing, gap.id) for gap in reading.gaps] == [(2, 2), (3, 3)]
    position = str(reading.position)
    reading.close()
    days.collect("20261119", each=0).close()
    file = days.collect("20261119", each=0)
    file.write(_rows([days.tick("20261119", "HK.00700", n) for n in (41, 43)]), 0)
    file.close()
    days.gap("20261119", "HK.00005", 9)
    with closing(sqlite3.connect(days.path("20261119"))) as db, db:
        db.execute("UPDATE gaps SET status = 'healed', missing = 0, closed_ms = 1 WHERE id = 2")
    days.to_archive("20261119")
    rest = Reading(days.data_root, days.archive, start=position)
    rest.read()
    assert sorted((gap.id, gap.status) for gap in rest.gaps) == [(2, "healed"), (4, "open")]
    assert [(each.late, keys(each.rows)) for each in rest.batches if each.rows] == [
        (late, [days.tick("20261119", "HK.00700", n)[:2]]) for late, n in ((False, 43), (True, 41))
    ]
    assert rest.read() == []


def test_nothing_to_follow_has_a_reason(days: Days, root: Path) -> None:
    """No directory, no such day, no day file: one error with what to do."""
    with pytest.raises(StoreError, match="there is no directory"):
        Reading(root / "nowhere")
    days.collect("20261120").close()
    with pytest.raises(NoDayError, match="no data of 20261119"):
        Reading(days.data_root, day="20261119")
    (root / "20261120.db").write_text("what is this\n" * 100)
    with pytest.raises(StoreError, match="not an SQLite file"):
        Reading(root, start="2026-11-20").read()


def demand_closed(watched: WatchedFile) -> None:
    assert not watched.is_open


def test_an_idle_stream_keeps_no_day_from_being_sealed(days: Days) -> None:
    """After a second without a change the file is closed: it is sealed at once. A later change opens it again."""
    now_s = [0.0]
    file = days.collect("20261120")
    path = days.path("20261120")
    watched = WatchedFile(path, clock=lambda: now_s[0])
    assert watched.reader() is not None
    now_s[0] += 0.5
    assert watched.reader() is None
    assert watched.is_open
    file.close()
    assert not seal(path, 1, StoreOptions())
    now_s[0] += 0.6
    watched.reader()  # finds what the attempt changed
    now_s[0] += 1.1
    watched.reader()
    demand_closed(watched)
    assert seal(path, 1, StoreOptions())
    reader = watched.reader()
    assert reader is not None
    assert reader.is_sealed()
    watched.close()

"""`hk_tick_collector.stream`: `for` and `async for`, frames, replays, and one error for a wrong argument."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import hk_tick_collector
from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import StoreError, UsageError
from hk_tick_collector.following.arguments import Asked
from hk_tick_collector.following.bound import Bound
from hk_tick_collector.following.local_days import LocalDays
from hk_tick_collector.following.pace import Pace
from hk_tick_collector.following.position import Position
from hk_tick_collector.following.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.following import Stream
    from hk_tick_collector.model import Tick, TickRow

    from .conftest import Days

    MakeTick = Callable[..., TickRow]
    MakeDay = Callable[..., Any]


OF_ANOTHER = '{"position":1,"symbols":["HK.00005"],"from":["20261120",null,null],"days":{}}'


@pytest.fixture
def live(make_day: MakeDay, one_day: None) -> Any:
    """Today's day file, as a collector has it open."""
    return make_day(market.day_name(market.day_number(now_ms())))


def test_a_loop_gets_what_is_stored_while_it_waits(live: Any, tick: MakeTick, root: Path) -> None:
    """A `for` loop: stored ticks, then those that another thread commits; left and entered again, without a seam."""
    live.add([tick("HK.00700", n) for n in range(10)])
    stream = hk_tick_collector.stream(root, "HK.00700", start="day")
    seqs: list[int] = []

    def until(last: int) -> None:
        for batch in stream:
            seqs.extend(each.seq for each in batch)
            if seqs[-1] == last:
                return

    until(9)
    waiting = threading.Thread(target=until, args=(19,))
    waiting.start()
    for n in range(10, 20):
        live.add([tick("HK.00700", n), tick("HK.00005", n)])
    waiting.join(60)
    live.add([tick("HK.00700", 20)])
    until(20)
    stream.close()
    live.add([tick("HK.00700", 21)])
    until(21)  # closed is not over: it goes on at its position
    assert seqs == list(range(22))
    stream.close()


def test_an_async_loop_blocks_nothing_and_loses_nothing(live: Any, tick: MakeTick, root: Path) -> None:
    """`async for`: other tasks run while it waits; a cancelled wait, as `wait_for` makes it, loses no batch."""

    async def read() -> list[int]:
        seqs: list[int] = []
        ran = 0
        async with hk_tick_collector.stream(root, start="new") as stream:
            for n in range(30):
                asking = asyncio.create_task(anext(stream))
                await asyncio.sleep(0)
                if n % 3 == 0:
                    asking.cancel()
                live.add([tick("HK.00700", n)])
                while not asking.done():
                    ran += 1
                    await asyncio.sleep(0.001)
                if not asking.cancelled():
                    seqs += [each.seq for each in asking.result()]
            live.add([tick("HK.00700", 30)])
            async for batch in stream:
                seqs += [each.seq for each in batch]
                if seqs[-1] == 30:
                    break
            assert str(stream.position) == str(batch.position)
        assert ran > 0
        return seqs

    live.add([tick("HK.00700", -1)])
    assert asyncio.run(read()) == list(range(31))


def test_asking_while_another_thread_closes_is_no_error(
    live: Any, tick: MakeTick, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop asks in the moment in which `close` began: it ends, and nobody is told of two loops."""
    live.add([tick("HK.00700", 1)])
    position = Position((), Bound(market.day_number(now_ms())), {})
    reading = Reading(Asked(root, None, None, position, None, None), position)
    closes, may_close, close = threading.Event(), threading.Event(), LocalDays.close

    def slowly(days: LocalDays) -> None:
        closes.set()
        assert may_close.wait(60)
        close(days)

    reading.begin()
    monkeypatch.setattr(LocalDays, "close", slowly)
    closing_it = threading.Thread(target=reading.close)
    closing_it.start()
    assert closes.wait(60)
    assert reading.next(None) is None
    may_close.set()
    closing_it.join()


def test_an_error_of_a_cancelled_wait_is_raised_once(
    live: Any, tick: MakeTick, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `async for` loop ends while its thread finds a disk that fails; a `for` loop has that error, then goes on."""
    live.add([tick("HK.00700", 1)])
    stream = hk_tick_collector.stream(root, start="day").begin()
    asked = threading.Event()

    def fails(*_: object) -> None:
        asked.set()
        raise StoreError("the disk fails")

    async def cancel() -> None:
        asking = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking

    with monkeypatch.context() as patch:
        patch.setattr(Reading, "next", fails)
        asyncio.run(cancel())
        assert asked.wait(60)
    with pytest.raises(StoreError, match="the disk fails"):
        next(stream)
    assert [each.seq for each in next(stream)] == [1]
    stream.close()


def test_entering_marks_now(live: Any, tick: MakeTick, root: Path) -> None:
    """`with stream(...)`: `new` means after this line, whenever the first batch is asked for; a position before any."""
    live.add([tick("HK.00700", 1)])
    with hk_tick_collector.stream(root) as stream:
        before = str(stream.position)
        live.add([tick("HK.00700", 2)])
        assert [each.seq for each in next(stream)] == [2]
    with hk_tick_collector.stream(root, start=before) as stream:
        assert [each.seq for each in next(stream)] == [2]


def test_a_batch_becomes_a_frame(live: Any, tick: MakeTick, root: Path) -> None:
    """`arrow`, `polars`, `pandas` and the Arrow interface have the columns and types of `Store.ticks`."""
    rows = [tick("HK.00700", (1 << 62) + n, 1_795_138_200_000 + n) for n in range(3)]
    live.add(rows)
    with hk_tick_collector.stream(root, start="day") as stream:
        batch = next(stream)
    wanted = hk_tick_collector.open(root).ticks(gaps="ignore").arrow()
    assert batch.arrow().equals(wanted)
    assert pa.table(batch).equals(wanted)
    assert batch.polars().shape == (3, 13)
    assert list(batch.pandas()["seq"]) == [(1 << 62) + n for n in range(3)]
    assert (len(batch), batch.rows[0].price, batch.late, batch.gaps) == (3, 388.2, False, ())
    assert str(pickle.loads(pickle.dumps(batch.position))) == str(batch.position)


def test_a_batch_without_ticks_is_an_empty_frame_and_is_true(live: Any, root: Path) -> None:
    """A batch that only tells of a gap: `if batch` does not pass over it, and its frame has the columns."""
    with hk_tick_collector.stream(root, start="new") as stream:
        live.execute("INSERT INTO gaps VALUES ('HK.00700', 1, 2, 1, 2, 2, 'x', 'open', 4, NULL, 1)")
        batch = next(stream)
    assert batch
    assert (len(batch), batch.arrow().num_rows, batch.arrow().num_columns, batch.gaps[0].missing) == (0, 0, 13, 2)


def test_a_replay_takes_its_time(days: Days) -> None:
    """An hour of a finished day at speed 36,000 takes about a tenth of a second or more, and has the same ticks."""
    file = days.collect("20261119")
    file.close()
    begun_s = time.monotonic()
    paced = list(hk_tick_collector.stream(days.data_root, day="2026-11-19", speed=36_000))
    took_s = time.monotonic() - begun_s
    assert took_s >= 59 * 60 / 36_000 - 0.01  # ticks that are due within 10 ms come together
    at_once = list(hk_tick_collector.stream(days.data_root, day="2026-11-19"))
    assert [each for batch in paced for each in batch] == [each for batch in at_once for each in batch]
    assert sum(map(len, paced)) == 180


def test_the_pace_is_that_of_the_market(tick: MakeTick) -> None:
    """With a clock of our own: each tick no earlier than it is due, those that are due come together."""
    now_s = [100.0]
    pace = Pace(10, clock=lambda: now_s[0])
    ticks: list[Tick] = [
        _named(tick("HK.00700", n, 1_795_138_200_000 + ms)) for n, ms in enumerate((0, 50, 10_000, 10_040))
    ]
    told: list[tuple[float, list[int]]] = []
    for part in pace.parts(1, ticks):
        if isinstance(part, float):
            now_s[0] += part
        else:
            told.append((round(now_s[0] - 100, 3), [each.seq for each in part]))
    assert told == [(0.0, [0, 1]), (1.0, [2, 3])]


def _named(row: TickRow) -> Tick:
    from hk_tick_collector.model import Tick as Named

    return Named(*row)


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        ({"symbols": "700"}, "'700' is not a valid symbol", "did you mean HK.00700?"),
        ({"symbols": []}, "symbols is an empty list", "leave it out for all"),
        ({"source": "HK.00700"}, "is a symbol", "stream(symbols='HK.00700')"),
        ({"source": 7}, "source=7 is no directory", "DATA_ROOT"),
        ({"source": "s3://bucket"}, "is no directory", "DATA_ROOT"),
        ({"start": "yesterday"}, "start=yesterday is not a time", "start="),
        ({"start": 3.5}, "start=3.5 is not a place to begin", "start="),
        ({"start": True}, "start=True is not a place to begin", "start="),
        ({"start": 5}, "does not say which day", "day="),
        ({"start": 2**64}, "is no sequence", "64 bits"),
        ({"start": dt.datetime(2026, 11, 20, 9, 30)}, "has no time zone", "with a time zone"),  # noqa: DTZ001
        ({"start": "2099-01-01"}, "start=2099-01-01 is in the future", "start="),
        ({"start": dt.datetime(2099, 1, 1, tzinfo=dt.UTC)}, "is in the future", "start="),
        ({"start": "{}"}, "is not a position of a stream: it is damaged", "unchanged"),
        ({"start": '{"position": 9}'}, "it has version 9", "unchanged"),
        ({"start": OF_ANOTHER, "symbols": "HK.00700"}, "the position is of HK.00005", "leave them out"),
        ({"start": "2026-11-19 10:00", "day": "2026-11-20"}, "start is not in the day 20261120", "leave out day"),
        ({"day": "2099-01-01"}, "is in the future", "leave it out"),
        ({"day": "today"}, "day=today is not a day", "2026-11-20"),
        ({"speed": 0, "start": "day"}, "speed=0 is not a speed", "leave it out"),
        ({"speed": float("nan"), "start": "day"}, "is not a speed", "leave it out"),
        ({"speed": -(10**400), "start": "day"}, "is not a speed", "leave it out"),
        ({"speed": "60", "start": "day"}, "speed='60' is not a speed", "leave it out"),
        ({"speed": 2}, 'together with start="new"', "as they are stored"),
        ({"archive": "s3://bucket/x"}, "on a disk of this host only, not at s3://bucket/x", "restore"),
        ({"archive": 5}, "archive=5 is no directory", "the archive"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_clear_error(arguments: dict[str, Any], says: str, hint: str) -> None:
    """At the call, before anything is read: what was wrong and what to write."""
    with pytest.raises(UsageError) as raised:
        hk_tick_collector.stream(**{"source": "/nowhere", **arguments})
    assert says in str(raised.value)
    assert hint in raised.value.hint
    assert "\n" not in raised.value.one_line()


def test_numbers_of_any_kind_are_numbers(live: Any, tick: MakeTick, root: Path) -> None:
    """A sequence from a frame, a speed beyond every float, a tick due in ten million years: nothing overflows."""
    second = now_ms() // 1000 << 32
    live.add([tick("HK.00700", second + n, now_ms() + n) for n in range(3)])
    cases: Any = ((np.int64(second + 1), 10**400), (second + 1, np.int64(60)), (second + 1, 1e-15))
    for start, speed in cases:
        seqs: list[int] = []
        with hk_tick_collector.stream(root, start=start, speed=speed) as stream:
            ending = threading.Timer(0.5, stream.close)  # for the tick that is due in ten million years
            for batch in stream:
                seqs += [each.seq - second for each in batch]
                if seqs[-1] == 2:
                    break
                if speed == 1e-15:
                    ending.start()
        ending.cancel()
        assert seqs == ([1] if speed == 1e-15 else [1, 2])


def test_closing_ends_a_loop_that_waits(live: Any, tick: MakeTick, root: Path) -> None:
    """`close` from another thread or task: the loop ends, and its file is closed; asked again it goes on."""
    live.add([tick("HK.00700", 1)])
    stream = hk_tick_collector.stream(root, start="day")
    got: list[int] = []
    has_one = threading.Event()

    def follow() -> None:
        for batch in stream:
            got.extend(each.seq for each in batch)
            has_one.set()

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    assert has_one.wait(60)
    stream.close()
    following.join(60)
    assert not following.is_alive()

    async def read() -> None:
        async for batch in stream:
            got.extend(each.seq for each in batch)
            has_one.set()

    async def main() -> None:
        reading = asyncio.create_task(read())
        await asyncio.to_thread(has_one.wait, 60)
        stream.close()
        await asyncio.wait_for(reading, 60)

    has_one.clear()
    live.add([tick("HK.00700", 2)])
    asyncio.run(main())
    live.add([tick("HK.00700", 3)])
    assert got + [each.seq for each in next(stream)] == [1, 2, 3]
    stream.close()
    assert not [each.name for each in threading.enumerate() if each.name.startswith("tick-stream") and _lasts(each)]


def _lasts(thread: threading.Thread) -> bool:
    thread.join(60)
    return thread.is_alive()


def test_one_stream_in_two_loops_is_one_clear_error(live: Any, tick: MakeTick, root: Path) -> None:
    """Two threads, or two tasks, that ask one stream: an error for the second, and the first misses nothing."""

    async def main() -> None:
        async with hk_tick_collector.stream(root) as stream:
            asking = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="in two loops"):
                await anext(stream)
            live.add([tick("HK.00700", 1)])
            assert len(await asking) == 1

    asyncio.run(main())
    got: list[int] = []

    def ask() -> None:
        while not got:
            with suppress(UsageError):  # both threads try
                got.append(len(next(stream)))

    with hk_tick_collector.stream(root) as stream:
        waiting = threading.Thread(target=ask)
        waiting.start()
        assert _is_refused(stream)
        live.add([tick("HK.00700", 2)])
        waiting.join(60)
    assert got == [1]


def _is_refused(stream: Stream) -> bool:
    while True:
        try:
            stream.begin()
        except UsageError as error:
            return "in two loops" in str(error)


def test_a_loop_that_ends_first_is_not_disturbed(live: Any, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The event loop is closed while the thread still looks, as after Ctrl-C: no error is logged."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)

    stream = hk_tick_collector.stream(root)
    asyncio.run(main())
    asking = stream._asking  # noqa: SLF001
    assert asking is not None
    asking.result(60)
    stream.close()
    assert caplog.records == []


def test_the_settings_say_where(live: Any, tick: MakeTick, workdir: Path) -> None:
    """Without a directory it is that of the settings in force, as with `open`."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    live.add([tick("HK.00700", 1)])
    with closing(hk_tick_collector.stream(start="day")) as stream:
        assert [each.seq for each in next(iter(stream))] == [1]

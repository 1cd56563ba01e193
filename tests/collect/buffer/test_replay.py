"""Rows spooled by earlier runs are stored, oldest first, and deleted only after they are committed."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from tests.collect.conftest import CAP_S, wait_until

from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.overflow import Overflow
from hk_tick_collector.collect.buffer.replay import replay_earlier_spools, store_rows
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.opend.protocol import Ticks
from hk_tick_collector.stats import Stats
from hk_tick_collector.store import spool_record
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow

MINE = "20261120T100000-mine"


async def taken(queue: TickQueue, rows: int) -> list[int]:
    """Takes and commits this many rows, like the writer; returns their sequences."""
    found: list[int] = []
    while len(found) < rows:
        chunks = await asyncio.to_thread(queue.take, 1000, 0.0, 1.0)
        found += [row[1] for chunk in chunks for row in chunk.rows]
        queue.done(chunks)
        for chunk in chunks:
            if chunk.on_commit:
                chunk.on_commit()
    return found


def replayed(place: Path, intake: Intake, queue: TickQueue, rows: int) -> list[int]:
    """The sequences of this many rows that a whole replay gives to a writer."""

    async def story() -> list[int]:
        replaying = asyncio.create_task(replay_earlier_spools(place, MINE, intake, queue))
        found = await taken(queue, rows)
        await replaying
        return found

    return asyncio.run(story())


def test_the_oldest_run_comes_first_and_its_spool_is_then_removed(
    tmp_path: Path, tick: Callable[..., TickRow], journal: Journal
) -> None:
    """Also the spool of a single day; this run's own spool is not read."""
    for name, seq in ((MINE, 9), ("20261119T090000-b", 3), ("20261118T090000-a.20261117", 2), ("20261118T090000-a", 1)):
        Spool(tmp_path / name).append([tick("HK.00700", seq)])
    queue, stats = TickQueue(100), Stats()
    tracker = GapTracker(Day, lambda: 0)
    intake = Intake(queue, tracker, OpenDState(), stats, time.monotonic)

    assert replayed(tmp_path, intake, queue, 3) == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [MINE]
    assert [event.fields["rows"] for event in journal.events("spool_replayed")] == ["1", "1", "1"]


def test_a_disk_that_hangs_during_a_read_holds_up_nothing_else(
    tmp_path: Path, tick: Callable[..., TickRow], journal: Journal
) -> None:
    """The event loop, which receives ticks, goes on; when the disk answers, the rows are stored."""
    _ = journal
    Spool(tmp_path / "20261118T090000-a").append([tick("HK.00700", 1)])
    queue = TickQueue(100)
    intake = make_intake(queue, Stats())
    reading, answers = threading.Event(), threading.Event()
    answered: list[bool] = []
    read_rows = spool_record.read_rows

    def read_late(*args: Any) -> Any:
        reading.set()
        answered.append(answers.wait(CAP_S / 10))
        return read_rows(*args)

    async def story() -> list[int]:
        replaying = asyncio.create_task(replay_earlier_spools(tmp_path, MINE, intake, queue))
        await asyncio.to_thread(reading.wait, CAP_S)
        answers.set()
        found = await taken(queue, 1)
        await replaying
        return found

    with mock.patch.object(spool_record, "read_rows", read_late):
        assert asyncio.run(story()) == [1]
    assert answered == [True]


def test_without_a_spool_there_is_nothing_to_do(tmp_path: Path) -> None:
    """SPOOL_DIR need not exist."""
    queue = TickQueue(100)
    intake = Intake(queue, GapTracker(Day, lambda: 0), OpenDState(), Stats(), time.monotonic)
    asyncio.run(replay_earlier_spools(tmp_path / "none", MINE, intake, queue))
    assert queue.rows == 0


def test_directories_of_others_are_left_alone(tmp_path: Path, tick: Callable[..., TickRow], journal: Journal) -> None:
    """SPOOL_DIR may be DATA_ROOT, or a mount point with lost+found: only directories named like a run are replayed."""
    Spool(tmp_path / "20261119T090000-0123abcd").append([tick("HK.00700", 1)])
    Spool(tmp_path / "20261119T090000-0123abcd.20261118").append([tick("HK.00700", 2)])
    (tmp_path / "lost+found").mkdir(mode=0)
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "allowed_signers").write_text("a key\n")
    queue = TickQueue(100)

    assert replayed(tmp_path, make_intake(queue, Stats()), queue, 2) == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "lost+found", "snapshots"]
    assert not journal.events("spool_damaged")
    assert not journal.events("spool_failed")


def make_intake(queue: TickQueue, stats: Stats) -> Intake:
    """As the service has one."""
    return Intake(queue, GapTracker(Day, lambda: 0), OpenDState(), stats, time.monotonic)


def _holds(queue: TickQueue, rows: int) -> bool:
    return queue.rows >= rows


def test_half_of_the_memory_is_for_live_ticks(tick: Callable[..., TickRow], journal: Journal) -> None:
    """Replayed rows take a quarter of the memory at a time, and only while another quarter is free for live ticks."""
    _ = journal
    queue, stats = TickQueue(40), Stats()
    intake = make_intake(queue, stats)
    rows = [tick("HK.00700", seq) for seq in range(1, 26)]
    live = Ticks(rows=[tick("HK.00005", seq) for seq in range(1, 12)])
    intake.ticks(live, 5)

    async def story() -> tuple[list[int], list[list[int]]]:
        storing = asyncio.create_task(store_rows(rows, intake, queue))
        await asyncio.sleep(0)
        waiting, batches = [queue.rows], list[list[int]]()
        for there in (11, 20, 5):
            await asyncio.to_thread(wait_until, partial(_holds, queue, there), "the next rows")
            chunks = queue.take(1000, 0.0, 0.0)
            waiting.append(queue.rows)
            batches.append([len(chunk.rows) for chunk in chunks])
            queue.done(chunks)
        await storing
        return waiting, batches

    waiting, batches = asyncio.run(story())
    assert waiting == [11, 11, 20, 5]
    assert batches == [[11], [10, 10], [5]]
    assert (stats.received, stats.last_tick_ms) == (36, 5), "what waited on a disk was not heard now"


def test_replayed_rows_are_deleted_when_the_last_is_committed(tick: Callable[..., TickRow], journal: Journal) -> None:
    """Not when they are taken: only the commit allows the deletion of their record."""
    _ = journal
    queue = TickQueue(100)
    intake = make_intake(queue, Stats())

    async def story() -> None:
        storing = asyncio.create_task(store_rows([tick("HK.00700", seq) for seq in range(30)], intake, queue))
        await asyncio.sleep(0)
        first, last = queue.take(25, 0.0, 0.0), list[Chunk]()
        assert all(chunk.on_disk for chunk in first)
        queue.done(first)
        last = queue.take(1000, 0.0, 0.0)
        for _ in range(3):
            await asyncio.sleep(0)
        assert (len(last), storing.done()) == (1, False)
        queue.done(last)
        await storing

    asyncio.run(story())
    assert queue.rows == 0


@pytest.mark.parametrize("pushed", [True, False])
def test_replayed_ticks_do_not_count_as_pushes(tick: Callable[..., TickRow], *, pushed: bool) -> None:
    """For example rows of the predecessor's file: they do not show that OpenD still pushes their symbol."""
    queue = TickQueue(100)
    intake = make_intake(queue, Stats())

    async def story() -> None:
        storing = asyncio.create_task(store_rows([tick("HK.00700", 1)], intake, queue, pushed=pushed))
        await asyncio.sleep(0)
        queue.done(queue.take(1, 0.0, 0.0))
        await storing

    with mock.patch.object(intake.pushes, "note") as note:
        asyncio.run(story())
    assert note.call_count == pushed


def test_a_directory_that_cannot_be_read_is_logged(tmp_path: Path, journal: Journal) -> None:
    """It is tried again later: its rows are not lost."""
    place = tmp_path / "spool"
    place.write_text("no directory\n")
    queue = TickQueue(100)

    async def story() -> None:
        replaying = asyncio.create_task(replay_earlier_spools(place, MINE, make_intake(queue, Stats()), queue))
        await asyncio.to_thread(journal.wait_for, "spool_failed")
        assert not replaying.done()
        replaying.cancel()

    asyncio.run(story())
    (told,) = journal.events("spool_failed")
    assert (told.level, told.fields["directory"]) == ("ERROR", str(place))
    assert "Not a directory" in told.fields["detail"]


def test_without_a_free_thread_it_is_tried_again(
    tmp_path: Path, tick: Callable[..., TickRow], journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of threads was reached for a moment: the rows are stored later by the same run."""
    Spool(tmp_path / "20261119T090000-b").append([tick("HK.00700", 1)])
    queue, start, refused = TickQueue(100), threading.Thread.start, list[str]()
    monkeypatch.setattr("hk_tick_collector.collect.buffer.replay._RETRY_S", 0.01)

    def limited(thread: threading.Thread) -> None:
        if thread.name == "_earlier" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)

    assert replayed(tmp_path, make_intake(queue, Stats()), queue, 1) == [1]
    (told,) = journal.events("spool_failed")
    assert "can't start new thread" in told.fields["detail"]


def test_a_damaged_record_is_logged_and_skipped(tmp_path: Path, tick: Callable[..., TickRow], journal: Journal) -> None:
    """The others of that run are stored."""
    spool = Spool(tmp_path / "20261119T090000-b")
    spool.append([tick("HK.00700", 1)])
    spool.append([tick("HK.00700", 2)])
    spool.close(1.0)
    (segment,) = (tmp_path / "20261119T090000-b").glob("*.spool")
    data = bytearray(segment.read_bytes())
    data[-3] ^= 0xFF
    segment.write_bytes(data)
    queue = TickQueue(100)

    assert replayed(tmp_path, make_intake(queue, Stats()), queue, 1) == [1]
    assert [event.level for event in journal.events("spool_damaged")] == ["ERROR"]


@pytest.mark.parametrize(("rows", "has_turn"), [(20, True), (30, False)])
def test_while_live_ticks_are_spooled_replayed_rows_follow_them(
    tmp_path: Path,
    tick: Callable[..., TickRow],
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    *,
    has_turn: bool,
) -> None:
    """After some seconds together, if the spool's queue has space for four times their number; otherwise they wait."""
    _ = journal
    monkeypatch.setattr("hk_tick_collector.collect.buffer.replay._PATIENCE_S", 0.0)
    overflow = Overflow(Spool(tmp_path / "spool"), 100, Stats())
    queue = TickQueue(8, overflow)
    intake = make_intake(queue, Stats())
    intake.ticks(Ticks(rows=[tick("HK.00005", seq) for seq in range(10)]), 5)
    wait_until(lambda: overflow.safe_rows == 10, "the append")

    async def story() -> int:
        storing = asyncio.create_task(store_rows([tick("HK.00700", seq) for seq in range(rows)], intake, queue))
        await asyncio.sleep(0)
        storing.cancel()
        return queue.rows

    assert asyncio.run(story()) == 10 + rows * has_turn
    overflow.stop(time.monotonic() + CAP_S, [])

"""Rows that memory cannot hold: to the spool and back, each counted once, and a stop that reports correctly."""

from __future__ import annotations

import errno
import gc
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.collect.conftest import CAP_S, wait_until

from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.overflow import Overflow
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.model import GAP_OPEN, Gap, GapChange, RuleChange
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import ConnectionChange
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]
    MakeChunk = Callable[[int, int], Chunk]
    MakeOverflow = Callable[[Spool], Overflow]

BUFFER_ROWS: Final = 50_000


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The path of a test's spool."""
    return tmp_path / "spool"


@pytest.fixture
def chunk(tick: MakeTick) -> MakeChunk:
    """Makes chunks of the sequences `start` to `stop`."""
    return lambda start, stop: Chunk(rows=[tick("HK.00700", seq) for seq in range(start, stop)])


@pytest.fixture
def make_overflow(journal: Journal) -> Iterator[MakeOverflow]:  # what it logs stays in the test
    """Makes them on a spool, and ends them with the test."""
    made: list[Overflow] = []

    def make(spool: Spool) -> Overflow:
        made.append(Overflow(spool, BUFFER_ROWS, Stats()))
        return made[-1]

    yield make
    for overflow in made:
        overflow.stop(time.monotonic() + CAP_S, [])


class Gate:
    """A disk on which no sync of a segment returns while it is shut."""

    def __init__(self) -> None:
        self.met = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._fsync = os.fsync

    def shut(self) -> None:
        """From now on syncs wait."""
        self._open.clear()

    def lift(self) -> None:
        """They return."""
        self._open.set()

    def fsync(self, fd: int) -> None:
        """Replaces `os.fsync` in the test."""
        if Path(f"/proc/self/fd/{fd}").readlink().suffix == ".spool" and not self._open.is_set():
            self.met.set()
            self._open.wait()
        self._fsync(fd)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """No disk of a test is slow to sync."""
    gate = Gate()
    monkeypatch.setattr(os, "fsync", gate.fsync)
    yield gate
    gate.lift()


def seqs_in(place: Path) -> list[int]:
    """The sequences that the next start finds."""
    spool = Spool(place)
    found: list[int] = []
    while rows := spool.first():
        found += [row[1] for row in rows]
        spool.forget()
    assert spool.pop_damage() == []
    return found


def take(queue: TickQueue) -> list[Chunk]:
    """The next chunks; waits for them."""
    taken: list[list[Chunk]] = [[]]

    def there() -> bool:
        taken[0] = queue.take(1000, 0.0, 0.0)
        return bool(taken[0])

    wait_until(there, "something to take")
    return taken[0]


# --- to the spool and back ---


def test_rows_spooled_right_after_a_check_of_the_spool_come_back(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, journal: Journal
) -> None:
    """The taker finds the spool empty just when an append ends: it takes those rows next."""

    class SlowToLook(Spool):
        def first(self, max_rows: int = 1, *, patient: bool = False) -> list[TickRow] | None:
            rows = super().first(max_rows, patient=patient)
            if rows is None:
                overflow.put(chunk(0, 5))
                wait_until(lambda: overflow.has_room(BUFFER_ROWS), "the append")
            return rows

    overflow = make_overflow(SlowToLook(place))
    assert overflow.take() is None
    assert overflow.active
    assert overflow.rows == 5
    taken = overflow.take()
    assert taken is not None
    assert [row[1] for row in taken.rows] == [0, 1, 2, 3, 4]
    assert taken.on_commit is not None
    taken.on_commit()
    assert overflow.rows == 0
    assert journal.events("spool_drained")


def test_spooled_rows_of_a_stuck_writer_go_to_the_next_one_and_count_once(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """Returned and taken again they are the same rows, and after their commit the number of waiting rows is 0."""
    queue = TickQueue(1, make_overflow(Spool(place)))
    queue.put(chunk(0, 5))
    stuck = take(queue)
    assert queue.rows == 5
    queue.give_back()
    queue.done(stuck)  # it wakes up late
    assert queue.rows == 5
    again = take(queue)
    assert [row[1] for each in again for row in each.rows] == [0, 1, 2, 3, 4]
    assert queue.rows == 5
    queue.done(again)
    assert queue.rows == 0
    assert queue.has_memory_for(1)
    assert not queue.has_memory_for(2)
    assert seqs_in(place) == []


def test_a_replaced_writer_leaves_rows_read_from_the_spool_to_the_next_one(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """Row 22: a writer is replaced while its read of the spool does not return. When it returns, it takes no row, its
    successor takes each row once, and no row stays behind.
    """
    stuck, lift = threading.Event(), threading.Event()

    class StuckOnce(Spool):
        def first(self, max_rows: int = 1, *, patient: bool = False) -> list[TickRow] | None:
            if not stuck.is_set():
                stuck.set()
                assert lift.wait(CAP_S)
            return super().first(max_rows, patient=patient)

    overflow = make_overflow(StuckOnce(place))
    queue = TickQueue(1, overflow)
    queue.put(chunk(0, 5))
    wait_until(lambda: overflow.has_room(BUFFER_ROWS), "the append")
    late: list[list[Chunk]] = []
    retired = threading.Thread(target=lambda: late.append(queue.take(1000, 0.0, 0.0)))
    retired.start()
    assert stuck.wait(CAP_S)
    queue.give_back()
    threading.Timer(0.1, lift.set).start()
    again = take(queue)
    retired.join(CAP_S)
    assert late == [[]]
    assert [row[1] for each in again for row in each.rows] == [0, 1, 2, 3, 4]
    queue.done(again)
    assert queue.rows == 0
    assert not overflow.active


def test_without_a_free_thread_the_next_chunk_starts_the_spool(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of threads was reached for a moment: no row is lost."""

    def limited(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    overflow = make_overflow(Spool(place))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", limited)
        overflow.put(chunk(0, 5))
    assert overflow.rows == 5
    overflow.put(chunk(5, 7))
    wait_until(lambda: overflow.has_room(BUFFER_ROWS), "the append")
    taken = overflow.take()
    assert taken is not None
    assert [row[1] for row in taken.rows] == list(range(7))


def living_chunks() -> int:
    """How many there are in this process."""
    gc.collect()
    return sum(isinstance(each, Chunk) for each in gc.get_objects())


def test_memory_does_not_grow_with_the_number_of_pushes(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """The writer takes nothing for hours: of pushes whose rows are in the spool one chunk is left. All come back."""
    overflow = make_overflow(Spool(place))
    before = living_chunks()
    for n in range(100):
        overflow.put(replace(chunk(n, n + 1), rejected=7 * (n == 50)))
        wait_until(lambda: overflow.has_room(BUFFER_ROWS), "the append")
    assert living_chunks() - before <= 5
    taken = overflow.take()
    assert taken is not None
    assert ([row[1] for row in taken.rows], taken.rejected) == (list(range(100)), 7)
    assert overflow.active
    assert taken.on_commit is not None
    taken.on_commit()
    assert (overflow.rows, overflow.active) == (0, False)


def test_small_appends_come_back_together(place: Path, make_overflow: MakeOverflow, chunk: MakeChunk) -> None:
    """A slow market spools a row or two at a time: when the disk works again they are committed in large batches."""
    overflow = make_overflow(Spool(place))
    queue = TickQueue(1, overflow)
    for seq in range(0, 200, 2):
        queue.put(chunk(seq, seq + 2))
        wait_until(lambda: overflow.has_room(BUFFER_ROWS), "an append of its own")
    assert [row[1] for each in take(queue) for row in each.rows] == list(range(200))


def test_rows_of_an_earlier_run_are_stored_without_being_spooled_again(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """They come after live rows, before the next ones; `on_commit` is called, and the spool does not get them again."""
    told: list[str] = []
    spool = Spool(place)
    overflow = make_overflow(spool)
    overflow.put(chunk(0, 3))
    earlier = chunk(100, 105)
    earlier.on_disk, earlier.on_commit = True, lambda: told.append("committed")
    overflow.put(earlier)
    overflow.put(chunk(3, 5))
    assert overflow.rows == 10
    wait_until(lambda: overflow.has_room(BUFFER_ROWS), "the appends")
    assert overflow.rows == 10
    assert spool.rows == 5
    seqs: list[int] = []
    while overflow.active:
        taken = overflow.take()
        assert taken is not None
        seqs += [row[1] for row in taken.rows]
        assert not told or 100 in seqs
        assert taken.on_commit is not None
        taken.on_commit()
    assert sorted(seqs) == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    assert told == ["committed"]
    assert overflow.rows == 0


# --- the end ---


def test_a_stop_saves_what_is_held_and_nothing_twice(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """In the spool, taken from it, of an earlier run, and in memory: each row is saved once."""
    overflow = make_overflow(Spool(place))
    queue = TickQueue(1, overflow)
    queue.put(chunk(0, 5))
    take(queue)
    earlier = chunk(100, 105)
    earlier.on_disk = True
    lost = overflow.stop(time.monotonic() + CAP_S, [*queue.held_in_memory(), earlier, chunk(5, 9)])
    assert lost == 0
    assert seqs_in(place) == list(range(9))


def test_rows_whose_sync_does_not_return_are_not_reported_as_lost(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, gate: Gate, journal: Journal
) -> None:
    """Row 21: at the deadline an append is written and its sync has not returned: the next start finds the rows, so
    they are not lost, and the log says that a power cut could lose them. Rows whose append had not begun are lost.
    """
    overflow = make_overflow(Spool(place))
    gate.shut()
    overflow.put(chunk(0, 10))
    assert gate.met.wait(CAP_S)
    lost = overflow.stop(time.monotonic() + 0.1, [chunk(10, 17)])
    assert lost == 7
    assert {thread.daemon for thread in threading.enumerate() if thread.name == "overflow"} == {True}, "nor waited for"
    told = journal.wait_for("spool_not_synced")
    assert (told.level, told.fields) == ("WARNING", {"rows": "10", "hint": "lost only if the power fails now"})
    kept = place.with_name("as the next start sees it")
    kept.mkdir()
    for path in place.iterdir():
        kept.joinpath(path.name).write_bytes(path.read_bytes())
    gate.lift()  # the process lives on for a moment
    thread = next((each for each in threading.enumerate() if each.name == "overflow"), None)
    if thread:
        thread.join(CAP_S)
    assert seqs_in(kept) == list(range(10))
    assert seqs_in(place) == list(range(10))
    assert not journal.events("spool_failed")


def test_a_stop_waits_for_an_append_while_there_is_time(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, gate: Gate
) -> None:
    """A slow sync that returns before the deadline: all that waits behind it is saved too."""
    overflow = make_overflow(Spool(place))
    gate.shut()
    overflow.put(chunk(0, 10))
    assert gate.met.wait(CAP_S)
    threading.Timer(0.3, gate.lift).start()
    assert overflow.stop(time.monotonic() + CAP_S, [chunk(10, 17)]) == 0
    assert seqs_in(place) == list(range(17))


def test_a_stop_tries_a_failed_spool_again_at_once(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed append the spool waits, here for an hour. A stop does not: it tries at once, with success."""
    monkeypatch.setattr("hk_tick_collector.collect.buffer.overflow._RETRY_S", 3600.0)
    place.write_text("in the way of the directory")
    spool_place = place.with_name("later")
    overflow = make_overflow(Spool(spool_place))
    spool_place.write_text("in the way of the directory")
    overflow.put(chunk(0, 10))
    overflow.put(Chunk(connections=[ConnectionChange(1, False, None, "gone")]))
    wait_until(lambda: overflow.take() is not None, "the failure")
    spool_place.unlink()
    assert overflow.stop(time.monotonic() + CAP_S, [chunk(10, 17)]) == 0
    assert seqs_in(spool_place) == list(range(10, 17))


def test_without_a_thread_the_chunks_are_taken_from_memory(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of threads is reached: the writer gets the rows, and a stop has nothing to save."""
    overflow = make_overflow(Spool(place))

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limit:
        limit.setattr(threading.Thread, "start", refused)
        overflow.put(chunk(0, 3))
        overflow.put(chunk(3, 6))
    taken = []
    while (found := overflow.take()) is not None:
        taken += [row[1] for row in found.rows]
        assert found.on_commit is not None
        found.on_commit()
    assert taken == [0, 1, 2, 3, 4, 5]
    assert overflow.stop(time.monotonic() + CAP_S, []) == 0


def test_all_that_a_chunk_holds_comes_back_with_its_rows(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, journal: Journal
) -> None:
    """Counts, connections, gaps and rules wait in memory, and return with the rows from the spool."""
    overflow = make_overflow(Spool(place))
    before = overflow.active
    assert not before
    change = GapChange(1, Gap("HK.00700", 1, 2, 0, 0, 1, "restart", GAP_OPEN, 1, None, 1))
    rule, link, told = RuleChange(1, "HK.00700", "counter", 0), ConnectionChange(5, True, 1, ""), list[str]()
    full = chunk(0, 3)
    full.rejected, full.dropped, full.connections, full.gaps, full.rules = 2, 4, [link], [change], [rule]
    full.on_commit = lambda: told.append("committed")
    more = chunk(3, 5)
    more.rejected, more.dropped = 1, 1
    overflow.put(full)
    overflow.put(more)
    found: list[Chunk] = []
    while overflow.active:
        if taken := overflow.take():
            assert taken.on_disk
            found.append(replace(taken))
            assert overflow.rows == 5 - sum(len(each.rows) for each in found[:-1])
            assert taken.on_commit is not None
            taken.on_commit()
    assert [row[1] for each in found for row in each.rows] == [0, 1, 2, 3, 4]
    assert (sum(each.rejected for each in found), sum(each.dropped for each in found)) == (3, 5)
    # With the rows or behind them: rows can be read from the spool a moment before the rest of their chunk is noted.
    assert [[each for part in found for each in getattr(part, name)] for name in ("connections", "gaps", "rules")] == [
        [link], [change], [rule],
    ]  # fmt: skip
    assert told == ["committed"]
    assert (overflow.rows, overflow.safe_rows, seqs_in(place)) == (0, 0, [])
    assert [event.fields for event in journal.events("spool_started")] == [{"cause": "queue_full"}]
    assert journal.events("spool_drained")[-1].fields == {"rows": "5"}


def test_rows_bypass_memory_only_while_the_spool_is_in_use(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """And only as many rows as may wait for the disk of the spool."""
    overflow = make_overflow(Spool(place))
    queue = TickQueue(2, overflow)
    assert not queue.has_turn_for(1)
    queue.put(chunk(0, 2))
    queue.put(chunk(2, 3))
    assert queue.has_turn_for(BUFFER_ROWS - 1)
    assert not queue.has_turn_for(BUFFER_ROWS + 1)


# --- a spool that loses, a disk that does not read, a copy that is waited for ---


def test_rows_lost_by_the_spool_are_dropped_and_counted_exactly(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk, journal: Journal
) -> None:
    """Known when the spool is empty: in the account of the chunk that returns in their place, and in the log."""
    overflow = make_overflow(Spool(place))
    lost = chunk(0, 7)
    lost.connections = [ConnectionChange(5, True, 1, "")]
    overflow.put(lost)
    wait_until(lambda: overflow.safe_rows == 7, "the append")
    (segment,) = place.glob("*.spool")
    segment.write_bytes(b"\xa5" * segment.stat().st_size)
    found: list[Chunk] = []

    def look() -> bool:
        found.extend(filter(None, [overflow.take()]))
        return bool(found)

    wait_until(look, "what is left of it")
    (back,) = found
    assert (back.rows, back.dropped, back.connections) == ([], 7, lost.connections)
    assert (overflow.rows, overflow.storing.lost_rows) == (0, 7)
    (told,) = journal.events("ticks_dropped")
    assert (told.level, told.fields) == ("ERROR", {"rows": "7", "dropped_total": "7", "cause": "spool_damaged"})
    assert [event.level for event in journal.events("spool_damaged")] == ["ERROR"]


class Unread(Spool):
    """A spool whose disk cannot read for a while; how patient it was asked to be."""

    def __init__(self, place: Path, errors: list[int]) -> None:
        super().__init__(place)
        self.errors = errors
        self.asked: list[bool] = []

    def first(self, max_rows: int = 1, *, patient: bool = False) -> list[TickRow] | None:
        """Fails as often as it was told."""
        self.asked.append(patient)
        if self.errors:
            raise OSError(self.errors.pop(), "the disk")
        return super().first(max_rows, patient=patient)


def test_a_record_that_cannot_be_read_is_tried_ten_times(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """Read errors in a row are counted; after ten the record is skipped. A successful read resets the count."""
    spool = Unread(place, [errno.EIO] * 10 + [errno.EACCES])
    overflow = make_overflow(spool)
    overflow.put(chunk(0, 3))
    wait_until(lambda: overflow.safe_rows == 3, "the append")
    for _ in range(11):
        with pytest.raises(OSError, match="the disk"):
            overflow.take()
    assert overflow.take() is not None
    assert spool.asked == [True] * 11 + [False]
    overflow.take()
    assert spool.asked[-1] is True


@pytest.mark.parametrize(
    ("copying", "trouble", "level", "cause"),
    [(True, "", "INFO", "copy"), (False, "disk_full", "WARNING", "disk_full"), (True, "busy", "INFO", "busy")],
)
def test_the_reason_for_spooling_is_logged(
    place: Path,
    make_overflow: MakeOverflow,
    chunk: MakeChunk,
    journal: Journal,
    *,
    copying: bool,
    trouble: str,
    level: str,
    cause: str,
) -> None:
    """Once, with the first chunk; commits that wait for a copy are not reported as a fault."""
    overflow = make_overflow(Spool(place))
    overflow.storing.copy_held, overflow.storing.writer_trouble = copying, trouble
    overflow.put(chunk(0, 1))
    overflow.put(chunk(1, 2))
    assert [(event.level, event.fields) for event in journal.events("spool_started")] == [(level, {"cause": cause})]
    overflow.storing.copy_held = False


def test_while_a_copy_is_made_a_seconds_ticks_are_one_append(
    place: Path, make_overflow: MakeOverflow, chunk: MakeChunk
) -> None:
    """Each sync delays the copy. If a quarter of the memory is used, ticks are appended before a second is over."""
    overflow = make_overflow(Spool(place))
    overflow.storing.copy_held = True
    overflow.put(chunk(0, BUFFER_ROWS // 4 - 1))
    assert overflow.safe_rows == 0
    overflow.put(chunk(BUFFER_ROWS // 4 - 1, BUFFER_ROWS // 4))
    wait_until(lambda: overflow.safe_rows == BUFFER_ROWS // 4, "the append")
    overflow.storing.copy_held = False

"""Turns and commits, called as the writer thread does, on real files, but without the thread."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.collect.conftest import wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk, Part
from hk_tick_collector.collect.buffer.overflow import Overflow
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.account import Account
from hk_tick_collector.collect.writing.committer import Committer, Orders
from hk_tick_collector.collect.writing.open_days import OpenDays
from hk_tick_collector.collect.writing.thread_handover import Handover
from hk_tick_collector.collect.writing.trouble import Trouble
from hk_tick_collector.collect.writing.turns import Turns
from hk_tick_collector.collect.writing.waiting_days import WaitingDays
from hk_tick_collector.model import GAP_OPEN, Gap, GapChange, RuleChange
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import ConnectionChange, StoreOptions, seal
from hk_tick_collector.store.query import DayReader
from hk_tick_collector.store.spool import Spool

from .days import DAY, TODAY, TODAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

YESTERDAY: Final = TODAY - 1


class Hall:
    """All parts of a writer but its thread."""

    def __init__(self, root: Path, tick: MakeTick, overflow: Overflow | None = None) -> None:
        self.root, self.tick = root, tick
        self.stats = Stats()
        self.queue = TickQueue(2 if overflow else 100_000, overflow)
        options = WriterOptions(root, "run", "test", 100, 20, StoreOptions(synchronous="OFF", busy_timeout_ms=0))
        clock = ExchangeClock(OpenDState(), lambda: TODAY_MS)
        self.days = OpenDays(options, self.stats, clock, lambda _: None)
        (root / ".spool").mkdir(exist_ok=True)
        self.held = WaitingDays(self.queue, self.stats, root, root / ".spool" / "run")
        self.orders, self.handover = Orders(), Handover()
        trouble = Trouble(self.queue, self.stats, root, clock.now_ms)
        account = Account(self.stats, self.handover, root, clock.now_ms)
        self.committer = Committer(self.queue, self.days, self.held, trouble, account, self.orders, clock.now_ms)
        self.turns = Turns(self.queue, self.days, self.held, self.committer, self.orders, 100)

    def rows(self, first: int, last: int, day: int = TODAY) -> list[TickRow]:
        """Ticks of a day, at 10:00."""
        start_ms = market.day_start_ms(day) + 36_000_000
        return [self.tick("HK.00700", seq, start_ms + seq) for seq in range(first, last + 1)]

    def store(self, *chunks: Chunk) -> None:
        """One round of the thread with these chunks."""
        for chunk in chunks:
            self.queue.put(chunk)
        self.turns.store(self.queue.take(100_000, 0.0, 0.0))

    def path(self, day: int) -> Path:
        """Where the file of a day is."""
        return self.root / f"{market.day_name(day)}.db"

    def ticks(self, day: int) -> list[int]:
        """The sequences in a day's file."""
        with DayReader(self.path(day)) as reader:
            return sorted(tick.seq for tick in reader.ticks())


@pytest.fixture
def hall(tmp_path: Path, tick: MakeTick, journal: Journal) -> Iterator[Hall]:  # what is logged stays in the test
    """Nothing waits."""
    _ = journal
    hall = Hall(tmp_path, tick)
    yield hall
    hall.days.close_all()


def when_told(journal: Journal, event: str, act: Callable[[], object]) -> None:
    """Does something at the moment when an event is logged."""
    write = journal.write

    def watching(text: str) -> int:
        if f" {event} " in text:
            act()
        return write(text)

    journal.write = watching  # type: ignore[method-assign]


def test_all_that_a_chunk_holds_goes_into_its_days(hall: Hall) -> None:
    """Rows, gaps and rules of a day go to its own file; connections and counts without a day to today's, once."""
    gap = Gap("HK.00700", 1, 2, 0, 0, 5, "restart", GAP_OPEN, 1, None, 1)
    first = Chunk(rows=hall.rows(1, 2), rejected=3, dropped=4, connections=[ConnectionChange(5, True, 1, "")])
    first.gaps, first.rules = [GapChange(TODAY, gap)], [RuleChange(TODAY, "HK.00700", "counter", 0)]
    second = Chunk(rows=hall.rows(3, 4, YESTERDAY), rejected=1)
    second.gaps = [GapChange(YESTERDAY, gap._replace(missing=7))]
    second.rules = [RuleChange(YESTERDAY, "HK.00700", "none", 0)]
    hall.store(first, second)
    assert hall.stats.stored == 2, "today's first"
    assert hall.queue.rows == 2
    assert hall.turns.store_held() is True
    assert hall.turns.store_held() is False
    assert hall.queue.rows == 0
    for day, rows, missing, rule in ((TODAY, [1, 2], 5, "counter"), (YESTERDAY, [3, 4], 7, "none")):
        with DayReader(hall.path(day)) as reader:
            assert sorted(tick.seq for tick in reader.ticks()) == rows
            assert [each.missing for each in reader.gaps()] == [missing]
            assert [each.rule for each in reader.rules().values()] == [rule]
            runs = [(run.stored, run.rejected, run.dropped, run.waiting) for run in reader.ledger()]
            links = reader.connections()
        assert runs == ([(2, 4, 4, 0)] if day == TODAY else [(2, 0, 0, 0)])
        assert len(links) == (day == TODAY)
    assert [commit.rows for commit in hall.handover.commits] == [2, 2]


def test_rows_lost_from_the_spool_of_a_day_are_in_the_ledger(hall: Hall) -> None:
    """They were received and are not stored: the ledger has them as dropped, like those of the other spool."""
    error = OSError(errno.EACCES, "not writable")
    for row in hall.rows(1, 3):
        hall.held.hold(TODAY, Part.of([row]), on_disk=False)
        hall.held.fail(TODAY, error)
    (segment,) = (hall.root / ".spool" / f"run.{DAY}").glob("*.spool")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF  # in the second of three records
    segment.write_bytes(content)
    hall.held.hurry()
    while hall.turns.store_held():
        pass
    assert hall.ticks(TODAY) == [1, 3]
    with DayReader(hall.path(TODAY)) as reader:
        assert [(run.received, run.stored, run.dropped) for run in reader.ledger()] == [(3, 2, 1)]
    assert hall.stats.dropped == 1


def test_counts_without_a_row_are_stored_too(hall: Hall) -> None:
    """In the file that is open; with none open they wait for one."""
    hall.store(Chunk(rejected=3))
    assert list(hall.root.glob("*.db")) == []
    assert hall.committer.has_unfiled()
    hall.store(Chunk(rows=hall.rows(1, 1)))
    assert not hall.committer.has_unfiled()
    hall.store(Chunk(dropped=2))
    with DayReader(hall.path(TODAY)) as reader:
        assert [(run.received, run.rejected, run.dropped, run.commits) for run in reader.ledger()] == [(6, 3, 2, 2)]


def test_rows_of_a_spool_stay_on_a_disk(tmp_path: Path, tick: MakeTick, journal: Journal) -> None:
    """A day's file cannot be written: rows from the spool go to the day's own spool, or stay in the old one."""
    overflow = Overflow(Spool(tmp_path / "overflow"), 1000, Stats())
    hall = Hall(tmp_path, tick, overflow)
    hall.path(TODAY).mkdir()
    in_the_way = tmp_path / ".spool" / f"run.{DAY}"
    in_the_way.write_text("in the way\\n")
    hall.queue.put(Chunk(rows=hall.rows(1, 5)))
    wait_until(lambda: overflow.safe_rows == 5, "the append")
    chunks = hall.queue.take(100, 0.0, 0.0)
    when_told(journal, "spool_failed", hall.orders.give_up.set)
    hall.turns.store(chunks)
    assert overflow.safe_rows == 5, "nowhere else yet"
    assert hall.queue.held_rows == 0
    hall.orders.give_up.clear()
    in_the_way.unlink()
    hall.turns.store(chunks)
    assert (overflow.safe_rows, hall.queue.held_rows, hall.queue.held_safe_rows) == (0, 5, 5)
    assert journal.events("day_held")
    hall.path(TODAY).rmdir()
    assert hall.turns.store_held() is True
    assert hall.ticks(TODAY) == [1, 2, 3, 4, 5]
    hall.days.close_all()


def test_today_waits_for_no_other_day_while_the_spool_cannot_be_written(
    tmp_path: Path, tick: MakeTick, journal: Journal
) -> None:
    """The overflow returns chunks from memory: rows of a day whose file cannot be written wait in memory as well."""

    class Full(Spool):
        def append(self, rows: Sequence[TickRow]) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    overflow = Overflow(Full(tmp_path / "overflow"), 1000, Stats())
    hall = Hall(tmp_path, tick, overflow)
    hall.path(YESTERDAY).mkdir()
    (tmp_path / ".spool" / f"run.{market.day_name(YESTERDAY)}").write_text("in the way\n")
    hall.queue.put(Chunk(rows=hall.rows(1, 3, YESTERDAY)))
    hall.queue.put(Chunk(rows=hall.rows(1, 5)))
    journal.wait_for("spool_failed")
    when_told(journal, "persist_failed", hall.orders.give_up.set)
    taken: list[list[Chunk]] = []

    def took() -> bool:
        taken.append(hall.queue.take(100, 0.0, 0.0))
        return bool(taken[-1])

    for _ in range(2):
        wait_until(took, "a chunk")
        hall.turns.store(taken[-1])
    assert not hall.orders.give_up.is_set()
    assert hall.ticks(TODAY) == [1, 2, 3, 4, 5]
    assert (hall.queue.rows, hall.queue.held_rows, overflow.rows) == (3, 3, 0)
    hall.days.close_all()


def test_a_spool_that_cannot_be_read_now_is_tried_again(hall: Hall, journal: Journal) -> None:
    """Its day is held, with the cause; the others go on, and nothing of it is lost."""
    hall.path(TODAY).mkdir()
    hall.store(Chunk(rows=hall.rows(1, 3)))
    hall.path(TODAY).rmdir()
    (segment,) = (hall.root / ".spool" / f"run.{DAY}").glob("*.spool")
    kept = segment.rename(segment.with_suffix(".kept"))
    segment.mkdir()
    hall.held.hurry()
    assert hall.turns.store_held() is True
    assert hall.stats.held_rows == {DAY: 3}
    assert len(journal.events("day_held")) == 2, "another cause"
    segment.rmdir()
    kept.rename(segment)
    hall.held.hurry()
    assert hall.turns.store_held() is True
    assert hall.ticks(TODAY) == [1, 2, 3]


def test_late_ticks_of_a_sealed_day_are_counted_in_the_open_file(hall: Hall) -> None:
    """Ticks that it has are duplicates, the others are rejected; both in the account of the open file."""
    hall.store(Chunk(rows=hall.rows(1, 2, YESTERDAY)))
    hall.days.close_all()
    assert seal(hall.path(YESTERDAY), TODAY_MS, StoreOptions())
    hall.store(Chunk(rows=[*hall.rows(2, 4, YESTERDAY), *hall.rows(1, 1)]))
    assert hall.turns.store_held() is True
    with DayReader(hall.path(TODAY)) as reader:
        assert [(run.stored, run.duplicate, run.rejected) for run in reader.ledger()] == [(1, 1, 2)]
    assert (hall.stats.sealed_day, hall.queue.rows) == (2, 0)


def test_after_giving_up_no_commit_starts(hall: Hall) -> None:
    """The rows are left for the next writer."""
    hall.orders.give_up.set()
    hall.store(Chunk(rows=hall.rows(1, 2)))
    assert (hall.queue.rows, hall.stats.stored, list(hall.root.glob("*.db"))) == (2, 0, [])
    assert hall.committer.commit(TODAY, Part.of(hall.rows(1, 2))) is False
    assert hall.turns.store_held(TODAY) is False


def test_a_file_is_opened_again_on_request(hall: Hall) -> None:
    """Once, before the next commit; nothing is lost or counted twice by it."""
    hall.store(Chunk(rows=hall.rows(1, 1)))
    before = hall.days.file(TODAY)
    hall.store(Chunk(rows=hall.rows(2, 2)))
    assert hall.days.file(TODAY) is before
    hall.orders.reopen.set()
    hall.store(Chunk(rows=hall.rows(3, 3)))
    again = hall.days.file(TODAY)
    assert again is not before
    hall.store(Chunk(rows=hall.rows(4, 4)))
    assert hall.days.file(TODAY) is again
    assert (hall.ticks(TODAY), again.ledger.stored, again.ledger.commits) == ([1, 2, 3, 4], 4, 4)


def test_a_commit_is_reported_with_all_its_figures(hall: Hall) -> None:
    """What was stored, when, how long it took and how old its oldest row was; which days' file it is."""
    rows = hall.rows(1, 3)
    hall.store(Chunk(rows=[*rows, rows[0]]))
    stats, (commit,) = hall.stats, hall.handover.commits
    assert (stats.stored, stats.duplicate, stats.commits, stats.last_commit_ms) == (3, 1, 1, TODAY_MS)
    assert commit.rows == 4
    assert commit.age_ms == TODAY_MS - rows[0][9]
    assert 0.0 < commit.write_ms / 1000 <= 300.0
    assert hall.committer.took_s == commit.write_ms / 1000
    assert (hall.queue.storing.commits, hall.queue.storing.writer_alive_ms) == (1, TODAY_MS)
    hall.store(Chunk(rejected=1))
    assert (hall.committer.took_s, hall.stats.commits) == (commit.write_ms / 1000, 2), "of ticks alone"
    assert hall.stats.newest_day == DAY


def test_a_lock_is_waited_for_and_logged(hall: Hall, journal: Journal) -> None:
    """One line for many attempts, with the file and the duration; then all rows are stored."""
    hall.store(Chunk(rows=hall.rows(1, 1)))
    other = apsw.Connection(str(hall.path(TODAY)))
    other.execute("BEGIN IMMEDIATE")
    when_told(journal, "sqlite_busy_backoff", lambda: other.execute("ROLLBACK"))
    hall.store(Chunk(rows=hall.rows(2, 3)))
    (busy,) = journal.events("sqlite_busy_backoff")
    assert busy.level == "WARNING"
    told = {name: busy.fields[name] for name in ("cause", "day", "attempt", "wait_ms", "repeats", "queue_rows")}
    assert told == {"cause": "busy", "day": DAY, "attempt": "1", "wait_ms": "50", "repeats": "0", "queue_rows": "2"}
    (over,) = journal.events("writer_recovered")
    assert over.fields == {"cause": "busy", "waiting_rows": "2"}
    assert (hall.stats.writer_detail, hall.stats.writer_day, hall.stats.writer_trouble_since_ms) == ("", "", None)
    assert hall.ticks(TODAY) == [1, 2, 3]
    other.close()


def test_an_unfinished_batch_goes_to_the_next_writer(hall: Hall, journal: Journal) -> None:
    """The writer is told to stop after its first commit: the rows of the other day are neither stored nor spooled."""
    when_told(journal, "day_opened", hall.orders.give_up.set)
    hall.store(Chunk(rows=[*hall.rows(1, 2), *hall.rows(1, 2, YESTERDAY)]))
    assert hall.stats.stored == 2
    assert (hall.queue.rows, hall.held.days()) == (4, set())
    hall.queue.give_back()
    assert [row[1] for chunk in hall.queue.take(9, 0.0, 0.0) for row in chunk.rows] == [1, 2, 1, 2]


def test_changes_by_others_are_logged_with_their_day(hall: Hall, journal: Journal) -> None:
    """The line names the file and what was restored in it."""
    hall.store(Chunk(rows=hall.rows(1, 1)))
    other = apsw.Connection(str(hall.path(TODAY)))
    other.execute("DROP TRIGGER ticks_counted")
    other.close()
    hall.store(Chunk(rows=hall.rows(2, 2)))
    (told,) = journal.events("day_schema_mended")
    assert (told.level, told.fields) == ("WARNING", {"day": DAY, "what": "trigger ticks_counted was missing"})


def test_a_day_that_was_closed_with_waiting_rows_loses_no_later_batch(hall: Hall) -> None:
    """Rows of a blocked day count as waiting in the ledger of today's file. Its close sets them to 0 with a commit; the
    first batch after it is not taken for that one.
    """
    hall.path(YESTERDAY - 1).mkdir()  # a directory lies in the way of that day's file
    hall.store(Chunk(rows=hall.rows(1, 3, YESTERDAY - 1)))
    hall.store(Chunk(rows=hall.rows(1, 2)))
    assert hall.days.file(TODAY).ledger.waiting == 3
    hall.days.close(TODAY)
    hall.store(Chunk(rows=hall.rows(3, 4)))
    assert hall.ticks(TODAY) == [1, 2, 3, 4]
    assert hall.stats.stored == 4

"""Ticks that wait for the file of their day, called as the writer thread does, but without the thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.collect.conftest import wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Part
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.writing.waiting_days import WaitingDays
from hk_tick_collector.errors import ForeignFileError
from hk_tick_collector.model import GAP_OPEN, Gap, RuleChange
from hk_tick_collector.stats import Stats

from .days import DAY, TODAY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

RUN: Final = "20261120T100000-test"
YESTERDAY: Final = TODAY - 1
ERROR: Final = ForeignFileError("another program's database")


class Room:
    """Days that wait, and what is told of them."""

    def __init__(self, root: Path, tick: MakeTick, *, spools: bool = True) -> None:
        self.root, self.tick = root, tick
        self.stats, self.queue = Stats(), TickQueue(1_000_000)
        self.spool_dir = root / ".spool"
        self.spool_dir.mkdir()
        self.days = WaitingDays(self.queue, self.stats, root, self.spool_dir / RUN if spools else None)

    def rows(self, first: int, last: int, day: int = TODAY) -> list[TickRow]:
        """Ticks of a day."""
        start_ms = market.day_start_ms(day)
        return [self.tick("HK.00700", seq, start_ms + seq) for seq in range(first, last + 1)]

    def hold(self, first: int, last: int, day: int = TODAY, *, on_disk: bool = False) -> bool:
        """Has these rows wait."""
        return self.days.hold(day, Part.of(self.rows(first, last, day)), on_disk=on_disk)

    def first(self, most: int = 1000, day: int = TODAY, *, is_today: bool = True) -> list[int]:
        """The sequences whose turn it is."""
        return [row[1] for row in self.days.first(day, most, is_today=is_today).rows]

    def counts(self) -> tuple[int, int, int]:
        """Rows that wait, those that are safe, and those in memory alone."""
        in_memory = sum(len(chunk.rows) for chunk in self.days.chunks())
        return self.queue.held_rows, self.queue.held_safe_rows, in_memory


@pytest.fixture
def room(tmp_path: Path, tick: MakeTick, journal: Journal) -> Room:  # logs into the test's journal
    """Nothing waits."""
    _ = journal
    return Room(tmp_path, tick)


def gap(number: int, missing: int = 1) -> Gap:
    """An open gap."""
    return Gap("HK.00700", 1, 2, 0, 0, missing, "restart", GAP_OPEN, 1, None, number)


def test_rows_whose_turn_comes_later_wait_in_memory(room: Room) -> None:
    """In order and counted; they are stored in portions, and the last one includes the changes of gaps and rules."""
    rules = [RuleChange(YESTERDAY, "HK.00700", rule, 0) for rule in ("counter", "none")]
    room.days.defer(YESTERDAY, Part(room.rows(1, 3, YESTERDAY), [gap(1), gap(2)], rules[:1]))
    room.days.defer(YESTERDAY, Part(room.rows(4, 5, YESTERDAY), [gap(1, 7)], rules[1:]))
    assert room.counts() == (5, 0, 5)
    assert (YESTERDAY in room.days, room.days.is_bad(YESTERDAY), room.days.must_wait(YESTERDAY)) == (True, False, False)
    part = room.days.first(YESTERDAY, 3, is_today=False)
    assert ([row[1] for row in part.rows], part.gaps, part.rules) == ([1, 2, 3], [], [])
    assert room.days.done(YESTERDAY, 3) is False
    assert room.counts() == (2, 0, 2)
    part = room.days.first(YESTERDAY, 3, is_today=False)
    assert ([row[1] for row in part.rows], part.gaps, part.rules) == ([4, 5], [gap(1, 7), gap(2)], rules[1:])
    assert room.days.done(YESTERDAY, 2) is False
    assert (room.counts(), YESTERDAY in room.days, room.days.days()) == ((0, 0, 0), False, set())
    assert room.stats.held_rows == {}, "nobody is told of what only waits for its turn"


def test_twenty_thousand_rows_at_most_wait_for_their_turn(room: Room) -> None:
    """Of all days together."""
    assert room.days.has_room(20_000)
    assert not room.days.has_room(20_001)
    room.days.defer(YESTERDAY, Part.of(room.rows(1, 4)))
    room.days.defer(YESTERDAY - 1, Part.of(room.rows(1, 6)))
    assert room.days.has_room(19_990)
    assert not room.days.has_room(19_991)


def test_a_day_whose_file_cannot_be_written_has_a_spool_of_its_own(room: Room, journal: Journal) -> None:
    """Its rows are on a disk there, are reported with their day, and are returned in order when the file can be
    written; then the spool is removed.
    """
    assert room.hold(1, 3)
    room.days.fail(TODAY, ERROR)
    assert room.hold(4, 5)
    assert room.counts() == (5, 5, 0)
    assert (room.days.is_bad(TODAY), room.days.must_wait(TODAY), room.days.spooled_days()) == (True, True, {TODAY})
    stats = room.stats
    assert (stats.held_rows, stats.held_causes) == ({DAY: 5}, {DAY: "foreign_file"})
    assert stats.held_details == {DAY: str(ERROR)}
    (told,) = journal.events("day_held")
    assert (told.level, told.fields["day"], told.fields["cause"]) == ("ERROR", DAY, "foreign_file")
    assert (told.fields["rows"], told.fields["repeats"], told.fields["path"]) == (
        "3",
        "0",
        str(room.root / f"{DAY}.db"),
    )
    assert told.fields["hint"] == "hk-tick-collector status names the remedy"
    assert [path.name for path in room.spool_dir.iterdir()] == [f"{RUN}.{DAY}"]
    assert room.first(2) == [1, 2, 3], "a record comes whole"
    assert room.days.done(TODAY, 3) is False
    assert not room.days.is_bad(TODAY)
    (writable,) = journal.events("day_writable")
    assert {name: writable.fields[name] for name in ("day", "rows", "was")} == {
        "day": DAY,
        "rows": "5",
        "was": "foreign_file",
    }
    assert room.days.must_wait(TODAY), "rows of its spool are in front of any other"
    assert room.first() == [4, 5]
    room.days.done(TODAY, 2)
    assert (room.counts(), stats.held_rows) == ((0, 0, 0), {})
    assert list(room.spool_dir.iterdir()) == []


def test_a_commit_that_may_have_happened_is_tried_again_as_it_was(room: Room) -> None:
    """With the same rows and no newer ones: otherwise a commit that succeeded in spite of an error is not found."""
    room.days.defer(TODAY, Part.of(room.rows(1, 4)))
    room.days.fail(TODAY, ERROR, 2)
    assert room.hold(5, 9)
    assert room.first() == [1, 2]
    room.days.fail(TODAY, ERROR, 9)
    assert room.first() == [1, 2]
    room.days.done(TODAY, 2)
    assert room.first() == [3, 4, 5, 6, 7, 8, 9]


def test_without_a_spool_a_day_waits_in_memory_up_to_a_limit(tmp_path: Path, tick: MakeTick) -> None:
    """Fifty thousand rows of all days together; rows that are already on a disk stay there."""
    room = Room(tmp_path, tick, spools=False)
    assert room.hold(1, 3)
    assert room.counts() == (3, 0, 3)
    assert room.hold(4, 4, on_disk=True) is False
    assert room.hold(1, 40_000, YESTERDAY)
    assert room.hold(1, 9_998) is False
    assert room.counts() == (40_003, 0, 40_003)
    assert room.hold(4, 10_000)
    assert room.counts() == (50_000, 0, 50_000)
    assert room.hold(1, 1, TODAY - 2) is False
    assert room.days.days() == {TODAY, YESTERDAY}


def test_a_spool_that_takes_nothing_is_logged_and_tried_again(room: Room, journal: Journal) -> None:
    """The rows wait in memory meanwhile, and are spooled with the next ones, in order."""
    place = room.spool_dir / f"{RUN}.{DAY}"
    place.write_text("in the way\n")
    assert room.hold(1, 3)
    assert room.counts() == (3, 0, 3)
    (told,) = journal.events("spool_failed")
    assert (told.level, told.fields["rows"]) == ("ERROR", "3")
    assert told.fields["cause"]
    assert told.fields["detail"]
    assert room.hold(4, 5)
    assert len(journal.events("spool_failed")) == 1, "not for each row"
    place.unlink()
    assert room.hold(6, 6)
    assert room.counts() == (6, 6, 0)
    found = []
    while rows := room.first():
        found += rows
        room.days.done(TODAY, len(rows))
        if TODAY not in room.days:
            break
    assert found == [1, 2, 3, 4, 5, 6]


def test_a_day_that_cannot_be_held_is_not_logged_for_each_attempt(room: Room, journal: Journal) -> None:
    """Its rows are in another spool, and its own takes nothing: each refused attempt forgets the day."""
    (room.spool_dir / f"{RUN}.{DAY}").write_text("in the way\n")
    part = Part.of(room.rows(1, 3))
    assert [room.days.hold(TODAY, part, on_disk=True) for _ in range(5)] == [False] * 5
    assert room.days.days() == set()
    assert len(journal.events("spool_failed")) == 1


def test_rows_lost_by_the_spool_are_counted_and_the_day_is_counted_again(room: Room, journal: Journal) -> None:
    """A record can no longer be read: its exact number of rows is dropped, and logged."""
    room.hold(1, 3)
    room.days.fail(TODAY, ERROR)
    room.hold(4, 4)
    (segment,) = (room.spool_dir / f"{RUN}.{DAY}").glob("*.spool")
    segment.write_bytes(b"\xa5" * segment.stat().st_size)
    assert room.first() == []
    assert room.counts() == (0, 0, 0)
    assert (room.stats.spool_lost, room.queue.storing.lost_rows) == (4, 4)
    (told,) = journal.events("ticks_dropped")
    assert (told.level, told.fields) == ("ERROR", {"rows": "4", "dropped_total": "4", "cause": "spool_damaged"})
    assert journal.events("spool_damaged")
    assert room.days.done(TODAY, 0) is True


@pytest.mark.parametrize("days", [[TODAY, YESTERDAY], [YESTERDAY, TODAY]])
def test_today_is_tried_first_then_days_that_never_failed(room: Room, days: list[int]) -> None:
    """In any order of arrival; a day that failed waits a tenth of a second, and twice as long each next time."""
    for day in days:
        room.days.defer(day, Part.of(room.rows(1, 2, day)))
    room.days.defer(TODAY - 2, Part.of(room.rows(1, 2, TODAY - 2)))
    room.days.fail(TODAY - 2, ERROR)
    room.days.hurry()
    assert room.days.next_day(TODAY) == TODAY
    room.days.done(TODAY, 2)
    assert room.days.next_day(TODAY) == YESTERDAY
    room.days.done(YESTERDAY, 2)
    assert (room.days.next_day(TODAY), room.days.all_bad) == (TODAY - 2, True)
    room.days.fail(TODAY - 2, ERROR)
    assert room.days.next_day(TODAY) is None
    wait_until(lambda: room.days.next_day(TODAY) == TODAY - 2, "its next try")


def test_waiting_days_take_turns(room: Room) -> None:
    """Days that wait for their turn alone take turns."""
    for day in (TODAY - 2, TODAY - 1):
        room.days.defer(day, Part.of(room.rows(1, 4, day)))
    turns = []
    for _ in range(4):
        turn = room.days.next_day(TODAY)
        assert turn is not None
        turns.append(turn)
        room.days.done(turn, 2)
    assert turns == [TODAY - 2, TODAY - 1, TODAY - 2, TODAY - 1]
    assert room.days.days() == set()


def test_a_day_is_tried_at_once_when_its_file_was_changed(room: Room) -> None:
    """An obstacle was moved away: the day is tried within a second, even if its next try is due much later."""
    path = room.root / f"{DAY}.db"
    path.write_text("notes\n")
    room.hold(1, 2)
    for _ in range(9):
        room.days.fail(TODAY, ERROR)  # the next try is in most of a minute
    assert room.days.next_day(TODAY) is None
    path.chmod(0o600)
    wait_until(lambda: room.days.next_day(TODAY) == TODAY, "its next try")


def test_a_new_file_in_place_of_a_moved_one_is_counted_again(room: Room) -> None:
    """The new file does not have the ticks of the moved one. A day with the same file as before is not counted."""
    path = room.root / f"{DAY}.db"
    for moved in (False, True):
        path.write_text("notes\n")
        room.days.fail(TODAY, ERROR)
        room.hold(1, 2)
        if moved:
            path.rename(path.with_name("moved"))
            path.write_text("another\n")
        assert room.days.done(TODAY, len(room.first())) is moved


def test_after_too_many_changes_of_gaps_a_day_is_counted_again(room: Room) -> None:
    """A hundred thousand changes of one day are kept; after more, the gaps are computed from the day's file."""
    room.days.defer(TODAY, Part(room.rows(1, 1), [gap(number) for number in range(100_000)], []))
    assert len(room.days.first(TODAY, 9, is_today=True).gaps) == 100_000
    room.days.defer(TODAY, Part([], [gap(100_000)], []))
    assert room.days.first(TODAY, 9, is_today=True).gaps == []
    assert room.days.done(TODAY, 1) is True


def test_callers_are_told_when_their_rows_are_on_disk(room: Room) -> None:
    """When none of them is in memory only: each is committed or in the day's spool."""
    told: list[str] = []
    room.days.defer(YESTERDAY, Part.of(room.rows(1, 2, YESTERDAY)))
    room.days.when_safe(lambda: told.append("safe"))
    room.days.call_when_safe()
    assert told == []
    room.hold(3, 4, YESTERDAY)
    for _ in range(2):
        room.days.call_when_safe()
    assert told == ["safe"]
    assert room.counts() == (4, 4, 0)


def test_a_fault_is_logged_again_when_its_cause_changes(room: Room, journal: Journal) -> None:
    """Otherwise every ten minutes; at its end the line has its duration."""
    started_s = time.monotonic()
    room.hold(1, 2)
    for error in (ERROR, ERROR, apsw.FullError("full"), apsw.FullError("full")):
        room.days.fail(TODAY, error)
    assert [event.fields["cause"] for event in journal.events("day_held")] == ["foreign_file", "disk_full"]
    assert room.stats.held_causes == {DAY: "disk_full"}
    assert room.stats.held_details == {DAY: "full"}
    room.days.done(TODAY, len(room.first()))
    (writable,) = journal.events("day_writable")
    assert 0.0 <= float(writable.fields["held_s"]) <= time.monotonic() - started_s + 0.05

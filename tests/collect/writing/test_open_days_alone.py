"""The open day files, called as the writer thread does, but without the thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.predecessor_files import as_predecessors, write_file

from hk_tick_collector import market
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.open_days import MOST_FILES, OpenDays
from hk_tick_collector.errors import ForeignFileError, SealedDayError, StoreError
from hk_tick_collector.model import GAP_OPEN, Gap
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import Batch, StoreOptions, seal
from hk_tick_collector.store.query import DayReader

from .days import DAY, TODAY, TODAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS


class Desk:
    """Open days with what they tell, and a clock that stands."""

    def __init__(self, data_root: Path) -> None:
        self.data_root = data_root
        self.stats = Stats()
        self.opend = OpenDState()
        self.now_ms = TODAY_MS
        self.fresh: list[int] = []
        options = WriterOptions(data_root, "run", "test", 100, 20, StoreOptions(synchronous="OFF", busy_timeout_ms=10))
        clock = ExchangeClock(self.opend, lambda: self.now_ms)
        self.days = OpenDays(options, self.stats, clock, self.fresh.append)

    def path(self, day: int) -> Path:
        """Where the file of a day is."""
        return self.data_root / f"{market.day_name(day)}.db"

    def store(self, day: int, *rows: TickRow, gaps: tuple[Gap, ...] = ()) -> None:
        """One commit, as the committer makes it."""
        file = self.days.file(day)
        file.write(Batch(rows=list(rows), gaps=list(gaps)), self.now_ms)
        self.days.known[day] = file.ledger
        self.days.touch(day)

    def ticks(self, day: int) -> list[int]:
        """The sequences in the file of a day."""
        with DayReader(self.path(day)) as reader:
            return sorted(tick.seq for tick in reader.ticks())

    def wals(self) -> set[str]:
        """The days whose file has a write-ahead log."""
        return {path.name[:8] for path in self.data_root.glob("*.db-wal")}


@pytest.fixture
def desk(tmp_path: Path, journal: Journal) -> Desk:  # what is logged stays in the test
    """No file is open."""
    _ = journal
    return Desk(tmp_path)


def of(tick: MakeTick, day: int, seq: int = 1, at_ms: int = 36_000_000) -> TickRow:
    """A tick of a day, at 10:00."""
    return tick("HK.00700", seq, market.day_start_ms(day) + at_ms)


# --- a file that is not there any more, or never was one of ours ---


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_moved_away_is_created_again_and_logged(
    desk: Desk, tick: MakeTick, journal: Journal, *, replaced: bool
) -> None:
    """The next tick is in a new file with the right name. A file in its place is renamed. `on_fresh` is called with the
    day, so the ticks of the old file are requested again. The account of the new file starts from zero.
    """
    desk.store(TODAY, of(tick, TODAY))
    path = desk.path(TODAY)
    path.rename(path.with_name("moved"))
    if replaced:
        path.write_text("notes\n")
    desk.days.file(TODAY)
    assert desk.days.known[TODAY].commits == 0
    desk.store(TODAY, of(tick, TODAY, 2))
    assert desk.ticks(TODAY) == [2]
    assert (desk.fresh, desk.stats.gone_files) == ([TODAY], [str(path)])
    (told,) = journal.events("day_file_gone")
    kept = next(iter(desk.data_root.glob(f"{DAY}.db.damaged-*[0-9Z]")), None)
    assert (told.level, told.fields["day"], told.fields["path"]) == ("ERROR", DAY, str(path))
    assert told.fields["in_its_place"] == (str(kept) if replaced else "none")
    assert told.fields["hint"] == "copy day files, never move or remove one that is being written"
    assert (kept is not None and kept.read_text() == "notes\n") == replaced


def test_files_that_were_moved_away_are_closed(desk: Desk, tick: MakeTick) -> None:
    """Without a tick for them: their days are returned, the others stay open, and a second check finds none."""
    for day in (TODAY, TODAY - 1, TODAY - 2):
        desk.store(day, of(tick, day))
    for day in (TODAY, TODAY - 2):
        desk.path(day).rename(desk.path(day).with_name(f"moved{day}"))
    assert sorted(desk.days.close_gone()) == [TODAY - 2, TODAY]
    assert [day in desk.days for day in (TODAY, TODAY - 1, TODAY - 2)] == [False, True, False]
    assert sorted(desk.fresh) == [TODAY - 2, TODAY]
    assert desk.days.close_gone() == []


def test_a_damaged_file_is_renamed_and_a_new_one_created(desk: Desk, tick: MakeTick, journal: Journal) -> None:
    """It is kept unchanged under a new name, which is logged with the page to read; collection continues."""
    desk.store(TODAY, of(tick, TODAY))
    desk.days.close(TODAY)
    path = desk.path(TODAY)
    damaged = path.read_bytes()[:4096] + b"\xa5" * 4096 + path.read_bytes()[8192:]
    path.write_bytes(damaged)
    desk.days.file(TODAY)
    assert desk.days.known[TODAY].commits == 0, "the account of the damaged file stays with it"
    desk.store(TODAY, of(tick, TODAY, 2))
    assert desk.ticks(TODAY) == [2]
    (told,) = journal.events("day_set_aside")
    (kept,) = desk.data_root.glob(f"{DAY}.db.damaged-*")
    assert (told.level, told.fields["day"], told.fields["kept_as"]) == ("ERROR", DAY, str(kept))
    assert told.fields["cause"]
    assert told.fields["hint"] == "docs/sqlite-wal.md"
    assert kept.read_bytes() == damaged
    assert (desk.fresh, desk.stats.damaged_files) == ([TODAY], [str(kept)])


def test_a_file_of_the_predecessor_is_renamed_to_be_imported(desk: Desk, tick: MakeTick, journal: Journal) -> None:
    """Our file is created at once; the other one is kept unchanged under the name that the import expects."""
    path = write_file(desk.path(TODAY), [as_predecessors(of(tick, TODAY), DAY)])
    before = path.read_bytes()
    desk.store(TODAY, of(tick, TODAY, 2))
    (kept,) = desk.data_root.glob(f"{DAY}.db.predecessor-*.not-imported")
    assert kept.read_bytes() == before
    (told,) = journal.events("predecessor_set_aside")
    assert (told.level, told.fields) == ("WARNING", {"day": DAY, "kept_as": str(kept)})
    assert desk.fresh == [], "nothing is lost that OpenD should be asked for"


def test_a_wal_without_its_file_is_kept(desk: Desk, tick: MakeTick, journal: Journal) -> None:
    """Otherwise SQLite would apply it to the new file."""
    wal = desk.data_root / f"{DAY}.db-wal"
    wal.write_bytes(b"of another file")
    desk.store(TODAY, of(tick, TODAY))
    (told,) = journal.events("day_set_aside")
    assert (told.level, told.fields["day"]) == ("WARNING", DAY)
    assert told.fields["cause"] == "a write-ahead log without its file"
    (kept,) = desk.data_root.glob(f"{DAY}.db.damaged-*-wal")
    assert told.fields["kept_as"] == str(kept)
    assert kept.read_bytes() == b"of another file"
    assert desk.ticks(TODAY) == [1]


def test_a_link_to_nowhere_is_not_replaced(desk: Desk) -> None:
    """Its disk may not be mounted yet: the error names the link and its target."""
    path = desk.path(TODAY)
    path.symlink_to(desk.data_root / "away" / path.name)
    with pytest.raises(ForeignFileError) as caught:
        desk.days.file(TODAY)
    assert str(caught.value) == f"{path} is a symbolic link to {desk.data_root}/away/{path.name}, which does not exist"
    assert path.is_symlink()


def test_a_read_only_file_is_sealed_only_where_it_says_so(desk: Desk, tick: MakeTick) -> None:
    """A sealed day always refuses ticks; a file whose mode was changed lacks a permission, which can be corrected."""
    for day in (TODAY - 1, TODAY - 2):
        desk.store(day, of(tick, day))
        desk.days.close(day)
    assert seal(desk.path(TODAY - 1), TODAY_MS, StoreOptions())
    desk.path(TODAY - 2).chmod(0o440)
    with pytest.raises(SealedDayError):
        desk.days.file(TODAY - 1)
    with pytest.raises(StoreError, match=r"20261118\.db is read-only, though nobody sealed it") as caught:
        desk.days.file(TODAY - 2)
    assert not isinstance(caught.value, SealedDayError)
    assert isinstance(caught.value.__cause__, PermissionError)


# --- which are open ---


def test_a_few_files_stay_open_with_todays_among_them(desk: Desk, tick: MakeTick) -> None:
    """The least recently used one is closed and keeps its WAL: it may be used again soon."""
    desk.store(TODAY, of(tick, TODAY))
    for day in range(TODAY - MOST_FILES + 1, TODAY):
        desk.store(day, of(tick, day))
    desk.store(TODAY - 3, of(tick, TODAY - 3, 2))
    desk.store(TODAY - 9, of(tick, TODAY - 9))
    assert [day for day in range(TODAY - 9, TODAY + 1) if day in desk.days] == [TODAY - 9, TODAY - 3, TODAY - 1, TODAY]
    assert market.day_name(TODAY - 2) in desk.wals()
    desk.days.close_all()
    assert desk.wals() == set()
    assert desk.ticks(TODAY - 3) == [1, 2]


def test_the_file_of_another_day_is_plain_after_ten_minutes(desk: Desk, tick: MakeTick, journal: Journal) -> None:
    """One at a time; not a file that was used since, and never today's. Also one that was closed with its WAL."""
    for day in (TODAY - 3, TODAY - 2, TODAY - 1, TODAY):
        desk.store(day, of(tick, day))
    desk.days.abandon(TODAY - 3)
    desk.now_ms += 10 * MINUTE_MS
    desk.days.close_idle()
    assert len(desk.wals()) == 4, "not before they are over"
    desk.store(TODAY - 1, of(tick, TODAY - 1, 2))
    desk.now_ms += 1
    for left in (3, 2, 2):
        desk.days.close_idle()
        assert len(desk.wals()) == left
    assert desk.wals() == {market.day_name(TODAY - 1), DAY}
    closed = journal.events("day_closed")
    assert [event.fields for event in closed] == [
        {"day": market.day_name(day), "plain": "True"} for day in (TODAY - 3, TODAY - 2)
    ]


def test_an_opening_is_logged_once_until_the_file_is_closed(desk: Desk, tick: MakeTick, journal: Journal) -> None:
    """The file of a held day is opened repeatedly: logged once, and again after it was closed."""
    for _ in range(3):
        desk.store(TODAY, of(tick, TODAY))
        desk.days.abandon(TODAY)
    desk.days.file(TODAY)
    desk.days.close(TODAY)
    desk.days.file(TODAY)
    told = journal.events("day_opened")
    assert [event.level for event in told] == ["INFO", "DEBUG", "DEBUG", "DEBUG", "INFO"]
    newest = str(market.day_start_ms(TODAY) + 36_000_000)
    assert told[-1].fields == {"day": DAY, "newest_ts_ms": newest, "path": str(desk.path(TODAY))}


def test_a_reader_keeps_a_file_from_being_plain(desk: Desk, tick: MakeTick, journal: Journal) -> None:
    """The WAL stays beside it, which is logged; no tick is lost."""
    desk.store(TODAY, of(tick, TODAY))
    reader = apsw.Connection(str(desk.path(TODAY)), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("SELECT count(*) FROM ticks").get  # noqa: B018 - a property that reads
    desk.days.close(TODAY)
    assert journal.events("day_closed")[0].fields == {"day": DAY, "plain": "False"}
    assert (TODAY in desk.days, desk.wals()) == (False, {DAY})
    reader.close()


def test_waiting_rows_are_not_counted_in_a_file_that_is_closed(desk: Desk, tick: MakeTick) -> None:
    """Its account is complete when it is closed: rows that still wait are not counted in it."""
    desk.days.file(TODAY).write(Batch(rows=[of(tick, TODAY)], waiting=7), TODAY_MS)
    desk.days.close(TODAY)
    with DayReader(desk.path(TODAY)) as reader:
        assert [(run.waiting, run.received, run.commits) for run in reader.ledger()] == [(0, 1, 2)]


# --- what is known of today ---


def test_counts_of_no_day_go_to_todays_file_or_the_latest(desk: Desk, tick: MakeTick) -> None:
    """`home`: today's where it is open, whatever the newest is; none where no file is open."""
    assert desk.days.home() is None
    desk.store(TODAY - 2, of(tick, TODAY - 2))
    desk.store(TODAY - 1, of(tick, TODAY - 1))
    assert desk.days.home() == TODAY - 1
    desk.store(TODAY, of(tick, TODAY))
    desk.store(TODAY + 1, of(tick, TODAY + 1))
    assert desk.days.home() == TODAY


def test_figures_are_those_of_the_newest_day(desk: Desk, tick: MakeTick) -> None:
    """Its gaps, its newest tick; a late tick of another day changes nothing of that. The log is that of `home`."""
    gap = Gap("HK.00700", 1, 2, 0, 0, 5, "restart", GAP_OPEN, 1, None, 1)
    desk.store(TODAY, of(tick, TODAY), gaps=(gap,))
    stats, wal_bytes = desk.stats, desk.stats.wal_bytes
    assert wal_bytes == desk.path(TODAY).with_name(f"{DAY}.db-wal").stat().st_size
    for _ in range(2):
        desk.store(TODAY - 1, of(tick, TODAY - 1), gaps=(gap, gap._replace(id=2)))
    assert (stats.newest_day, stats.gaps_open, stats.gaps_missing) == (DAY, 1, 5)
    assert (stats.newest_ts_ms, stats.wal_bytes) == (market.day_start_ms(TODAY) + 36_000_000, wal_bytes)
    desk.store(TODAY + 1, of(tick, TODAY + 1))
    assert (stats.newest_day, stats.gaps_open) == (DAY, 1), "nothing is judged by the date of tomorrow"
    desk.now_ms += 13 * HOUR_MS
    desk.store(TODAY + 1, of(tick, TODAY + 1, 2))
    assert (stats.newest_day, stats.gaps_open) == (market.day_name(TODAY + 1), 0)


def test_the_next_day_may_start_two_hours_before_the_hosts_midnight(desk: Desk, tick: MakeTick) -> None:
    """This host's clock may be that far behind the exchange's; OpenD's time is used if it is later."""
    tomorrow = market.day_start_ms(TODAY + 1)
    desk.now_ms = tomorrow - 2 * HOUR_MS - 1
    desk.store(TODAY + 1, of(tick, TODAY + 1))
    assert not desk.stats.newest_day
    desk.opend.opend_time_ms = tomorrow - 2 * HOUR_MS
    desk.store(TODAY + 1, of(tick, TODAY + 1, 2))
    assert desk.stats.newest_day == market.day_name(TODAY + 1)


def test_a_day_that_has_not_begun_by_opends_clock_has_no_figures(desk: Desk, tick: MakeTick) -> None:
    """This host's clock is a week ahead and had a file made: figures are those of the day with the ticks."""
    desk.now_ms += 7 * market.DAY_MS
    desk.days.file(TODAY + 7)
    assert desk.stats.newest_day == market.day_name(TODAY + 7)
    desk.opend.opend_time_ms = TODAY_MS
    desk.store(TODAY, of(tick, TODAY))
    assert desk.stats.newest_day == DAY
    desk.days.touch(TODAY + 7)
    assert desk.stats.newest_day == DAY


def test_a_lock_on_another_days_file_is_waited_for_a_tenth_of_a_second(tmp_path: Path) -> None:
    """Today's ticks wait meanwhile. A lock on today's file is waited for as long as the settings say."""
    options = WriterOptions(tmp_path, "run", "test", 100, 20, StoreOptions(busy_timeout_ms=5000))
    days = OpenDays(options, Stats(), ExchangeClock(OpenDState(), lambda: TODAY_MS), lambda _: None)
    assert [days.options_of(day).busy_timeout_ms for day in (TODAY - 1, TODAY, TODAY + 1)] == [100, 5000, 100]

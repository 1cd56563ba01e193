"""Sealing, called as the writer thread does, but without the thread."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from tests.collect.conftest import CAP_S, wait_until
from tests.disorder import put_in_disorder
from tests.predecessor_files import as_predecessors, write_file

from hk_tick_collector import market
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.day_check import DayCheck
from hk_tick_collector.collect.writing.open_days import OpenDays
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader

from .days import TODAY, TODAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from tests.collect.conftest import Disk, Journal

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

OPTIONS: Final = StoreOptions(synchronous="OFF", busy_timeout_ms=10)
SEALED: Final = 0o440


class Office:
    """Open days that seal, and files of earlier days."""

    def __init__(self, data_root: Path, tick: MakeTick, vfs: str | None = None) -> None:
        self.data_root = data_root
        self.stats = Stats()
        self.tick = tick
        options = WriterOptions(data_root, "run", "test", 100, 20, replace(OPTIONS, vfs=vfs))
        clock = ExchangeClock(OpenDState(), lambda: TODAY_MS)
        self.days = OpenDays(options, self.stats, clock, lambda _: None)

    def path(self, day: int) -> Path:
        """Where the file of a day is."""
        return self.data_root / f"{market.day_name(day)}.db"

    def make(self, *days: int) -> None:
        """Files of an earlier run, closed; each with enough ticks to be put in disorder."""
        for day in days:
            path = self.path(day)
            file = DayFile(path, path.stem, "earlier", TODAY_MS, "test", OPTIONS)
            start_ms = market.day_start_ms(day)
            file.write(Batch(rows=[self.tick("HK.00700", n, start_ms + n) for n in range(300)]), TODAY_MS)
            assert file.close()

    def seal(self, limit: int = TODAY, held: Collection[int] = ()) -> None:
        """Until nothing is left to do at once, and no check is under way."""
        while self.days.sealing.before(limit, held) or checks():
            time.sleep(0.001)
        assert not self.days.sealing.before(limit, held)

    def sealed(self) -> list[str]:
        """The days whose file nobody may write."""
        return sorted(path.stem for path in self.data_root.glob("*.db") if path.stat().st_mode & 0o777 == SEALED)


def checks() -> list[str]:
    """Checks that are under way."""
    return [thread.name for thread in threading.enumerate() if thread.name == "day-check"]


@pytest.fixture
def office(tmp_path: Path, tick: MakeTick, journal: Journal) -> Office:  # what is logged stays in the test
    """Nothing is open."""
    _ = journal
    return Office(tmp_path, tick)


def test_days_that_are_over_are_sealed_the_oldest_first(office: Office, journal: Journal) -> None:
    """Each once; not today, nor a day that waits for ticks. A file whose name only looks like a day is ignored."""
    office.make(TODAY - 3, TODAY - 1, TODAY - 2, TODAY)
    (office.data_root / "20261399.db").write_text("notes\n")
    office.seal(held={TODAY - 2})
    names = [market.day_name(day) for day in (TODAY - 3, TODAY - 1)]
    assert office.sealed() == names
    assert [event.fields for event in journal.events("day_sealed")] == [{"day": name} for name in names]
    assert office.stats.not_sealed == {}
    with DayReader(office.path(TODAY - 1)) as reader:
        assert reader.meta()["sealed_ms"] == str(TODAY_MS)


def test_a_file_that_is_open_is_closed_and_sealed(office: Office, journal: Journal) -> None:
    """With its log; afterwards nothing is left to do for it, at a stop neither."""
    office.days.file(TODAY - 1).write(Batch(rows=[office.tick("HK.00700", 1)]), TODAY_MS)
    office.days.touch(TODAY - 1)
    office.seal()
    assert office.sealed() == [market.day_name(TODAY - 1)]
    assert TODAY - 1 not in office.days
    office.days.close_all()
    assert [event.name for event in journal.events()] == ["day_opened", "day_closed", "day_sealed"]


def test_a_day_with_ticks_to_import_is_not_sealed(office: Office, tick: MakeTick) -> None:
    """The predecessor's file of that day waits beside it; a file with a similar name has no effect."""
    office.make(TODAY - 2, TODAY - 1)
    waiting = office.data_root / f"{market.day_name(TODAY - 1)}.db.predecessor-20261120T100000Z.not-imported"
    write_file(waiting, [as_predecessors(tick("HK.00700", 1), market.day_name(TODAY - 1))])
    (office.data_root / "20261399.db.predecessor-20261120T100000Z.not-imported").touch()
    office.seal()
    assert office.sealed() == [market.day_name(TODAY - 2)]


def test_a_file_that_cannot_be_sealed_is_logged_and_reported(office: Office, journal: Journal) -> None:
    """Once in the log, and in `status` while it lasts; the days after it are still sealed."""
    office.make(TODAY - 2, TODAY - 1)
    path = office.path(TODAY - 2)
    damaged = put_in_disorder(path)
    office.seal()
    assert office.sealed() == [market.day_name(TODAY - 1)]
    (told,) = journal.events("day_seal_failed")
    assert (told.level, told.fields["file"], told.fields["repeats"]) == ("ERROR", path.name, "0")
    assert list(office.stats.not_sealed) == [path.name]
    assert told.fields["detail"] == office.stats.not_sealed[path.name]
    assert "integrity" in told.fields["detail"]
    assert path.read_bytes() == damaged


def test_a_file_of_the_predecessor_is_no_fault(office: Office, journal: Journal, tick: MakeTick) -> None:
    """An earlier day that is not imported yet: `status` names it; it is not sealed, and that is no error."""
    for day in (TODAY - 1, TODAY - 2):
        write_file(office.path(day), [as_predecessors(tick("HK.00700", 1), market.day_name(day))])
    before = office.path(TODAY - 1).read_bytes()
    office.seal()
    assert office.stats.predecessor_days == [market.day_name(day) for day in (TODAY - 2, TODAY - 1)]
    assert office.stats.not_sealed == {}
    assert not journal.events("day_seal_failed")
    assert office.path(TODAY - 1).read_bytes() == before


def test_the_days_of_the_predecessor_are_known_throughout_the_next_pass(
    office: Office, tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finding does not come and go each minute. A day that was imported is removed at the end of the pass."""
    for day in (TODAY - 3, TODAY - 2, TODAY - 1):
        write_file(office.path(day), [as_predecessors(tick("HK.00700", 1), market.day_name(day))])
    names = [market.day_name(day) for day in (TODAY - 3, TODAY - 2, TODAY - 1)]
    monkeypatch.setattr("hk_tick_collector.collect.writing.sealing._SEAL_AGAIN_S", 0.0)

    def known() -> list[str]:
        office.days.sealing.before(TODAY)
        return office.stats.predecessor_days

    wait_until(lambda: known() == names, "the first pass")
    for _ in range(20):
        assert known() == names
    office.path(TODAY - 2).unlink()
    wait_until(lambda: known() != names, "the end of the next pass")
    assert office.stats.predecessor_days == [names[0], names[2]]


def test_a_directory_that_cannot_be_read_is_logged(tmp_path: Path, tick: MakeTick, journal: Journal) -> None:
    """No day is sealed, and the service continues."""
    (tmp_path / "notes").write_text("no directory\n")
    office = Office(tmp_path / "notes", tick)
    assert office.days.sealing.before(TODAY) is False
    (told,) = journal.events("day_seal_failed")
    assert (told.level, told.fields["file"], told.fields["repeats"]) == ("ERROR", "all", "0")
    assert "Not a directory" in told.fields["detail"]
    assert office.stats.not_sealed == {}


def test_a_day_that_changed_during_its_check_is_not_sealed(office: Office) -> None:
    """A tick for the day arrived, or by OpenD's clock the day is today again: the result of the check is not used."""
    office.make(TODAY - 1)
    sealing = office.days.sealing
    sealing.before(TODAY, held={TODAY - 1})
    assert office.sealed() == []
    office.seal(limit=TODAY - 1)
    assert office.sealed() == []


@pytest.fixture
def checked(tmp_path: Path, tick: MakeTick, journal: Journal, disk: Disk) -> Office:
    """The check of yesterday took longer than it is waited for, and has ended since; today's file is open."""
    _ = journal
    office = Office(tmp_path, tick, disk.name)
    office.make(TODAY - 1)
    office.days.file(TODAY)
    disk.slow_for = "day-check"
    assert office.days.sealing.before(TODAY) is False
    disk.slow_for = ""
    wait_until(lambda: not checks(), "the end of the check")
    return office


def test_a_stop_after_a_check_leaves_plain_files(checked: Office) -> None:
    """Its day is sealed by the next run; every file is closed as at any stop."""
    checked.days.close_all()
    assert sorted(path.name for path in checked.data_root.iterdir()) == ["20261119.db", "20261120.db"]
    assert checked.sealed() == []


def test_a_late_tick_after_a_check_is_stored(checked: Office) -> None:
    """At the first try; its day is not sealed by a check from before it."""
    file = checked.days.file(TODAY - 1)
    assert file.write(Batch(rows=[checked.tick("HK.00700", 999)]), TODAY_MS).stored == 1
    assert checked.days.sealing.before(TODAY) is False
    assert checked.sealed() == []


def test_a_day_whose_check_takes_long_is_sealed_later(checked: Office, journal: Journal) -> None:
    """The writer does not wait for it; when it has ended, its day is sealed without another check."""
    checked.seal()
    assert checked.sealed() == ["20261119"]
    assert [event.fields["day"] for event in journal.events("day_sealed")] == ["20261119"]


# --- the check itself ---


def test_a_check_reports_what_it_found(office: Office) -> None:
    """Passed, or what is wrong, once it is done; and that the file is open to others again."""
    office.make(TODAY - 1, TODAY - 2)
    put_in_disorder(office.path(TODAY - 2))
    good, bad = (DayCheck(office.path(day), day, OPTIONS) for day in (TODAY - 1, TODAY - 2))
    assert good.done(CAP_S)
    assert bad.done(CAP_S)
    assert (good.passed, good.error, good.day) == (True, None, TODAY - 1)
    assert bad.passed is False
    assert "integrity" in str(bad.error)


def test_a_check_that_is_cancelled_has_no_fault(office: Office) -> None:
    """Whatever it had found: the file is needed, and is not sealed. Its thread has ended when `cancel` returns."""
    office.make(TODAY - 1)
    check = DayCheck(office.path(TODAY - 1), TODAY - 1, OPTIONS)
    check.cancel()
    assert check.done()
    assert check.error is None
    wait_until(lambda: not checks(), "no check")


def test_a_check_of_a_file_that_is_gone_says_so(office: Office) -> None:
    """The file was removed meanwhile: an error with its name, and no traceback."""
    check = DayCheck(office.path(TODAY - 1), TODAY - 1, OPTIONS)
    assert check.done(CAP_S)
    assert check.passed is False
    assert isinstance(check.error, FileNotFoundError)
    assert not office.path(TODAY - 1).exists()

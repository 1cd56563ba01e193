"""The days that are sent, and the notes about them: what cannot be written now is written later."""

from __future__ import annotations

import resource
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.publishing.conftest import Collector, day_of, ticks

from hk_tick_collector import market
from hk_tick_collector.errors import OwnedError
from hk_tick_collector.jetstream.message import AgainMessage
from hk_tick_collector.publishing.days import Days
from hk_tick_collector.store.outbox_reader import OutboxReader
from hk_tick_collector.store.publish_cursors import PublishCursors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY, OTHER = day_of(1), day_of()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    found = Collector(tmp_path / "HK")
    yield found
    found.close()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def opened(root: Path, cursors: PublishCursors) -> Days:
    days = Days(root, cursors)
    days.begin("a", DAY, 0)
    days.open_new()
    return days


def send_next(days: Days, day: str = DAY) -> None:
    """The next chunk of a day is taken and acknowledged; there is one."""
    chunk = days.take(day)
    assert chunk is not None
    days.acknowledge(chunk, {})


def test_what_was_sent_is_noted_once_the_disk_has_room(collector: Collector, tmp_path: Path) -> None:
    """While it is full ticks are sent all the same, days begin anew, symbols are forgotten; afterwards all is right."""
    collector.add(DAY, ticks("HK.00700", range(5)) + ticks("HK.00981", range(3)))
    collector.add(OTHER, ticks("HK.00700", range(2)))
    cursors = PublishCursors(tmp_path / "cursors")
    days = opened(collector.root, cursors)
    first = days.take(DAY)
    assert first is not None
    days.acknowledge(first, {"anchor": "1 a"})
    with full_disk():
        days.lost(0)
        for day in (DAY, OTHER):
            chunk = days.take(day)
            assert chunk is not None
            days.acknowledge(chunk, {"anchor": "2 b"})
        assert "cannot use" in days.unsaved
    days.note({"again_seq": "7"})
    assert days.unsaved == ""
    expected = {day: days.sums(day) for day in (DAY, OTHER)}
    days.close_files()
    cursors.close()
    later = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    assert {day: later.sums(day) for day in (DAY, OTHER)} == expected
    assert expected[DAY][0] == {"HK.00700": (5, 10), "HK.00981": (3, 3)}
    assert (later.noted("anchor"), later.noted("again_seq")) == ("2 b", "7")
    chunk = later.take(DAY)
    assert chunk is None or chunk.rows == []
    later.close_files()


def test_a_loss_that_could_not_be_noted_is_not_forgotten(collector: Collector, tmp_path: Path) -> None:
    """The day begins anew although the disk is full; once there is room, a restart sends it again too."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    cursors = PublishCursors(tmp_path / "cursors")
    days = opened(collector.root, cursors)
    send_next(days)
    with full_disk():
        days.lost(0)
    days.note({})
    days.close_files()
    cursors.close()
    later = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    chunk = later.take(DAY)
    assert chunk is not None
    assert len(chunk.rows) == 5
    later.close_files()


def test_a_day_that_ends_on_a_full_disk_is_noted_with_all_that_was_sent(collector: Collector, tmp_path: Path) -> None:
    """Its sums after a loss are those of all of it, also after a restart."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    collector.seal(DAY)
    cursors = PublishCursors(tmp_path / "cursors")
    days = opened(collector.root, cursors)
    with full_disk():
        send_next(days)
        days.told(DAY, days.due_sums(DAY, 0))
    assert days.newest_first() == []
    days.note({})
    assert days.sums(DAY) == ({"HK.00700": (5, 10)}, True)
    cursors.close()
    later = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    assert (later.newest_first(), later.sums(DAY)) == ([], ({"HK.00700": (5, 10)}, True))


def test_a_finished_day_that_could_not_be_looked_at_is_told_no_longer(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk had an error for a moment: afterwards there is no finding, although it is not read any more."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    collector.seal(DAY)
    days = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    send_next(days)
    days.told(DAY, "sealed")

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("hk_tick_collector.publishing.days.os.stat", fails)
        days.open_new()
        assert days.send_again(AgainMessage("a", DAY, ())) == 0
    assert days.unread == {DAY: "Input/output error"}
    days.open_new()
    assert days.unread == {}


def test_finished_days_stay_finished_when_the_disk_has_another_number(collector: Collector, tmp_path: Path) -> None:
    """As after a restart of the host; one that is being sent begins anew, which does no harm."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    collector.seal(DAY)
    collector.add(OTHER, ticks("HK.00700", range(2)))
    cursors = PublishCursors(tmp_path / "cursors")
    days = opened(collector.root, cursors)
    for day in (DAY, OTHER):
        send_next(days, day)
    days.told(DAY, "sealed")
    days.close_files()
    cursors.close()
    with closing(apsw.Connection(str(tmp_path / "cursors"))) as db:
        db.execute("UPDATE days SET device = device + 1")
    later = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    assert later.newest_first() == [OTHER]
    again = later.take(OTHER)
    assert again is not None
    assert len(again.rows) == 2
    later.close_files()


def test_finished_days_are_told_after_a_loss_whatever_the_clock_says(collector: Collector, tmp_path: Path) -> None:
    """Those of the week before the newest one."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    collector.seal(DAY)
    days = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    send_next(days)
    days.told(DAY, "sealed")
    assert days.lost(market.day_start_ms(market.parse_day("20990101"))) == [DAY]


def test_a_day_that_is_removed_is_told_and_ends(collector: Collector, tmp_path: Path) -> None:
    """And one that cannot be read waits, while others are sent."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    (collector.root / f"{OTHER}.db").write_bytes(b"nonsense" * 500)
    days = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    assert days.take(OTHER) is None
    assert "SQLite" in days.unread[OTHER]
    chunk = days.take(DAY)
    assert chunk is not None
    assert not days.is_sent(OTHER)
    (collector.root / f"{OTHER}.db").unlink()
    days.open_new()
    assert days.newest_first() == [DAY]
    assert days.unread == {}
    days.close_files()


@pytest.mark.parametrize("noted", [{}, {"since": DAY}, {"source": "b", "since": DAY}], ids=str)
@pytest.mark.parametrize("years", [-60, 0, 9])
def test_neither_a_date_nor_a_clock_of_the_future_keeps_ticks_from_being_sent(
    collector: Collector, tmp_path: Path, noted: dict[str, str], years: int
) -> None:
    """A foreign file of 2099, or a clock that was years ahead at the start: the day being written is sent."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    collector.add("20991231", ticks("HK.00700", range(5)))
    days = Days(collector.root, PublishCursors(tmp_path / "cursors"))
    days.note(noted)
    days.begin("a", "", market.day_start_ms(market.parse_day(DAY) + years * 365))
    assert days.noted("since") <= DAY
    days.open_new()
    assert DAY in days.newest_first()
    days.close_files()


def test_without_a_day_file_every_day_is_sent_that_comes(collector: Collector, tmp_path: Path) -> None:
    """Whatever the clock said at the start."""
    days = Days(collector.root, PublishCursors(tmp_path / "cursors"))
    days.begin("a", "", market.day_start_ms(market.parse_day("20990101")))
    collector.add(DAY, ticks("HK.00700", range(5)))
    days.open_new()
    assert days.newest_first() == [DAY]
    days.close_files()


def test_what_is_behind_is_counted_day_by_day(collector: Collector, tmp_path: Path) -> None:
    """Ticks that were sent of a day whose file cannot be read now do not hide those that wait of another one."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    collector.add(OTHER, ticks("HK.00700", range(3)))
    cursors = PublishCursors(tmp_path / "cursors")
    days = opened(collector.root, cursors)
    send_next(days)
    days.close_files()
    cursors.close()
    (collector.root / f"{DAY}.db").write_bytes(b"nonsense" * 500)  # the same inode
    later = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    assert later.take(DAY) is None
    assert later.take(OTHER) is not None
    later.drop(OTHER)
    assert later.figures() == (3, 3)
    later.close_files()


def test_a_day_is_not_finished_unchecked(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file cannot be read when its sums are due: it waits, is told, and is checked once that is over."""
    collector.add(DAY, ticks("HK.00700", range(5)))
    collector.seal(DAY)
    days = opened(collector.root, PublishCursors(tmp_path / "cursors"))
    send_next(days)
    assert (days.is_sent(DAY), days.due_sums(DAY, 0)) == (True, "sealed")

    def fails(_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(OutboxReader, "key_sums", fails)
        assert days.wrong_symbols(DAY) is None
    assert days.unread == {DAY: "Input/output error"}
    assert days.take(DAY) is None  # not at once: it would read the whole file each time
    assert not days.is_sent(DAY)
    assert days.wrong_symbols(DAY) == []
    days.close_files()


def test_only_one_process_uses_the_file(tmp_path: Path) -> None:
    """The second is told which file and how to find the first."""
    first = PublishCursors(tmp_path / "cursors")
    with pytest.raises(OwnedError, match="another process publishes with"):
        PublishCursors(tmp_path / "cursors")
    first.close()
    PublishCursors(tmp_path / "cursors").close()

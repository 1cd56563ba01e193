"""The end of a day file: checked, made one plain file, sealed; what prevents that is reported with a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.disorder import put_in_disorder
from tests.store.other_readers import COUNT, attach, files

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.dayfile import Batch, ConnectionChange, StoreOptions, check_day, make_plain, seal

from .conftest import NOW_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .conftest import OpenDay

    MakeTick = Callable[..., TickRow]

OPTIONS: Final = StoreOptions(busy_timeout_ms=0)


def filled(open_day: OpenDay, path: Path, tick: MakeTick, rows: int = 300) -> None:
    """A day file that was let go of as after an error: its ticks are in the WAL."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", n) for n in range(rows)]), NOW_MS)
    day.abandon()


def go_on(_interrupt: Callable[[], None]) -> bool:
    """To the check: read it."""
    return True


def test_a_whole_day_passes_its_check(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Also with its ticks still in the WAL; the file stays open to ticks, and the check has closed it again."""
    filled(open_day, path, tick)
    assert check_day(path, OPTIONS, go_on) is True
    assert open_day(path).write(Batch(rows=[tick("HK.00700", 999)]), NOW_MS).stored == 1


def test_a_day_that_is_wanted_is_not_checked(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """The caller can stop a check when the file is open: then it has not passed, and damage is not reported."""
    filled(open_day, path, tick)
    assert make_plain(path, OPTIONS)
    put_in_disorder(path)
    assert check_day(path, OPTIONS, lambda _: False) is False


class Read(apsw.VFS):
    """A disk that calls `met`, once it is set, at each read."""

    def __init__(self) -> None:
        self.met: Callable[[], None] = lambda: None
        super().__init__("read", base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's
        """Opens a file of this disk."""
        return ReadFile(self, name, flags)


class ReadFile(apsw.VFSFile):
    """A file on it."""

    def __init__(self, disk: Read, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """Reads."""
        self._disk.met()
        return super().xRead(amount, offset)


def test_a_check_can_be_ended(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """While it reads, by what it hands out at its beginning: it ends with SQLite's own word for that."""
    filled(open_day, path, tick, rows=3000)
    assert make_plain(path, OPTIONS)
    disk = Read()

    def tell(interrupt: Callable[[], None]) -> bool:
        disk.met = interrupt
        return True

    try:
        with pytest.raises(apsw.InterruptError):
            check_day(path, StoreOptions(busy_timeout_ms=0, vfs="read"), tell)
    finally:
        disk.unregister()


def test_a_lock_on_a_day_only_delays_its_check(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Another program locks the whole file when the check has begun: not passed, and no error."""
    filled(open_day, path, tick)
    assert make_plain(path, OPTIONS)
    other = apsw.Connection(str(path))

    def lock(_interrupt: Callable[[], None]) -> bool:
        other.execute("BEGIN EXCLUSIVE")
        return True

    assert check_day(path, OPTIONS, lock) is False
    other.close()
    assert check_day(path, OPTIONS, go_on) is True


@pytest.mark.parametrize(
    "end",
    [lambda path: check_day(path, OPTIONS, go_on), lambda path: seal(path, NOW_MS, OPTIONS)],
    ids=["checked", "sealed"],
)
def test_a_damaged_day_is_reported_with_a_remedy(
    open_day: OpenDay, path: Path, tick: MakeTick, end: Callable[[Path], bool]
) -> None:
    """By the check alone and by sealing: the file's name, SQLite's verdict, where to read on. It stays as it is."""
    filled(open_day, path, tick)
    assert make_plain(path, OPTIONS)
    before = put_in_disorder(path)
    with pytest.raises(StoreError, match=r"20261120\.db does not pass its integrity check \(.+\)") as caught:
        end(path)
    assert caught.value.hint == "keep a copy of the file, and see docs/sqlite-wal.md"
    assert (path.stat().st_mode & 0o777, path.read_bytes(), files(path)) == (0o640, before, [""])


def test_a_checked_day_is_not_read_again(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Sealing behind a check takes moments: it does not read the ticks, so it cannot find what only that would."""
    filled(open_day, path, tick)
    assert make_plain(path, OPTIONS)
    put_in_disorder(path)
    assert seal(path, NOW_MS, OPTIONS, checked=True) is True
    assert path.stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize(
    "end",
    [
        lambda path: check_day(path, OPTIONS, go_on),
        lambda path: make_plain(path, OPTIONS),
        lambda path: seal(path, NOW_MS, OPTIONS),
    ],
    ids=["check_day", "make_plain", "seal"],
)
def test_a_day_that_is_gone_is_not_created_again(path: Path, end: Callable[[Path], bool]) -> None:
    """The file was moved away a moment before: an error with its name, and no empty file in its place."""
    with pytest.raises(FileNotFoundError) as caught:
        end(path)
    assert str(caught.value.filename) == str(path)
    assert list(path.parent.iterdir()) == []


def test_a_day_is_sealed_from_its_log(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """Ticks that a killed run left in the WAL are in the sealed file; the time of sealing is recorded once."""
    filled(open_day, path, tick)
    assert files(path) == ["", "-shm", "-wal"]
    assert seal(path, NOW_MS, OPTIONS) is True
    assert (files(path), path.stat().st_mode & 0o777) == ([""], 0o440)
    assert seal(path, NOW_MS + 5, OPTIONS) is True
    reader = attach(path)
    assert reader.execute(COUNT).get == 300
    assert reader.execute("SELECT value FROM meta WHERE key = 'sealed_ms'").get == str(NOW_MS)


def test_one_plain_file_is_made_of_a_day_unless_a_reader_holds_it(
    open_day: OpenDay, path: Path, tick: MakeTick
) -> None:
    """With a reader attached the WAL and its shared memory stay on the disk, also after both have ended: otherwise a
    reader without write permission could not open the file. Without a reader a single file is left, with every tick.
    """
    filled(open_day, path, tick)
    reader = attach(path)
    assert make_plain(path, OPTIONS) is False
    assert files(path) == ["", "-shm", "-wal"]
    reader.close()
    assert files(path) == ["", "-shm", "-wal"]
    assert make_plain(path, OPTIONS) is True
    assert files(path) == [""]
    assert attach(path).execute(COUNT).get == 300


def test_a_reader_at_the_stop_leaves_the_day_to_others(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """`close` returns whether one plain file is left. The file is closed in either case. A second call is no error, and
    neither is an interrupt from another thread meanwhile.
    """
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    reader = attach(path)
    assert day.close() is False
    assert files(path) == ["", "-shm", "-wal"]
    day.interrupt()
    with pytest.raises(apsw.ConnectionClosedError):
        day.write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS)
    reader.close()
    again = open_day(path)
    assert again.close() is True
    assert files(path) == [""]


def test_a_writer_that_replaces_another_one_ends_no_connection(open_day: OpenDay, path: Path) -> None:
    """It belongs to the same run, whose connection lasts: the first writer, or the one between them, was blocked."""
    query = "SELECT to_ms, reason FROM connections"
    run = "20261120T090000-12345678"
    open_day(path, f"{run}-2").write(Batch(connections=[ConnectionChange(NOW_MS, True, 7, "")]), NOW_MS + 5)
    for writer in (f"{run}-3", f"{run}-12", run):
        open_day(path, writer)
        assert attach(path).execute(query).fetchall() == [(None, "")]
    open_day(path, "20261120T090000-12345679")
    assert attach(path).execute(query).fetchall() == [(NOW_MS + 5, "unclean stop")]


def test_a_connection_that_a_kill_cut_short_ends_with_the_last_commit(open_day: OpenDay, path: Path) -> None:
    """The next run sets its end to the time of the last commit, and records how it ended; for a time without a
    connection the reason stays. If the same run opens its file again after an error, the connection continues.
    """
    query = "SELECT from_ms, to_ms, reason FROM connections ORDER BY rowid"
    day = open_day(path, "first")
    day.write(Batch(connections=[ConnectionChange(NOW_MS, True, 7, "")]), NOW_MS + 5)
    day.abandon()
    again = open_day(path, "first")
    assert attach(path).execute(query).fetchall() == [(NOW_MS, None, "")]
    again.abandon()
    second = open_day(path, "second")
    assert attach(path).execute(query).fetchall() == [(NOW_MS, NOW_MS + 5, "unclean stop")]
    second.write(Batch(connections=[ConnectionChange(NOW_MS + 90, False, None, "refused")]), NOW_MS + 50)
    second.abandon()
    open_day(path, "third")
    assert attach(path).execute(query).fetchall()[1:] == [(NOW_MS + 90, NOW_MS + 90, "refused")]

"""A snapshot: complete, of one moment, plain and checked while the writer continues; otherwise there is no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.bigday import make_big_day
from tests.reliability import disks

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.dayfile import Batch, seal
from hk_tick_collector.store.dayfile import StoreOptions as Options
from hk_tick_collector.store.query import DayReader, list_days
from hk_tick_collector.store.snapshot import MAX_WAL_GROWTH_BYTES, read_sum, snapshot_path, sum_path, take

from .conftest import DAY, NOBODY, NOW_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.model import TickRow
    from hk_tick_collector.store.snapshot import Progress, Snapshot

    from .conftest import OpenDay, Sqlite3

ROWS: Final = 45_000  # several megabytes: a copy of more than one step


def quiet(_what: str, _done: int, _total: int) -> None:
    """Without progress display."""


def shoot(source: Path, directory: Path | None = None, progress: Progress = quiet) -> Snapshot:
    return take(source, directory or source.parent, keep_free_bytes=0, progress=progress)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def filled(path: Path) -> Path:
    """A day file of ROWS rows that nobody writes."""
    assert make_big_day(path, ROWS) == ROWS
    return path


def test_ticks_of_the_wal_are_in_it_and_anybody_reads_it(
    group_path: Path, open_day: OpenDay, tick: Callable[..., TickRow], sqlite3: Sqlite3
) -> None:
    """One plain checked file and its SHA-256; a member of the group opens it in a directory without write access."""
    day = open_day(group_path)
    day.write(Batch(rows=[tick("HK.00700", n) for n in range(1200)]), NOW_MS)
    taken = shoot(group_path)
    assert taken.path == group_path.parent / f"{DAY}.snapshot.db"
    assert (taken.symbols, taken.rows, taken.replaced) == (1, 1200, False)
    assert taken.size_bytes == taken.path.stat().st_size
    for file in (taken.path, sum_path(taken.path)):
        assert file.stat().st_mode & 0o777 == 0o640
        os.chown(file, 0, NOBODY)
    asked = sqlite3(taken.path, "PRAGMA journal_mode; PRAGMA integrity_check; SELECT count(*) FROM ticks;")
    assert asked.split() == ["delete", "ok", "1200"]
    subprocess.run(["sha256sum", "--check", "--strict", sum_path(taken.path).name], cwd=group_path.parent, check=True)
    assert read_sum(taken.path) == taken.sha256
    assert names(group_path.parent) == {
        f"{DAY}.db", f"{DAY}.db-wal", f"{DAY}.db-shm", f"{DAY}.snapshot.db", f"{DAY}.snapshot.db.sha256",
    }  # fmt: skip
    assert list_days(group_path.parent) == [DAY]


def test_a_writer_that_commits_at_every_step_does_not_restart_the_copy(
    filled: Path, open_day: OpenDay, tick: Callable[..., TickRow]
) -> None:
    """The copy is of the moment it began, counters and all, though the file changes between any two of its steps."""
    day, steps = open_day(filled), [0]

    def commit(what: str, _done: int, _total: int) -> None:
        if what == "copy":
            steps[0] += 1
            assert steps[0] < 100, "it began anew"
            day.write(Batch(rows=[tick("HK.00001", steps[0])]), NOW_MS)

    taken = shoot(filled, progress=commit)
    assert steps[0] > 2
    assert taken.rows == ROWS
    with DayReader(taken.path) as copy, DayReader(filled) as live:
        assert (copy.integrity(), copy.miscounted(), copy.totals().rows) == ("ok", [], ROWS)
        assert live.totals().rows == ROWS + steps[0]


def test_a_target_that_is_too_slow_ends_the_copy_and_not_the_collector(filled: Path, open_day: OpenDay) -> None:
    """The WAL cannot be reused meanwhile: the copy ends before the WAL has grown beyond its limit."""
    day = open_day(filled)
    day.write(Batch(), NOW_MS)
    wal = filled.with_name(f"{DAY}.db-wal")

    def grow(_what: str, _done: int, _total: int) -> None:
        os.truncate(wal, wal.stat().st_size + MAX_WAL_GROWTH_BYTES + 1)  # sparse

    with pytest.raises(StoreError, match="too slow: the write-ahead log grew by 256 MB") as caught:
        shoot(filled, progress=grow)
    assert "--to" in caught.value.hint
    assert names(filled.parent) == {f"{DAY}.db", f"{DAY}.db-wal", f"{DAY}.db-shm"}


@pytest.mark.parametrize("phase", ["copy", "read", "check"])
def test_an_interrupted_snapshot_leaves_the_older_one(filled: Path, phase: str) -> None:
    """Ctrl-C at any moment: the older snapshot and its SHA-256 stay, and no other file."""
    older = shoot(filled)
    before = names(filled.parent)

    def interrupt(what: str, _done: int, _total: int) -> None:
        if what == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shoot(filled, progress=interrupt)
    assert names(filled.parent) == before
    assert read_sum(older.path) == older.sha256


def test_files_of_a_killed_snapshot_are_replaced(filled: Path) -> None:
    """SIGKILL in the middle leaves a hidden part; the next snapshot takes its place."""
    program = f"""
import os, sys
from pathlib import Path
from hk_tick_collector.store.snapshot import take
def die(what, done, total):
    if what == "read":
        os.kill(os.getpid(), {int(signal.SIGKILL)})
take(Path(sys.argv[1]), Path(sys.argv[1]).parent, keep_free_bytes=0, progress=die)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(filled)], check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert names(filled.parent) == {f"{DAY}.db", f".{DAY}.snapshot.db.partial"}
    shoot(filled)
    assert names(filled.parent) == {f"{DAY}.db", f"{DAY}.snapshot.db", f"{DAY}.snapshot.db.sha256"}


def test_two_snapshots_at_once_are_refused(filled: Path) -> None:
    """The second is refused, and the first is not affected."""
    refused: list[str] = []

    def again(_what: str, _done: int, _total: int) -> None:
        with pytest.raises(StoreError) as caught:
            shoot(filled)
        refused.append(caught.value.one_line())

    assert shoot(filled, progress=again).rows == ROWS
    assert set(refused) == {f"another snapshot of {DAY} is being taken: wait until it has ended"}


def test_without_space_no_copy_is_started(filled: Path) -> None:
    """The space that must stay free counts; the line has the free and the needed space."""
    with pytest.raises(StoreError, match=r"no room in .*MB are free, .*MB needed") as caught:
        take(filled, filled.parent, keep_free_bytes=2**60, progress=quiet)
    assert "--to" in caught.value.hint
    assert names(filled.parent) == {f"{DAY}.db"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a copy, and little more."""
    with disks.small_disk(tmp_path / "disk", "size=24m") as place:
        yield place


def test_a_disk_that_fills_meanwhile(filled: Path, small_disk: Path) -> None:
    """Another program uses up the space: the copy ends with one line, and its own space is free again."""

    def fill(_what: str, _done: int, _total: int) -> None:
        hog = small_disk / "hog"
        if not hog.exists():
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            with hog.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free - 2**20)

    with pytest.raises(StoreError, match="no room in"):
        shoot(filled, small_disk, progress=fill)
    assert names(small_disk) == {"hog"}


def test_a_day_file_that_was_created_again_does_not_replace_the_better_copy(
    path: Path, open_day: OpenDay, tick: Callable[..., TickRow]
) -> None:
    """After damage the new day file has fewer ticks: the earlier snapshot stays, and the line says what to do."""
    open_day(path).write(Batch(rows=[tick("HK.00700", n) for n in range(5)]), NOW_MS)
    older = shoot(path)
    for part in path.parent.glob(f"{DAY}.db*"):
        part.unlink()
    open_day(path, "later").write(Batch(rows=[tick("HK.00700", 9)]), NOW_MS)
    with pytest.raises(StoreError, match="has 5 ticks and the day file now 1: it was not replaced"):
        shoot(path)
    assert read_sum(older.path) == older.sha256
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    assert shoot(path, elsewhere).rows == 1


def test_an_older_one_is_replaced_with_what_belongs_to_it(
    path: Path, open_day: OpenDay, tick: Callable[..., TickRow]
) -> None:
    """A WAL that a shell left beside the older copy must not be used with the new one."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    copy = shoot(path).path
    foreign = apsw.Connection(str(copy))
    foreign.pragma("journal_mode", "wal")
    foreign.execute("CREATE TABLE left_behind (a)")  # is in the WAL as long as that shell lives
    day.write(Batch(rows=[tick("HK.00700", 2)]), NOW_MS)
    taken = shoot(path)
    assert (taken.rows, taken.replaced) == (2, True)
    assert names(path.parent) & {f"{copy.name}-wal", f"{copy.name}-shm"} == set()
    with DayReader(copy) as reader:
        assert (reader.totals().rows, reader.integrity()) == (2, "ok")
    foreign.close()


def test_damage_and_wrong_counters_are_not_copied_as_good(filled: Path) -> None:
    """An invalid page, a counter that differs from the number of ticks: reported, and no snapshot is left."""
    db = apsw.Connection(str(filled))
    db.execute("UPDATE symbols SET rows = rows + 1 WHERE symbol = 'HK.00007'")
    db.close()
    with pytest.raises(StoreError, match=r"as its table `symbols` says, for example HK\.00007"):
        shoot(filled)
    with filled.open("r+b") as file:
        file.seek(filled.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StoreError, match="does not pass its check"):
        shoot(filled)
    assert names(filled.parent) == {f"{DAY}.db"}


def test_a_sealed_day(filled: Path) -> None:
    """It is copied like any other."""
    assert seal(filled, NOW_MS, Options())
    assert shoot(filled).rows == ROWS


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_a_snapshot_by_root_belongs_to_the_owner_of_the_data(filled: Path) -> None:
    """The service's account can replace and remove what a person took with sudo."""
    os.chown(filled, NOBODY, NOBODY)
    taken = shoot(filled)
    for file in (taken.path, sum_path(taken.path)):
        assert (file.stat().st_uid, file.stat().st_gid) == (NOBODY, NOBODY)


def test_a_directory_that_is_not_there_and_one_that_is_closed(filled: Path) -> None:
    """One line each, with what to do."""
    with pytest.raises(StoreError, match="there is no directory") as caught:
        shoot(filled, filled.parent / "nowhere")
    assert "SNAPSHOT_DIR" in caught.value.hint
    taken = snapshot_path(filled.parent, DAY)
    taken.mkdir()
    with pytest.raises(StoreError, match=f"the copy to {filled.parent} failed"):
        shoot(filled)

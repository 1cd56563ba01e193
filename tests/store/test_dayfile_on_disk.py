"""A day file as other processes find it: while it is written, after a crash, after a stop, and sealed.

Readers are the stock `sqlite3` of the system, as another user whose group may read and not write.
"""

from __future__ import annotations

import os
import shutil
import threading
from random import Random
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.store.other_readers import COUNT, attach, files

from hk_tick_collector.errors import DamagedFileError, SealedDayError, StoreError
from hk_tick_collector.store.dayfile import Batch, ConnectionChange, DayFile, StoreOptions, seal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .conftest import KilledWriter, OpenDay, Sqlite3

    MakeTick = Callable[..., TickRow]

NOW_MS: Final = 1_795_140_000_000
OPTIONS: Final = StoreOptions(busy_timeout_ms=50)


def filled(open_day: OpenDay, path: Path, tick: MakeTick, rows: int = 300) -> None:
    """Leaves a cleanly closed day file."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", n) for n in range(rows)]), NOW_MS)
    assert day.close()


# --- readers ---


def test_a_reader_sees_every_commit(open_day: OpenDay, group_path: Path, tick: MakeTick, sqlite3: Sqlite3) -> None:
    """While the file is written, each commit is there for the next question, with the file mode of the contract."""
    day = open_day(group_path)
    assert sqlite3(group_path, COUNT) == "0"
    for seq in range(3):
        day.write(Batch(rows=[tick("HK.00700", seq)]), NOW_MS)
        assert sqlite3(group_path, COUNT) == str(seq + 1)
    assert sqlite3(group_path, "PRAGMA journal_mode") == "wal"
    assert {path.stat().st_mode & 0o777 for path in group_path.parent.iterdir()} == {0o640}


def test_a_reader_sees_all_after_sigkill(group_path: Path, sqlite3: Sqlite3, killed_writer: KilledWriter) -> None:
    """After SIGKILL the WAL and its shared memory stay, so that the file opens without a right to write."""
    killed_writer(group_path, rows=500)
    assert files(group_path) == ["", "-shm", "-wal"]
    assert sqlite3(group_path, COUNT) == "500"
    assert files(group_path) == ["", "-shm", "-wal"]


def copied_back(path: Path, pages: int) -> int:
    """Copies the first so many pages of the WAL into the file, in the order of their numbers, as a checkpoint does that
    is killed, and removes the WAL. Returns how many pages there were (sqlite.org/fileformat2.html#walformat).
    """
    wal = path.with_name(f"{path.name}-wal")
    data = wal.read_bytes()
    size = int.from_bytes(data[8:12], "big")
    newest = {}
    for at in range(32, len(data) - 24 - size + 1, 24 + size):
        if data[at + 8 : at + 16] == data[16:24]:  # a frame of this WAL, not of one before
            newest[int.from_bytes(data[at : at + 4], "big")] = data[at + 24 : at + 24 + size]
    with path.open("r+b") as file:
        for number in sorted(newest)[:pages]:
            file.seek((number - 1) * size)
            file.write(newest[number])
    wal.unlink()
    path.with_name(f"{path.name}-shm").unlink()
    return len(newest)


@pytest.mark.parametrize("seed", [7, 23, 25, 38])  # the last three: `quick_check` finds some of the states sound
def test_a_file_whose_wal_was_removed_in_mid_copy_is_whole_or_named_damaged(
    path: Path, tmp_path: Path, tick: MakeTick, seed: int
) -> None:
    """Killed while it copied the WAL back, and the WAL removed: what opens after that has every row that it counts,
    with keys in order; anything else is damage, wherever the copying ended.
    """
    random = Random(seed)
    symbols, first = random.choice([1, 3, 10, 40]), random.randrange(4000)

    def batch(first: int, count: int, conn_id: int | None) -> Batch:
        links = [ConnectionChange(NOW_MS, True, conn_id, "")] if conn_id else []
        return Batch(rows=[tick(f"HK.{n % symbols:05}", n) for n in range(first, first + count)], connections=links)

    day = DayFile(path, path.stem, "run", NOW_MS, "test", OPTIONS)
    day.write(batch(0, first, 1), NOW_MS)
    day.close()
    day = DayFile(path, path.stem, "next", NOW_MS, "test", OPTIONS)
    for turn in range(random.randrange(1, 6)):
        more = random.randrange(1, 800)
        day.write(batch(first, more, None if turn else 2), NOW_MS)
        first += more
    left = tmp_path / "left"
    left.mkdir()
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(path.with_name(path.name + suffix), left / (path.name + suffix))
    day.close()

    damaged, pages, total = 0, 1, 1
    while pages <= total:
        killed = tmp_path / "killed" / path.name
        shutil.copytree(left, killed.parent)
        total = copied_back(killed, pages)
        try:
            reopened = DayFile(killed, path.stem, "last", NOW_MS, "test", OPTIONS)
        except DamagedFileError:
            damaged += 1
        else:
            reopened.close()
            db = apsw.Connection(str(killed))
            assert db.execute("PRAGMA integrity_check").get == "ok"
            counted = list(db.execute("SELECT symbol, count(*) FROM ticks GROUP BY symbol"))
            assert counted == list(db.execute("SELECT symbol, rows FROM symbols ORDER BY symbol"))
            db.close()
        shutil.rmtree(killed.parent)
        pages += 1
    assert 0 < damaged < total


def test_the_next_run_finds_what_a_killed_one_committed(
    open_day: OpenDay, path: Path, tick: MakeTick, killed_writer: KilledWriter
) -> None:
    """A run after SIGKILL continues in the same file; committed ticks are not stored again."""
    killed_writer(path, rows=500)
    day = open_day(path)
    assert day.write(Batch(rows=[tick("HK.00700", 499), tick("HK.00700", 500)]), NOW_MS).stored == 1
    assert day.close()


def test_a_clean_stop_leaves_one_plain_file(
    open_day: OpenDay, group_path: Path, tick: MakeTick, sqlite3: Sqlite3
) -> None:
    """Closed during the day it is a single file, readable on a read-only medium, and can be opened again."""
    filled(open_day, group_path, tick)
    assert files(group_path) == [""]
    assert sqlite3(group_path, COUNT) == "300"
    assert sqlite3(group_path, COUNT, immutable=True) == "300"
    assert sqlite3(group_path, "PRAGMA journal_mode") == "delete"
    assert open_day(group_path).write(Batch(rows=[tick("HK.00700", 300)]), NOW_MS).stored == 1
    assert sqlite3(group_path, COUNT) == "301"


def test_a_reader_at_the_stop_keeps_the_files(
    open_day: OpenDay, group_path: Path, tick: MakeTick, sqlite3: Sqlite3
) -> None:
    """A reader connected at the stop is no fault: the WAL stays, and everybody still reads everything."""
    day = open_day(group_path)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    reader = attach(group_path)
    assert day.close() is False
    assert reader.execute(COUNT).get == 1
    reader.close()
    assert files(group_path) == ["", "-shm", "-wal"]
    assert sqlite3(group_path, COUNT) == "1"
    assert open_day(group_path).close()


def test_closing_after_an_error_writes_nothing(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """After an error of the disk the file is left as it is: what was committed waits in the WAL."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", n) for n in range(300)]), NOW_MS)
    before = {name: path.with_name(path.name + name).read_bytes() for name in ("", "-wal")}
    day.abandon()
    assert {name: path.with_name(path.name + name).read_bytes() for name in ("", "-wal")} == before
    assert open_day(path).write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS).duplicate == 1


@pytest.mark.parametrize("lost", ["-shm", "-wal", "both"])
def test_a_missing_wal_or_shm_loses_no_checkpointed_tick(
    open_day: OpenDay, path: Path, tick: MakeTick, killed_writer: KilledWriter, lost: str
) -> None:
    """If `-shm` or `-wal` is deleted after a crash, the file stays valid, and the next run continues with it."""
    filled(open_day, path, tick)
    killed_writer(path, rows=400)
    for suffix in ("-shm", "-wal"):
        if lost in (suffix, "both"):
            path.with_name(path.name + suffix).unlink()
    day = open_day(path)
    assert day.write(Batch(rows=[tick("HK.00700", n) for n in range(400)]), NOW_MS).duplicate >= 300
    assert day.close()
    assert seal(path, NOW_MS, OPTIONS)


def test_a_foreign_lock_is_an_error_that_changes_nothing(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """While another process writes, a batch fails as busy after the busy timeout, whole, and may be tried again."""
    day = open_day(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(apsw.BusyError):
        day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    assert day.ledger.commits == 0
    other.execute("ROLLBACK")
    other.close()
    assert day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS).stored == 1


def test_a_statement_can_be_ended_from_another_thread(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """`interrupt` ends a running write; the batch is whole or not there."""
    day = open_day(path)
    rows = [tick(f"HK.{n % 50:05}", n) for n in range(60_000)]
    done = threading.Event()

    def interrupt() -> None:
        while not done.wait(0.001):
            day.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(apsw.InterruptError):
            day.write(Batch(rows=rows), NOW_MS)
    finally:
        done.set()
        thread.join()
    assert attach(path).execute(COUNT).get == 0
    assert day.write(Batch(rows=rows[:10]), NOW_MS).stored == 10


# --- sealing ---


def test_a_sealed_day_is_one_plain_file(open_day: OpenDay, group_path: Path, tick: MakeTick, sqlite3: Sqlite3) -> None:
    """Sealed from any state: one file, 0440, with the time; a copy opens anywhere; sealing again changes nothing."""
    filled(open_day, group_path, tick)
    assert seal(group_path, NOW_MS, OPTIONS) is True
    assert files(group_path) == [""]
    assert group_path.stat().st_mode & 0o777 == 0o440
    assert sqlite3(group_path, "SELECT value FROM meta WHERE key = 'sealed_ms'") == str(NOW_MS)
    before = group_path.read_bytes()
    assert seal(group_path, NOW_MS + 1, OPTIONS) is True
    assert group_path.read_bytes() == before
    copy = group_path.with_name("copy.db")
    shutil.copyfile(group_path, copy)
    assert sqlite3(copy, COUNT, immutable=True) == "300"


def test_a_day_is_sealed_after_a_crash(path: Path, killed_writer: KilledWriter) -> None:
    """Ticks that a killed run left in the WAL are in the sealed file."""
    killed_writer(path, rows=500)
    assert seal(path, NOW_MS, OPTIONS)
    assert files(path) == [""]
    assert attach(path).execute(COUNT).get == 500


@pytest.mark.parametrize("as_owner", [True, False], ids=["by mode", "by content"])
def test_a_sealed_day_takes_no_tick(open_day: OpenDay, path: Path, tick: MakeTick, *, as_owner: bool) -> None:
    """Neither the mode nor, if somebody made it writable, the mark inside allows writing."""
    filled(open_day, path, tick)
    assert seal(path, NOW_MS, OPTIONS)
    if not as_owner:
        path.chmod(0o640)
    with pytest.raises(SealedDayError):
        open_day(path)
    assert attach(path).execute(COUNT).get == 300


def test_a_reader_only_delays_sealing(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """With a reader attached the day stays as it is, readable and closed to ticks; when it leaves, sealing succeeds."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    reader = attach(path)
    assert day.close() is False
    assert seal(path, NOW_MS, OPTIONS) is False
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(SealedDayError):
        open_day(path)
    assert reader.execute(COUNT).get == 1
    reader.close()
    assert seal(path, NOW_MS + 1, OPTIONS) is True
    assert files(path) == [""]
    assert attach(path).execute("SELECT value FROM meta WHERE key = 'sealed_ms'").get == str(NOW_MS)


def test_a_query_on_a_plain_file_only_delays_sealing(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """A reader in the middle of a query on a cleanly closed file is no fault either."""
    filled(open_day, path, tick)
    reader = attach(path)
    rows = reader.execute("SELECT * FROM ticks")
    next(rows)
    assert seal(path, NOW_MS, OPTIONS) is False
    assert len(list(rows)) == 299
    reader.close()
    assert seal(path, NOW_MS, OPTIONS) is True


def test_a_damaged_day_is_not_sealed(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """The check before sealing finds a flipped page; the file keeps its mode and bytes, so that data can be saved."""
    filled(open_day, path, tick, rows=20_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(data)
    with pytest.raises(StoreError, match="integrity"):
        seal(path, NOW_MS, OPTIONS)
    assert path.stat().st_mode & 0o777 == 0o640
    assert files(path) == [""]
    assert path.read_bytes() == bytes(data)


def test_a_path_that_is_no_utf8_is_an_error_with_a_name(tmp_path: Path) -> None:
    """The settings refuse it first; nothing is made, and no traceback comes of it."""
    directory = tmp_path / os.fsdecode(b"\xb8\xdb")
    directory.mkdir()
    with pytest.raises(StoreError, match="not a UTF-8 name"):
        DayFile(directory / "20261120.db", "20261120", "run", 0, "test", StoreOptions())
    assert list(directory.iterdir()) == []

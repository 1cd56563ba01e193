"""Which process prevents writing, found from real locks that real processes hold on a real day file."""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.faults.days import NOW_MS, open_day, ticks
from tests.others_lock import in_transaction, locked

from hk_tick_collector.store import locks
from hk_tick_collector.store.dayfile import Batch
from hk_tick_collector.store.lock_holder import day_holder
from hk_tick_collector.store.locks import describe, holders

if TYPE_CHECKING:
    from pathlib import Path

USER = pwd.getpwuid(os.geteuid()).pw_name
WRITE, RECOVER = 120, 122  # bytes of -shm
PENDING, SHARED_FIRST = 0x40000000, 0x40000002  # of the file itself


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a day's file."""
    return tmp_path / "20261120.db"


@pytest.mark.parametrize("kind", [fcntl.F_RDLCK, fcntl.F_WRLCK])
@pytest.mark.parametrize("byte", [WRITE, RECOVER])
def test_a_lock_on_a_byte_of_shm_is_named_with_its_holder(path: Path, byte: int, kind: int) -> None:
    """A shared lock needs no write permission. pid, user and command; nothing when the process has ended."""
    day = open_day(path)
    day.write(Batch(rows=ticks(0, 10)), NOW_MS)
    with locked(path.with_name(path.name + "-shm"), kind, byte) as other:
        if byte == WRITE:
            with pytest.raises(apsw.BusyError):
                day.write(Batch(rows=ticks(10, 10)), NOW_MS)
        holder = day_holder(path)
        assert holder is not None
        assert (holder.pid, holder.user) == (other.pid, USER)
        assert holder.command.startswith(f"{sys.executable} -c")
        assert holder.words().isprintable()
        assert len(holder.words()) < 150
    assert day_holder(path) is None
    day.write(Batch(rows=ticks(10, 10)), NOW_MS)
    assert day.close()


def test_a_check_drops_no_lock_of_our_own(path: Path) -> None:
    """Closing a descriptor drops a process's POSIX locks on the file: what was just looked at is still protected."""
    day = open_day(path)
    day.write(Batch(rows=ticks(0, 10)), NOW_MS)
    assert day_holder(path) is None
    count = subprocess.run(
        ["sqlite3", str(path), "PRAGMA journal_mode=delete"], capture_output=True, text=True, check=False
    )
    assert "locked" in count.stderr, "another process would take the WAL away from under the writer"
    day.write(Batch(rows=ticks(10, 10)), NOW_MS)
    assert day.close()


def test_a_writer_in_the_stock_shell_is_named(path: Path) -> None:
    """BEGIN IMMEDIATE in `sqlite3`, forgotten in a terminal."""
    day = open_day(path)
    day.write(Batch(rows=ticks(0, 10)), NOW_MS)
    with in_transaction(path, "BEGIN IMMEDIATE;") as other:
        holder = day_holder(path)
        assert holder is not None
        assert holder.words().startswith(f"pid {other.pid} ({USER}: sqlite3 {path}"[:70])
    assert day.close()


def test_a_reader_is_not_named_as_the_cause(path: Path) -> None:
    """A reader in a transaction does not prevent writing."""
    day = open_day(path)
    day.write(Batch(rows=ticks(0, 10)), NOW_MS)
    with in_transaction(path, "BEGIN;", "SELECT count(*) FROM ticks;"):
        assert day_holder(path) is None
        day.write(Batch(rows=ticks(10, 10)), NOW_MS)
    assert day.close()


def test_a_reader_of_a_plain_file_keeps_it_from_being_opened(path: Path) -> None:
    """After a clean stop the file is plain: a transaction that reads it blocks the next start, and is named."""
    assert open_day(path).close()
    with in_transaction(path, "BEGIN;", "SELECT count(*) FROM ticks;") as other:
        with pytest.raises(apsw.BusyError):
            open_day(path)
        holder = day_holder(path)
        assert holder is not None
        assert holder.pid == other.pid
    assert open_day(path).close()


def test_a_lock_without_a_process_is_named_as_such(path: Path) -> None:
    """A lock of an open file description has no process; that is said, and nothing is invented."""
    day = open_day(path)
    day.write(Batch(rows=ticks(0, 10)), NOW_MS)
    with locked(path.with_name(path.name + "-shm"), fcntl.F_RDLCK, WRITE, ofd=True):
        holder = day_holder(path)
        assert holder is not None
        assert holder.pid == -1
        assert holder.words() == "a process that cannot be seen from here"
    assert day.close()


def test_no_descriptor_leaks_and_a_missing_file_has_no_holder(path: Path) -> None:
    """Asked a hundred times, of a file that is there and of one that is not. SQLite keeps one to use again."""
    day = open_day(path)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    for _ in range(100):
        assert day_holder(path) is None
        assert day_holder(path.with_name("20261121.db")) is None
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
    assert day.close()


def test_a_hidden_or_hostile_process_is_named_in_one_clean_line(tmp_path: Path) -> None:
    """What may not be seen is left out; escape codes and newlines of a command line do not reach a terminal."""
    assert describe(999_999_999).words() == "pid 999999999"
    with subprocess.Popen(["sleep", "60\x1b[31m\n" + "x" * 500], stderr=subprocess.DEVNULL) as other:
        words = describe(other.pid).words()
        other.kill()
    assert words.isprintable()
    assert len(words) < 150


def test_the_kernels_list_is_read_or_known_to_be_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders of a flock by its inode; None if there is no list, as in the service's sandbox."""
    file = tmp_path / "lock"
    file.touch()
    assert holders(file) == []
    with file.open() as ours:
        fcntl.flock(ours, fcntl.LOCK_EX)
        found = holders(file)
    assert found is not None
    assert [holder.pid for holder in found] == [os.getpid()]
    monkeypatch.setattr(locks, "_TABLE", tmp_path / "hidden")
    assert holders(file) is None

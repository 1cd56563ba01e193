"""Rows 3 to 7 and 17 with the writer thread: it waits, names the cause, and loses nothing while memory has room."""

from __future__ import annotations

import io
import math
import time
from typing import TYPE_CHECKING, Any, Final

import apsw
import pytest

from hk_tick_collector import log
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.writer import Writer
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import StoreOptions

from .days import CAP_S, DAY, NOW_MS, ticks, verdict, wait_until
from .faulty_disk import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .faulty_disk import FaultyDisk

    Start = Callable[..., "Collecting"]

BATCH: Final = 200
OFTEN: Final = 10  # pages of WAL after which a checkpoint comes
BURST: Final = 100_000


class Collecting:
    """A writer thread on a disk, with its queue and its log."""

    def __init__(self, data_root: Path, vfs: str, *, max_queue_rows: int = 1_000_000, **options: Any) -> None:
        self.log = io.StringIO()
        log.configure("INFO", self.log)
        self.path = data_root / f"{DAY}.db"
        self.stats = Stats()
        self.queue = TickQueue(max_queue_rows)
        store = StoreOptions(**{"vfs": vfs, "busy_timeout_ms": 20, **options})
        writing = WriterOptions(data_root, "run", "test", 12_000, 20, store)
        self.writer = Writer(self.queue, self.stats, writing, ExchangeClock(OpenDState(), lambda: NOW_MS))
        self.writer.start()

    def put(self, rows: Sequence[TickRow]) -> None:
        """Puts rows like the intake."""
        self.queue.put(Chunk(rows=list(rows)))

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Waits for a state of the writer."""
        wait_until(condition, lambda: f"{self.stats}\n{self.log.getvalue()}")

    def wait_stored_or_trouble(self, rows: int) -> None:
        """Waits until this many rows are stored, or the writer reports trouble."""
        self.wait_for(lambda: self.queue.storing.writer_trouble or self.stats.stored == rows)

    def stop(self) -> list[TickRow]:
        """Ends the writer and checks its file."""
        assert self.writer.stop(time.monotonic() + CAP_S) == 0, self.log.getvalue()
        assert self.queue.storing.writer_trouble == ""
        return verdict(self.path)

    def lines(self, event: str) -> list[str]:
        """The log's lines of one event."""
        return [line for line in self.log.getvalue().splitlines() if f" {event} " in line]


@pytest.fixture
def collecting(disk: FaultyDisk, tmp_path: Path) -> Iterator[Start]:
    """Starts writer threads on the faulty disk; options are those of StoreOptions."""
    started: list[Collecting] = []

    def start(**options: Any) -> Collecting:
        started.append(Collecting(tmp_path, disk.name, **options))
        return started[-1]

    yield start
    disk.lift()
    for one in started:
        if one.writer.alive:
            one.writer.stop(time.monotonic() + CAP_S)
    log.configure("INFO")


def feed_through(one: Collecting, disk: FaultyDisk, fault: Fault, cause: str) -> list[TickRow]:
    """Puts rows before, during and after a fault that lasts until the writer has met it three times; returns them."""
    one.put(ticks(0, BATCH))
    one.wait_for(lambda: one.stats.stored == BATCH)
    disk.inject(fault)
    number = BATCH
    while not one.queue.storing.writer_trouble:
        one.put(ticks(number, BATCH))
        number += BATCH
        one.wait_stored_or_trouble(number)
    for _ in range(5):
        one.put(ticks(number, BATCH))
        number += BATCH
    one.wait_for(lambda: fault.hits >= 3 and one.queue.storing.writer_trouble == cause)
    assert one.stats.writer_trouble_since_ms is not None
    assert one.queue.rows > 0, "what cannot be stored stays at hand"
    disk.lift(fault)
    one.put(ticks(number, BATCH))
    return ticks(0, number + BATCH)


@pytest.mark.parametrize(
    ("operations", "files", "error", "cause"),
    [
        pytest.param(("write",), ("wal",), "ENOSPC", "disk_full", id="row 3: no space for the WAL"),
        pytest.param(("write", "truncate"), ("db", "wal", "journal"), "ENOSPC", "disk_full", id="row 3: no space"),
        pytest.param(("open", "write"), ("db",), "EROFS", "read_only", id="row 4: read-only file system"),
        pytest.param(("write",), ("wal",), "EIO", "io_error", id="row 5: write"),
        pytest.param(("sync",), ("wal",), "EIO", "io_error", id="row 5: fsync"),
        pytest.param(("read",), ("wal", "db"), "EIO", "io_error", id="row 5: read"),
        pytest.param(("open", "sync"), ("wal",), "EACCES", "cannot_open", id="row 4: no right to the WAL"),
    ],
)
def test_the_writer_waits_until_a_failing_disk_works_again(
    collecting: Start, disk: FaultyDisk, operations: tuple[str, ...], files: tuple[str, ...], error: str, cause: str
) -> None:
    """The cause is in the log and in `writer_trouble` while rows keep coming; then all are stored once."""
    one = collecting(wal_autocheckpoint_pages=OFTEN)
    put = feed_through(one, disk, Fault(operations=operations, files=files, error=error), cause)
    one.wait_for(lambda: one.stats.stored == len(put))
    assert sorted(one.stop()) == sorted(put)
    assert any(f" cause={cause} " in line for line in one.lines("persist_failed")), one.log.getvalue()
    assert one.lines("writer_recovered")
    assert "Traceback" not in one.log.getvalue()


def test_a_failed_checkpoint_repeats_no_batch(collecting: Start, disk: FaultyDisk) -> None:
    """Row 5: a checkpoint's error is reported by COMMIT, after the commit itself succeeded; its rows count once."""
    one = collecting(wal_autocheckpoint_pages=OFTEN)
    put = feed_through(one, disk, Fault(operations=("sync",), files=("db",), error="EIO"), "io_error")
    one.wait_for(lambda: one.stats.stored + one.stats.duplicate == len(put))
    assert one.stats.duplicate == 0
    assert sorted(one.stop()) == sorted(put)


def test_a_slow_disk_makes_batches_larger_and_loses_no_tick(collecting: Start, disk: FaultyDisk) -> None:
    """Row 6: an fsync of 3 s; rows that come meanwhile wait in memory, are counted, and are stored in one commit."""
    one = collecting()
    one.put(ticks(0, BATCH))
    one.wait_for(lambda: one.stats.stored == BATCH)
    slow = disk.inject(Fault(operations=("sync",), files=("wal",), delay_s=3.0))
    number = BATCH
    for _ in range(50):
        one.put(ticks(number, BATCH))
        number += BATCH
    one.wait_for(lambda: slow.hits)
    assert one.queue.rows <= number - BATCH
    one.wait_for(lambda: one.stats.stored == number)
    disk.lift(slow)
    assert one.stats.commits <= 4
    assert one.queue.storing.writer_trouble == "", "slow is not failing"
    assert sorted(one.stop()) == sorted(ticks(0, number))


def test_a_burst_behind_a_blocked_disk_is_stored_whole(collecting: Start, disk: FaultyDisk) -> None:
    """Row 17: 100,000 ticks while nothing can be written: none dropped, all stored when the disk works again."""
    one = collecting()
    gate = disk.inject(Fault(operations=("write", "sync"), delay_s=math.inf))
    for start in range(0, BURST, 500):
        one.put(ticks(start, 500))
    one.wait_for(lambda: gate.hits)
    assert one.queue.rows == BURST
    disk.lift(gate)
    one.wait_for(lambda: one.queue.rows == 0)
    assert one.stats.stored == BURST
    assert sorted(one.stop()) == sorted(ticks(0, BURST))


def test_a_stop_does_not_wait_for_a_blocked_disk(collecting: Start, disk: FaultyDisk) -> None:
    """Row 21: `stop` returns in time and reports the rows it leaves; the file is valid when the disk works again."""
    one = collecting()
    one.put(ticks(0, BATCH))
    one.wait_for(lambda: one.stats.stored == BATCH)
    gate = disk.inject(Fault(operations=("write",), delay_s=math.inf))
    one.put(ticks(BATCH, BATCH))
    one.wait_for(lambda: gate.hits)
    assert one.writer.stop(time.monotonic() + 0.2) == BATCH
    disk.lift(gate)
    one.wait_for(lambda: not one.writer.alive)
    assert set(ticks(0, BATCH)) <= set(verdict(one.path)) <= set(ticks(0, 2 * BATCH))


def test_the_writer_backs_off_from_a_foreign_write_lock(collecting: Start) -> None:
    """Row 7: `sqlite_busy_backoff`, repeats limited; the same batch is stored when the lock is released."""
    one = collecting()
    one.put(ticks(0, BATCH))
    one.wait_for(lambda: one.stats.stored == BATCH)
    other = apsw.Connection(str(one.path), vfs="unix")
    other.execute("BEGIN IMMEDIATE")
    one.put(ticks(BATCH, BATCH))
    one.wait_for(lambda: one.queue.storing.writer_trouble == "busy")
    other.execute("ROLLBACK")
    other.close()
    one.wait_for(lambda: one.stats.stored == 2 * BATCH)
    assert sorted(one.stop()) == sorted(ticks(0, 2 * BATCH))
    assert len(one.lines("sqlite_busy_backoff")) == 1
    assert one.lines("writer_recovered")

"""Rows 3 to 8 for the whole service: the disk is full, read-only, slow, locked or damaged, and then is not."""

from __future__ import annotations

import math
import os
import shutil
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.faults.faulty_disk import Fault

from hk_tick_collector.store.query import list_days, path_of

from .damage import empty, flip, truncate, zero
from .disks import remount, small_disk
from .trial import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Begin

READ_ONLY: Final = (Fault(operations=("open",), files=("db",), error="EROFS"), Fault(error="EROFS"))
FAULTS: Final = {
    "row 3: no space": ((Fault(operations=("write", "truncate"), error="ENOSPC"),), "disk_full"),
    "row 4: read-only": (READ_ONLY, "read_only"),
    "row 5: a write fails": ((Fault(error="EIO"),), "io_error"),
    "row 5: a sync fails": ((Fault(operations=("sync",), error="EIO"),), "io_error"),
    "row 5: a read fails": ((Fault(operations=("read", "write"), error="EIO"),), "io_error"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failing_disk_is_named_and_loses_no_tick(begin: Begin, name: str) -> None:
    """Rows 3, 4, 5: for three seconds; critical in `status`, named in the log; then every tick is stored."""
    faults, cause = FAULTS[name]
    trial = begin("--wait", "--within-window", symbols="20", rate=1000)
    collector = trial.run_on_faulty_disk()
    trial.wait_stored(500)
    numbers = [collector.inject(fault) for fault in faults]
    assert collector.wait_for("persist_failed", cause=cause).level == "ERROR"
    finding = trial.wait_finding(f"writer_{cause}")
    assert finding.severity.name == "CRITICAL"
    assert finding.remedy
    wait_until(lambda: trial.live().waiting >= 3000, "three seconds of the market")
    assert sum(map(collector.hits, numbers)) > 0
    collector.lift()
    collector.wait_for("writer_recovered")
    trial.finish()
    assert collector.shutdown()["dropped"] == "0"


def test_one_operation_in_twenty_fails(begin: Begin) -> None:
    """Rows 3 and 5: writes, syncs, reads and truncations fail at random for five seconds; nothing is lost."""
    trial = begin("--wait", "--within-window", symbols="20", rate=1000)
    collector = trial.run_on_faulty_disk(SQLITE_WAL_AUTOCHECKPOINT="20")
    trial.wait_stored(500)
    for error in ("EIO", "ENOSPC"):
        collector.inject(Fault(operations=("write", "sync", "truncate", "read"), error=error, chance=0.025))
    collector.wait_for("persist_failed", count=2)
    wait_until(lambda: trial.market.made() >= 6000, "five seconds of the market")
    collector.lift()
    trial.finish()


@pytest.fixture
def spool_disk(workdir: Path) -> Iterator[Path]:
    """A disk for the spool that can turn read-only for real."""
    with small_disk(workdir / "spool", "size=64m") as place:
        yield place


def test_read_only_everywhere_bounds_memory_and_counts_drops(begin: Begin, spool_disk: Path) -> None:
    """Row 4: the disk of the day file and the real disk of the spool become read-only: memory stays bounded, the number
    of dropped ticks is exact; when both are writable again, the service continues automatically.
    """
    trial = begin("--wait", symbols="20", rate=200)
    collector = trial.run_on_faulty_disk(MAX_QUEUE_ROWS="5000", SPOOL_DIR=str(spool_disk))
    trial.wait_stored(100)
    _, before_kib = collector.resources()
    remount(spool_disk, "ro")
    for fault in READ_ONLY:
        collector.inject(fault)
    collector.wait_for("persist_failed")
    trial.market.tell("burst 80000")
    collector.wait_for("ticks_dropped")
    assert collector.wait_for("spool_failed", cause="read_only").level == "ERROR"
    wait_until(lambda: trial.live().received >= 80_000, "the burst")
    _, full_kib = collector.resources()
    print(f"memory {before_kib} KiB before, {full_kib} KiB with memory full")
    assert full_kib < before_kib + 200_000
    assert trial.wait_finding("dropped").remedy
    remount(spool_disk, "rw")
    collector.lift()
    collector.wait_for("writer_recovered")
    verdict = trial.finish(complete=False)
    assert trial.stored.ledger()["dropped"] == int(collector.shutdown()["dropped"]) > 0
    assert verdict.days[0].missing == verdict.days[0].in_gaps > 0


def test_a_slow_sync_is_waited_for(begin: Begin) -> None:
    """Row 6: each sync takes 3 s: named, the queue stays bounded, no watchdog, no restart; nothing is lost."""
    trial = begin("--wait", "--within-window", symbols="20", rate=1000)
    collector = trial.run_on_faulty_disk()
    trial.wait_stored(500)
    fault = collector.inject(Fault(operations=("sync",), files=("wal",), delay_s=3.0, in_kernel=True))
    assert collector.wait_for("disk_slow").level == "WARNING"
    finding = trial.wait_finding("writer_slow_disk")
    assert finding.severity.name == "WARNING"
    assert "/proc/pressure/io" in finding.remedy
    wait_until(lambda: collector.hits(fault) >= 3, "three slow syncs")
    assert trial.live().dropped == 0
    collector.lift()
    trial.finish()
    assert len(trial.collectors) == 1
    assert "WATCHDOG" not in collector.output


def test_a_stall_of_the_disk_itself_is_waited_for(begin: Begin) -> None:
    """Row 6: one sync takes longer than WATCHDOG_STALL_SEC: the watchdog names the disk and takes no action;
    `status` says for how long the writer has been waiting; nothing is lost.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=1000)
    collector = trial.run_on_faulty_disk(WATCHDOG_STALL_SEC="3", WATCHDOG_QUEUE_THRESHOLD_ROWS="500")
    trial.wait_stored(500)
    collector.inject(Fault(operations=("sync",), files=("wal",), delay_s=math.inf, in_kernel=True))
    assert collector.wait_for("WATCHDOG persistent_stall", cause="slow_disk", action="wait").level == "ERROR"
    assert trial.wait_finding("writer_slow_disk", "has been waiting for the disk").remedy
    made = trial.market.made()
    wait_until(lambda: trial.market.made() >= made + 2000, "two seconds of the market")
    collector.lift()
    trial.finish()
    assert len(collector.events("WATCHDOG persistent_stall")) == 1
    assert len(trial.collectors) == 1


def test_a_foreign_lock_is_named_and_the_collector_recovers(begin: Begin) -> None:
    """Row 7: another program holds the write lock for seconds: `sqlite_busy_backoff`, `status` names the holder."""
    trial = begin("--wait", "--within-window", symbols="20", rate=1000)
    collector = trial.run(SQLITE_BUSY_TIMEOUT_MS="50")
    trial.wait_stored(500)
    with trial.locked():
        collector.wait_for("sqlite_busy_backoff")
        finding = trial.wait_finding(
            "writer_busy", f"locked by pid {os.getpid()} ("
        )  # who it is is found a little later
        assert finding.remedy == f"sudo kill -TERM {os.getpid()}"
        wait_until(lambda: trial.live().waiting >= 2000, "two seconds of the market")
    collector.wait_for("writer_recovered", cause="busy")
    trial.finish()


def test_a_long_reader_only_makes_the_wal_grow(begin: Begin) -> None:
    """Row 7: a reader holds the WAL: it grows, and is truncated when the reader ends; no tick is lost. The warning
    about a large WAL is tested in tests/ops/findings/test_health.py and in the soak.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=1500)
    trial.run(SQLITE_WAL_AUTOCHECKPOINT="50")
    trial.wait_stored(500)
    limit_bytes = 50 * 4096
    path = path_of(trial.data_root, list_days(trial.data_root)[-1])
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM ticks").get > 0
        wait_until(lambda: trial.live().wal_bytes > 8 * limit_bytes, "a WAL eight times as long")
    wait_until(lambda: trial.live().wal_bytes <= 4 * limit_bytes, lambda: f"{trial.live().wal_bytes} bytes")
    trial.finish()


DAMAGES: Final = (truncate, flip, empty, zero)
SUFFIXES: Final = ("-wal", "-shm")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_day_is_renamed_and_backfilled(begin: Begin, damage: Callable[[Path], None]) -> None:
    """Row 8: found at a start: the file is kept unchanged under a new name, a new file is created, and ticks are
    backfilled; those outside OpenD's window are an open gap of exact size.
    """
    trial = begin("--wait", symbols="10", rate=1000)
    trial.run()
    trial.wait_stored(5000)
    trial.stop()
    path = path_of(trial.data_root, list_days(trial.data_root)[-1])
    damage(path)
    damaged = path.read_bytes()
    collector = trial.run()
    assert collector.wait_for("day_set_aside").level == "ERROR"
    kept = next(iter(trial.data_root.glob(f"{path.name}.damaged-*")))
    assert kept.read_bytes() == damaged
    collector.wait_for("day_begun_afresh")
    assert str(kept) in trial.wait_finding("day_damaged").text
    verdict = trial.finish(complete=False)
    assert verdict.days[0].missing == verdict.days[0].in_gaps > 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_day_whose_wal_or_shm_is_gone_is_completed(begin: Begin, suffix: str) -> None:
    """Row 8: removed after a crash: what only the WAL had is asked of OpenD again, nothing is left out unnoticed."""
    trial = begin("--wait", "--within-window", symbols="10", rate=200)
    trial.run(SQLITE_WAL_AUTOCHECKPOINT="20")
    trial.wait_stored(1500)
    trial.collector.kill()
    path = path_of(trial.data_root, list_days(trial.data_root)[-1])
    path.with_name(path.name + suffix).unlink()
    trial.run()
    started_s = time.monotonic()
    trial.wait_stored(1600)
    print(f"going on after {time.monotonic() - started_s:.1f} s")
    trial.finish()


def the_file_alone(data_root: Path) -> None:
    """The day's file is removed by name."""
    path_of(data_root, list_days(data_root)[-1]).unlink()


def the_directory(data_root: Path) -> None:
    """Everything is removed, the spool and the lock included, and an empty DATA_ROOT made in its place."""
    while data_root.exists():
        with suppress(OSError):  # not empty: the collector has just made another file
            shutil.rmtree(data_root)
    data_root.mkdir()


REMOVALS: Final = (the_file_alone, the_directory)


@pytest.mark.parametrize("remove", REMOVALS)
def test_a_day_file_deleted_while_written_is_created_again(begin: Begin, remove: Callable[[Path], None]) -> None:
    """Row 8: the file that is being written is removed. SQLite would continue to write to the removed file. So a new
    one is created, the log and `status` say so, and its ticks are backfilled.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=200)
    collector = trial.run(MAX_QUEUE_ROWS="2000")
    trial.wait_stored(500)
    remove(trial.data_root)
    assert collector.wait_for("day_file_gone").level == "ERROR"
    assert "gaps --open" in trial.wait_finding("day_gone").remedy
    collector.wait_for("day_begun_afresh")
    trial.wait_more(200)
    trial.finish()

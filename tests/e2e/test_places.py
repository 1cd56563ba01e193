"""Where the collector writes: an unusable DATA_ROOT is one line, one that fails later is survived."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import apsw
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Collector, Start

# The lines of the contract that a quiet minute has, with the fields that others rely on.
LINES: Final = {
    "health": {"connected", "persisted_rows_per_min", "lag_s", "queue_rows", "gaps_open", "dropped", "market"}
    | {"exposed_rows", "exposed_s", "synchronous", "power_cut_mb"},
    "persist_summary": {"rows", "batches", "commit_ms_p50", "commit_ms_p99"},
    "persist_loop_heartbeat": {"queue_rows", "last_commit_age_s"},
    "futu_connected": {"host", "port", "conn_id"},
    "shutdown": {"reason", "flushed_rows", "left_rows"},
}


def refused(collector: Collector, code: int) -> str:
    """The error of a collector that cannot start: one line, no traceback."""
    assert collector.finish() == code
    lines = [line for line in collector.output.splitlines() if line]
    assert len(lines) == 1, collector.output
    return lines[0]


def test_every_line_of_the_contract_splits_into_its_fields(start: Start) -> None:
    """TIME LEVEL event key=value …, times with their offset, and the fields that operators' scripts use."""
    opend = start.simulate("--rate", "200")
    collector = start.run(opend.port)
    collector.wait_stored(100)
    collector.wait_for("persist_loop_heartbeat", count=2)
    assert collector.stop() == 0
    events = collector.events()
    assert len(events) == len(collector.output.splitlines())
    for name, fields in LINES.items():
        for event in collector.events(name):
            assert fields <= event.fields.keys()
        assert collector.events(name)
    assert all(datetime.fromisoformat(event.time).utcoffset() is not None for event in events)
    times = [datetime.fromisoformat(event.time) for event in events]
    # two threads may write in another order than they read the clock
    assert all(after > before - timedelta(seconds=10) for before, after in pairwise(times))
    assert re.fullmatch(r"\d+/\d+", collector.events("health")[0].fields["queue_rows"])
    assert events[-1].name == "shutdown"


def test_the_second_collector_is_refused_by_name(start: Start, free_port: int) -> None:
    """On one DATA_ROOT the second names the holder and exits with 1; the first is unaffected; its SIGKILL frees it."""
    first = start.run(free_port, {"INSTANCE_ID": "first"})
    first.wait_for("started")
    line = refused(start.run(free_port), 1)
    assert f"pid {first.pid}" in line
    assert "first" in line
    first.kill()
    second = start.run(free_port)
    second.wait_for("started")
    assert second.stop() == 0


def test_a_data_root_that_is_no_directory_is_one_line(start: Start, free_port: int, workdir: Path) -> None:
    """Missing, or a file: exit code 2, named, with the command that helps; nothing is created."""
    (workdir / "file").touch()
    assert "mkdir" in refused(start.run(free_port, data_root=workdir / "missing"), 2)
    assert "not a directory" in refused(start.run(free_port, data_root=workdir / "file"), 2)
    assert not (workdir / "missing").exists()


def test_a_data_root_without_the_right_to_write_is_one_line(start: Start, free_port: int, workdir: Path) -> None:
    """Wrong permissions: exit code 1, with DATA_ROOT and the cause."""
    root = workdir / "HK"
    root.mkdir(mode=0o555)
    without_roots_right = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    line = refused(start.run(free_port, data_root=root, wrapper=without_roots_right), 1)
    assert str(root) in line
    assert "mode 0555" in line
    assert list(root.iterdir()) == []


@pytest.fixture
def small_disk(workdir: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    root = workdir / "small"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0750", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield root
    subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_a_full_disk_is_named_and_survived(start: Start, small_disk: Path) -> None:
    """When there is space again everything received is stored automatically; a full disk never ends the service."""
    opend = start.simulate("--rate", "4000", "--total", "8000", "--wait")
    filler = small_disk / "other-program.bin"
    filler.write_bytes(bytes(3_300_000))
    collector = start.run(opend.port, data_root=small_disk)
    told = collector.wait_for("persist_failed", cause="disk_full")
    assert told.level == "ERROR"
    assert collector.wait_for("persist_loop_heartbeat", trouble="disk_full")
    opend.wait_made(8000)
    filler.unlink()
    collector.wait_for("writer_recovered", cause="disk_full")
    collector.wait_stored(8000)
    assert collector.stop() == 0
    assert [tick[:8] for tick in collector.ticks()] == sorted(opend.truth())


def test_a_foreign_lock_delays_and_loses_nothing(start: Start) -> None:
    """`sqlite_busy_backoff` while another process writes; then it catches up."""
    opend = start.simulate("--rate", "1000", "--wait")
    collector = start.run(opend.port, {"SQLITE_BUSY_TIMEOUT_MS": "20"})
    collector.wait_stored(500)
    with_lock = lock(collector)
    collector.wait_for("sqlite_busy_backoff")
    opend.wait_made(len(opend.truth()) + 1000)
    with_lock()
    collector.wait_for("writer_recovered", cause="busy")
    collector.read_all_from(opend)
    assert collector.stop() == 0
    assert [tick[:8] for tick in collector.ticks()] == sorted(opend.truth())


def test_a_stop_with_a_locked_file_ends_in_time_and_leaves_its_rows_to_the_next_run(start: Start) -> None:
    """STOP_FLUSH_TIMEOUT_SEC bounds the stop, also when it is asked for twice; what cannot be stored is counted and
    spooled, and the next run stores it, without OpenD.
    """
    opend = start.simulate("--rate", "1000", "--wait")
    collector = start.run(opend.port, {"SQLITE_BUSY_TIMEOUT_MS": "20", "STOP_FLUSH_TIMEOUT_SEC": "5"})
    collector.wait_stored(500)
    release = lock(collector)
    collector.wait_for("sqlite_busy_backoff")
    collector.signal(signal.SIGTERM)
    collector.signal(signal.SIGTERM)
    assert collector.finish() == 0
    release()
    fields = {name: int(value) for name, value in collector.shutdown().items() if value.isdecimal()}
    parts = ("stored", "duplicate", "rejected", "dropped", "left_rows")
    assert fields["received"] == sum(fields[name] for name in parts)
    assert fields["left_rows"] == fields["spooled_rows"] > 0
    assert fields["lost_rows"] == 0
    before = collector.stored()
    assert before == fields["stored"]
    opend.kill()
    after = start.run(opend.port)
    after.wait_stored(before + 1)
    assert after.stop() == 0
    received = [tick[:8] for tick in after.ticks()]
    assert before < len(received) <= before + fields["left_rows"]
    assert set(received) <= set(opend.truth())


BROKEN_STORE: Final = """
import sys
import threading
import apsw
from hk_tick_collector.cli import main

class BrokenFile(apsw.VFSFile):
    def xWrite(self, data, offset):
        if offset and threading.current_thread().name == "writer":
            raise ZeroDivisionError("a bug")
        super().xWrite(data, offset)

class Broken(apsw.VFS):
    def xOpen(self, name, flags):
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        return (BrokenFile if path.endswith("-wal") else apsw.VFSFile)("unix", name, flags)

broken = Broken("broken", "unix", makedefault=True)
sys.exit(main(sys.argv[1:]))
"""


def test_a_dead_writer_ends_the_service(start: Start) -> None:
    """A bug in the writer is not hidden by a running event loop: traceback, `shutdown reason=failure`, exit 1."""
    opend = start.simulate("--rate", "200")
    collector = start.run(opend.port, program=(sys.executable, "-c", BROKEN_STORE))
    assert collector.finish() == 1
    assert collector.wait_for("writer_failed").level == "ERROR"
    assert "ZeroDivisionError: a bug" in collector.output
    last = collector.events()[-1]
    assert (last.name, last.fields["reason"]) == ("shutdown", "failure")
    assert int(last.fields["left_rows"]) > 0


def lock(collector: Collector) -> Callable[[], None]:
    """Locks every day file for writing, as a careless operator would; returns the function that releases them."""
    held = [apsw.Connection(str(path)) for path in collector.data_root.glob("*.db")]
    for db in held:
        db.set_busy_timeout(5000)
        db.execute("BEGIN IMMEDIATE")

    def release() -> None:
        for db in held:
            db.execute("ROLLBACK")
            db.close()

    return release

"""A lock of another process on the day file, held by a reader: its holder is named, and no tick is lost."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final

from tests.others_lock import in_transaction, locked

from hk_tick_collector.ops.live.status import STATUS_NAME, read_status

from .conftest import PROGRAM, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Collector, Start

WRITE: Final = 120  # the byte of -shm that a writer locks
CAP_S: Final = 300.0


def today(collector: Collector) -> Path:
    """The day's file, as soon as it exists."""
    return next(collector.data_root.glob("[0-9]" * 8 + ".db"))


def finding(collector: Collector, code: str) -> dict[str, Any] | None:
    """A finding of `status`, if there is one."""
    environ = {**os.environ, "DATA_ROOT": str(collector.data_root), "DISK_MIN_FREE_MB": "1"}
    done = subprocess.run(
        [*PROGRAM, "status", "--json"], env=environ, capture_output=True, text=True, timeout=CAP_S, check=False
    )
    found = [each for each in json.loads(done.stdout)["findings"] if each["code"] == code]
    return found[0] if found else None


def spooled(collector: Collector) -> int:
    """Rows in the spool, from the live state."""
    live = read_status(collector.data_root / STATUS_NAME)
    return live.spooled if live else 0


def test_a_shared_lock_of_a_reader_is_named_and_its_ticks_are_spooled(start: Start) -> None:
    """Row 44: byte 120 of -shm. The log and `status` name pid, user and command of the holder, and the remedy; ticks go
    to the spool; when the holder ends, every tick is stored and the finding ends.
    """
    opend = start.simulate("--rate", "500", "--wait")
    collector = start.run(opend.port, {"SQLITE_BUSY_TIMEOUT_MS": "100"})
    collector.wait_stored(200)
    path = today(collector)
    with locked(path.with_name(path.name + "-shm"), fcntl.F_RDLCK, WRITE) as other:
        line = collector.wait_for("sqlite_busy_backoff")
        assert line.fields["holder"].startswith(f"pid {other.pid} (")
        wait_until(lambda: spooled(collector) > 500, "ticks in the spool")
        found = finding(collector, "writer_busy")
        assert found is not None
        assert f"locked by pid {other.pid} (" in found["text"]
        assert found["remedy"] == f"sudo kill -TERM {other.pid}"
        before = collector.stored()
    wait_until(lambda: not spooled(collector) and collector.stored() > before + 500, "everything stored")
    assert collector.events("writer_recovered")
    assert finding(collector, "writer_busy") is None
    collector.read_all_from(opend)
    assert collector.stop() == 0
    opend_made = {(tick.symbol, tick.seq) for tick in opend.truth()}
    assert collector.shutdown()["dropped"] == "0"
    assert {(tick.symbol, tick.seq) for tick in collector.ticks()} == opend_made


def test_a_start_beside_a_reader_of_the_plain_file_waits_and_names_it(start: Start) -> None:
    """After a clean stop a reader has the file open in a transaction: the next start collects into the spool, names the
    reader, and stores all ticks when it has ended.
    """
    # So slow that OpenD still has all that is made between the two runs, however long the second takes to start.
    opend = start.simulate("--rate", "40", "--wait")
    first = start.run(opend.port)
    first.wait_stored(20)
    assert first.stop() == 0
    path = today(first)
    with in_transaction(path, "BEGIN;", "SELECT count(*) FROM ticks;") as other:
        second = start.run(opend.port, {"SQLITE_BUSY_TIMEOUT_MS": "100"})
        line = second.wait_for("sqlite_busy_backoff")
        assert line.fields["holder"].startswith(f"pid {other.pid} (")
        wait_until(lambda: spooled(second) > 100, "ticks in the spool")
    wait_until(lambda: second.events("writer_recovered") and not spooled(second), "everything stored")
    second.read_all_from(opend)
    assert second.stop() == 0
    made = {(tick.symbol, tick.seq) for tick in opend.truth()}
    assert {(tick.symbol, tick.seq) for tick in second.ticks()} == made

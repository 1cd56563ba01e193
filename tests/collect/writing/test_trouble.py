"""What the writer waits for is named, logged and survived."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.collect.conftest import wait_until

from hk_tick_collector import market

from .work import ACCOUNT, COUNT, DAY, hundred, stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Disk, Journal, MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


def test_a_foreign_lock_is_waited_for(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """`sqlite_busy_backoff` once for many attempts, then everything is stored; nothing is lost."""
    rig = make_rig()
    rig.writer.prepare(market.parse_day(DAY))
    rig.writer.start()
    other = apsw.Connection(str(rig.data_root / f"{DAY}.db"))
    other.execute("BEGIN IMMEDIATE")
    rig.put(hundred(tick))
    fields = journal.wait_for("sqlite_busy_backoff").fields
    assert (fields["cause"], fields["attempt"], fields["repeats"]) == ("busy", "1", "0")
    assert fields["wait_ms"] == "50"
    assert rig.queue.storing.writer_trouble == "busy"
    for start in range(100, 1000, 100):
        rig.put(hundred(tick, start))
    assert rig.queue.rows == 1000
    other.execute("ROLLBACK")
    rig.wait_stored(1000)
    assert journal.wait_for("writer_recovered").fields["cause"] == "busy"
    assert len(journal.events("sqlite_busy_backoff")) == 1
    wait_until(lambda: rig.queue.storing.writer_trouble == "", "no trouble")  # a moment after the line
    stop(rig)
    other.close()
    assert rig.query(DAY, COUNT) == [(1000,)]


@pytest.mark.parametrize("operation", ["write", "sync", "open"])
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (apsw.FullError, "disk_full"),
        (apsw.ReadOnlyError, "read_only"),
        (apsw.IOError, "io_error"),
        (lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk_full"),
    ],
    ids=["full", "readonly", "io", "errno"],
)
def test_a_disk_that_fails_is_named_and_survived(
    make_rig: MakeRig,
    tick: MakeTick,
    journal: Journal,
    disk: Disk,
    operation: str,
    error: Callable[[], Exception],
    cause: str,
) -> None:
    """The trouble has a name while it lasts; afterwards everything is stored once, automatically."""
    rig = make_rig(vfs=disk.name)
    rig.put(hundred(tick))
    if operation != "open":
        rig.writer.prepare(market.parse_day(DAY))
    disk.fail(operation, error)
    rig.writer.start()
    fields = journal.wait_for("persist_failed").fields
    assert fields["cause"] in (cause, "cannot_open", "io_error")
    causes = {event.fields["cause"] for event in journal.events("persist_failed")}  # the next attempt may have another
    assert rig.queue.storing.writer_trouble in causes
    rig.put(hundred(tick, 100))
    assert rig.stats.stored == 0
    disk.repair()
    rig.wait_stored(200)
    assert journal.wait_for("writer_recovered").fields["cause"] == fields["cause"]
    stop(rig)
    assert rig.query(DAY, ACCOUNT) == [(200, 200, 0, 0, 0, 0)]
    assert rig.query(DAY, COUNT) == [(200,)]


def test_a_directory_that_goes_away_is_waited_for(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """DATA_ROOT unmounted before the day's first tick: named, and ticks are stored when it is back."""
    tmp_path.joinpath("HK").mkdir()
    rig = make_rig()
    rig.data_root.rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    rig.put(hundred(tick))
    rig.writer.start()
    assert journal.wait_for("persist_failed").fields["cause"] == "no_directory"
    tmp_path.with_name(f"{tmp_path.name}-elsewhere").rename(rig.data_root)
    rig.wait_stored(100)

"""The thorough check of a finished day, in a thread of its own."""

from __future__ import annotations

import stat
import threading
import time
from typing import TYPE_CHECKING

from tests.collect.conftest import CAP_S, wait_until

from hk_tick_collector import market

from .days import TODAY, TODAY_MS, of_today

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Disk, Journal, MakeRig, Rig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


def sealing_slowly(rig: Rig, disk: Disk, tick: MakeTick) -> None:
    """A writer that has begun to seal yesterday, whose file takes long to check."""
    rig.put([*(tick("HK.00002", 1 + n, TODAY_MS - market.DAY_MS) for n in range(5_000)), *of_today(tick, 1)])
    rig.writer.start()
    rig.wait_stored(5_001)
    disk.slow_for = "day-check"
    rig.writer.seal_before = TODAY
    wait_until(disk.reading_slowly.is_set, "the check has begun")


def test_today_does_not_wait_for_the_check_of_a_finished_day(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk
) -> None:
    """However long the file of a finished day takes to check, ticks are stored meanwhile; then it is sealed."""
    rig = make_rig(vfs=disk.name)
    sealing_slowly(rig, disk, tick)
    rig.put(of_today(tick, 10, first=5))
    rig.wait_stored(5_011)
    assert not journal.events("day_sealed")
    disk.slow_for = ""
    journal.wait_for("day_sealed")
    assert stat.S_IMODE((rig.data_root / "20261119.db").stat().st_mode) == 0o440


def test_a_late_tick_ends_the_check_of_its_day(make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk) -> None:
    """It is stored at once, in a file that is still open: only what was checked is sealed."""
    rig = make_rig(vfs=disk.name)
    sealing_slowly(rig, disk, tick)
    rig.put([tick("HK.00002", 9_999, TODAY_MS - market.DAY_MS)])
    rig.wait_stored(5_002)
    disk.slow_for = ""
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert rig.query("20261119", "SELECT count(*), max(seq) FROM ticks") == [(5_001, 9_999)]
    assert rig.stats.sealed_day == rig.stats.rejected_total == 0
    assert not journal.events("day_sealed")
    assert not journal.events("day_held")


def test_a_stop_does_not_wait_for_a_check(make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk) -> None:
    """The day is sealed by the next run."""
    rig = make_rig(vfs=disk.name)
    sealing_slowly(rig, disk, tick)
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert not journal.events("day_sealed")
    assert not [thread.name for thread in threading.enumerate() if thread.name == "day-check"]

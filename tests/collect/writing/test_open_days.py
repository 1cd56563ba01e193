"""Many days at once: today's ticks first, few open files, and old dates never delay today's ticks."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.collect.conftest import CAP_S, wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.writing.open_days import MOST_FILES
from hk_tick_collector.store.dayfile import StoreOptions, seal

from .days import DAY, TODAY_MS, account, of_old_days, of_today, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Journal, MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


def open_in(directory: Path) -> int:
    """The number of this process's descriptors below a directory."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += entry.readlink().is_relative_to(directory)
    return count


def test_old_days_never_exhaust_the_descriptors(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """Row 29: one batch with 120 old dates and today's. Today's file is written first, a few files are open at any
    moment, every tick is in the file of its day, and the accounts balance.
    """
    rig = make_rig()
    most = [0]
    watch(journal, lambda _: most.__setitem__(0, max(most[0], open_in(rig.data_root))))
    rig.put([*of_old_days(tick, 120), *of_today(tick, 5)])
    rig.writer.start()
    wait_until(lambda: rig.stats.stored == 125 or not rig.writer.alive, "all days stored")
    assert rig.queue.rows == 0
    assert journal.events("day_opened")[0].fields["day"] == DAY
    assert most[0] <= 3 * (MOST_FILES + 1), "three for each file, and one more while it is opened"
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert len(list(rig.data_root.glob("*.db"))) == 121
    assert account(rig) == (125, 125, 0)


def test_files_of_old_days_become_plain_files(make_rig: MakeRig, tick: MakeTick) -> None:
    """Files closed to open others too: after ten minutes one after another, at a stop the rest."""
    rig = make_rig()
    rig.put([*of_old_days(tick, MOST_FILES + 2), *of_today(tick, 1)])
    rig.writer.start()
    rig.wait_stored(MOST_FILES + 3)

    def wals() -> set[str]:
        return {path.name[:8] for path in rig.data_root.glob("*-wal")}

    assert len(wals()) == MOST_FILES + 3, "no file is made plain only because others were opened"
    rig.now_ms += 11 * 60_000
    wait_until(lambda: len(wals()) < MOST_FILES + 2, "a few of them plain")
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert not wals()
    assert account(rig) == (MOST_FILES + 3, MOST_FILES + 3, 0)


def test_an_old_day_in_turns_keeps_its_account(make_rig: MakeRig, tick: MakeTick) -> None:
    """Their files are opened repeatedly: every tick is stored once, every figure is right."""
    rig = make_rig()
    rig.writer.start()
    for turn in range(5):
        rows = [(*row[:1], turn, *row[2:]) for row in of_old_days(tick, 8)]
        rig.put([*rows, *rows[:1], *of_today(tick, 1, first=turn)])
        rig.wait_stored(10 * (turn + 1))
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert account(rig) == (50, 45, 0)


def test_today_is_the_date_of_opend(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """With this host's clock a week ahead today is what OpenD says it is, while there is a connection."""
    rig = make_rig()
    rig.now_ms += 7 * market.DAY_MS
    rig.opend.opend_time_ms, rig.opend.connected = TODAY_MS, True
    rig.put([*of_old_days(tick, 5), *of_today(tick, 1)])
    rig.writer.start()
    rig.wait_stored(6)
    assert journal.events("day_opened")[0].fields["day"] == DAY


def test_a_wal_without_its_file_is_not_applied_to_a_new_file(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """A closed file is moved away without its WAL: the next ticks are in a new, complete file."""
    rig = make_rig()
    rig.put([*of_old_days(tick, MOST_FILES + 2), *of_today(tick, 1)])
    rig.writer.start()
    rig.wait_stored(MOST_FILES + 3)
    path = rig.data_root / "20261119.db"
    assert path.with_name(f"{path.name}-wal").exists()
    path.rename(tmp_path / "elsewhere")
    rig.put([tick("HK.00002", 9, TODAY_MS - market.DAY_MS)])
    rig.wait_stored(MOST_FILES + 4)
    assert journal.wait_for("day_set_aside").fields["day"] == "20261119"
    assert rig.query("20261119", "SELECT symbol FROM ticks") == [("HK.00002",)]


def test_late_ticks_of_many_sealed_days_do_not_delay_today(make_rig: MakeRig, tick: MakeTick) -> None:
    """Sealed old days reject their ticks in turns, and today's ticks are stored meanwhile."""
    rig = make_rig()
    rig.put(of_old_days(tick, 5))
    rig.writer.start()
    rig.wait_stored(5)
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    for path in rig.data_root.glob("*.db"):
        assert seal(path, rig.now_ms, StoreOptions())
    rig = make_rig()
    rig.put([*of_old_days(tick, 5), *of_today(tick, 2)])
    rig.writer.start()
    rig.wait_stored(7)
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert rig.query(DAY, "SELECT received, stored, duplicate FROM ledger") == [(7, 2, 5)]

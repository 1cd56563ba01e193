"""Many days at once: today's ticks first, a few files open, and no old date that keeps today's ticks waiting."""

from __future__ import annotations

import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.collect.conftest import CAP_S, wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.writing.open_days import MOST_FILES
from hk_tick_collector.model import GAP_OPEN, Gap, GapChange
from hk_tick_collector.store.dayfile import Link, StoreOptions, seal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Disk, Journal, MakeRig, Rig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

DAY: Final = "20261120"
TODAY: Final = market.parse_day(DAY)
TODAY_MS: Final = market.day_start_ms(TODAY) + 36_000_000


def of_old_days(tick: MakeTick, days: int) -> list[TickRow]:
    """One tick of each day before today, of a symbol of its own: the latest of long suspended ones."""
    return [tick(f"HK.{n:05}", 1, TODAY_MS - n * market.DAY_MS) for n in range(1, days + 1)]


def of_today(tick: MakeTick, count: int, first: int = 0) -> list[TickRow]:
    """Ticks of today."""
    return [tick("HK.00700", seq, TODAY_MS + seq) for seq in range(first, first + count)]


def open_in(directory: Path) -> int:
    """How many descriptors of this process are below a directory."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += entry.readlink().is_relative_to(directory)
    return count


def account(rig: Rig) -> tuple[int, ...]:
    """The sums over all files: received, stored, waiting."""
    rows = [rig.query(path.stem, "SELECT received, stored, waiting FROM ledger") for path in rig.data_root.glob("*.db")]
    return tuple(sum(int(str(row[n])) for (row,) in rows) for n in range(3))


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


def watch(journal: Journal, on_opened: Callable[[int], None]) -> None:
    """Calls, on the thread that logs it, with the number of each day's file that is opened."""
    write, count = journal.write, [0]

    def watching(text: str) -> int:
        if " day_opened " in text:
            count[0] += 1
            on_opened(count[0])
        return write(text)

    journal.write = watching  # type: ignore[method-assign]


def test_todays_ticks_do_not_wait_for_old_days(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """What arrives while old days are stored is committed before the next of them but one."""
    rig = make_rig()
    watch(journal, lambda number: rig.put(of_today(tick, 7, first=100)) if number == 5 else None)
    rig.put([*of_old_days(tick, 30), *of_today(tick, 3)])
    rig.writer.start()
    rig.wait_stored(40)
    sizes = [commit.rows for commit in rig.writer.pop_commits()]
    assert sizes == [3, 1, 1, 1, 1, 7, *[1] * 26], "the fifth file was being opened, for the fourth old day"


def test_a_leftover_of_old_days_holds_back_nothing_of_today(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """Rows that an earlier run's spool holds go in turns too; the spool lets go of them once the last is committed."""
    rig = make_rig()
    stored: list[int] = []
    watch(journal, lambda number: rig.put(of_today(tick, 7, first=100)) if number == 5 else None)
    rig.stats.received += 33
    leftover = [*of_old_days(tick, 30), *of_today(tick, 3)]
    rig.queue.put(Chunk(rows=leftover[:20], on_disk=True))
    rig.queue.put(Chunk(rows=leftover[20:], on_disk=True, on_commit=lambda: stored.append(rig.stats.stored)))
    rig.writer.start()
    rig.wait_stored(40)
    wait_until(lambda: stored, "told")
    assert stored == [40]
    sizes = [commit.rows for commit in rig.writer.pop_commits()]
    assert sizes.index(7) < 10


def test_rows_that_wait_for_their_day_are_counted(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """While old days wait for their turn their rows count as waiting: in the queue, and in the ledger of today."""
    rig = make_rig()
    seen: list[tuple[int, object]] = []

    def look(number: int) -> None:
        if number > 1:
            seen.append((rig.queue.rows, rig.query(DAY, "SELECT waiting FROM ledger")[0][0]))

    watch(journal, look)
    rig.put([*of_old_days(tick, 3), *of_today(tick, 3)])
    rig.writer.start()
    rig.wait_stored(6)
    assert [rows for rows, _ in seen] == [3, 2, 1]
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert account(rig) == (6, 6, 0)


def test_files_of_old_days_end_plain(make_rig: MakeRig, tick: MakeTick) -> None:
    """Those that were let go of to open others too: after ten minutes one after the other, at a stop the rest."""
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
    """Days that take turns are opened again and again: every tick once, every figure right."""
    rig = make_rig()
    rig.writer.start()
    for turn in range(5):
        rows = [(*row[:1], turn, *row[2:]) for row in of_old_days(tick, 8)]
        rig.put([*rows, *rows[:1], *of_today(tick, 1, first=turn)])
        rig.wait_stored(10 * (turn + 1))
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert account(rig) == (50, 45, 0)


def test_links_and_counts_belong_to_today(make_rig: MakeRig, tick: MakeTick) -> None:
    """With files of old and of future days open, what belongs to no tick is in today's file."""
    rig = make_rig()
    rig.writer.prepare(TODAY)
    tomorrow = tick("HK.00001", 1, TODAY_MS + market.DAY_MS)
    rig.put([tomorrow, *of_old_days(tick, 2)])
    rig.writer.start()
    rig.wait_stored(3)
    rig.queue.put(Chunk(links=[Link(5, True, 1, "")], dropped=3))
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert rig.query(DAY, "SELECT dropped, (SELECT count(*) FROM connections) FROM ledger") == [(3, 1)]
    assert account(rig) == (6, 3, 0)


def test_today_is_opends(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """With this host's clock a week ahead today is what OpenD says it is, while there is a connection."""
    rig = make_rig()
    rig.now_ms += 7 * market.DAY_MS
    rig.opend.opend_time_ms, rig.opend.connected = TODAY_MS, True
    rig.put([*of_old_days(tick, 5), *of_today(tick, 1)])
    rig.writer.start()
    rig.wait_stored(6)
    assert journal.events("day_opened")[0].fields["day"] == DAY


def test_gaps_of_an_old_day_go_with_its_rows(make_rig: MakeRig, tick: MakeTick) -> None:
    """Changes of `gaps` wait with the rows of their day, and the last state of each counts."""
    rig = make_rig()
    rows = of_old_days(tick, 2)
    gap = Gap(rows[0][0], 1, 2, 0, 0, 5, "restart", GAP_OPEN, 1, None, 1)
    changes = [GapChange(TODAY - 1, gap), GapChange(TODAY - 1, gap._replace(missing=3))]
    rig.stats.received += 3
    rig.queue.put(Chunk(rows=[*rows, *of_today(tick, 1)], gaps=changes))
    rig.writer.start()
    rig.wait_stored(3)
    assert rig.query("20261119", "SELECT missing FROM gaps") == [(3,)]


def test_a_day_is_not_sealed_before_its_waiting_ticks_are_stored(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """Forty finished days may be sealed while their late ticks wait: all are stored, none is refused."""
    rig = make_rig()
    rig.put(of_old_days(tick, 40))
    rig.writer.start()
    rig.wait_stored(40)
    rig.writer.seal_before = TODAY
    rig.put([(*row[:1], 2, *row[2:]) for row in of_old_days(tick, 40)])
    rig.wait_stored(80)
    wait_until(lambda: len(journal.events("day_sealed")) == 40, "all sealed, one after the other")
    assert rig.stats.sealed_day == 0
    assert not journal.events("day_seal_failed")


def test_one_bad_file_keeps_no_other_from_being_sealed(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """A directory, a text, a newer file among finished days: each is told once, and `status` knows why; the others are
    sealed. What is gone is no finding any more.
    """
    rig = make_rig()
    rig.put([*of_old_days(tick, 6), *of_today(tick, 1)])
    rig.writer.start()
    rig.wait_stored(7)
    bad = [rig.data_root / f"2026111{n}.db" for n in (7, 9)]
    for path in bad:
        path.rename(path.with_suffix(".moved"))
        for part in path.parent.glob(f"{path.name}-*"):
            part.unlink()
    bad[0].mkdir()
    bad[1].write_text("notes\n")
    rig.writer.seal_before = TODAY
    wait_until(lambda: len(journal.events("day_sealed")) == 4, f"four sealed {journal.getvalue()}")
    wait_until(lambda: set(rig.stats.not_sealed) == {path.name for path in bad}, "both told")
    assert sorted(event.fields["file"] for event in journal.events("day_seal_failed")) == [path.name for path in bad]
    rig.put(of_today(tick, 1, first=5))
    rig.wait_stored(8)


def test_a_log_without_its_file_meets_no_fresh_file(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """A file that was let go of is moved away without its WAL: what is stored next is in a file of its own, whole."""
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


def test_late_ticks_of_many_sealed_days(make_rig: MakeRig, tick: MakeTick) -> None:
    """Old days that are sealed refuse their ticks in turns, and keep today's from nothing."""
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
    """It is stored at once, in a file that is still open to ticks: only what was checked is sealed."""
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

"""The predecessor's files in our files' places: renamed, imported, nothing lost or sealed too early."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.collect.conftest import NOW_MS, wait_until
from tests.predecessor_files import SHIFT_MS, as_predecessors, begin_file, insert, write_file

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.loading.load import load_day, unfinished_days
from hk_tick_collector.collect.writing.current_writer import CurrentWriter
from hk_tick_collector.collect.writing.predecessor_days import PredecessorDays
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import Tick
from hk_tick_collector.store import foreign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal, MakeRig, Rig

    from hk_tick_collector.model import TickRow

TODAY = market.day_number(NOW_MS)
DAY = market.day_name(TODAY - 1)
OPEN_MS = market.day_start_ms(TODAY - 1) + 34_200_000  # 09:30


def tick(counter: int, symbol: str = "HK.00700", **changed: Any) -> TickRow:
    """A tick of yesterday that follows the rule of its sequence."""
    ts_ms = OPEN_MS + counter * 1000
    seq = (ts_ms // 1000 << 32) | counter
    tick = Tick(symbol, seq, ts_ms, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms)
    return tick._replace(**changed)


def predecessor_days(rig: Rig, on_imported: Callable[[], None] | None = None) -> PredecessorDays:
    """The part under test, with a real intake in front of the rig's writer."""
    tracker = GapTracker(lambda number: load_day(rig.data_root, number), lambda: NOW_MS)
    intake = Intake(rig.queue, tracker, rig.opend, rig.stats, time.monotonic)
    return PredecessorDays(
        rig.data_root,
        intake,
        rig.queue,
        CurrentWriter(rig.queue, lambda _, __: rig.writer),
        rig.stats,
        on_imported or tracker.known.recount_losses,
    )


def run_until(rig: Rig, journal: Journal, event: str, on_imported: Callable[[], None] | None = None) -> None:
    """Lets it work until a line is logged."""

    async def run() -> None:
        task = asyncio.create_task(predecessor_days(rig, on_imported).run())
        while not journal.events(event):
            await asyncio.sleep(0.01)
            assert not task.done(), task.exception()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(run(), 300))


def test_a_late_tick_of_a_day_of_the_predecessor(make_rig: MakeRig, journal: Journal) -> None:
    """The file is renamed with its WAL and a new one created at once; then every row of the old one is in ours."""
    rig = make_rig()
    path = rig.data_root / f"{DAY}.db"
    theirs = [tick(counter) for counter in range(1, 3000)]
    rows = [as_predecessors(row, DAY) for row in theirs]
    rows.append(as_predecessors(tick(3001), DAY, seq=None))
    rows.append(as_predecessors(tick(3000, price=1.0), DAY))
    rows.append(as_predecessors(tick(3002), DAY, ts_ms=tick(3002)[2] + SHIFT_MS))
    write_file(path, rows)
    rig.writer.start()
    rig.put([tick(3000)])
    rig.wait_stored(1)
    set_aside = journal.wait_for("predecessor_set_aside")
    assert rig.query(DAY, "SELECT count(*) FROM ticks") == [(1,)]
    run_until(rig, journal, "predecessor_imported")
    fields = journal.events("predecessor_imported")[0].fields
    assert (fields["rows"], fields["stored"], fields["beside"], fields["shifted"]) == ("3002", "3000", "2", "1")
    stored = rig.query(DAY, "SELECT * FROM ticks ORDER BY seq")
    assert stored == [*theirs, tick(3000), tick(3002)]
    assert rig.query(DAY, "SELECT symbol, ts_ms FROM ticks_without_seq") == [("HK.00700", tick(3001)[2])]
    assert rig.query(DAY, "SELECT cause, price FROM rows_not_imported") == [("conflict", 1.0)]
    ledger = rig.query(DAY, "SELECT stored, duplicate, rejected FROM ledger")
    assert ledger == [(3001, 0, 0)]
    assert set_aside.fields["kept_as"] == f"{fields['kept_as']}.not-imported"
    assert [str(kept) for kept in foreign.list_kept(rig.data_root)] == [fields["kept_as"]]
    assert rig.stats.predecessor_files == {f"{fields['kept_as'].rsplit('/', 1)[1]}.not-imported": ""}


def test_how_far_an_import_is_can_be_seen(make_rig: MakeRig, journal: Journal) -> None:
    """Which file, how many rows, imported and checked; nothing when it has ended."""
    rig = make_rig()
    name = f"{DAY}.db.predecessor-20261120T013000Z.not-imported"
    write_file(rig.data_root / name, [as_predecessors(tick(counter), DAY) for counter in range(1, 8000)])
    rig.writer.start()
    seen: list[tuple[str, int, int, int]] = []
    stats = rig.stats

    def look() -> None:
        seen.append((stats.importing, stats.importing_rows, stats.importing_done, stats.importing_checked))

    run_until(rig, journal, "predecessor_imported", look)
    assert seen == [(name, 7999, 7999, 7999)]
    assert stats.importing == ""


def test_an_imported_day_is_no_longer_a_finding(make_rig: MakeRig, journal: Journal) -> None:
    """The other days stay; the writer, which checks all of them once a minute, is not waited for."""
    rig = make_rig()
    other = market.day_name(TODAY - 2)
    write_file(rig.data_root / f"{other}.db", [as_predecessors(tick(1), other)])
    write_file(rig.data_root / f"{DAY}.db.predecessor-20261120T013000Z.not-imported", [as_predecessors(tick(1), DAY)])
    rig.stats.predecessor_days = [other, DAY]
    rig.writer.start()
    run_until(rig, journal, "predecessor_imported")
    assert rig.stats.predecessor_days == [other]


def test_a_day_is_not_sealed_before_it_is_imported(make_rig: MakeRig, journal: Journal) -> None:
    """A sealed day would refuse the remaining rows; it is sealed when they are imported."""
    rig = make_rig()
    path = rig.data_root / f"{DAY}.db"
    with closing(begin_file(path)) as at_work:
        insert(at_work, [as_predecessors(tick(counter), DAY) for counter in range(1, 10)])
        rig.writer.start()
        rig.put([tick(10)])
        rig.wait_stored(1)
        at_work.execute("SELECT count(*) FROM ticks").fetchone()
        rig.writer.seal_before = TODAY
        wait_until(lambda: rig.writer._days.sealing._seal_at_s > 0, "the days were looked at")  # noqa: SLF001
        assert not journal.events("day_sealed")
    rig.writer._days.sealing._seal_at_s = 0.0  # noqa: SLF001 - a minute has passed
    run_until(rig, journal, "predecessor_imported")
    rig.writer._days.sealing._seal_at_s = 0.0  # noqa: SLF001
    journal.wait_for("day_sealed")
    assert rig.query(DAY, "SELECT count(*) FROM ticks") == [(10,)]


def test_earlier_days_of_the_predecessor_are_one_finding(make_rig: MakeRig, journal: Journal) -> None:
    """They are not repeated failures of sealing, and OpenD is not asked about them."""
    rig = make_rig()
    days = [market.day_name(TODAY - back) for back in (3, 2, 1)]
    for day in days:
        write_file(rig.data_root / f"{day}.db", [as_predecessors(tick(1), day)])
    rig.writer.seal_before = TODAY
    rig.writer.start()
    wait_until(lambda: len(rig.stats.predecessor_days) == 3, str(rig.stats))
    assert rig.stats.predecessor_days == days
    assert rig.stats.not_sealed == {}
    assert unfinished_days(rig.data_root, TODAY) == []
    assert {event.level for event in journal.events()} <= {"DEBUG", "INFO"}


@pytest.mark.parametrize("mode", [0o640, 0o440])
def test_a_file_that_may_not_be_written_is_renamed_too(make_rig: MakeRig, journal: Journal, mode: int) -> None:
    """Restrictive permissions of the file do not prevent it."""
    rig = make_rig()
    path = write_file(rig.data_root / f"{DAY}.db", [as_predecessors(tick(1), DAY)])
    path.chmod(mode)
    rig.writer.start()
    rig.put([tick(2)])
    rig.wait_stored(1)
    run_until(rig, journal, "predecessor_imported")
    assert rig.query(DAY, "SELECT count(*) FROM ticks") == [(2,)]


def test_a_damaged_file_is_logged_and_kept(make_rig: MakeRig, journal: Journal) -> None:
    """It cannot be read to its end: the day continues without it, and the file keeps its name."""
    rig = make_rig()
    path = write_file(rig.data_root / f"{DAY}.db", [as_predecessors(tick(counter), DAY) for counter in range(1, 2000)])
    data = bytearray(path.read_bytes())
    data[40_000:80_000] = b"\x5a" * 40_000
    path.write_bytes(data)
    rig.writer.start()
    rig.put([tick(2000)])
    rig.wait_stored(1)
    run_until(rig, journal, "predecessor_not_imported")
    assert "is damaged" in journal.events("predecessor_not_imported")[0].fields["detail"]
    [waiting] = foreign.list_waiting(rig.data_root)
    assert "is damaged" in rig.stats.predecessor_files[waiting.name]
    assert waiting.read_bytes() == bytes(data)


def test_an_interrupted_move_is_completed(tmp_path: Path) -> None:
    """At whatever step it was interrupted, the file has its WAL, and the next call continues with the same name."""
    for steps in range(4):
        path = tmp_path / f"{steps}" / f"{DAY}.db"
        path.parent.mkdir()
        db = begin_file(path)
        insert(db, [as_predecessors(tick(1), DAY)])
        kept = foreign.kept_path(path, NOW_MS, waiting=True)
        if steps > 0:
            kept.hardlink_to(path)
        if steps > 1:
            path.with_name(f"{path.name}-wal").rename(f"{kept}-wal")
        if steps > 2:
            path.with_name(f"{path.name}-shm").rename(f"{kept}-shm")
        again = foreign.kept_path(path, NOW_MS + 5000, waiting=True)
        assert (again == kept) == (steps > 0)
        foreign.keep(path, again)
        assert foreign.list_waiting(path.parent) == [again]
        assert sorted(part.name for part in path.parent.iterdir()) == [
            again.name,
            f"{again.name}-shm",
            f"{again.name}-wal",
        ]
        db.close()

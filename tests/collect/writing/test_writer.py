"""The writer thread: queued rows are committed once, with any disk fault; and the thread always ends."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.collect.conftest import CAP_S, wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.overflow import Overflow
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import ExchangeClock
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.writer import Writer
from hk_tick_collector.model import Tick
from hk_tick_collector.store.dayfile import ConnectionChange, StoreOptions, seal
from hk_tick_collector.store.spool import Spool

from .work import ACCOUNT, COUNT, DAY, MIDNIGHT_MS, STOP_S, at_work, hundred, stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Disk, Journal, MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


# --- where rows go ---


def test_each_tick_goes_to_the_file_of_its_own_day(make_rig: MakeRig, tick: MakeTick) -> None:
    """One batch around midnight in Hong Kong, and one tick of last year: each row in its day's file, to the ms."""
    rig = make_rig()
    moments = [
        MIDNIGHT_MS - 1,
        MIDNIGHT_MS,
        MIDNIGHT_MS + market.DAY_MS - 1,
        MIDNIGHT_MS + market.DAY_MS,
        1_767_000_000_000,
    ]
    rig.put([tick("HK.00700", seq, ts_ms) for seq, ts_ms in enumerate(moments)])
    rig.writer.start()
    rig.wait_stored(5)
    stop(rig)
    stored = {
        path.stem: rig.query(path.stem, "SELECT seq FROM ticks ORDER BY seq") for path in rig.data_root.glob("*.db")
    }
    assert stored == {"20261119": [(0,)], DAY: [(1,), (2,)], "20261121": [(3,)], "20251229": [(4,)]}
    assert rig.stats.newest_day == DAY, "nothing is judged by a tick with the date of tomorrow"
    assert rig.stats.newest_ts_ms == MIDNIGHT_MS + market.DAY_MS - 1


def test_files_of_other_days_are_closed_when_done(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """After ten minutes without a tick yesterday's file is one plain file; today's stays open."""
    rig = make_rig()
    rig.put([tick("HK.00700", 1, MIDNIGHT_MS - 1), tick("HK.00700", 2)])
    rig.writer.start()
    rig.wait_stored(2)
    assert (rig.data_root / "20261119.db-wal").exists()
    rig.now_ms += 11 * 60_000
    assert journal.wait_for("day_closed").fields == {"day": "20261119", "plain": "True"}
    assert not (rig.data_root / "20261119.db-wal").exists()
    assert (rig.data_root / f"{DAY}.db-wal").exists()


def test_the_day_has_its_file_before_its_first_tick(make_rig: MakeRig, journal: Journal) -> None:
    """On a trading day the file exists from the start of the day; a reader finds it empty, not missing."""
    rig = make_rig()
    rig.writer.open_day = market.parse_day(DAY)
    rig.writer.start()
    assert journal.wait_for("day_opened").fields["day"] == DAY
    rig.queue.put(Chunk(connections=[ConnectionChange(5, False, None, "starting")]))
    stop(rig)
    assert rig.query(DAY, "SELECT (SELECT count(*) FROM ticks), (SELECT reason FROM connections)") == [(0, "starting")]


# --- batches ---


def test_the_newest_day_is_one_that_the_exchange_has_reached(make_rig: MakeRig, tick: MakeTick) -> None:
    """This host's date is days ahead of OpenD's: the file that was made for it is not the day that `status` shows."""
    rig = make_rig()
    rig.now_ms += 5 * market.DAY_MS
    rig.writer.prepare(market.parse_day(DAY) + 5)
    assert rig.stats.newest_day == "20261125"
    rig.opend.opend_time_ms = MIDNIGHT_MS + 36_000_000
    at_work(rig, tick)
    stop(rig)
    assert rig.stats.newest_day == DAY


def test_when_quiet_a_tick_is_committed_within_the_wait(make_rig: MakeRig, tick: MakeTick) -> None:
    """A single tick does not wait for more ticks."""
    rig = make_rig(max_wait_ms=100)
    rig.writer.prepare(market.parse_day(DAY))
    rig.writer.start()
    for seq in range(3):
        started_s = time.monotonic()
        rig.put([tick("HK.00700", seq)])
        rig.wait_stored(seq + 1)
        waited_s = time.monotonic() - started_s
        print(f"committed after {waited_s * 1000:.0f} ms")
    stop(rig)
    assert rig.stats.commits == 3


def test_when_behind_commits_are_large(make_rig: MakeRig, tick: MakeTick) -> None:
    """A backlog is committed by the thousand, BATCH_ROWS at most, without waiting for anything."""
    rig = make_rig(batch_rows=12_000, max_wait_ms=60_000)
    for start in range(0, 50_000, 500):
        rig.put([tick(f"HK.{seq % 40:05}", seq) for seq in range(start, start + 500)])
    rig.writer.start()
    rig.wait_stored(48_000)
    stop(rig)
    assert [commit.rows for commit in rig.writer.pop_commits()] == [12_000] * 4 + [2_000]
    assert rig.query(DAY, "SELECT stored, waiting FROM ledger") == [(50_000, 0)]


def test_the_first_rows_of_a_burst_are_committed_at_once(make_rig: MakeRig, tick: MakeTick) -> None:
    """Five thousand rows are committed neither after a full batch nor after the maximum wait, but at once."""
    rig = make_rig(batch_rows=50_000, max_wait_ms=3_600_000)
    rig.writer.prepare(market.parse_day(DAY))
    rig.writer.start()
    for start in range(0, 5_000, 500):
        rig.put([tick(f"HK.{seq % 40:05}", seq) for seq in range(start, start + 500)])
    rig.wait_stored(5_000)
    stop(rig)


# --- finished days ---


def test_a_tick_of_a_sealed_day_is_rejected_whole(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """A tick that the sealed file has is a duplicate; a missing one is logged completely; the file stays sealed."""
    first = make_rig()
    first.put(hundred(tick))
    first.writer.start()
    stop(first)
    assert seal(tmp_path / f"{DAY}.db", first.now_ms, StoreOptions())
    before = (tmp_path / f"{DAY}.db").read_bytes()

    rig = make_rig()
    rig.now_ms += market.DAY_MS
    late, today = tick("HK.00700", 500), tick("HK.00700", 900, MIDNIGHT_MS + market.DAY_MS)
    rig.put([tick("HK.00700", 7), late, today])
    rig.put([tick("HK.00700", 8)])
    rig.writer.start()
    stop(rig)
    told = [event.fields for event in journal.events("tick_rejected")]
    assert told == [
        {"cause": "sealed_day", "day": DAY} | {name: _plain(value) for name, value in Tick(*late)._asdict().items()}
    ]
    assert (tmp_path / f"{DAY}.db").read_bytes() == before
    assert {path.name for path in tmp_path.glob(f"{DAY}*")} == {f"{DAY}.db"}
    assert (rig.stats.stored, rig.stats.duplicate, rig.stats.sealed_day) == (1, 2, 1)
    assert rig.query("20261121", ACCOUNT) == [(4, 1, 2, 1, 0, 0)]


def _plain(value: object) -> str:
    return str(value).removesuffix(".0")


def test_finished_days_are_sealed_when_allowed(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """Days before the given one become plain and read-only, damaged ones are named, other files are left alone."""
    rig = make_rig()
    rig.put([tick("HK.00700", 1, MIDNIGHT_MS - 1), tick("HK.00700", 2)])
    rig.writer.start()
    rig.wait_stored(2)
    (tmp_path / "20261118.db").write_text("notes\n")
    (tmp_path / "99999999.db").write_text("notes\n")
    rig.writer.seal_before = market.parse_day(DAY)
    assert journal.wait_for("day_sealed").fields == {"day": "20261119"}
    assert (tmp_path / "20261119.db").stat().st_mode & 0o777 == 0o440
    assert (tmp_path / f"{DAY}.db").stat().st_mode & 0o777 == 0o640
    assert [event.fields["file"] for event in journal.events("day_seal_failed")] == ["20261118.db"]
    rig.put([tick("HK.00700", 3)])
    rig.wait_stored(3)


# --- a disk in trouble ---


def test_a_query_on_the_file_of_a_stopped_day_does_not_fail_the_start(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """Between a stop and a start the file is plain, and a reader in a query prevents it from becoming a WAL database:
    the writer waits for that, as for any other lock.
    """
    first = make_rig()
    first.put(hundred(tick))
    first.writer.start()
    stop(first)
    reader = apsw.Connection(str(first.data_root / f"{DAY}.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = reader.execute("SELECT * FROM ticks")
    next(rows)
    rig = make_rig()
    rig.writer.prepare(market.parse_day(DAY))
    rig.put(hundred(tick, 100))
    rig.writer.start()
    journal.wait_for("sqlite_busy_backoff")
    assert len(list(rows)) == 99
    reader.close()
    rig.wait_stored(100)
    stop(rig)
    assert rig.query(DAY, COUNT) == [(200,)]


def test_a_reader_that_holds_the_wal_does_not_stop_commits(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """With a reader in a long query every tick is still committed, and the reader's view does not change."""
    rig = make_rig()
    rig.writer.prepare(market.parse_day(DAY))
    reader = apsw.Connection(str(rig.data_root / f"{DAY}.db"), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    assert reader.execute(COUNT).get == 0
    rig.writer.start()
    rig.put(hundred(tick))
    rig.wait_stored(100)
    assert reader.execute(COUNT).get == 0
    stop(rig)
    assert journal.wait_for("day_closed").fields["plain"] == "False"
    reader.close()
    assert rig.query(DAY, COUNT) == [(100,)]


@pytest.mark.parametrize("how", ["removed", "moved away", "replaced", "the directory removed"])
def test_a_day_file_that_is_moved_away_is_created_again(
    how: str, make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """The open day's file is moved: later ticks are in a new file with the right name, and the loss is logged."""
    rig = at_work(make_rig(), tick)
    path = rig.data_root / f"{DAY}.db"
    match how:
        case "removed":
            for part in rig.data_root.glob(f"{DAY}.db*"):
                part.unlink()
        case "moved away":
            path.rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere.db"))
        case "replaced":
            copy = tmp_path.with_name(f"{tmp_path.name}-copy.db")
            shutil.copy(path, copy)
            copy.rename(path)
        case _:
            shutil.rmtree(rig.data_root)
            rig.data_root.mkdir()
    rig.put(hundred(tick, 100))
    rig.wait_stored(200)
    assert (DAY, str(path)) == tuple(journal.wait_for("day_file_gone").fields[name] for name in ("day", "path"))
    assert rig.stats.gone_files == [str(path)]
    stop(rig)
    assert rig.query(DAY, "SELECT count(*) FROM ticks WHERE seq >= 100") == [(100,)]
    assert rig.query(DAY, "PRAGMA integrity_check") == [("ok",)]
    kept = {path.name.rpartition("Z")[2] for path in rig.data_root.glob(f"{DAY}.db.damaged-*")}
    assert kept == {"replaced": {"", "-wal", "-shm"}, "moved away": {"-wal", "-shm"}}.get(how, set())


def test_a_day_file_moved_away_while_nothing_trades_is_created_again(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """At lunch too: the check does not need a tick."""
    rig = at_work(make_rig(), tick)
    path = rig.data_root / f"{DAY}.db"
    for part in rig.data_root.glob(f"{DAY}.db*"):
        part.unlink()
    journal.wait_for("day_file_gone")
    wait_until(path.exists, "a fresh file")
    stop(rig)


def test_a_foreign_file_in_its_place_is_not_changed(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """A text file has today's name: the start logs it and continues, and ticks wait until it is moved."""
    path = tmp_path / f"{DAY}.db"
    path.write_text("notes\n")
    rig = make_rig()
    rig.writer.prepare(market.parse_day(DAY))
    rig.put(hundred(tick))
    rig.writer.start()
    assert journal.wait_for("day_held").fields["cause"] == "foreign_file"
    wait_until(lambda: rig.stats.held_rows == {DAY: 100}, "held rows")
    assert path.read_text() == "notes\n"
    path.rename(tmp_path / "notes.txt")
    rig.wait_stored(100)


# --- the end ---


def test_a_stop_commits_what_is_queued(make_rig: MakeRig, tick: MakeTick) -> None:
    """However full the queue, a healthy disk takes it all, and the files end plain."""
    rig = make_rig(batch_rows=500)
    for start in range(0, 20_000, 100):
        rig.put(hundred(tick, start))
    rig.writer.start()
    stop(rig)
    assert rig.query(DAY, ACCOUNT) == [(20_000, 20_000, 0, 0, 0, 0)]
    assert {path.name for path in rig.data_root.glob("*.db*")} == {f"{DAY}.db"}


@pytest.mark.parametrize("kind", ["blocked", "full", "locked"])
def test_a_stop_ends_also_when_the_disk_does_not_answer(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk, kind: str
) -> None:
    """A write that never returns, a full disk, a foreign lock: the thread ends in time and counts the rows left."""
    rig = at_work(make_rig(vfs=disk.name), tick)
    other = apsw.Connection(str(rig.data_root / f"{DAY}.db"))
    if kind == "blocked":
        disk.block()
    elif kind == "full":
        disk.fail("write", apsw.FullError)
    else:
        other.execute("BEGIN IMMEDIATE")
    rig.put(hundred(tick, 100))
    if kind == "blocked":
        assert disk.blocked.wait(CAP_S)
    else:
        journal.wait_for("persist_failed" if kind == "full" else "sqlite_busy_backoff")
    rig.put(hundred(tick, 200))
    assert rig.writer.stop(time.monotonic() + STOP_S) == 200  # or it would not return at all
    other.close()
    assert rig.query(DAY, COUNT) == [(100,)]


def test_a_bug_ends_the_thread_and_is_logged(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """An error that is not the disk's is not repeated for ever: a traceback, and the service sees the thread end."""
    rig = make_rig()
    rig.put([tick("HK.00700", 1)])
    rig.put([Tick(*tick("HK.00700", 2))._replace(volume=object())])  # type: ignore[arg-type]
    rig.writer.start()
    assert journal.wait_for("writer_failed").level == "ERROR"
    assert "Traceback" in journal.getvalue()
    assert rig.writer.stop(time.monotonic() + CAP_S) == 2
    assert not rig.writer.alive


def test_a_spool_that_cannot_be_read_now_is_waited_for(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """Named like any disk fault; its rows stay in it, and the thread continues."""
    rig = make_rig()
    overflow = Overflow(Spool(tmp_path / "spool"), 1000, rig.stats)
    rig.queue = TickQueue(1, overflow)
    options = WriterOptions(tmp_path, "run", "test", 100, 20, StoreOptions(busy_timeout_ms=10))
    writer = Writer(rig.queue, rig.stats, options, ExchangeClock(rig.opend, lambda: rig.now_ms))
    rig.queue.put(Chunk(rows=hundred(tick)))
    wait_until(lambda: overflow.safe_rows == 100, "the append")
    (segment,) = (tmp_path / "spool").glob("*.spool")
    kept = segment.rename(segment.with_suffix(".kept"))
    segment.mkdir()
    writer.start()
    fields = journal.wait_for("persist_failed").fields
    assert (fields["day"], fields["attempt"], fields["wait_ms"]) == (DAY, "1", "50")
    assert (writer.alive, rig.queue.rows, overflow.safe_rows) == (True, 100, 100)
    writer.retire()
    segment.rmdir()
    kept.rename(segment)
    assert writer.stop(time.monotonic() + CAP_S) == 100
    assert overflow.stop(time.monotonic() + CAP_S, []) == 0
    found = Spool(tmp_path / "spool").first(1000)
    assert found is not None
    assert [row[1] for row in found] == list(range(100))


def test_a_copy_of_the_day_is_waited_for(make_rig: MakeRig, tick: MakeTick, tmp_path: Path) -> None:
    """No commit during the copy, because a commit would restart it; ticks are stored after its end."""
    rig = make_rig()
    overflow = Overflow(Spool(tmp_path / "spool"), 100_000, rig.stats)
    rig.queue = TickQueue(100_000, overflow)
    options = WriterOptions(tmp_path, "run", "test", 1000, 20, StoreOptions(busy_timeout_ms=10))
    rig.writer = Writer(rig.queue, rig.stats, options, ExchangeClock(rig.opend, lambda: rig.now_ms))
    at_work(rig, tick)
    copy = tmp_path / f"{DAY}.snapshot.db"
    journal_of_it = copy.with_name(f"{copy.name}-journal")

    def grow() -> bool:
        copy.write_bytes(b"x" * ((copy.stat().st_size if copy.exists() else 0) + 1))
        journal_of_it.write_bytes(b"x")
        return rig.queue.storing.copy_held

    wait_until(grow, "the writer's wait")
    rig.put(hundred(tick, 100))
    grow()
    assert rig.writer.alive
    journal_of_it.unlink()
    rig.wait_stored(200)
    stop(rig)
    overflow.stop(time.monotonic() + CAP_S, [])

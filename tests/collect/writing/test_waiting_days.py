"""Row 30: a file of yesterday, today or tomorrow that cannot be written: only its day's ticks wait."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.collect.conftest import CAP_S, NOW_MS, Rig, wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.waiting_days import WaitingDays
from hk_tick_collector.collect.writing.writer import Writer
from hk_tick_collector.model import GAP_OPEN, Gap, GapChange, Tick
from hk_tick_collector.ops.findings.held_days import remedy_of
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import ConnectionChange, DayFile, StoreOptions, seal
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.collect.conftest import Disk, Journal

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

TODAY: Final = market.parse_day("20261120")
DAYS: Final = {"yesterday": TODAY - 1, "today": TODAY, "tomorrow": TODAY + 1}
RUN: Final = "20261120T100000-test"
COUNT: Final = "SELECT count(*) FROM ticks"


class SpoolingRig(Rig):
    """A writer whose held days have spools, as the service's has."""

    def __init__(self, data_root: Path, vfs: str | None = None) -> None:
        self.data_root = data_root
        self.stats = Stats()
        self.opend = OpenDState()
        self.queue = TickQueue(100_000)
        self.now_ms = NOW_MS
        self.fresh: list[int] = []
        self.spool_dir = data_root / ".spool"
        self.spool_dir.mkdir(exist_ok=True)
        self.held = WaitingDays(self.queue, self.stats, data_root, self.spool_dir / RUN)
        options = WriterOptions(data_root, "run", "test", 12_000, 20, StoreOptions(busy_timeout_ms=10, vfs=vfs))
        self.writer = Writer(
            self.queue,
            self.stats,
            options,
            ExchangeClock(self.opend, lambda: self.now_ms),
            self.fresh.append,
            self.held,
        )

    def end(self) -> int:
        """Stops the writer; the rows that it leaves."""
        return self.writer.stop(time.monotonic() + CAP_S)

    def accounts(self) -> dict[str, int]:
        """The sums of the ledgers of all files that can be read."""
        names = ("received", "stored", "duplicate", "rejected", "dropped", "waiting")
        sums = dict.fromkeys(names, 0)
        for path in self.data_root.glob("[0-9]" * 8 + ".db"):
            for row in self.query(path.stem, f"SELECT {', '.join(names)} FROM ledger"):
                for name, value in zip(names, row, strict=True):
                    sums[name] += int(str(value))
        return sums


@pytest.fixture
def rig(tmp_path: Path, journal: Journal) -> Iterator[SpoolingRig]:
    """A writer that has not been started."""
    rig = SpoolingRig(tmp_path)
    yield rig
    if rig.writer.alive:
        rig.end()


def rows_of(tick: MakeTick, day: int, count: int, first: int = 1) -> list[TickRow]:
    """Ticks of a day, at 10:00."""
    return [tick("HK.00700", seq, market.day_start_ms(day) + 36_000_000 + seq) for seq in range(first, first + count)]


def newer(path: Path) -> None:
    """One that a later version wrote, as after a rollback, with its WAL."""
    DayFile(path, path.stem, "new", NOW_MS, "later", StoreOptions()).abandon()
    db = apsw.Connection(str(path))
    db.pragma("user_version", db.pragma("user_version") + 1)
    db.close(True)


def another_programs(path: Path) -> None:
    """Another program's database."""
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE notes (text); PRAGMA application_id = 7")
    db.close()


def text(path: Path) -> None:
    """Notes."""
    path.write_text("notes\n")


def directory(path: Path) -> None:
    """A directory, with something in it."""
    path.mkdir()
    (path / "notes").touch()


def nowhere(path: Path) -> None:
    """A link to a place that is not there."""
    path.symlink_to(path.parent / "away" / path.name)


def no_log(path: Path) -> None:
    """A file of ours whose WAL cannot be opened: a directory has its name."""
    DayFile(path, path.stem, "earlier", NOW_MS, "test", StoreOptions()).close()
    path.with_name(f"{path.name}-wal").mkdir()


KINDS: Final = {kind.__name__: kind for kind in (newer, another_programs, text, directory, nowhere, no_log)}


def content(path: Path) -> object:
    """The content of a file that must not be changed."""
    if path.is_symlink():
        return path.readlink()
    return sorted(path.iterdir()) if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize("which", DAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_ticks_of_a_bad_day_wait(
    rig: SpoolingRig, tick: MakeTick, journal: Journal, which: str, kind: str
) -> None:
    """Its ticks are in a separate spool, counted and reported with the file's name; every other day is stored; the file
    is not changed. When it is moved away all ticks are stored, without a restart, and every account balances.
    """
    bad = DAYS[which]
    name = market.day_name(bad)
    path = rig.data_root / f"{name}.db"
    KINDS[kind](path)
    before = content(path)
    rig.writer.prepare(TODAY)
    rig.writer.start()
    if which == "tomorrow":
        rig.writer.open_day = bad  # what the roll of the day wishes
        journal.wait_for("day_held")
    for first in (1, 11):
        rig.put([row for day in DAYS.values() for row in rows_of(tick, day, 10, first)])
        rig.wait_stored(2 * (first + 9))
    rig.queue.put(Chunk(connections=[ConnectionChange(5, True, 1, "")], dropped=2))

    wait_until(lambda: rig.stats.held_rows == {name: 20}, f"20 rows held: {rig.stats.held_rows}")
    assert rig.queue.rows == 20
    assert rig.queue.exposed_rows == 0, "they would survive a crash"
    assert rig.queue.storing.writer_trouble == "", "the writer waits for nothing"
    told = journal.wait_for("day_held")
    assert (told.level, told.fields["day"], told.fields["path"]) == ("ERROR", name, str(path))
    assert told.fields["cause"] == rig.stats.held_causes[name]
    assert rig.stats.held_details[name]
    assert content(path) == before
    assert len(journal.events("day_held")) == 1

    (rig.spool_dir / "aside").mkdir()
    for part in rig.data_root.glob(f"{name}.db*"):
        part.rename(rig.spool_dir / "aside" / part.name)
    rig.wait_stored(60)
    assert journal.wait_for("day_writable").fields["day"] == name
    wait_until(lambda: rig.stats.held_rows == {}, "nothing held")
    assert rig.queue.rows == 0
    assert not list(rig.spool_dir.glob(f"{RUN}*"))
    assert rig.end() == 0
    assert [rig.query(market.day_name(day), COUNT) for day in DAYS.values()] == [[(20,)]] * 3
    assert rig.query("20261120", "SELECT count(*) FROM connections") == [(1,)]
    sums = rig.accounts()
    assert (sums["received"], sums["stored"], sums["dropped"], sums["waiting"]) == (62, 60, 2, 0)


def test_a_tick_that_is_given_again_waits_once(rig: SpoolingRig, tick: MakeTick) -> None:
    """A day is held, and GetTicker returns its ticks repeatedly: each tick is reported once, every row is in the
    account, and no row counts as waiting for the writer.
    """
    path = rig.data_root / f"{market.day_name(TODAY)}.db"
    path.mkdir()
    rig.writer.prepare(TODAY)
    rig.writer.start()
    pushed = rows_of(tick, TODAY, 1500)
    rig.put(pushed)
    wait_until(lambda: rig.stats.held_rows == {path.stem: 1500}, "1500 ticks held")
    pulled = [row._replace(push_type="backfill") for row in map(Tick._make, rows_of(tick, TODAY, 1003, 501))]
    for _ in range(3):
        rig.put(list(pulled))
    wait_until(lambda: rig.queue.rows == 1500 + 3 * 1003, "all rows")
    wait_until(lambda: rig.stats.held_again == {path.stem: 3 * 1003 - 3}, "the others given again")
    assert rig.stats.held_rows == {path.stem: 1503}
    path.rmdir()
    rig.wait_stored(4509)
    assert (rig.stats.stored, rig.stats.duplicate) == (1503, 3 * 1003 - 3)
    assert rig.end() == 0


@pytest.mark.parametrize("how", ["by another program", "while the clock was a day ahead"])
def test_a_sealed_file_of_today_holds_its_ticks(rig: SpoolingRig, tick: MakeTick, journal: Journal, how: str) -> None:
    """`sealed_ms` in today's file: no tick is rejected and the file is not changed. After the command of the finding
    all ticks are stored, without a restart.
    """
    path = rig.data_root / f"{market.day_name(TODAY)}.db"
    DayFile(path, path.stem, "earlier", NOW_MS, "test", StoreOptions()).close()
    if how == "by another program":
        with contextlib.closing(apsw.Connection(str(path))) as db:
            db.execute("INSERT INTO meta VALUES ('sealed_ms', '1')")
    else:
        assert seal(path, NOW_MS, StoreOptions())
    before = path.read_bytes()
    rig.writer.prepare(TODAY)
    rig.writer.start()
    rig.put(rows_of(tick, TODAY, 10))
    told = journal.wait_for("day_held")
    wait_until(lambda: rig.stats.held_rows == {path.stem: 10}, f"10 rows held: {rig.stats.held_rows}")
    assert (told.fields["cause"], rig.stats.rejected_total) == ("sealed_early", 0)
    assert "sealed_ms" in rig.stats.held_details[path.stem]
    assert path.read_bytes() == before
    command = remedy_of("sealed_early", str(rig.data_root), path.stem)
    subprocess.run(command.replace("sudo ", ""), shell=True, check=True)
    rig.wait_stored(10)
    assert rig.end() == 0
    assert rig.query(path.stem, COUNT) == [(10,)]
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("which", ["yesterday", "today"])
def test_held_ticks_survive_a_stop(rig: SpoolingRig, tick: MakeTick, which: str) -> None:
    """A stop leaves them in the spool and logs how many; the next run finds every one of them, once."""
    bad = DAYS[which]
    name = market.day_name(bad)
    (rig.data_root / f"{name}.db").mkdir()
    rig.writer.prepare(TODAY)
    rig.put([row for day in DAYS.values() for row in rows_of(tick, day, 10)])
    rig.writer.start()
    rig.wait_stored(20)
    assert rig.end() == 10
    assert rig.queue.held_in_memory() == []
    left = Spool(rig.spool_dir / f"{RUN}.{name}")
    assert left.first(100) == rows_of(tick, bad, 10)


def test_the_ledger_counts_held_ticks_as_waiting(rig: SpoolingRig, tick: MakeTick) -> None:
    """While yesterday's ticks are held, the ledger of today's file counts them with today's next ticks."""
    (rig.data_root / "20261119.db").mkdir()
    rig.writer.start()
    rig.put([*rows_of(tick, TODAY - 1, 10), *rows_of(tick, TODAY, 1)])
    wait_until(lambda: rig.stats.held_rows == {"20261119": 10}, "ten held")
    rig.put(rows_of(tick, TODAY, 1, first=2))
    rig.wait_stored(2)
    assert rig.query("20261120", "SELECT received, stored, waiting FROM ledger") == [(12, 2, 10)]


@pytest.mark.parametrize("which", ["yesterday", "today"])
def test_gaps_of_a_bad_day_wait_with_its_rows(rig: SpoolingRig, tick: MakeTick, which: str) -> None:
    """Today's changes of `gaps` are written with the last of the rows, each gap in its latest state. An earlier day is
    counted again, because its file may have been read meanwhile without these changes.
    """
    day = DAYS[which]
    name = market.day_name(day)
    path = rig.data_root / f"{name}.db"
    text(path)
    gap = Gap("HK.00700", 1, 5, 0, 0, 5, "restart", GAP_OPEN, 1, None, 1)
    rig.writer.start()
    for missing in (5, 4, 3):
        rows = rows_of(tick, day, 1, first=10 - missing)
        rig.queue.put(Chunk(rows=rows, gaps=[GapChange(day, gap._replace(missing=missing))]))
    wait_until(lambda: rig.stats.held_rows == {name: 3}, "three held")
    path.rename(rig.data_root / "aside")
    rig.wait_stored(3)
    assert rig.end() == 0
    assert rig.query(name, "SELECT missing FROM gaps") == ([(3,)] if which == "today" else [])
    assert rig.fresh == [day], "what the file that was moved away held is looked for"


def test_a_file_that_could_not_be_read_is_counted_again(rig: SpoolingRig, tick: MakeTick) -> None:
    """Our own gaps were not made from the file's content: its day is loaded again when it can be read."""
    path, aside = rig.data_root / "20261119.db", rig.data_root / "aside"
    earlier = DayFile(path, path.stem, "earlier", NOW_MS, "test", StoreOptions())
    earlier.close()
    path.rename(aside)
    text(path)
    gap = Gap("HK.00700", 1, 5, 0, 0, 5, "restart", GAP_OPEN, 1, None, 1)
    rig.writer.start()
    rig.queue.put(Chunk(rows=rows_of(tick, TODAY - 1, 3), gaps=[GapChange(TODAY - 1, gap)]))
    wait_until(lambda: rig.stats.held_rows == {"20261119": 3}, "three held")
    aside.rename(path)
    rig.wait_stored(3)
    wait_until(lambda: rig.fresh == [TODAY - 1], "looked at again")
    assert rig.query("20261119", "SELECT count(*) FROM gaps") == [(0,)]


def test_many_held_rows_are_stored_in_batches(rig: SpoolingRig, tick: MakeTick, journal: Journal) -> None:
    """A day was held for long: its ticks are stored in batches, each once, while today's ticks are stored too; newer
    ticks of that day follow in order.
    """
    path = rig.data_root / "20261119.db"
    directory(path)
    rig.writer.prepare(TODAY)
    rig.writer.start()
    for first in range(0, 40_000, 5_000):
        rig.put(rows_of(tick, TODAY - 1, 5_000, first))
    wait_until(lambda: rig.stats.held_rows == {"20261119": 40_000}, "all held")
    shutil.rmtree(path)
    rig.put([*rows_of(tick, TODAY - 1, 100, 39_950), *rows_of(tick, TODAY, 10)])
    rig.wait_stored(40_110)
    assert rig.stats.duplicate == 50
    assert rig.end() == 0
    assert rig.query("20261119", COUNT) == [(40_050,)]
    assert max(commit.rows for commit in rig.writer.pop_commits()) <= 12_000
    sums = rig.accounts()
    assert (sums["received"], sums["stored"], sums["duplicate"], sums["waiting"]) == (40_110, 40_060, 50, 0)


def test_without_a_spool_memory_is_bounded(tmp_path: Path, tick: MakeTick, journal: Journal) -> None:
    """If the spool takes no ticks either, 50,000 rows wait in memory, and then the queue: nothing is lost."""
    rig = SpoolingRig(tmp_path)
    shutil.rmtree(rig.spool_dir)
    rig.spool_dir.write_text("no directory\n")
    path = rig.data_root / "20261119.db"
    directory(path)
    rig.writer.prepare(TODAY)
    rig.writer.start()
    for first in range(0, 70_000, 10_000):
        rig.put(rows_of(tick, TODAY - 1, 10_000, first))
    journal.wait_for("persist_failed")
    assert rig.stats.held_rows["20261119"] <= 50_000
    assert rig.queue.rows == 70_000
    assert rig.queue.exposed_rows == 70_000
    assert journal.events("spool_failed")
    assert rig.stats.writer_day == "20261119"
    shutil.rmtree(path)
    rig.wait_stored(70_000)
    assert rig.end() == 0
    assert rig.query("20261119", COUNT) == [(70_000,)]


def test_a_commit_reported_as_failed_is_counted_once_for_a_held_day(
    tmp_path: Path, tick: MakeTick, journal: Journal, disk: Disk
) -> None:
    """The commit of a late tick of yesterday succeeds but reports an error, and more ticks arrive before it is tried
    again: each is stored and counted once.
    """
    rig = SpoolingRig(tmp_path, disk.name)
    rig.writer.prepare(TODAY)
    rig.put(rows_of(tick, TODAY - 1, 1, first=900))
    rig.writer.start()
    rig.wait_stored(1)
    disk.fail("sync", apsw.IOError)
    rig.put(rows_of(tick, TODAY - 1, 10))
    journal.wait_for("day_held")
    rig.put(rows_of(tick, TODAY - 1, 5, first=11))
    wait_until(lambda: rig.stats.held_rows == {"20261119": 15}, "fifteen held")
    disk.repair()
    rig.wait_stored(16)
    assert rig.end() == 0
    assert rig.query("20261119", "SELECT received, stored, duplicate, (SELECT count(*) FROM ticks) FROM ledger") == [
        (16, 16, 0, 16)
    ]


def test_a_lock_on_yesterdays_file_does_not_delay_today(rig: SpoolingRig, tick: MakeTick, journal: Journal) -> None:
    """Another process writes to yesterday's file: late ticks of yesterday wait, today's do not."""
    rig.put([*rows_of(tick, TODAY - 1, 1), *rows_of(tick, TODAY, 1)])
    rig.writer.start()
    rig.wait_stored(2)
    other = apsw.Connection(str(rig.data_root / "20261119.db"))
    other.execute("BEGIN IMMEDIATE")
    rig.put([*rows_of(tick, TODAY - 1, 5, first=2), *rows_of(tick, TODAY, 5, first=2)])
    assert journal.wait_for("day_held").fields["cause"] == "busy"
    rig.wait_stored(7)
    other.execute("ROLLBACK")
    other.close()
    rig.wait_stored(12)
    assert rig.queue.rows == 0


def test_rows_of_another_spool_are_on_disk_before_it_deletes_them(rig: SpoolingRig, tick: MakeTick) -> None:
    """A row of an old spool is deleted there only when it is in the day's own spool."""
    (rig.data_root / "20261119.db").mkdir()
    done: list[int] = []
    rig.writer.start()
    rows = rows_of(tick, TODAY - 1, 10)
    rig.queue.put(Chunk(rows=rows, on_disk=True, on_commit=lambda: done.append(rig.queue.held_safe_rows)))
    wait_until(lambda: done, "done with")
    assert done == [10]


@pytest.mark.parametrize("seed", range(4))
def test_each_tick_is_stored_once_with_random_faults_of_day_files(
    rig: SpoolingRig, tick: MakeTick, journal: Journal, seed: int
) -> None:
    """Files of days are locked, replaced by obstacles and available again at random, while ticks of all days arrive,
    some twice. At the end each tick is stored once, and every account balances.
    """
    chance = random.Random(seed)
    days = [TODAY - n for n in range(7)]
    locks: dict[int, apsw.Connection] = {}
    blocked: set[int] = set()
    sent: set[tuple[int, int]] = set()
    received = 0
    rig.writer.start()
    for _ in range(120):
        day = chance.choice(days)
        path = rig.data_root / f"{market.day_name(day)}.db"
        if day in locks:
            locks.pop(day).close(True)
        elif day in blocked:
            path.rmdir()
            blocked.discard(day)
        elif path.exists():
            locks[day] = apsw.Connection(str(path))
            with contextlib.suppress(apsw.BusyError):
                locks[day].execute("BEGIN IMMEDIATE")
        elif chance.random() < 0.5:
            with contextlib.suppress(FileExistsError):  # the writer was faster
                path.mkdir()
                blocked.add(day)
        keys = [(chance.choice(days), chance.randrange(400)) for _ in range(chance.randrange(1, 30))]
        rig.put([row for day, seq in keys for row in rows_of(tick, day, 1, seq)])
        sent.update(keys)
        received += len(keys)
        time.sleep(chance.random() / 50)  # the writer gets on, as far as it does
    for lock in locks.values():
        lock.close(True)
    for day in blocked:
        (rig.data_root / f"{market.day_name(day)}.db").rmdir()
    rig.wait_stored(received)
    wait_until(lambda: rig.queue.rows == 0, "all rows done with")
    assert rig.end() == 0
    stored = {
        (day, int(str(seq)))
        for day in days
        if (rig.data_root / f"{market.day_name(day)}.db").exists()
        for (seq,) in rig.query(market.day_name(day), "SELECT seq FROM ticks")
    }
    assert stored == sent
    assert rig.stats.stored == len(sent)
    sums = rig.accounts()
    assert (sums["received"], sums["stored"], sums["duplicate"]) == (received, len(sent), received - len(sent))
    assert sums["waiting"] == 0
    assert not list(rig.spool_dir.iterdir())


@pytest.mark.parametrize("day", ["yesterday", "today"])
def test_a_day_whose_file_was_moved_away_is_counted_again(
    tmp_path: Path, tick: MakeTick, journal: Journal, day: str
) -> None:
    """The remedy was followed: ticks of the moved file are missing from the new one, and are requested."""
    rig, number = SpoolingRig(tmp_path), DAYS[day]
    name, start_ms = market.day_name(number), market.day_start_ms(number) + 36_000_000
    rig.put([tick("HK.00700", 1, start_ms)])
    rig.writer.start()
    rig.wait_stored(1)
    path = tmp_path / f"{name}.db"
    with contextlib.closing(apsw.Connection(str(path))) as other:
        other.set_busy_timeout(10_000)
        other.execute("ALTER TABLE ticks RENAME TO trades")
    rig.put([tick("HK.00700", 2, start_ms + 1)])
    journal.wait_for("day_held")
    aside = tmp_path / "aside"
    aside.mkdir()
    for suffix in ("-wal", "-shm", ""):
        (tmp_path / f"{path.name}{suffix}").rename(aside / f"{path.name}{suffix}")
    wait_until(lambda: rig.stats.stored == 2, "the tick is stored in a fresh file")
    wait_until(lambda: number in rig.fresh, "the day is counted anew")
    assert rig.end() == 0


def test_a_read_only_file_of_today_holds_its_ticks(tmp_path: Path, tick: MakeTick, journal: Journal) -> None:
    """Only a day that is over is sealed: today's ticks wait until the file may be written again."""
    rig, name = SpoolingRig(tmp_path), market.day_name(TODAY)
    path = tmp_path / f"{name}.db"
    with contextlib.closing(DayFile(path, name, "run", NOW_MS, "test", StoreOptions())):
        pass
    path.chmod(0o440)
    rig.put([tick("HK.00700", 1, NOW_MS)])
    rig.writer.start()
    assert journal.wait_for("day_held").fields["cause"] == "no_permission"
    path.chmod(0o640)
    wait_until(lambda: rig.stats.stored == 1, "it is stored")
    assert rig.end() == 0
    assert rig.stats.rejected_total == 0

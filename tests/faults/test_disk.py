"""Rows 3, 4 and 5 at the store: a failing disk is named, and the batch is stored exactly once when it works again."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector.store.dayfile import Batch
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose

from .days import CAP_S, NOW_MS, open_day, ticks, verdict
from .descriptors import no_descriptors
from .faulty_disk import Fault, FaultyDisk
from .power_loss import PowerLossDisk

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.store.dayfile import DayFile

OFTEN: Final = 20  # pages of WAL after which a checkpoint comes, so that every few commits write to the database
BATCH: Final = 200

FAULTS: Final = [
    pytest.param(("write",), ("wal",), "ENOSPC", "disk_full", id="row 3: no space for the WAL"),
    pytest.param(("write",), ("db",), "ENOSPC", "disk_full", id="row 3: no space for the database"),
    pytest.param(("sync",), ("wal",), "ENOSPC", "io_error", id="row 3: no space told by fsync"),
    pytest.param(("write",), ("wal", "db"), "EROFS", "io_error", id="row 4: open file turned read-only"),
    pytest.param(("write",), ("wal",), "EIO", "io_error", id="row 5: write of the WAL"),
    pytest.param(("write",), ("db",), "EIO", "io_error", id="row 5: write of the database"),
    pytest.param(("sync",), ("wal",), "EIO", "io_error", id="row 5: fsync of the WAL"),
    pytest.param(("sync",), ("db",), "EIO", "io_error", id="row 5: fsync of the database"),
    pytest.param(("read",), ("wal",), "EIO", "io_error", id="row 5: read of the WAL"),
]


@pytest.mark.parametrize("passed", [0, 1, 5])
@pytest.mark.parametrize(("operations", "files", "error", "cause"), FAULTS)
def test_a_failing_disk_is_named_and_the_batch_stored_once(
    disk: FaultyDisk, path: Path, operations: tuple[str], files: tuple[str], error: str, cause: str, passed: int
) -> None:
    """Whichever write or sync fails: one cause, and when the disk works again the reopened file stores the batch once.

    `ledger.commits` shows whether the failed commit is in the file, as it is if only the checkpoint failed.
    """
    day = open_day(path, vfs=disk.name, wal_autocheckpoint_pages=OFTEN)
    day.write(Batch(rows=ticks(0, BATCH)), NOW_MS)
    fault = disk.inject(Fault(operations=operations, files=files, error=error, after=passed))
    known, first, caught = day.ledger, BATCH, None
    while caught is None:
        try:
            day.write(Batch(rows=ticks(first, BATCH)), NOW_MS)
        except DISK_ERRORS as failure:
            caught = failure
        else:
            known, first = day.ledger, first + BATCH
    assert diagnose(caught) == (cause, True)
    assert fault.hits > 0
    disk.lift()
    day.abandon()
    day = open_day(path, vfs=disk.name, wal_autocheckpoint_pages=OFTEN)
    assert day.ledger.commits in (known.commits, known.commits + 1)
    if day.ledger.commits == known.commits:
        assert day.ledger == known
        day.write(Batch(rows=ticks(first, BATCH)), NOW_MS)
    assert day.ledger.stored == first + BATCH
    assert day.close()
    assert sorted(verdict(path)) == sorted(ticks(0, first + BATCH))


@pytest.mark.parametrize("error", ["EROFS", "EACCES"])
def test_a_file_that_may_only_be_read_is_named(disk: FaultyDisk, path: Path, error: str) -> None:
    """Row 4: SQLite opens it for reading; the first write reports the cause, and nothing is changed."""
    assert open_day(path, vfs=disk.name).close()
    before = path.read_bytes()
    disk.inject(Fault(operations=("open",), files=("db",), error=error))
    with pytest.raises(apsw.ReadOnlyError) as caught:
        open_day(path, vfs=disk.name)
    assert diagnose(caught.value) == ("read_only", True)
    assert path.read_bytes() == before
    disk.lift()
    day = open_day(path, vfs=disk.name)
    day.write(Batch(rows=ticks(0, BATCH)), NOW_MS)
    assert day.close()
    assert sorted(verdict(path)) == sorted(ticks(0, BATCH))


@pytest.mark.parametrize(
    "exists",
    [
        pytest.param(False, id="a new file"),
        pytest.param(True, id="a file that is there"),
    ],
)
def test_exhausted_descriptors_are_named(path: Path, exists: bool) -> None:
    """Row 22, for real: `no_descriptors`, and the file can be opened when there are some again."""
    if exists:
        assert open_day(path).close()
    with no_descriptors(), pytest.raises(DISK_ERRORS) as caught:
        open_day(path)
    assert open_day(path).close()
    assert diagnose(caught.value) == ("no_descriptors", True)


@pytest.mark.parametrize("error", ["EACCES", "EROFS", "EMFILE"])
def test_a_wal_that_cannot_be_created_is_named(disk: FaultyDisk, path: Path, error: str) -> None:
    """Row 4: SQLite opens the WAL and does not say why it could not be created."""
    fault = disk.inject(Fault(operations=("open",), files=("wal",), error=error))
    with pytest.raises(apsw.CantOpenError) as caught:
        open_day(path, vfs=disk.name)
    assert diagnose(caught.value) == ("cannot_open", True)
    disk.lift(fault)
    assert open_day(path, vfs=disk.name).close()


@pytest.mark.parametrize("seed", range(4))
def test_random_faults_lose_and_repeat_no_tick(disk: FaultyDisk, path: Path, seed: int) -> None:
    """Rows 3 and 5: one operation in fifty fails with one errno or another, while files are opened anew too."""
    print(f"seed {seed}")
    with FaultyDisk(f"random-{seed}", seed=seed) as unreliable:
        day = open_day(path, vfs=unreliable.name, wal_autocheckpoint_pages=OFTEN)
        for error in ("ENOSPC", "EIO"):
            unreliable.inject(Fault(operations=("write", "sync", "truncate"), error=error, chance=0.02))
        known, first = day.ledger, 0
        while first < 20 * BATCH:
            try:
                if day.ledger.commits == known.commits:
                    day.write(Batch(rows=ticks(first, BATCH)), NOW_MS)
                known, first = day.ledger, first + BATCH
            except DISK_ERRORS:
                day.abandon()
                day = reopen(path, unreliable)
        unreliable.lift()
        assert day.close()
    assert sorted(verdict(path)) == sorted(ticks(0, first))


def reopen(path: Path, disk: FaultyDisk) -> DayFile:
    """Opens the file however often the disk fails."""
    while True:
        try:
            return open_day(path, vfs=disk.name, wal_autocheckpoint_pages=OFTEN)
        except DISK_ERRORS:
            continue


class FailedSync:
    """A file whose last commit failed at its sync, on a disk that may lose the data of that sync."""

    def __init__(self, base: FaultyDisk, root: Path, seed: int) -> None:
        self.disk = PowerLossDisk(f"power-{seed}", base.name, seed=seed)
        self.path = root / f"live-{seed}" / "20261120.db"
        self.path.parent.mkdir()
        self.cut = root / f"cut-{seed}"
        day = self.open()
        for n in range(4):
            day.write(Batch(rows=ticks(n * BATCH, BATCH)), NOW_MS)
        assert day.close()
        day = self.open()  # from here on the WAL holds next to nothing but the failed commit
        fault = base.inject(Fault(operations=("sync",), files=("wal",), error="EIO", times=1))
        with pytest.raises(apsw.IOError):
            day.write(Batch(rows=ticks(4 * BATCH, BATCH)), NOW_MS)
        base.lift(fault)
        day.abandon()

    def open(self, run_id: str = "run") -> DayFile:
        """Opens the file; after the failed sync that finds the commit, as long as the power stays."""
        return open_day(self.path, run_id, vfs=self.disk.name)


def test_no_commit_relies_on_a_failed_sync(disk: FaultyDisk, tmp_path: Path) -> None:
    """Row 5, FULL: a failed fsync may lose the data that it should have stored, and the next fsync reports no error.

    So the WAL is written again before a commit that follows a failed fsync counts: a power cut loses neither that
    commit nor later ones.
    """
    lost = {}
    for seed in range(20):
        failed = FailedSync(disk, tmp_path, seed)
        day = failed.open()
        assert day.ledger.commits == 5, "the commit is found"
        for n in range(5, 8):
            day.write(Batch(rows=ticks(n * BATCH, BATCH)), NOW_MS)
        failed.disk.crash(failed.cut, seed)
        day.abandon()
        if missing := 8 * BATCH - len(verdict(failed.cut / failed.path.name)):
            lost[seed] = missing
    assert lost == {}, "rows lost, by seed"


def test_a_power_cut_while_opening_after_a_failed_sync_damages_nothing(disk: FaultyDisk, tmp_path: Path) -> None:
    """Rows 2 and 5: at whatever moment the power fails, the file is valid and has what was committed before."""
    wrong = {}
    for seed in range(20):
        failed = FailedSync(disk, tmp_path, seed)
        cut_after(failed, seed)
        failed.open().abandon()
        if not failed.cut.exists():
            failed.disk.crash(failed.cut, seed)  # there were fewer changes than that
        try:
            assert set(ticks(0, 4 * BATCH)) <= set(verdict(failed.cut / failed.path.name))
        except (apsw.CorruptError, AssertionError) as error:
            wrong[seed] = f"{error}"
    assert wrong == {}


def cut_after(failed: FailedSync, changes: int) -> None:
    """Cuts the power after this many more changes of the disk."""
    left = iter(range(changes, -1, -1))

    def count(_: str, __: str) -> None:
        if next(left, -1) == 0:
            failed.disk.crash(failed.cut, changes)

    failed.disk.after_change = count


def test_after_a_failed_sync_the_next_run_is_safe_too(disk: FaultyDisk, tmp_path: Path) -> None:
    """Row 5: the process was restarted between the failed sync and the next commit, and does not know of it."""
    lost = {}
    for seed in range(20):
        failed = FailedSync(disk, tmp_path, seed)
        day = failed.open("next")
        for n in range(5, 8):
            day.write(Batch(rows=ticks(n * BATCH, BATCH)), NOW_MS)
        failed.disk.crash(failed.cut, seed)
        day.abandon()
        stored = set(verdict(failed.cut / failed.path.name))
        if missing := set(ticks(5 * BATCH, 3 * BATCH)) - stored:
            lost[seed] = len(missing)
    assert lost == {}, "acknowledged rows lost, by seed"


# --- the disk itself ---


@pytest.mark.parametrize("kind", [FaultyDisk, PowerLossDisk])
def test_a_reader_of_a_killed_writers_file_closes_without_an_error(
    path: Path, kind: type[FaultyDisk | PowerLossDisk]
) -> None:
    """The last connection to close cannot lock the file, and that is no error, as on a normal disk."""
    left = path.with_name("left.db")
    day = open_day(path)
    day.write(Batch(rows=ticks(0, BATCH)), NOW_MS)
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{path}{suffix}", f"{left}{suffix}")
    day.abandon()
    working = kind(f"working-{kind.__name__}")
    reader = apsw.Connection(str(left), flags=apsw.SQLITE_OPEN_READONLY, vfs=working.name)
    assert reader.execute("SELECT count(*) FROM ticks").get == BATCH
    reader.close()
    assert left.with_name("left.db-wal").exists()


def test_a_fault_affects_only_what_it_names(disk: FaultyDisk, path: Path) -> None:
    """After this many operations, this many times, for this kind of file; then it is gone."""
    day = open_day(path, vfs=disk.name)
    fault = disk.inject(Fault(operations=("sync",), files=("wal",), error="EIO", after=1, times=2))
    disk.inject(Fault(operations=("sync",), files=("db",), error="EIO"))
    outcomes = []
    for n in range(5):
        try:
            day.write(Batch(rows=ticks(n * BATCH, BATCH)), NOW_MS)
            outcomes.append("stored")
        except apsw.IOError as error:
            outcomes.append(str(error))
    assert outcomes == ["stored"] + ["sync: Input/output error"] * 2 + ["stored"] * 2
    assert fault.hits == 2
    day.abandon()


def test_a_blocked_disk_holds_writes_until_it_is_unblocked(disk: FaultyDisk, path: Path) -> None:
    """A blocked disk blocks only writers; lifting the fault lets them continue as if nothing had happened."""
    day = open_day(path, vfs=disk.name)
    gate = disk.inject(Fault(operations=("write",), delay_s=float("inf")))
    done = threading.Event()

    def write() -> None:
        day.write(Batch(rows=ticks(0, BATCH)), NOW_MS)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not gate.hits:
        assert thread.is_alive()
    assert not done.is_set()
    disk.lift(gate)
    thread.join(CAP_S)
    assert done.is_set()
    day.abandon()


@pytest.mark.parametrize("wrong", [{"operations": ("wrote",)}, {"files": ("shm",)}, {"error": "EFULL"}])
def test_a_fault_that_does_not_exist_is_refused(wrong: dict[str, object]) -> None:
    """Otherwise a misspelt name would be a fault that never happens."""
    with pytest.raises(ValueError, match="no such fault"):
        Fault(**wrong)  # type: ignore[arg-type]

"""Row 2 for the whole service: a power cut at a random moment; then a normal `run` starts with what is on the disk.

After a power cut the collector's disk certainly has all synced data, and any part of the other writes in any order (see
tests/faults/power_loss.py). At a write chosen by the seed the test creates the directory that may be found afterwards,
and SIGKILL ends the process during that write. A reader that was connected before shows what was committed: while it is
connected, SQLite keeps the shared memory of the killed process, so the reader sees exactly the commits that returned.
"""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Final

import pytest
from tests.faults.days import open_day, verdict

from hk_tick_collector.model import Tick
from hk_tick_collector.ops.live.status import STATUS_NAME
from hk_tick_collector.store.query import DayReader, list_days, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Begin
    from .trial import Trial

CHECKPOINT_PAGES: Final = 100  # of WAL: four commits or so, which is what NORMAL may lose
COMMIT_PAGES: Final = 3  # at least: its ticks, the symbol's counters, the ledger
CHANGES: Final = {"-wal": 600, ".db": 150}  # at most, until the power goes: some commits, some checkpoints
CHANGES_AT_START: Final = 60  # the making of a day file, and its first commits
CASES: Final = tuple(
    (synchronous, of, seed) for synchronous in ("FULL", "NORMAL") for of, seed in (("-wal", 1), ("-wal", 2), (".db", 3))
)
STARTS: Final = (1, 2)


def cut_power(trial: Trial, rng: random.Random, changes: int, of: str = "") -> Path:
    """Cuts the power at one of this many changes of these files; returns what the disk may have then."""
    image = trial.directory / "kept"
    trial.collector.cut_power(rng.randint(1, changes), of, image, rng.randrange(1 << 30))
    return image


def restore_power(trial: Trial, image: Path, rng: random.Random) -> None:
    """Replaces DATA_ROOT by that directory, with the files that are not SQLite's.

    The spool syncs all its rows; the live state is not synced, so it may be missing or empty.
    """
    before = trial.directory / "before"
    trial.data_root.rename(before)
    image.rename(trial.data_root)
    if (before / ".spool").is_dir():
        shutil.copytree(before / ".spool", trial.data_root / ".spool")
    if rng.random() < 0.5:
        (trial.data_root / STATUS_NAME).touch()


def found(image: Path) -> tuple[list[Tick], int]:
    """The ticks and commits that a service finds there; read from a copy, which may be repaired."""
    copy = image.with_name("copy")
    shutil.copytree(image, copy)
    ticks: list[Tick] = []
    commits = 0
    for day in list_days(copy):
        open_day(path_of(copy, day), "another run").abandon()
        ticks += map(Tick._make, verdict(path_of(copy, day)))
        with DayReader(path_of(copy, day)) as reader:
            commits += sum(run.commits for run in reader.ledger())
    return ticks, commits


@pytest.mark.parametrize("case", CASES)
def test_a_power_cut_loses_no_more_than_documented(begin: Begin, case: tuple[str, str, int]) -> None:
    """Row 2, during a commit or a checkpoint: FULL loses no acknowledged tick; NORMAL may lose the commits since the
    last checkpoint; the file is valid. The next start continues with it and backfills the rest.
    """
    synchronous, of, seed = case
    rng = random.Random(seed)
    trial = begin("--wait", "--within-window", symbols="20", rate=200)
    collector = trial.run_on_forgetful_disk(
        SQLITE_SYNCHRONOUS=synchronous, SQLITE_WAL_AUTOCHECKPOINT=str(CHECKPOINT_PAGES), MAX_WAIT_MS="40"
    )
    trial.wait_stored(200)
    with DayReader(path_of(trial.data_root, list_days(trial.data_root)[-1])) as witness:
        assert witness.totals().rows > 0
        image = cut_power(trial, rng, CHANGES[of], of)
        assert collector.finish() == -9
        acked = list(witness.ticks_by_key())
        acked_commits = sum(run.commits for run in witness.ledger())
    kept, commits = found(image)
    keys = {tick[:2] for tick in kept}
    lost = [tick for tick in acked if tick[:2] not in keys]
    print(f"{case}: {collector.output.splitlines()[-1]}: {len(lost)} of {len(acked)} ticks,", end=" ")
    print(f"{max(0, acked_commits - commits)} of {acked_commits} commits lost")
    if synchronous == "FULL":
        assert not lost
    elif lost:
        assert acked_commits - commits <= CHECKPOINT_PAGES // COMMIT_PAGES + 1
        assert min(tick.recv_ts_ms for tick in lost) >= max((tick.recv_ts_ms for tick in kept), default=0), (
            "the newest ones alone"
        )
    restore_power(trial, image, rng)
    trial.run()
    trial.finish(tick[:2] for tick in acked)


@pytest.mark.parametrize("seed", STARTS)
def test_a_power_cut_at_the_start_does_not_prevent_the_next_start(begin: Begin, seed: int) -> None:
    """Row 2, while the day's file is created: what is left of it does not prevent the next start."""
    rng = random.Random(seed)
    trial = begin("--wait", "--within-window", symbols="20", rate=200)
    collector = trial.run_on_forgetful_disk(MAX_WAIT_MS="40")
    image = cut_power(trial, rng, CHANGES_AT_START)
    assert collector.finish() == -9
    kept, _ = found(image)
    print(f"seed {seed}: {collector.output.splitlines()[-1]}: {len(kept)} ticks")
    restore_power(trial, image, rng)
    trial.run().wait_for("day_opened")  # a journal that is left behind is rolled back first: no reader can
    trial.wait_more(200)
    trial.finish(tick[:2] for tick in kept)

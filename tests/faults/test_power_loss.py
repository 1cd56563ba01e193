"""Row 2: a power cut at any moment. FULL loses nothing acknowledged, NORMAL the newest commits; no file is damaged."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw
import pytest

from hk_tick_collector.errors import SealedDayError, StoreError
from hk_tick_collector.store.dayfile import Batch, StoreOptions, seal

from .days import NOW_MS, open_day, ticks, verdict
from .power_loss import PowerLossDisk

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import TickRow
    from hk_tick_collector.store.dayfile import DayFile

BATCHES: Final = 40
OFTEN: Final = 20  # pages of WAL after which a checkpoint comes: every third commit or so
SEEDS: Final = range(2)  # each cuts the power 50 times and more


class Cut(NamedTuple):
    """The disk after a power cut, and what must be on it."""

    path: Path
    seed: int
    operation: str  # what the disk had done last
    safe: int  # so many of the batches that were offered must be there
    begun: int  # none behind these can be


class Day:
    """A day of batches on a disk whose power is cut at moments chosen by `seed`; each cut is a separate directory.

    In between the file is closed, or left as after a crash, and opened again; at the end it is sealed.
    """

    def __init__(self, root: Path, synchronous: str, seed: int) -> None:
        self.batches: list[list[TickRow]] = []
        self.cuts: list[Cut] = []
        self._root = root
        self._synchronous = synchronous
        self._rng = random.Random(seed)
        self._acked = 0
        self._synced = 0  # acknowledged before the WAL was last synced
        self._disk = PowerLossDisk(f"power-{synchronous}-{seed}", seed=seed)
        self._path = root / "live" / "20261120.db"

    def run(self) -> None:
        """Stores the whole day."""
        self._path.parent.mkdir()
        self._disk.after_change = self._perhaps_cut
        day, first = self._open(), 0
        for _ in range(BATCHES):
            count = self._rng.randrange(1, 120)
            self.batches.append(self._rng.sample(ticks(first, count), count))
            day.write(Batch(rows=self.batches[-1]), NOW_MS)
            self._acked += 1
            first += count
            if self._rng.random() < 0.15:
                self._rng.choice((day.close, day.abandon))()
                day = self._open()
        assert day.close()
        assert seal(self._path, NOW_MS, StoreOptions(vfs=self._disk.name, synchronous=self._synchronous))
        self._cut("end", 1.0)
        self._disk.unregister()

    def _open(self) -> DayFile:
        return open_day(self._path, vfs=self._disk.name, synchronous=self._synchronous, wal_autocheckpoint_pages=OFTEN)

    def _perhaps_cut(self, operation: str, path: str) -> None:
        if operation == "sync" and path.endswith("-wal"):
            self._synced = self._acked
        # A checkpoint is short and dangerous: cut often while the database is written.
        self._cut(f"{operation} {path[-8:]}", 0.15 if path.endswith(".db") else 0.02)

    def _cut(self, operation: str, chance: float) -> None:
        if self._rng.random() < chance:
            seed = self._rng.randrange(1 << 30)
            into = self._root / f"cut-{len(self.cuts)}"
            self._disk.crash(into, seed)
            safe = self._acked if self._synchronous == "FULL" else self._synced
            self.cuts.append(Cut(into / self._path.name, seed, operation, safe, len(self.batches)))


def there_after(cut: Cut, batches: list[list[TickRow]]) -> int:
    """The number of batches after a power cut: always the first ones, each complete."""
    try:
        open_day(cut.path, "after").abandon()  # as the service does when the power is back
    except SealedDayError:
        assert seal(cut.path, NOW_MS, StoreOptions())  # cut while it was sealed: the next attempt ends that
    rows = verdict(cut.path)
    for count in range(len(batches) + 1):
        if len(rows) == sum(map(len, batches[:count])):
            assert rows == sorted(row for batch in batches[:count] for row in batch)
            return count
    raise AssertionError(f"{len(rows)} rows are no number of whole batches")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_a_power_cut_loses_no_more_than_documented(tmp_path: Path, synchronous: str, seed: int) -> None:
    """Row 2. FULL: every batch whose `write` returned is there. NORMAL: every one from before the last sync of the WAL.

    There are always complete batches in order, the ledger and the counters agree with the rows, and the integrity check
    is ok. The ticks that are written again, as by backfill, are then stored exactly once.
    """
    day = Day(tmp_path, synchronous, seed)
    day.run()
    print(f"seed {seed}: {len(day.cuts)} cuts")
    assert len(day.cuts) >= 50
    assert {cut.operation.split()[-1][-3:] for cut in day.cuts} >= {".db", "wal"}
    everything = [row for batch in day.batches for row in batch]
    for cut in day.cuts:
        print(cut)
        there = there_after(cut, day.batches)
        assert cut.safe <= there <= cut.begun
        if there == BATCHES:
            continue
        again = open_day(cut.path, "after")
        again.write(Batch(rows=everything), NOW_MS)
        assert again.close()
        assert verdict(cut.path) == sorted(everything)


def test_the_test_disk_really_loses_data(tmp_path: Path) -> None:
    """With synchronous OFF such cuts lose batches and damage files: the test disk really loses unsynced data."""
    day = Day(tmp_path, "OFF", 1)
    day.run()
    lost = damaged = 0
    for cut in day.cuts:
        try:
            lost += there_after(cut, day.batches) < cut.begun - 1
        except (apsw.Error, StoreError, AssertionError):
            damaged += 1
    print(f"{len(day.cuts)} cuts: {lost} lost, {damaged} damaged")
    assert lost > 0
    assert damaged > 0

"""Row 1 as a machine: start, wait for a commit, read what is committed, kill. For the tests and the soak."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError
from hk_tick_collector.store.query import list_days, path_of

from .trial import CAP_S, wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from .damage import Vandal
    from .trial import Trial

_LONGEST_LIFE_S: Final = 0.4  # of a collector, after its first commit
_SNAPSHOT_EVERY: Final = 8  # kills


class Killer:
    """Kills one collector after the other of a trial. `settings` are theirs; `vandal` comes after each kill."""

    def __init__(self, trial: Trial, rng: random.Random, vandal: Vandal | None = None, **settings: str) -> None:
        self.kills = 0
        self.snapshots = 0
        self._trial = trial
        self._rng = rng
        self._vandal = vandal
        self._settings = settings
        self._acked: dict[str, list[int]] = {}

    @property
    def acked_count(self) -> int:
        """How many ticks are known to have been committed before a kill, and must still be stored."""
        return sum(map(len, self._acked.values()))

    def acked(self) -> Iterator[tuple[str, int]]:
        """Their keys."""
        return ((symbol, seq) for symbol, seqs in self._acked.items() for seq in seqs)

    def cycle(self, cap_s: float = CAP_S, *, patient: bool = True) -> None:
        """One run: from the start to SIGKILL at a random moment after its first commit.

        Without a commit within the cap, for example without trading, it fails; unless `patient`, it is killed then.
        """
        trial, rng = self._trial, self._rng
        collector = trial.run(**self._settings)
        before = self._rows()
        try:
            wait_until(
                lambda: self._is_open() and self._rows() not in (0, before),
                lambda: f"commit after kill {self.kills}\n{trial.tail()}",
                cap_s,
            )
        except AssertionError:
            if patient or not collector.alive:
                raise
        snapshot = None
        days = list_days(trial.data_root)
        if days and self.kills % _SNAPSHOT_EVERY == 0 and self._is_open():  # a damaged file has no copy
            self.snapshots += 1
            target = trial.directory / f"snapshot-{trial.data_root.name}-{self.snapshots}.db"
            source = path_of(trial.data_root, days[-1])
            snapshot = subprocess.Popen(["sqlite3", f"file:{source}?mode=ro", f".backup {target}"])
        time.sleep(rng.uniform(0.0, _LONGEST_LIFE_S))  # the moment is what is random here
        if self._is_open():
            trial.stored.new_keys(self._acked)
        collector.close()
        self.kills += 1
        if snapshot is not None:
            assert snapshot.wait(300) == 0
        if self._vandal is not None:
            self._vandal.visit(self._acked)

    def _is_open(self) -> bool:
        """Whether the collector has opened the file at the path: before that it may be a damaged one."""
        return self._vandal is None or self._vandal.is_open()

    def _rows(self) -> int:
        try:
            return self._trial.stored.rows()
        except CollectorError:
            return 0  # just being made

"""Row 8 as tools: kinds of damage to a closed day file, and a tool that damages it between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.store.query import DayReader, path_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from .trial import Trial

_PAGE_BYTES: Final = 4096
_WORTH_BYTES: Final = 16 * _PAGE_BYTES  # a smaller file has hardly begun
_FIRST: Final = 4  # lives until the first damage at most: a market of a loaded machine has few
_EVERY: Final = 20  # lives, on average, afterwards


def truncate(path: Path) -> None:
    """Half of it is gone."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Other bytes in the middle, over a few pages."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // _PAGE_BYTES * _PAGE_BYTES)
        file.write(bytes(3 * _PAGE_BYTES))


def empty(path: Path) -> None:
    """Nothing is left of it."""
    with path.open("r+b") as file:
        file.truncate(0)


def zero(path: Path) -> None:
    """Its first page never reached the disk."""
    with path.open("r+b") as file:
        file.write(bytes(_PAGE_BYTES))


def lose_wal(path: Path) -> None:
    """Its WAL is gone."""
    path.with_name(path.name + "-wal").unlink(missing_ok=True)


def lose_shm(path: Path) -> None:
    """The index of its WAL is gone: SQLite rebuilds it, and nothing may be missing."""
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


HARMLESS: Final = (lose_shm,)
IN_WAL: Final[tuple[Callable[[Path], None], ...]] = (lose_wal, lose_shm)
KINDS: Final[tuple[Callable[[Path], None], ...]] = (truncate, flip, *IN_WAL)


class Vandal:
    """Damages the file of one day of a trial, now and then. Keeps account of what was acked there before."""

    def __init__(self, trial: Trial, day: str, rng: random.Random, say: Callable[[str], None]) -> None:
        self.count = 0
        self._trial = trial
        self._day = day
        self._rng = rng
        self._lives_left = rng.randint(1, _FIRST)
        self._say = say
        self._hurt: dict[str, set[int]] = {}

    @property
    def acked_count(self) -> int:
        """How many acknowledged ticks were in a file that was damaged on purpose."""
        return sum(map(len, self._hurt.values()))

    def is_open(self) -> bool:
        """Whether the running collector has opened the day: the damaged file is renamed by then."""
        return f" day_opened day={self._day} " in self._trial.collector.output

    def visit(self, acked: dict[str, list[int]]) -> None:
        """Between a kill and the next start: nearly always nothing; otherwise damage, and `acked` no longer counts."""
        path = path_of(self._trial.data_root, self._day)
        if _bytes(path) >= _WORTH_BYTES:
            kinds = KINDS
        elif _bytes(path.with_name(path.name + "-wal")) >= _WORTH_BYTES:  # lives too short to move it into the file
            kinds = IN_WAL
        else:
            return
        self._lives_left -= 1
        if self._lives_left > 0:
            return
        self._lives_left = self._rng.randint(1, 2 * _EVERY - 1)
        damage = self._rng.choice(kinds)
        damage(path)
        self.count += 1
        self._say(f"damage: {damage.__name__} of {self._trial.data_root.name}/{path.name}")
        if damage not in HARMLESS:
            for symbol, seqs in acked.items():
                self._hurt.setdefault(symbol, set()).update(seqs)
            acked.clear()

    def lost(self) -> int:
        """How many of those are not stored now; each must be in a recorded gap. After the last stop."""
        if not self.count:
            return 0
        with DayReader(path_of(self._trial.data_root, self._day)) as reader:
            return sum(len(seqs.difference(reader.seqs(symbol, 0))) for symbol, seqs in self._hurt.items())

    def kept(self) -> tuple[int, list[str]]:
        """How many damaged files are beside the day's file, and which of those in the log are not."""
        root = self._trial.data_root
        told = {
            event.fields["kept_as"]
            for collector in self._trial.collectors
            for event in collector.events("day_set_aside")
        }
        mains = [path for path in root.glob("*.damaged-*") if not path.name.endswith(("-wal", "-shm"))]
        return len(mains), sorted(told - {str(path) for path in mains})


def _bytes(path: Path) -> int:
    """Its size; 0 if it is not there."""
    return path.stat().st_size if path.exists() else 0

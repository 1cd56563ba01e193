"""For the tests of the archive: sealed days, a place, a key, and the tools of Debian that check an archive."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest

from hk_tick_collector import market
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.archive.sshsig import SigningKey, make_key
from hk_tick_collector.model import MATCH, Gap, Reconciled, RuleChange
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

SYMBOLS = ("HK.00005", "HK.00700")


def open_ms(day: str) -> int:
    """09:30 in Hong Kong on a day, UTC epoch ms."""
    return market.day_start_ms(market.parse_day(day)) + 34_200_000


class MakeDay(Protocol):
    """Makes a sealed day file in DATA_ROOT, `the data` of the test's directory."""

    def __call__(
        self, day: str, rows: int = 200, *, gaps: Sequence[Gap] = (), session: str = "close", sealed: bool = True
    ) -> Path:
        """Its path. `rows` ticks of each symbol; `session`: the last comparison with OpenD's totals."""


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """DATA_ROOT, with a blank and Chinese in its path."""
    root = tmp_path / "the 數據 data"
    root.mkdir()
    return root


@pytest.fixture
def make_day(data_root: Path, tick: Callable[..., TickRow]) -> MakeDay:
    """Makes sealed days."""

    def make(
        day: str, rows: int = 200, *, gaps: Sequence[Gap] = (), session: str = "close", sealed: bool = True
    ) -> Path:
        path, at_ms = data_root / f"{day}.db", open_ms(day)
        file = DayFile(path, day, "run", at_ms, "test", StoreOptions())
        ticks, step_ms = [], 977 if rows < 50_000 else 401  # so that all are of the day
        for symbol in SYMBOLS:
            for number in range(1, rows + 1):
                ts_ms = at_ms + number * step_ms
                ticks.append(tick(symbol, (ts_ms // 1000) << 32 | number, ts_ms))
        compared = [Reconciled(session, name, at_ms, 1, 1.0, 0, 0.0, 0, 0.0, 1, 1.0, MATCH) for name in SYMBOLS]
        rules = [RuleChange(market.parse_day(day), name, "counter", 0) for name in SYMBOLS] if rows else []
        reconciled = compared if session else []
        file.write(Batch(rows=ticks, gaps=list(gaps), rules=rules, reconciled=reconciled), at_ms)
        file.close()
        if sealed:
            assert seal(path, at_ms + market.DAY_MS, StoreOptions())
        return path

    return make


@pytest.fixture
def archive_root(tmp_path: Path) -> Path:
    """An empty archive, with a blank and Chinese in its path."""
    root = tmp_path / "an 檔案 archive"
    root.mkdir()
    return root


@pytest.fixture
def place(archive_root: Path) -> Directory:
    """The same as a place."""
    return Directory(archive_root)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """The key of a host."""
    make_key(tmp_path / "key", tmp_path)
    return SigningKey(tmp_path / "key", "host-1")


def verify_sh(root: Path, *days: str, signers: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The output of the script in the archive, run without this program."""
    environ = {"PATH": "/usr/bin:/bin"} | ({"SIGNERS": str(signers)} if signers else {})
    return subprocess.run(
        ["sh", root / "verify.sh", *days], capture_output=True, text=True, check=False, env=environ, cwd="/"
    )


def files_in(root: Path) -> dict[str, bytes]:
    """Every visible file of an archive: name → content."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    }

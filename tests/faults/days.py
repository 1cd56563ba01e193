"""Day files for the fault tests: ticks to store, and checks of what was stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import apsw

from hk_tick_collector.store.dayfile import DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DAY: Final = "20261120"
NOW_MS: Final = 1_795_140_000_000  # 10:00 of that day in Hong Kong
CAP_S: Final = 300.0  # no test asserts a time; this one only ends a test that would wait for ever
_SYMBOLS: Final = ("HK.00005", "HK.00700", "HK.09988")


def ticks(first: int, count: int) -> list[TickRow]:
    """The ticks from number `first` on: always the same for the same number, of several symbols."""
    return [
        (
            *(_SYMBOLS[n % 3], n, NOW_MS + n, 388.2 + n % 7, 100, 38_820.5, "BUY", "AUTO_MATCH", "realtime"),
            *(NOW_MS + n + 3, NOW_MS + n + 2, " "),
        )
        for n in range(first, first + count)
    ]


def open_day(path: Path, run_id: str = "run", **options: Any) -> DayFile:
    """The day file at `path`, open for writing; `options` are those of StoreOptions."""
    return DayFile(path, path.stem, run_id, NOW_MS, "test", StoreOptions(**{"busy_timeout_ms": 20, **options}))


def verdict(path: Path) -> list[TickRow]:
    """The content of a day file in the order of the key, after checking its own counters."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs="unix")
    try:
        assert db.execute("PRAGMA integrity_check").get == "ok"
        rows: list[Any] = list(db.execute("SELECT * FROM ticks ORDER BY symbol, seq"))
        counted = list(db.execute("SELECT symbol, count(*), max(seq), sum(volume) FROM ticks GROUP BY symbol"))
        assert counted == list(db.execute("SELECT symbol, rows, max_seq, volume FROM symbols ORDER BY symbol"))
        assert db.execute("SELECT ifnull(sum(stored), 0) FROM ledger").get == len(rows)
        assert len({row[:2] for row in rows}) == len(rows)
    finally:
        db.close()
    return rows


def wait_until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Returns when `condition()` is true; fails with `what()` if it never is."""
    deadline_s = time.monotonic() + CAP_S
    while not condition():
        assert time.monotonic() < deadline_s, what()
        time.sleep(0.005)

"""One key, one tick: what is stored twice is a duplicate, what differs is a conflict, and every row is counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector.model import Tick
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

from .conftest import DAY, NOW_MS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .conftest import OpenDay

    MakeTick = Callable[..., TickRow]

FIRST: Final = Tick("HK.00700", 7, NOW_MS + 400, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", NOW_MS + 500)


@pytest.mark.parametrize(
    "again",
    [
        FIRST,
        FIRST._replace(push_type="backfill", recv_ts_ms=NOW_MS + 90_000),
        FIRST._replace(ts_ms=NOW_MS),
        FIRST._replace(ts_ms=FIRST.ts_ms + 999),
        FIRST._replace(turnover=38_820.000_01),
        FIRST._replace(price=388.2 * (1 + 1e-12)),
    ],
    ids=["itself", "backfilled later", "whole second", "999 ms", "sum in another order", "last digit"],
)
def test_the_same_trade_is_a_duplicate(open_day: OpenDay, path: Path, again: Tick) -> None:
    """How a tick came, and the fraction of its second, say nothing of the trade."""
    day = open_day(path)
    day.write(Batch(rows=[FIRST]), NOW_MS)
    written = day.write(Batch(rows=[again]), NOW_MS)
    assert (written.stored, written.duplicate, list(written.conflicts)) == (0, 1, [])


@pytest.mark.parametrize(
    "other",
    [
        FIRST._replace(price=388.4),
        FIRST._replace(volume=200),
        FIRST._replace(turnover=38_821.0),
        FIRST._replace(direction="SELL"),
        FIRST._replace(tick_type="ODD_LOT"),
        FIRST._replace(ts_ms=FIRST.ts_ms + 1000),
        FIRST._replace(ts_ms=FIRST.ts_ms - 1000),
        FIRST._replace(price=0.0),
    ],
)
@pytest.mark.parametrize("how", ["in one batch", "in two", "after a restart"])
def test_another_trade_under_the_same_key_is_a_conflict(open_day: OpenDay, path: Path, other: Tick, how: str) -> None:
    """The first is kept, the other is given back and is rejected in the ledger, in the transaction of the batch."""
    day = open_day(path)
    if how == "in one batch":
        written = day.write(Batch(rows=[FIRST, other]), NOW_MS)
        assert written.stored == 1
    else:
        day.write(Batch(rows=[FIRST]), NOW_MS)
        if how == "after a restart":
            day.close()
            day = open_day(path, "run")
        written = day.write(Batch(rows=[other]), NOW_MS)
        assert written.stored == 0
    assert (written.duplicate, list(written.conflicts)) == (0, [other])
    assert (day.ledger.stored, day.ledger.duplicate, day.ledger.rejected, day.ledger.received) == (1, 0, 1, 2)
    again = open_day(path, "run")
    assert again.ledger == day.ledger


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 10), st.randoms(use_true_random=False))
def test_every_row_is_stored_duplicate_or_a_conflict(
    tmp_path_factory: pytest.TempPathFactory, count: int, tenth: int, chance: random.Random
) -> None:
    """Batches of any size, over the widths of all statements: the file has the first tick of each key, unchanged; the
    conflicts are exactly the others that differ from it, in the order in which they came.
    """
    day = DayFile(tmp_path_factory.mktemp("day") / f"{DAY}.db", DAY, "run", NOW_MS, "test", StoreOptions())
    first: dict[tuple[str, int], TickRow] = {}
    try:
        for _ in range(2):
            rows: list[TickRow] = []
            keys = count if tenth == 0 else max(1, count * tenth // 10)
            for _ in range(count):
                symbol, seq = f"HK.{chance.randrange(5):05}", chance.randrange(keys)
                rows.append(FIRST._replace(symbol=symbol, seq=seq, volume=100 * chance.randrange(1, 3)))
            expected: list[TickRow] = []
            new = 0
            for row in rows:
                new += row[:2] not in first
                if first.setdefault(row[:2], row)[4] != row[4]:
                    expected.append(row)
            written = day.write(Batch(rows=rows), NOW_MS)
            assert (written.stored, written.stored + written.duplicate + len(written.conflicts)) == (new, len(rows))
            assert list(written.conflicts) == sorted(expected, key=lambda row: row[0])
        stored = apsw.Connection(str(day.path)).execute("SELECT * FROM ticks").fetchall()
        assert {row[:2]: tuple(row) for row in stored} == {key: tuple(row) for key, row in first.items()}
    finally:
        day.abandon()

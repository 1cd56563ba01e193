"""Row 7 in the store: other processes that lock the day file cause delays and use space, and no tick is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector.store.dayfile import Batch
from hk_tick_collector.store.faults import diagnose

from .days import NOW_MS, open_day, ticks, verdict

if TYPE_CHECKING:
    from pathlib import Path

OFTEN: Final = 20
BATCH: Final = 200


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_foreign_write_lock_is_named_and_waited_for(path: Path, lock: str) -> None:
    """`busy`, on the same connection: when the lock is released, the same file takes the same batch once."""
    day = open_day(path)
    day.write(Batch(rows=ticks(0, BATCH)), NOW_MS)
    other = apsw.Connection(str(path))
    other.execute(lock)
    known = day.ledger
    for _ in range(3):
        with pytest.raises(apsw.BusyError) as caught:
            day.write(Batch(rows=ticks(BATCH, BATCH)), NOW_MS)
        assert diagnose(caught.value) == ("busy", False)
    assert day.ledger == known
    other.execute("ROLLBACK")
    day.write(Batch(rows=ticks(BATCH, BATCH)), NOW_MS)
    other.close()
    assert day.close()
    assert sorted(verdict(path)) == sorted(ticks(0, 2 * BATCH))


def test_a_file_that_another_holds_cannot_be_opened_yet(path: Path) -> None:
    """Opening writes a little; with another process's lock that is the same `busy`, and nothing is left behind."""
    assert open_day(path).close()
    other = apsw.Connection(str(path))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(apsw.BusyError) as caught:
        open_day(path)
    assert diagnose(caught.value) == ("busy", False)
    other.close()
    assert open_day(path).close()


def test_a_long_reader_costs_space_and_no_tick(path: Path) -> None:
    """While a reader holds its transaction the WAL grows and every batch is stored; afterwards the WAL is reused."""
    day = open_day(path, wal_autocheckpoint_pages=OFTEN)
    day.write(Batch(rows=ticks(0, BATCH)), NOW_MS)
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM ticks").get == BATCH
    sizes = []
    for n in range(1, 20):
        day.write(Batch(rows=ticks(n * BATCH, BATCH)), NOW_MS)
        sizes.append(day.wal_bytes())
    assert sizes == sorted(sizes)
    assert sizes[-1] > 4 * OFTEN * 4096
    assert reader.execute("SELECT count(*) FROM ticks").get == BATCH
    reader.execute("ROLLBACK")
    for n in range(20, 40):
        day.write(Batch(rows=ticks(n * BATCH, BATCH)), NOW_MS)
    assert day.wal_bytes() <= sizes[-1] + OFTEN * 4096
    assert not day.close(), "an attached reader keeps both files"
    assert day.wal_bytes() > 0
    reader.close()
    assert sorted(verdict(path)) == sorted(ticks(0, 40 * BATCH))

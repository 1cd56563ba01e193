"""A transaction that must be tried several times is counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.store.dayfile import ConnectionChange, StoreOptions, seal

from .work import ACCOUNT, COUNT, DAY, MIDNIGHT_MS, hundred, stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Disk, Journal, MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
def test_a_commit_reported_as_failed_is_not_counted_twice(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk, *, reader: bool
) -> None:
    """The sync of a commit succeeds and reports an error. Without other readers the commit is then in the file; with a
    reader SQLite cannot recover it. In both cases every tick and every figure of the ledger is counted once.
    """
    rig = make_rig(vfs=disk.name)
    rig.writer.prepare(market.parse_day(DAY))
    held = apsw.Connection(str(rig.data_root / f"{DAY}.db"), flags=apsw.SQLITE_OPEN_READONLY) if reader else None
    if held:
        held.execute(COUNT).get  # noqa: B018 - a property that reads
    disk.fail("sync", apsw.IOError)
    rig.queue.put(Chunk(rejected=1, connections=[ConnectionChange(5, True, 1, "")]))
    rig.put(hundred(tick))
    rig.writer.start()
    journal.wait_for("persist_failed")
    disk.repair()
    rig.wait_stored(100)
    rig.put(hundred(tick, 90))
    rig.wait_stored(200)
    if held:
        held.close()
    stop(rig)
    assert (rig.stats.stored, rig.stats.duplicate) == (190, 10)
    assert rig.query(DAY, ACCOUNT) == [(201, 190, 10, 1, 0, 0)]
    assert rig.query(DAY, "SELECT count(*) FROM connections") == [(1,)]


def test_the_account_balances_with_the_file(make_rig: MakeRig, tick: MakeTick) -> None:
    """Duplicates, rejected and dropped ticks and connections reach the ledger, with or without rows."""
    rig = make_rig()
    rig.put(hundred(tick))
    rig.put(hundred(tick, 50))
    rig.queue.put(Chunk(rejected=2, dropped=7))
    rig.writer.start()
    rig.wait_stored(200)
    rig.queue.put(Chunk(dropped=5))
    stop(rig)
    assert rig.query(DAY, ACCOUNT) == [(214, 150, 50, 2, 12, 0)]


def test_the_last_rejected_ticks_are_in_the_ledger(make_rig: MakeRig, tick: MakeTick, tmp_path: Path) -> None:
    """Ticks of a sealed day are counted in the open file also when no other tick follows them."""
    rig = make_rig()
    rig.put([tick("HK.00700", 1, MIDNIGHT_MS - 1)])
    rig.writer.start()
    stop(rig)
    assert seal(tmp_path / "20261119.db", rig.now_ms, StoreOptions())
    rig = make_rig()
    rig.writer.prepare(market.parse_day(DAY))
    rig.put([tick("HK.00700", 1, MIDNIGHT_MS - 1), tick("HK.00700", 2, MIDNIGHT_MS - 1)])
    rig.writer.start()
    stop(rig)
    assert rig.query(DAY, ACCOUNT) == [(2, 0, 1, 1, 0, 0)]

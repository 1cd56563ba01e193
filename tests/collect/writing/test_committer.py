"""A transaction that must be tried several times is counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest
from tests.collect.conftest import wait_until

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


def test_what_came_after_a_commit_reported_as_failed_is_not_lost_with_it(
    make_rig: MakeRig, tick: MakeTick, disk: Disk
) -> None:
    """The day waits for its file meanwhile: only what was in that transaction is in the file."""
    rig = make_rig(vfs=disk.name)
    rig.now_ms += market.DAY_MS  # Saturday: the file of Friday is the one that gets counts
    rig.writer.start()
    rig.put([tick("HK.00700", 1)])
    rig.wait_stored(1)

    disk.fail("sync", lambda: apsw.exception_for(apsw.SQLITE_IOERR_FSYNC))
    rig.queue.put(Chunk(rows=[tick("HK.00700", 2)], rejected=3, connections=[ConnectionChange(5, True, 1, "")]))
    wait_until(lambda: rig.stats.held_rows == {DAY: 1}, "the held row")
    lost = ConnectionChange(6, False, None, "lost")
    rig.queue.put(Chunk(rows=[tick("HK.00700", 3)], rejected=5, connections=[lost]))
    wait_until(lambda: rig.stats.held_rows == {DAY: 2}, "the second one")
    disk.repair()
    rig.wait_stored(3)
    stop(rig)
    assert rig.query(DAY, ACCOUNT) == [(11, 3, 0, 8, 0, 0)]
    assert rig.query(DAY, "SELECT from_ms, to_ms, connected FROM connections") == [(5, 6, 1), (6, None, 0)]


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


_CONNECTIONS = "SELECT from_ms, to_ms, connected, reason FROM connections ORDER BY from_ms"


def test_the_file_of_a_day_begins_with_the_connection_that_lasts_over_midnight(
    make_rig: MakeRig, tick: MakeTick
) -> None:
    """Nothing changes at midnight, but without this row the new day would seem to have had no connection."""
    rig = make_rig()
    rig.now_ms = MIDNIGHT_MS - 60_000
    rig.queue.put(Chunk(connections=[ConnectionChange(MIDNIGHT_MS - 50_000, True, 77, "")]))
    rig.put([tick("HK.00700", 1, MIDNIGHT_MS - 40_000)])
    rig.writer.start()
    rig.wait_stored(1)
    rig.now_ms = MIDNIGHT_MS + 60_000
    rig.put([tick("HK.00700", 2, MIDNIGHT_MS + 50_000)])
    rig.wait_stored(2)
    assert rig.query(DAY, _CONNECTIONS) == [(MIDNIGHT_MS, None, 1, "")]
    rig.put([tick("HK.00700", 3, MIDNIGHT_MS + 51_000)])
    rig.queue.put(Chunk(connections=[ConnectionChange(MIDNIGHT_MS + 55_000, False, None, "lost")]))
    rig.wait_stored(3)
    stop(rig)
    lost_ms = MIDNIGHT_MS + 55_000
    assert rig.query(DAY, _CONNECTIONS) == [(MIDNIGHT_MS, lost_ms, 1, ""), (lost_ms, None, 0, "lost")]
    assert rig.query("20261119", _CONNECTIONS) == [(MIDNIGHT_MS - 50_000, None, 1, "")]


def test_a_connection_of_today_that_is_in_yesterdays_file_is_in_todays_too(make_rig: MakeRig, tick: MakeTick) -> None:
    """Shortly after midnight the file of today does not exist yet: what happens then goes to that of yesterday."""
    rig = make_rig()
    rig.now_ms = MIDNIGHT_MS + 1_000
    rig.put([tick("HK.00700", 1, MIDNIGHT_MS - 40_000)])
    rig.writer.start()
    rig.wait_stored(1)
    rig.queue.put(Chunk(connections=[ConnectionChange(MIDNIGHT_MS + 500, True, 77, "")]))
    wait_until(lambda: rig.query("20261119", _CONNECTIONS), "the connection")
    rig.put([tick("HK.00700", 2, MIDNIGHT_MS + 50_000)])
    rig.wait_stored(2)
    stop(rig)
    assert rig.query(DAY, _CONNECTIONS) == [(MIDNIGHT_MS + 500, None, 1, "")]


def test_changes_that_waited_for_the_file_begin_it_themselves(make_rig: MakeRig, tick: MakeTick) -> None:
    """On a weekend no file is open. The last connection of Friday is not put before the changes since then."""
    rig = make_rig()
    rig.now_ms = MIDNIGHT_MS - 86_000_000
    rig.queue.put(Chunk(connections=[ConnectionChange(MIDNIGHT_MS - 86_000_000, True, 77, "")]))
    rig.put([tick("HK.00700", 1, MIDNIGHT_MS - 86_000_000)])
    rig.writer.start()
    rig.wait_stored(1)
    rig.now_ms = MIDNIGHT_MS + 60_000
    lost, again = (
        ConnectionChange(MIDNIGHT_MS - 3_000, False, None, "lost"),
        ConnectionChange(MIDNIGHT_MS - 1_000, True, 78, ""),
    )
    rig.queue.put(Chunk(rows=[tick("HK.00700", 2, MIDNIGHT_MS + 50_000)], connections=[lost, again]))
    rig.wait_stored(2)
    stop(rig)
    assert rig.query(DAY, _CONNECTIONS) == [
        (MIDNIGHT_MS - 3_000, MIDNIGHT_MS - 1_000, 0, "lost"),
        (MIDNIGHT_MS - 1_000, None, 1, ""),
    ]

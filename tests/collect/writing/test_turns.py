"""The order of days: today's rows first, and no day waits for another day's file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.collect.conftest import CAP_S, wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.model import GAP_OPEN, Gap, GapChange
from hk_tick_collector.store.dayfile import ConnectionChange

from .days import DAY, TODAY, TODAY_MS, account, of_old_days, of_today, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Journal, MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


def test_todays_ticks_do_not_wait_for_old_days(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """Ticks that arrive while old days are stored wait for one old day at most."""
    rig = make_rig()
    watch(journal, lambda number: rig.put(of_today(tick, 7, first=100)) if number == 5 else None)
    rig.put([*of_old_days(tick, 30), *of_today(tick, 3)])
    rig.writer.start()
    rig.wait_stored(40)
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0  # counted as stored a moment before it is a commit
    sizes = [commit.rows for commit in rig.writer.pop_commits()]
    assert sizes == [3, 1, 1, 1, 1, 7, *[1] * 26], "the fifth file was being opened, for the fourth old day"


def test_spooled_rows_of_old_days_do_not_delay_today(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """Rows in an earlier run's spool also take turns; the spool deletes them when the last is committed."""
    rig = make_rig()
    stored: list[int] = []
    watch(journal, lambda number: rig.put(of_today(tick, 7, first=100)) if number == 5 else None)
    rig.stats.received += 33
    leftover = [*of_old_days(tick, 30), *of_today(tick, 3)]
    rig.queue.put(Chunk(rows=leftover[:20], on_disk=True))
    rig.queue.put(Chunk(rows=leftover[20:], on_disk=True, on_commit=lambda: stored.append(rig.stats.stored)))
    rig.writer.start()
    rig.wait_stored(40)
    wait_until(lambda: stored, "told")
    assert stored == [40]
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    sizes = [commit.rows for commit in rig.writer.pop_commits()]
    assert sizes.index(7) < 10


def test_rows_that_wait_for_their_day_are_counted(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """While old days wait for their turn their rows count as waiting: in the queue, and in the ledger of today."""
    rig = make_rig()
    seen: list[tuple[int, object]] = []

    def look(number: int) -> None:
        if number > 1:
            seen.append((rig.queue.rows, rig.query(DAY, "SELECT waiting FROM ledger")[0][0]))

    watch(journal, look)
    rig.put([*of_old_days(tick, 3), *of_today(tick, 3)])
    rig.writer.start()
    rig.wait_stored(6)
    assert [rows for rows, _ in seen] == [3, 2, 1]
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert account(rig) == (6, 6, 0)


def test_gaps_of_an_old_day_go_with_its_rows(make_rig: MakeRig, tick: MakeTick) -> None:
    """Changes of `gaps` wait with the rows of their day, and the last state of each counts."""
    rig = make_rig()
    rows = of_old_days(tick, 2)
    gap = Gap(rows[0][0], 1, 2, 0, 0, 5, "restart", GAP_OPEN, 1, None, 1)
    changes = [GapChange(TODAY - 1, gap), GapChange(TODAY - 1, gap._replace(missing=3))]
    rig.stats.received += 3
    rig.queue.put(Chunk(rows=[*rows, *of_today(tick, 1)], gaps=changes))
    rig.writer.start()
    rig.wait_stored(3)
    assert rig.query("20261119", "SELECT missing FROM gaps") == [(3,)]


def test_connections_and_counts_belong_to_today(make_rig: MakeRig, tick: MakeTick) -> None:
    """With files of old and of future days open, what belongs to no tick is in today's file."""
    rig = make_rig()
    rig.writer.prepare(TODAY)
    tomorrow = tick("HK.00001", 1, TODAY_MS + market.DAY_MS)
    rig.put([tomorrow, *of_old_days(tick, 2)])
    rig.writer.start()
    rig.wait_stored(3)
    rig.queue.put(Chunk(connections=[ConnectionChange(5, True, 1, "")], dropped=3))
    assert rig.writer.stop(time.monotonic() + CAP_S) == 0
    assert rig.query(DAY, "SELECT dropped, (SELECT count(*) FROM connections) FROM ledger") == [(3, 1)]
    assert account(rig) == (6, 3, 0)

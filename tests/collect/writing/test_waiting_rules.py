"""The rule of a symbol without a row is not forgotten when the file of its day is closed and opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.model import RuleChange

from .work import DAY, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Disk, Journal, MakeRig, Rig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

_NUMBER: Final = market.parse_day(DAY)
_RULES: Final = "SELECT symbol, rule, expected FROM symbols ORDER BY symbol"


def with_a_rule(make_rig: MakeRig, tick: MakeTick, disk: Disk) -> Rig:
    """A writer that has stored a tick of one symbol, and the rule of another symbol, which has no row yet."""
    rig = make_rig(vfs=disk.name)
    rig.queue.put(Chunk(rows=[tick("HK.00005", 1)], rules=[RuleChange(_NUMBER, "HK.00700", "counter", 0)]))
    rig.writer.start()
    rig.wait_stored(1)
    return rig


def test_a_rule_waits_for_its_first_row_while_the_disk_is_full(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk
) -> None:
    """The first tick of the symbol was rejected, so it had no row when the file was closed because of the error."""
    rig = with_a_rule(make_rig, tick, disk)
    disk.fail("write", lambda: apsw.FullError("database or disk is full"))
    rig.put([tick("HK.00005", 2)])
    journal.wait_for("persist_failed")
    disk.repair()
    rig.wait_stored(2)
    rig.put([tick("HK.00700", 2)])
    rig.wait_stored(3)
    stop(rig)
    assert rig.query(DAY, _RULES) == [("HK.00005", "", None), ("HK.00700", "counter", 1)]


def test_a_rule_that_no_longer_holds_is_not_written_again(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk
) -> None:
    """A commit that was reported as failed has changed it: the earlier rule does not replace it afterwards."""
    rig = with_a_rule(make_rig, tick, disk)
    disk.fail("sync", apsw.IOError)
    rig.queue.put(Chunk(rows=[tick("HK.00700", 2)], rules=[RuleChange(_NUMBER, "HK.00700", "none", 0)]))
    journal.wait_for("persist_failed")
    disk.repair()
    rig.wait_stored(2)
    rig.put([tick("HK.00700", 3)])
    rig.wait_stored(3)
    stop(rig)
    assert rig.query(DAY, _RULES) == [("HK.00005", "", None), ("HK.00700", "none", None)]

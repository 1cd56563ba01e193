"""What the watchdog's judgement leads to, beside a writer that has its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.collect.conftest import NOW_MS, wait_until

from hk_tick_collector.collect.writing.current_writer import CurrentWriter
from hk_tick_collector.collect.writing.recovery import Recovery
from hk_tick_collector.collect.writing.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Journal, MakeRig

    from hk_tick_collector.model import TickRow

STALL_S: Final = 0.02


def test_a_writer_that_waits_for_a_copy_is_no_stall(
    make_rig: MakeRig, journal: Journal, tick: Callable[..., TickRow]
) -> None:
    """However short WATCHDOG_STALL_SEC is, and however long ticks wait: nobody lays hands on the writer."""
    rig = make_rig()
    current_writer = CurrentWriter(rig.queue, lambda _number, _fresh: rig.writer)
    watchdog = Watchdog(STALL_S, threshold_rows=1, max_failures=1)
    recovery = Recovery(watchdog, rig.queue, rig.opend, rig.stats, current_writer)
    rig.put([tick("HK.00700", 1)])
    wait_until(lambda: rig.queue.oldest_age_s() > 2 * STALL_S, "a tick that waits")
    rig.queue.storing.copy_held = True
    recovery.check(NOW_MS)
    assert not journal.events("WATCHDOG")
    rig.queue.storing.copy_held = False
    rig.opend.received += 1
    recovery.check(NOW_MS)
    assert "WATCHDOG persistent_stall" in journal.getvalue()

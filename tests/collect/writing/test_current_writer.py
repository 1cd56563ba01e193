"""The current writer thread, replaced when it is stuck."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.collect.conftest import CAP_S, NOW_MS, wait_until

from hk_tick_collector.collect.writing.current_writer import CurrentWriter
from hk_tick_collector.collect.writing.thread_handover import Beside
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import Instrument, Reconciled

from .days import DAY, TODAY, of_today

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import MakeRig

    from hk_tick_collector.model import TickRow


def test_a_writer_whose_thread_has_ended_is_noticed(make_rig: MakeRig) -> None:
    """The service ends then: ticks would no longer be stored."""
    rig = make_rig()
    current = CurrentWriter(rig.queue, lambda _number, _fresh: rig.writer)
    rig.writer.start()
    current.demand_alive()
    rig.writer.stop(time.monotonic() + CAP_S)
    with pytest.raises(StoreError, match="writer thread has ended"):
        current.demand_alive()


def test_the_current_writer_also_stores_data_that_is_no_tick(make_rig: MakeRig, tick: Callable[..., TickRow]) -> None:
    """A reconciliation, instruments, and rows of the predecessor that are no ticks: their caller is notified."""
    rig = make_rig()
    current = CurrentWriter(rig.queue, lambda _number, _fresh: rig.writer)
    row = Reconciled("lunch", "HK.00700", NOW_MS, 100, 1.5, 0, 0.0, 0, 0.0, None, None, "no_answer")
    stored = threading.Event()
    current.reconcile(TODAY, [row])
    current.keep_instruments(TODAY, [Instrument("HK.00700", "TENCENT", 100, "STOCK", True, None, 618.5, NOW_MS)])
    current.keep_beside(Beside(TODAY, [], {"predecessor": "a file"}, stored.set))
    rig.put(of_today(tick, 1))
    rig.writer.start()
    assert stored.wait(CAP_S)
    wait_until(lambda: rig.query(DAY, "SELECT count(*) FROM reconciliation") == [(1,)], "the reconciliation")
    wait_until(lambda: rig.query(DAY, "SELECT count(*) FROM instruments") == [(1,)], "the instrument")
    assert rig.query(DAY, "SELECT symbol, name, suspended FROM instruments") == [("HK.00700", "TENCENT", 1)]
    assert rig.query(DAY, "SELECT session, symbol, at_ms FROM reconciliation") == [("lunch", "HK.00700", NOW_MS)]
    assert rig.query(DAY, "SELECT value FROM meta WHERE key = 'predecessor'") == [("a file",)]

"""The current writer thread, replaced when it is stuck."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.collect.conftest import CAP_S

from hk_tick_collector.collect.writing.current_writer import CurrentWriter
from hk_tick_collector.errors import StoreError

if TYPE_CHECKING:
    from tests.collect.conftest import MakeRig


def test_a_writer_whose_thread_has_ended_is_noticed(make_rig: MakeRig) -> None:
    """The service ends then: ticks would only pile up."""
    rig = make_rig()
    current = CurrentWriter(rig.queue, lambda _number, _fresh: rig.writer)
    rig.writer.start()
    current.demand_alive()
    rig.writer.stop(time.monotonic() + CAP_S)
    with pytest.raises(StoreError, match="writer thread has ended"):
        current.demand_alive()

"""Short trials of the cluster for the ordinary suite. `make soak ARGS=--cluster` runs all trials at full length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cluster import scenarios

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.early
def test_hosts_die_in_turn_and_the_union_lacks_no_tick(tmp_path: Path) -> None:
    """Host a is killed with its server, collector and publish, later host b; `verify` finds every tick in the union."""
    outcome = scenarios.both_sources_down_in_turn(tmp_path, 3, 22.0)
    assert outcome.ok, outcome.line()
    assert outcome.faults == 2


@pytest.mark.early
def test_what_the_engine_loses_is_sent_again(tmp_path: Path) -> None:
    """All servers are set back by six seconds, then all their stores are deleted: acknowledged ticks are gone."""
    outcome = scenarios.lost_twice(tmp_path, 4, 20.0)
    assert outcome.ok, outcome.line()
    assert outcome.faults == 2


@pytest.mark.early
def test_the_same_fault_loses_ticks_without_the_anchor(tmp_path: Path) -> None:
    """The control: without the check of the anchor ticks are lost, so the test above proves something.

    Nothing is lost by a fault that comes when the market has ended, as on a busy machine: then the market is longer.
    """
    for seconds in (22.0, 60.0, 240.0):
        outcome = scenarios.without_anchor(tmp_path / f"{seconds:g}", 4, seconds)
        if not outcome.ok:
            break
    assert not outcome.ok, outcome.line()
    assert outcome.union.missing > 0

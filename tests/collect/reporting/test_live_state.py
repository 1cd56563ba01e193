"""The live state has the values of the parts, by name."""

from __future__ import annotations

from dataclasses import fields

import pytest

from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.reporting import live_state
from hk_tick_collector.collect.reporting.live_state import percentile
from hk_tick_collector.collect.storing_state import StoringState
from hk_tick_collector.ops.live.status import LiveStatus
from hk_tick_collector.stats import Stats

NAMED = ((live_state._OF_STATS, Stats), (live_state._OF_OPEND, OpenDState), (live_state._OF_STORING, StoringState))  # noqa: SLF001


@pytest.mark.parametrize(("names", "source"), NAMED)
def test_what_is_taken_over_by_name_is_in_both(names: tuple[str, ...], source: type) -> None:
    """And means the same there: the types agree."""
    told = {field.name: field.type for field in fields(LiveStatus)}
    here = {field.name: field.type for field in fields(source)}
    assert {name: told[name] for name in names} == {name: here[name] for name in names}


def test_nothing_is_taken_over_twice() -> None:
    """Each field has one source."""
    names = [name for each, _ in NAMED for name in each]
    assert len(names) == len(set(names))


def test_percentiles_are_of_what_was_measured() -> None:
    """None without values."""
    assert percentile([], 50) is None
    assert [percentile([3.0, 1.0, 2.0, 4.0], percent) for percent in (0, 50, 99)] == [1.0, 3.0, 4.0]

"""Who has a name: one publisher always stays, and it is the one that was there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.publishing.presence import NameTakenError, Publisher, demand_name

PUBLISHERS = st.builds(
    Publisher, st.just("a"), st.just("host"), st.just(1), st.integers(0, 2), st.sampled_from("xyz"), st.booleans()
)


@given(PUBLISHERS, PUBLISHERS)
def test_of_two_one_gives_up(one: Publisher, other: Publisher) -> None:
    """Never both, never none, unless they are the same."""
    gave_up = []
    for ours, theirs in ((one, other), (other, one)):
        try:
            demand_name(ours, theirs)
        except NameTakenError:
            gave_up.append(ours)
    assert len(gave_up) == (one != other)


def test_a_clock_an_hour_slow_does_not_end_the_publisher_that_runs() -> None:
    """The newcomer gives up although its clock says that it started first; the line names the other host."""
    running = Publisher("a", "host-1", 4711, 3_600_000, "x", publishes=True)
    newcomer = Publisher("a", "host-2", 17, 0, "y")
    demand_name(running, newcomer)
    with pytest.raises(NameTakenError, match=r"another publisher has the name a: host-1, pid 4711, since"):
        demand_name(newcomer, running)

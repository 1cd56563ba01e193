"""One gap."""

from __future__ import annotations

from hk_tick_collector.gaps.gap import OpenGap


def test_a_gap_has_a_size_and_a_doubt_has_none() -> None:
    """Bounds are included."""
    assert OpenGap(1, 5, 9, 5, 9, 0, 0, "push_lost", 0).missing == 5
    assert OpenGap(1, 0, 0, None, None, 0, 0, "restart", 0).missing is None

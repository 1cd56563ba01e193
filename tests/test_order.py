"""The order in which `make test` begins the tests."""

from __future__ import annotations

from tests.conftest import spread


def test_waiting_tests_are_spread_among_working_ones() -> None:
    """Each keeps its order; the first one that waits is the very first, and the last has others behind it."""
    some, others = ["a", "b", "c"], list("0123456789")
    assert "".join(spread(some, others, 6)) == "a01b23c456789"
    assert spread([], others, 6) == others
    assert spread(some, [], 0) == some
    assert "".join(sorted(spread(list("abcdefgh"), ["0", "1"], 1))) == "01abcdefgh"

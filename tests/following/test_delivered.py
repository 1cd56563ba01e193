"""Which ticks were delivered: it agrees with a set of sequences, and a whole day is a few numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.following.delivered import NOTHING, Delivered

SECOND = 1_795_138_200


def seq(counter: int) -> int:
    """A sequence as the feed makes them: ten ticks a second."""
    return (SECOND + counter // 10) << 32 | counter


@given(st.sets(st.integers(0, 60)), st.data())
def test_it_agrees_with_a_set(higher: set[int], data: st.DataObject) -> None:
    """Whatever comes in order and late: what it has, its number of ticks, and where others can lie."""
    known = sorted(higher)
    found = NOTHING.with_higher([seq(each) for each in known])
    late = data.draw(st.permutations(sorted(set(range(max(known, default=0))) - higher)))
    for part in (late[: len(late) // 2], late[len(late) // 2 :]):
        found = found.with_any([seq(each) for each in part])
        known += part
        assert [each for each in range(70) if seq(each) in found] == sorted(known)
        assert found.ticks == len(known)
        spaces = list(found.spaces())
        unknown = set(range(max(known, default=0))) - set(known)
        assert {each for each in unknown if any(above < seq(each) <= through for above, through in spaces)} == unknown
        assert not any(above < seq(each) <= through for each in known for above, through in spaces)


def test_a_day_without_gaps_is_one_stretch() -> None:
    """100,000 ticks in order, and the same with a late one: the position of a symbol stays a few numbers."""
    whole = NOTHING.with_higher([seq(each) for each in range(1, 100_001)])
    assert whole == Delivered((seq(1),), (seq(100_000),), 100_000)
    but_one = NOTHING.with_higher([seq(each) for each in range(1, 100_001) if each != 5_000])
    assert len(but_one.firsts) == 2
    assert but_one.with_any([seq(5_000)]) == whole

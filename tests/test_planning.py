"""Plans of symbols over hosts: quotas are never exceeded, copies are apart, and few symbols move."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.errors import CollectorError
from hk_tick_collector.planning import make_plan

HOSTS: Final = ("a", "b", "c", "d", "e")
FULL_MOVES: Final = 3  # moves for each subscription of a lost host, where quotas leave no room; measured: at most 2


def symbols(count: int) -> list[str]:
    return [f"HK.{number:05}" for number in range(1, count + 1)]


def pairs(plan: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    return {(symbol, host) for host, names in plan.items() for symbol in names}


def most_symbols(quotas: dict[str, int], copies: int) -> int:
    """The longest list that fits, found by trying: not by the rule of the code."""
    count = 0
    while sum(min(quota, count + 1) for quota in quotas.values()) >= copies * (count + 1):
        count += 1
    return count


quotas_of_hosts = st.dictionaries(st.sampled_from(HOSTS), st.integers(1, 60), min_size=3, max_size=5)


@given(quotas=quotas_of_hosts, copies=st.integers(1, 2), share=st.floats(0.1, 1.0))
def test_every_symbol_has_its_copies_and_no_quota_is_exceeded(
    quotas: dict[str, int], copies: int, share: float
) -> None:
    """Also where the quotas are used up to the last subscription; two copies are on two hosts."""
    names = symbols(max(1, int(share * most_symbols(quotas, copies))))
    plan = make_plan(names, quotas, copies)
    assert {host: len(plan[host]) <= quota for host, quota in quotas.items()} == dict.fromkeys(quotas, True)
    assert all(len(set(found)) == len(found) for found in plan.values())
    on = [sum(name in found for found in plan.values()) for name in names]
    assert on == [copies] * len(names)


@given(quotas=quotas_of_hosts, copies=st.integers(1, 2), share=st.floats(0.1, 1.0), lost=st.integers(0, 4))
def test_few_symbols_move_when_a_host_is_lost_or_added(
    quotas: dict[str, int], copies: int, share: float, lost: int
) -> None:
    """Where no quota is used up only those of that host move. Otherwise a few more do. Both ways: lost and back."""
    gone = sorted(quotas)[lost % len(quotas)]
    left = {host: quota for host, quota in quotas.items() if host != gone}
    names = symbols(max(1, int(share * most_symbols(left, copies))))
    before, after = make_plan(names, quotas, copies), make_plan(names, left, copies)
    of_lost = {pair for pair in pairs(before) if pair[1] == gone}
    came, went = pairs(after) - pairs(before), pairs(before) - pairs(after)
    assert len(came) <= FULL_MOVES * len(of_lost)
    if all(len(plan[host]) < quotas[host] for plan in (before, after) for host in plan):
        assert went == of_lost
        assert len(came) == len(of_lost)


@given(quotas=quotas_of_hosts, copies=st.integers(1, 2), order=st.randoms(use_true_random=False))
def test_the_plan_depends_on_nothing_but_names_and_quotas(quotas: dict[str, int], copies: int, order: object) -> None:
    """Every host that computes it finds the same, whatever the order of the list and of the hosts."""
    names = symbols(most_symbols(quotas, copies))
    plan = make_plan(names, quotas, copies)
    shuffled, hosts = list(names), list(quotas)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    order.shuffle(hosts)  # type: ignore[attr-defined]
    assert make_plan(shuffled, {host: quotas[host] for host in hosts}, copies) == plan


def test_hosts_get_symbols_in_proportion_to_their_quotas() -> None:
    """Twice the quota is twice the symbols, within what chance does."""
    plan = make_plan(symbols(1500), {"a": 2000, "b": 1000})
    assert len(plan["a"]) == pytest.approx(1000, rel=0.1)


def test_a_new_symbol_moves_no_other() -> None:
    """A listing of today does not change what the hosts collect besides, while they have quota left."""
    quotas = {"a": 1000, "b": 1000, "c": 1000}
    before, after = make_plan(symbols(1000), quotas, 2), make_plan(symbols(1001), quotas, 2)
    assert {symbol for symbol, _ in pairs(before) ^ pairs(after)} == {"HK.01001"}


@pytest.mark.parametrize(
    ("quotas", "copies", "count", "named"),
    [
        ({"a": 10, "b": 5}, 1, 16, "1 are missing"),
        ({"a": 100, "b": 5}, 2, 10, "5 are missing"),  # the quota of a cannot hold second copies
        ({"a": 100}, 2, 10, "2 copies need 2 hosts"),
        ({}, 1, 10, "no host is left"),
    ],
)
def test_quotas_that_are_too_small_are_refused(quotas: dict[str, int], copies: int, count: int, named: str) -> None:
    """With what is missing; nothing is dropped in silence."""
    with pytest.raises(CollectorError) as refused:
        make_plan(symbols(count), quotas, copies)
    assert named in refused.value.one_line()

"""Symbols of refused batches: all are settled, with few requests where few of them are refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.collect.connection.refused_batches import Sieve


def settle(symbols: list[str], refused: set[str], *, holds_refused: bool) -> tuple[set[str], int]:
    """Asks for groups until nothing is left, as `subscribe` does; the symbols that are refused, and how many groups."""
    sieve, found, settled, requests = Sieve(), set[str](), 0, 0
    sieve.add(symbols, holds_refused=holds_refused)
    while sieve:
        group = sieve.take(len(found), settled)
        requests += 1
        assert group
        if refused.isdisjoint(group):
            settled += len(group)
            last = sieve.accepted()
        else:
            sieve.failed()
            last = group[0] if len(group) == 1 else None
            if len(group) > 1:
                sieve.add(group, holds_refused=True)
        if last is not None:
            found.add(last)
            settled += 1
        assert requests < 10 * len(symbols)
    return found, requests


@given(st.integers(2, 100), st.sets(st.integers(0, 99), max_size=100))
def test_exactly_the_refused_symbols_are_found(count: int, numbers: set[int]) -> None:
    """For any set of them; if all but one of a group are accepted, the last one is refused without a request."""
    symbols = [f"HK.{number:05d}" for number in range(count)]
    refused = {symbols[number] for number in numbers if number < count}
    assert settle(symbols, refused, holds_refused=bool(refused))[0] == refused


def test_few_refused_symbols_need_few_requests() -> None:
    """One of a hundred is found by halving: no single symbol is requested before."""
    symbols = [f"HK.{number:05d}" for number in range(100)]
    for number in range(0, 100, 9):
        assert settle(symbols, {symbols[number]}, holds_refused=True)[1] <= 20


def test_unsettled_symbols_are_reported() -> None:
    """Also the rest of a group that was being tried."""
    sieve = Sieve()
    symbols = [f"HK.{number:05d}" for number in range(10)]
    sieve.add(symbols[:6], holds_refused=True)
    sieve.add(symbols[6:], holds_refused=False)
    assert sorted(sieve.rest()) == symbols
    group = sieve.take(1, 20)
    assert sorted([*group, *sieve.rest()]) == symbols
    sieve.failed()
    assert sorted([*group, *sieve.rest()]) == symbols
    assert not Sieve()

"""Quota and subscriptions follow the vendor's rules."""

from __future__ import annotations

import pytest

from hk_tick_collector.errors import OpenDError
from hk_tick_collector.simulator.gateway.account import Account, Subscription

ONE, TWO, THREE = (Subscription(place, 4) for place in range(3))


def test_a_batch_beyond_the_quota_fails_whole() -> None:
    """No symbol of it is subscribed."""
    account = Account(quota=2)
    account.subscribe(1, [ONE], 0)
    with pytest.raises(OpenDError, match="quota"):
        account.subscribe(1, [TWO, THREE], 0)
    assert list(account.held(1)) == [ONE]
    assert account.used(0) == 1


def test_what_two_connections_hold_counts_once() -> None:
    """OpenD itself subscribes once."""
    account = Account(quota=1)
    account.subscribe(1, [ONE], 0)
    account.subscribe(2, [ONE], 0)
    assert account.used(0) == 1


def test_unsubscribing_waits_a_minute() -> None:
    """Before that, it fails and changes nothing; to subscribe again does not restart the minute."""
    account = Account(quota=5)
    account.subscribe(1, [ONE], 100)
    account.subscribe(1, [ONE, TWO], 130)
    with pytest.raises(OpenDError, match="60 s"):
        account.unsubscribe(1, [ONE, TWO], 165)
    assert set(account.held(1)) == {ONE, TWO}
    account.unsubscribe(1, [ONE], 165)
    assert set(account.held(1)) == {TWO}


def test_quota_stays_used_until_the_minute_of_a_closed_connection_is_over() -> None:
    """After the minute it is free again; before, another connection can take it over."""
    account = Account(quota=1)
    account.subscribe(1, [ONE], 0)
    account.leave(1, 10)
    account.subscribe(2, [ONE], 20)
    account.leave(2, 30)
    with pytest.raises(OpenDError, match="quota"):
        account.subscribe(3, [TWO], 79)
    account.subscribe(3, [TWO], 81)
    assert account.used(81) == 1

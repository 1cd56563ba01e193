"""Subscriptions and their quota, by the vendor's rules.

A subscription is a security and a type of data, and counts once however many connections hold it. It can be given up
a minute after it was taken and not before; a connection that closes earlier leaves its share of the quota used until
that minute is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import OpenDError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MIN_HOLD_S: Final = 60.0


class Subscription(NamedTuple):
    """One security and one type of data (Qot_Common.SubType)."""

    security: int  # its place in the listing
    sub_type: int


class Account:
    """What every connection of one OpenD is subscribed to. Times are any monotonic clock in seconds."""

    def __init__(self, quota: int, min_hold_s: float = MIN_HOLD_S) -> None:
        self.quota = quota
        self._min_hold_s = min_hold_s
        self._held: dict[int, dict[Subscription, float]] = {}  # by connection, with the moment of subscribing
        self._left: dict[Subscription, float] = {}  # given up by a closed connection, used until then

    def subscribe(self, connection: int, wanted: Collection[Subscription], now_s: float) -> None:
        """Takes all of `wanted` or, with an OpenDError, none."""
        in_use = self._in_use(now_s)
        fresh = {subscription for subscription in wanted if subscription not in in_use}
        if len(in_use) + len(fresh) > self.quota:
            raise OpenDError(
                f"Insufficient subscription quota: {self.quota - len(in_use)} left of {self.quota}, {len(fresh)} needed"
            )
        held = self._held.setdefault(connection, {})
        for subscription in wanted:
            held.setdefault(subscription, now_s)

    def unsubscribe(self, connection: int, unwanted: Collection[Subscription], now_s: float) -> None:
        """Gives up all of `unwanted` or, with an OpenDError, none; what is not held is passed over."""
        held = self._held.get(connection, {})
        if any(now_s - held[subscription] < self._min_hold_s for subscription in unwanted if subscription in held):
            raise OpenDError(f"Unsubscribing is allowed {self._min_hold_s:.0f} s after subscribing")
        for subscription in unwanted:
            held.pop(subscription, None)

    def leave(self, connection: int, now_s: float) -> None:
        """A connection closed; what it took within the last minute stays used until the minute is over."""
        for subscription, since_s in self._held.pop(connection, {}).items():
            until_s = since_s + self._min_hold_s
            if until_s > now_s:
                self._left[subscription] = max(until_s, self._left.get(subscription, 0.0))

    def lose(self, places: Collection[int]) -> None:
        """Every connection loses what it holds of these places in the listing, without a word."""
        for held in self._held.values():
            for subscription in [subscription for subscription in held if subscription.security in places]:
                del held[subscription]

    def held(self, connection: int) -> Mapping[Subscription, float]:
        """What one connection is subscribed to, each with its moment of subscribing."""
        return self._held.get(connection, {})

    def connections(self) -> list[int]:
        """The connections that hold anything."""
        return [connection for connection, held in self._held.items() if held]

    def used(self, now_s: float) -> int:
        """How much of the quota is used."""
        return len(self._in_use(now_s))

    def _in_use(self, now_s: float) -> set[Subscription]:
        self._left = {subscription: until_s for subscription, until_s in self._left.items() if until_s > now_s}
        return set(self._left).union(*self._held.values())

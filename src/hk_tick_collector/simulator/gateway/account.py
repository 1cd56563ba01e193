"""Subscriptions and their quota, by the vendor's rules.

A subscription is a security and a type of data; it counts once for all connections. It can be given up one minute after
it was made, not before. If a connection closes earlier, its share of the quota remains used until that minute is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import OpenDError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MIN_HOLD_S: Final = 60.0


class Subscription(NamedTuple):
    """One security and one type of data (Qot_Common.SubType)."""

    security: int  # its position in the listing
    sub_type: int


class Account:
    """The subscriptions of every connection of one OpenD. Times are from any monotonic clock, in seconds."""

    def __init__(self, quota: int, min_hold_s: float = MIN_HOLD_S) -> None:
        self.quota = quota
        self._min_hold_s = min_hold_s
        self._held: dict[int, dict[Subscription, float]] = {}  # by connection, with the time of the subscription
        self._left: dict[Subscription, float] = {}  # of a closed connection, used until this time

    def subscribe(self, connection: int, wanted: Collection[Subscription], now_s: float) -> None:
        """Subscribes to all of `wanted`; if that raises OpenDError, to none."""
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
        """Gives up all of `unwanted`; if that raises OpenDError, none. Subscriptions that do not exist are ignored."""
        held = self._held.get(connection, {})
        if any(now_s - held[subscription] < self._min_hold_s for subscription in unwanted if subscription in held):
            raise OpenDError(f"Unsubscribing is allowed {self._min_hold_s:.0f} s after subscribing")
        for subscription in unwanted:
            held.pop(subscription, None)

    def leave(self, connection: int, now_s: float) -> None:
        """A connection closed; what it subscribed to within the last minute remains used until the minute is over."""
        for subscription, since_s in self._held.pop(connection, {}).items():
            until_s = since_s + self._min_hold_s
            if until_s > now_s:
                self._left[subscription] = max(until_s, self._left.get(subscription, 0.0))

    def lose(self, places: Collection[int]) -> None:
        """Removes these positions of the listing from every connection, without a notice."""
        for held in self._held.values():
            for subscription in [subscription for subscription in held if subscription.security in places]:
                del held[subscription]

    def held(self, connection: int) -> Mapping[Subscription, float]:
        """The subscriptions of one connection, each with its time."""
        return self._held.get(connection, {})

    def connections(self) -> list[int]:
        """The connections with a subscription."""
        return [connection for connection, held in self._held.items() if held]

    def used(self, now_s: float) -> int:
        """The used part of the quota."""
        return len(self._in_use(now_s))

    def _in_use(self, now_s: float) -> set[Subscription]:
        self._left = {subscription: until_s for subscription, until_s in self._left.items() if until_s > now_s}
        return set(self._left).union(*self._held.values())

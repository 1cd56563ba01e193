"""Which host collects which symbols: from quotas and a list of symbols to one list of symbols per host.

Weighted rendezvous hashing: each pair of a symbol and a host has a score that depends on nothing else than their names
and the host's quota. Pairs are taken in descending order of their score, while the symbol needs a copy and the host has
quota left. So the same quotas give the same plan on every machine, whatever the earlier plans were, and a
host that is added or lost moves few symbols. No I/O.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from .errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_COPIES: Final = 2  # `_exchange` relies on it

_HASHES: Final = 1 << 64


def make_plan(symbols: Iterable[str], quotas: Mapping[str, int], copies: int = 1) -> dict[str, tuple[str, ...]]:
    """The symbols of each host of `quotas`, sorted. No quota is exceeded; two copies are on two hosts.

    `copies` is 1 or 2, else ValueError. Raises CollectorError if the quotas are too small: its hint says how many
    subscriptions are missing.
    """
    names = sorted(set(symbols))
    if not 1 <= copies <= MAX_COPIES:
        raise ValueError(f"copies={copies} is neither 1 nor {MAX_COPIES}")
    _require_quota(len(names), quotas, copies)
    hosts_of: dict[str, set[str]] = {name: set() for name in names}
    free = dict(quotas)
    pairs = ((_score(name, host, quota), name, host) for host, quota in quotas.items() for name in names)
    for _, name, host in sorted(pairs, reverse=True):
        if free[host] and len(hosts_of[name]) < copies:
            hosts_of[name].add(host)
            free[host] -= 1
    for name in names:
        if len(hosts_of[name]) < copies:
            _exchange(name, hosts_of, free, quotas)
    return {host: tuple(name for name in names if host in hosts_of[name]) for host in quotas}


def _require_quota(symbols: int, quotas: Mapping[str, int], copies: int) -> None:
    if len(quotas) < copies:
        if not quotas:
            raise CollectorError("no host is left", hint="name another host in --quota")
        raise CollectorError(
            f"{copies} copies need {copies} hosts, and only {', '.join(quotas)} is left",
            hint="name another host in --quota, or use --copies 1",
        )
    # A host holds each symbol once, so quota above the number of symbols is of no use: the second copy is elsewhere.
    usable, needed = sum(min(quota, symbols) for quota in quotas.values()), symbols * copies
    if usable < needed:
        listed = ",".join(f"{host}={quota}" for host, quota in quotas.items())
        raise CollectorError(
            f"{symbols:,} symbols{f' on {copies} hosts each' if copies > 1 else ''} need {needed:,} subscriptions, and"
            f" {listed} can hold {usable:,} of them",
            hint=f"{needed - usable:,} are missing: add a host or quota, "
            + ("use --copies 1, or " if copies > 1 else "or ")
            + "take symbols off the list",
        )


def _score(symbol: str, host: str, weight: int) -> float:
    """The higher, the better the host fits: the winner of a symbol is a host with probability weight / all weights."""
    digest = blake2b(f"{host}\0{symbol}".encode(), digest_size=8).digest()
    return math.log((int.from_bytes(digest, "big") + 0.5) / _HASHES) / weight


def _exchange(symbol: str, hosts_of: dict[str, set[str]], free: dict[str, int], quotas: Mapping[str, int]) -> None:
    """Places the second copy of a symbol whose only host is the only one with quota left.

    Another symbol moves one of its copies to the host with quota left, and this symbol takes the freed place. There is
    such a symbol: `_require_quota` has shown that not every symbol is on the host with quota left, and one that is not
    there has both its copies on two other hosts.
    """
    (roomy,) = (host for host, rest in free.items() if rest)
    best = max(
        (_score(other, roomy, quotas[roomy]) - _score(other, full, quotas[full]), other, full)
        for other, hosts in hosts_of.items()
        if roomy not in hosts
        for full in hosts
    )
    _, other, full = best
    hosts_of[other] ^= {full, roomy}
    hosts_of[symbol].add(full)
    free[roomy] -= 1

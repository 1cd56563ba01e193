"""WEB_TOKEN: comparison in constant time, sessions of browsers, and a limit on wrong tokens. No I/O.

A session is a cookie of the form `EXPIRY.MAC`. It is made from the token, so nothing is stored: it survives a restart
of the page, and another token ends every session.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from typing import Final

SESSION_S: Final = 30 * 86_400
_ADDRESSES: Final = 1024  # whose wrong tokens are remembered
_BURST: Final = 5.0  # wrong tokens that an address may try at once
_EVERY_S: Final = 12.0  # and then one in this time
_NETWORK_BITS: Final = 64  # one IPv6 host has all addresses of such a network


class Token:
    """The token that opens the page."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._key = hashlib.sha256(b"session of hk-tick-collector web: " + token.encode()).digest()

    def is_right(self, given: str) -> bool:
        """Compares in constant time: digests have one length, whatever was given."""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(digest, self._digest)

    def session(self, now_s: float) -> str:
        """A new session's cookie; `now_s` is UTC epoch seconds."""
        expiry = str(int(now_s) + SESSION_S)
        return f"{expiry}.{self._mac(expiry)}"

    def is_session(self, cookie: str, now_s: float) -> bool:
        """Whether a cookie was made with this token and has not expired."""
        expiry, _, mac = cookie.partition(".")
        if not hmac.compare_digest(mac.encode("utf-8", "surrogateescape"), self._mac(expiry).encode()):
            return False
        return int(expiry) > now_s

    def _mac(self, expiry: str) -> str:
        return hmac.new(self._key, expiry.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


class Attempts:
    """The wrong tokens of each address: five at once, then one every twelve seconds. Memory is bounded.

    An address that must wait is refused even with the right token; sessions are not affected.
    """

    def __init__(self) -> None:
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address → tries spent, as of when (s)

    def wait_s(self, address: str, now_s: float) -> float:
        """How long this address must wait before its next try; `now_s` is a monotonic clock (s)."""
        spent = self._left_over(_network(address), now_s)
        return max(0.0, (spent - _BURST + 1) * _EVERY_S)

    def failed(self, address: str, now_s: float) -> None:
        """Counts a wrong token."""
        who = _network(address)
        self._spent[who] = self._left_over(who, now_s) + 1, now_s
        self._spent.move_to_end(who)
        if len(self._spent) > _ADDRESSES:
            self._spent.popitem(last=False)

    def _left_over(self, who: str, now_s: float) -> float:
        spent, as_of_s = self._spent.get(who, (0.0, now_s))
        return max(0.0, spent - (now_s - as_of_s) / _EVERY_S)


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, _NETWORK_BITS), strict=False))
    return str(ip)

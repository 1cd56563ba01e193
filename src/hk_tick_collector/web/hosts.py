"""Which names a browser may use for this page: a guard against DNS rebinding. Pure.

Another site can point its own name at this host's address; the browser then lets its page read ours. It still sends
its own name in `Host`, so a request under a name that is not ours is refused. An IP address cannot be pointed
elsewhere, so every address is accepted.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALWAYS: Final = ("localhost",)
_LONGEST: Final = 255


def names_of(address: str, given: Iterable[str], own: Iterable[str]) -> frozenset[str]:
    """The accepted names: `localhost`, the host of WEB_ADDR, those of WEB_HOSTS, and this host's own names."""
    return frozenset(name.lower().rstrip(".") for name in (*_ALWAYS, address, *given, *own) if name)


def is_ours(header: str, names: frozenset[str]) -> bool:
    """Whether the value of a `Host` header names this page: an IP address or one of `names`, with any port."""
    host = _host_of(header)
    return bool(host) and (is_ip(host) or host in names)


def is_loopback(host: str) -> bool:
    """Whether only this host can reach an address: a loopback IP address, or `localhost`."""
    return ipaddress.ip_address(host).is_loopback if is_ip(host) else host.lower() == "localhost"


def is_ip(host: str) -> bool:
    """Whether a host is an IP address, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host_of(header: str) -> str:
    """The host of `HOST`, `HOST:PORT` or `[IPV6]:PORT`; empty for anything else."""
    if len(header) > _LONGEST:
        return ""
    if header.startswith("["):
        host, bracket, port = header[1:].partition("]")
        return host if bracket and ":" in host and (not port or _is_port(port)) else ""
    host, colon, port = header.partition(":")
    if colon and not _is_port(f":{port}"):
        return ""
    return host.lower().rstrip(".")


def _is_port(text: str) -> bool:
    return text.startswith(":") and len(text) <= 6 and text[1:].isascii() and (text[1:].isdigit() or text == ":")

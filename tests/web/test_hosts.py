"""Names under which the page may be opened."""

from __future__ import annotations

import pytest

from hk_tick_collector.web.hosts import is_loopback, is_ours, names_of

NAMES = names_of("10.0.0.5", ("ticks.internal", "Desk."), ("vm",))


@pytest.mark.parametrize(
    "header",
    [
        "localhost",
        "LOCALHOST:9110",
        "127.0.0.1:9110",
        "192.168.1.7",
        "[::1]:9110",
        "[2001:db8::1]",
        "ticks.internal:9110",
        "ticks.internal.",
        "desk",
        "vm",
    ],
)
def test_own_names_and_every_address_are_accepted(header: str) -> None:
    """An IP address in `Host` cannot have been pointed here by somebody else's name server."""
    assert is_ours(header, NAMES)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:9110",
        "vm@evil.example",
        "localhost:port",
        "localhost:99999999",
        "[::1",
        "[localhost]",
        "::1",
        "x" * 300,
    ],
)
def test_every_other_name_is_foreign(header: str) -> None:
    """DNS rebinding: the page of another site may reach this port, but only under its own name."""
    assert not is_ours(header, NAMES)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.7", "vm", "localhost.example")],
)
def test_only_a_loopback_address_needs_no_token(host: str, is_local: bool) -> None:
    """0.0.0.0 listens everywhere; a name may lead anywhere."""
    assert is_loopback(host) == is_local

"""WEB_TOKEN: sessions, and the limit on wrong tokens."""

from __future__ import annotations

import pytest

from hk_tick_collector.web.tokens import SESSION_S, Attempts, Token

TOKEN = Token("correct-horse-battery")
NOW_S = 1_790_000_000.0


def test_only_the_token_itself_is_right() -> None:
    """Neither a part of it, nor a longer one, nor bytes that are no text."""
    assert TOKEN.is_right("correct-horse-battery")
    for wrong in ("", "correct-horse-batter", "correct-horse-battery ", "Correct-horse-battery", "\udcff", "中"):
        assert not TOKEN.is_right(wrong)


def test_a_session_lasts_thirty_days_and_not_beyond_its_token() -> None:
    """It survives a restart of the page; another WEB_TOKEN ends it."""
    cookie = TOKEN.session(NOW_S)
    assert Token("correct-horse-battery").is_session(cookie, NOW_S + SESSION_S - 1)
    assert not TOKEN.is_session(cookie, NOW_S + SESSION_S + 1)
    assert not Token("another-token-of-16").is_session(cookie, NOW_S)


@pytest.mark.parametrize("cookie", ["", ".", "x.y", "9999999999.", "9999999999.00", "\udcff.\udcff", "0" * 5000])
def test_a_cookie_that_we_did_not_make_is_no_session(cookie: str) -> None:
    """Whatever a browser sends."""
    assert not TOKEN.is_session(cookie, NOW_S)


def test_a_session_cannot_be_prolonged() -> None:
    """The expiry is part of what is signed."""
    expiry, _, mac = TOKEN.session(NOW_S).partition(".")
    assert not TOKEN.is_session(f"{int(expiry) + 1}.{mac}", NOW_S)


def test_wrong_tokens_are_limited_for_each_address() -> None:
    """Five at once, then one every twelve seconds; others are not affected."""
    attempts = Attempts()
    for _ in range(5):
        assert attempts.wait_s("10.0.0.9", 100.0) == 0
        attempts.failed("10.0.0.9", 100.0)
    assert attempts.wait_s("10.0.0.9", 100.0) == 12.0
    assert attempts.wait_s("10.0.0.9", 112.0) == 0
    attempts.failed("10.0.0.9", 112.0)
    assert attempts.wait_s("10.0.0.9", 112.0) == 12.0
    assert attempts.wait_s("10.0.0.10", 112.0) == 0


def test_one_ipv6_host_is_one_address() -> None:
    """It has a network of them."""
    attempts = Attempts()
    for number in range(5):
        attempts.failed(f"2001:db8::{number}", 0.0)
    assert attempts.wait_s("2001:db8::ffff", 0.0) > 0
    assert attempts.wait_s("2001:db8:0:1::1", 0.0) == 0


def test_the_memory_of_wrong_tokens_is_bounded() -> None:
    """The oldest is forgotten."""
    attempts = Attempts()
    for number in range(5000):
        attempts.failed(f"10.1.{number // 250}.{number % 250}", 0.0)
    assert len(attempts._spent) == 1024  # noqa: SLF001 - nothing outside shows how much it remembers

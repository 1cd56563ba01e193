"""The rule for text from outside: one line, no character that a terminal obeys, none that is invisible."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("訂閱額度不足 (quota)", "訂閱額度不足 (quota)"),
        ("a\nb\r\n\tc\u2028d\u3000e\xa0f", "a b   c d e f"),
        ("\x1b[2J\x07\x9b31m", "\\x1b[2J\\x07\\x9b31m"),
        ("safe\u202eelif\u2066x\u200b\ufeff", "safe\\u202eelif\\u2066x\\u200b\\ufeff"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\ud83d", "\\ud83d"),
        (None, "None"),
    ],
)
def test_control_characters_are_shown_as_codes(text: object, shown: str) -> None:
    """White space becomes a blank; control and invisible characters are escaped."""
    assert plain(text) == shown


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    """No control, format or surrogate character, one line; cleaning it again changes nothing."""
    shown = plain(text)
    assert len((shown + "x").splitlines()) == 1
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert plain(shown) == shown
    shown.encode()

"""Keys from the bytes of a terminal, in any pieces."""

from __future__ import annotations

import pytest

from hk_tick_collector.cli.live_view.keys import Keys

PRESSED = b"q\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[1;5C\r\x7f\x1b[H/\xe8\xa8\x82?"
NAMES = ["q", "up", "down", "pageup", "pagedown", "enter", "backspace", "home", "/", "?"]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_keys_are_the_same_in_pieces_of_any_size(size: int) -> None:
    """Unknown keys and characters beyond ASCII are left out."""
    keys = Keys()
    found = [key for at in range(0, len(PRESSED), size) for key in keys.feed(PRESSED[at : at + size])]
    assert found == NAMES
    assert not keys.waits


def test_a_lone_escape_is_a_key_once_nothing_follows() -> None:
    """It may be the beginning of another key, so it waits."""
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.waits
    assert keys.flush() == ["escape"]
    assert keys.feed(b"\x1bq") == ["escape", "q"]


def test_garbage_does_not_grow() -> None:
    """A beginning without an end is given up."""
    keys = Keys()
    keys.feed(b"\x1b[" + b"1" * 500)
    assert len(keys.flush()) <= 600
    assert not keys.waits

"""What keys do."""

from __future__ import annotations

import pytest
from tests.cli.live_view.scenes import symbol

from hk_tick_collector.cli.live_view.choice import ORDERS, Choice, Page
from hk_tick_collector.cli.live_view.history import History

SYMBOLS = [
    symbol(1, rows=5, turnover=9.0, last_ts_ms=3, expected=5),
    symbol(2, rows=7, turnover=1.0, last_ts_ms=1, expected=17),
    symbol(3, rows=1, turnover=5.0, last_ts_ms=2, expected=None),
]
NAMES = [each.symbol for each in SYMBOLS]


def pressed(*keys: str) -> Choice:
    """The choice after these keys."""
    choice = Choice()
    for key in keys:
        assert choice.press(key, NAMES)
    return choice


@pytest.mark.parametrize(
    ("order", "first"), [("rate", 3), ("ticks", 2), ("turnover", 1), ("missing", 2), ("last", 1), ("symbol", 1)]
)
def test_each_order_has_its_largest_first(order: str, first: int) -> None:
    """And `r` turns it round."""
    history = History()
    history.add("d", 0.0, SYMBOLS)
    history.add("d", 1.0, [SYMBOLS[0], SYMBOLS[1], SYMBOLS[2]._replace(rows=9)])
    choice = pressed(*"s" * list(ORDERS).index(order))
    assert choice.order == order
    assert choice.sorted(SYMBOLS, history)[0].symbol == NAMES[first - 1]
    straight = [each.symbol for each in choice.sorted(SYMBOLS, history)]
    choice.press("r", NAMES)
    assert [each.symbol for each in choice.sorted(SYMBOLS, history)] == straight[::-1]


def test_a_symbol_is_chosen_looked_at_and_left() -> None:
    """Without a chosen one Enter takes the first."""
    assert pressed("enter").symbol == NAMES[0]
    choice = pressed("down", "down", "enter")
    assert (choice.page, choice.symbol) == (Page.SYMBOL, NAMES[1])
    choice.press("j", NAMES)
    assert choice.symbol == NAMES[2]
    choice.press("escape", NAMES)
    assert choice.page is Page.ALL
    assert pressed("end").symbol == NAMES[-1]
    assert pressed("down", "up", "up", "k").symbol == NAMES[0]


def test_a_symbol_is_found_by_a_part_of_its_name() -> None:
    """While typing no other key acts: `q` is a letter."""
    choice = pressed("/", "q", "backspace", "0", "3")
    assert choice.symbol == NAMES[2]
    choice.press("enter", NAMES)
    assert choice.search is None
    assert not choice.press("q", NAMES)


def test_help_and_findings_scroll_and_end() -> None:
    """`?` and `f` again, or Esc, go back; without symbols no key fails."""
    choice = pressed("?", "down", "pagedown")
    assert (choice.page, choice.scrolled) == (Page.HELP, 11)
    assert pressed("?", "?").page is Page.ALL
    assert pressed("f", "f").page is Page.ALL
    assert pressed("f", "escape").page is Page.ALL
    empty = Choice()
    for key in ("enter", "down", "end", "/", "7", "enter", "s", "r", "f", "up", "?", "\x00"):
        assert empty.press(key, [])

"""Lines of a terminal: how wide they are, and where they may be broken."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from tests.cli.live_view.scenes import figures, texts

from hk_tick_collector.cli.live_view.cells import (
    broken,
    columns,
    cropped,
    flow,
    line,
    padded,
    shortened,
    width_of,
    wrapped,
)

NUMBER = re.compile(r"[0-9.,:-]+")
WORDS = st.text(st.sampled_from("abc /-_.,:12345 訂閱，。（）"), max_size=120)


def test_a_chinese_character_takes_two_columns_and_an_accent_none() -> None:
    """As terminals do; padding counts columns too."""
    assert [columns(text) for text in ("HK", "訂閱", "e\u0301", "（a）")] == [2, 4, 1, 5]
    assert padded("訂", 4) == "訂  "
    assert padded("12", 4, right=True) == "  12"


@given(WORDS, st.integers(12, 60))
def test_any_text_is_broken_into_lines_that_fit_with_all_its_numbers(text: str, width: int) -> None:
    """No character but blanks is lost, and no number that fits into a line is cut."""
    lines = wrapped(text, width)
    assert all(columns(each) <= width for each in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if all(len(number) < width for number in NUMBER.findall(text)):
        assert NUMBER.findall(" ".join(lines)) == NUMBER.findall(text)


def test_a_line_is_broken_at_blanks_marks_and_chinese_characters_but_not_in_a_number() -> None:
    """The places a reader expects."""
    assert wrapped("lost 1,234,567 ticks", 10) == ["lost", "1,234,567", "ticks"]
    assert wrapped("/data/sqlite/HK/20261120.db", 18) == ["/data/sqlite/HK/", "20261120.db"]
    assert wrapped("欠 1,234,567 筆，請看", 12) == ["欠 1,234,567", "筆，請看"]
    assert wrapped("", 10) == [""]


def test_a_text_is_shortened_without_a_part_of_a_number() -> None:
    """`…` never follows a digit."""
    assert shortened("stored 1,234,567 of it", 12) == "stored…"
    assert shortened("1,234,567", 5) == "…"
    assert shortened("short", 5) == "short"


def test_items_flow_and_one_that_fits_is_not_broken() -> None:
    """Two blanks between them; styles stay with their text."""
    items = [line(("rate ", "dim"), "1,000/s"), line(("lag ", "dim"), "0.4 s"), line("queue 5 of 1,000,000 rows")]
    lines = flow(items, 28)
    assert texts(lines) == ["rate 1,000/s  lag 0.4 s", "queue 5 of 1,000,000 rows"]
    assert all(width_of(each) <= 28 for each in lines)
    assert [span.style for span in broken(line(("aaa bbb", "bold"), " ccc"), 5)[1]] == ["bold"]
    assert figures(texts(lines)) == {"1,000/s", "0.4", "5", "1,000,000"}


def test_a_narrower_terminal_shows_the_left_part() -> None:
    """Never half a Chinese character."""
    assert texts([cropped(line("ab", "訂閱", "c"), 5)]) == ["ab訂"]


def test_text_from_outside_is_printable() -> None:
    """Escape codes and line breaks act on no terminal."""
    assert texts([line("\33[2J\n訂\u202e")]) == ["\\x1b[2J 訂\\u202e"]

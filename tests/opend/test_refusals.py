"""Why OpenD refuses, from its text in any form."""

from __future__ import annotations

import pytest

from hk_tick_collector.opend.refusals import (
    OTHER,
    QUOTA,
    QUOTE_RIGHT,
    TEMPORARY,
    Group,
    cause_of,
    groups,
    named_in,
    pattern_of,
    without_codes,
)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("No right to subscribe 00700", QUOTE_RIGHT),
        ("此股票無行情權限", QUOTE_RIGHT),
        ("没有权限", QUOTE_RIGHT),
        ("No quote rights for HK.00700", QUOTE_RIGHT),
        ("Permission denied", QUOTE_RIGHT),
        ("無權訂閱 00700", QUOTE_RIGHT),
        ("无权订阅该股票", QUOTE_RIGHT),
        ("您未開通港股 LV2 行情", QUOTE_RIGHT),
        ("请先购买行情卡", QUOTE_RIGHT),
        ("not entitled to Hong Kong quotes", QUOTE_RIGHT),
        ("訂閱額度不足", QUOTA),
        ("訂閱數已達上限", QUOTA),
        ("订阅数超过上限", QUOTA),
        ("exceeds the subscription limit", QUOTA),
        ("too many subscriptions", QUOTA),
        ("超出請求次數限制", TEMPORARY),
        ("每30秒最多請求10次", TEMPORARY),
        ("订阅额度已用完", QUOTA),
        ("Insufficient subscription quota", QUOTA),
        ("Unknown stock HK.00700", OTHER),
        ("未知股票", OTHER),
        ("copyright", OTHER),
        ("the server is busy right now", TEMPORARY),
        ("网络异常，请稍后再试", TEMPORARY),
        ("網絡異常，請稍後再試", TEMPORARY),
        ("too frequent, at most 10 times in 30 s", TEMPORARY),
        ("请求过于频繁", TEMPORARY),
        ("", OTHER),
    ],
)
def test_the_cause_is_read_from_the_text(words: str, cause: str) -> None:
    """In English, and in both scripts of Chinese."""
    assert cause_of(words) == cause


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("No right to subscribe 00700", "No right to subscribe"),
        ("HK.00700: no right", "no right"),
        ("HK 00700 無權限", "無權限"),
        ("no right (00700)", "no right"),
        ("no right to 100700 and 007001", "no right to 100700 and 007001"),  # other codes
        ("00700", "00700"),
        ("HK.00700", "HK.00700"),
    ],
)
def test_the_symbol_is_removed_from_the_text(words: str, kept: str) -> None:
    """So that all symbols with one cause have the same text; if nothing else is left the text is kept."""
    assert without_codes(words, ["HK.00700"]) == kept


def test_the_symbol_that_a_refusal_names_is_found() -> None:
    """Only by its whole code; a number in the text that is not a code names no symbol."""
    symbols = ["HK.00700", "HK.31003", "HK.10031"]
    assert named_in("unknown stock 31003", symbols) == ["HK.31003"]
    assert named_in("Unknown stock. HK.00700", symbols) == ["HK.00700"]
    assert named_in("未知股票10031", symbols) == ["HK.10031"]
    assert named_in("error 3100, 131003", symbols) == []


def test_the_largest_group_comes_first() -> None:
    """With the cause in its text, in the order in which symbols were refused."""
    refused = {"HK.00001": "Unknown stock", "HK.00002": "no right", "HK.00003": "no right"}
    assert groups(refused) == [
        Group("no right", QUOTE_RIGHT, ("HK.00002", "HK.00003")),
        Group("Unknown stock", OTHER, ("HK.00001",)),
    ]


@pytest.mark.parametrize(
    ("words", "others"),
    [
        ("unknown stock (request 17)", "unknown stock (request 4711)"),
        ("at 09:30:01.250: no right", "at 09:31:00.001: no right"),
        ("no right to HK.00700", "no right to HK.09988"),
        ("no right to HK.00700, HK.00005", "no right to HK.00388"),
        ("股票00700無權限", "股票 09988無權限".replace(" ", "")),
        ("left 0.5 of 100", "left 17 of 3"),
    ],
)
def test_numbers_and_symbols_do_not_separate_groups(words: str, others: str) -> None:
    """Refusals whose texts differ only in these are one group, reported with the text of the first."""
    assert pattern_of(words) == pattern_of(others)
    (group,) = groups({"HK.00001": words, "HK.00002": others, "HK.00003": words})
    assert (group.words, len(group.symbols)) == (words, 3)
    assert len(groups({"HK.00001": words, "HK.00002": f"{others} today"})) == 2

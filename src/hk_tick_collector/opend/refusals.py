"""Why OpenD refuses a subscription, derived from its text: OpenD gives no error code for it. Pure.

The log, `status` and the remedy all use the cause from here, so that they agree.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

QUOTA: Final = "quota"  # the account may not subscribe to more symbols
QUOTE_RIGHT: Final = "quote_right"  # the account may not receive these quotes
TEMPORARY: Final = "temporary"  # OpenD or its network is busy, or requests came too often
OTHER: Final = "other"  # nearly always a symbol that OpenD does not know

_QUOTA_WORDS: Final = re.compile(
    r"quota|額度|额度|(?:訂閱|订阅)[數数量]{0,2}[^頻频次]{0,6}上限"
    r"|subscriptions? limit|too many subscriptions|number of subscriptions",
    re.IGNORECASE,
)
_RIGHT_WORDS: Final = re.compile(
    r"權限|权限|無權|无权|[未有][開开]通|行情卡"
    r"|\brights?\b(?! now)|permission|\bno (quote )?authori[sz]ation\b|\bnot authori[sz]ed\b|\bentitle",
    re.IGNORECASE,
)
_TEMPORARY_WORDS: Final = re.compile(
    r"網[絡路]|网[络路]|超時|超时|稍[後后候]|[頻频]繁|繁忙|[頻频]率|次[數数]限制|每\s?\d+\s?秒"
    r"|network|time[d-]? ?out|try again|frequen|\bbusy\b",
    re.IGNORECASE,
)
_SYMBOL_OR_NUMBER: Final = re.compile(r"\b[A-Za-z]{2}\.[0-9A-Za-z]+|\d+(?:[.:]\d+)*")
_MARKS: Final = re.compile(r"#(?:[\s,;，、；]*#)+")  # a list of them, however long
_LEFT_OVER: Final = re.compile(r"\s+|\s*[\[(「『【]\s*[\])」』】]")


class Group(NamedTuple):
    """Symbols that were refused with the same text, except for symbols and numbers in it."""

    words: str
    cause: str
    symbols: tuple[str, ...]


def cause_of(words: str) -> str:
    """The cause of a refusal."""
    if _QUOTA_WORDS.search(words):
        return QUOTA
    if _TEMPORARY_WORDS.search(words):
        return TEMPORARY
    return QUOTE_RIGHT if _RIGHT_WORDS.search(words) else OTHER


def without_codes(words: str, symbols: Iterable[str]) -> str:
    """OpenD's text without the symbol in it, so that many refusals with the same reason are grouped."""
    text = words
    for symbol in symbols:
        market, _, code = symbol.partition(".")
        if code and code in text:
            text = re.sub(rf"(?:\b{re.escape(market)}[. ]?)?(?<![0-9A-Za-z]){re.escape(code)}(?![0-9A-Za-z])", "", text)
    text = _LEFT_OVER.sub(" ", text).strip(" :：,，;；-").strip()
    return text if any(char.isalnum() for char in text) else words


def named_in(words: str, symbols: Iterable[str]) -> list[str]:
    """Those of `symbols` whose code is in OpenD's text."""
    codes = set(re.findall(r"(?<![0-9A-Za-z])[0-9A-Za-z]+(?![0-9A-Za-z])", words))
    return [symbol for symbol in symbols if symbol.partition(".")[2] in codes]


def pattern_of(words: str) -> str:
    """OpenD's text with `#` in place of symbols and numbers. Refusals that differ only in a time, a request number or a
    symbol have the same pattern.
    """
    return _MARKS.sub("#", _SYMBOL_OR_NUMBER.sub("#", words))


def groups(refused: Mapping[str, str]) -> list[Group]:
    """Refused symbols grouped by text, the largest group first; the text is that of the group's first symbol."""
    symbols: dict[str, list[str]] = {}
    for symbol, words in refused.items():
        symbols.setdefault(pattern_of(words), []).append(symbol)
    counts = Counter({pattern: len(named) for pattern, named in symbols.items()})
    found = [(refused[symbols[pattern][0]], tuple(symbols[pattern])) for pattern, _ in counts.most_common()]
    return [Group(words, cause_of(words), named) for words, named in found]

"""Text for operators in English and in Traditional Chinese; both say the same, with the same figures. Pure.

A template has its figures in braces, as for `str.format`. A figure may itself be `Words`: each language then uses its
own. Text from outside (OpenD, the kernel, SQLite) is shown unchanged in both languages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from hk_tick_collector.errors import CollectorError

ENGLISH: Final = "en"
CHINESE: Final = "zh-Hant"
LANGUAGES: Final = (ENGLISH, CHINESE)


class Words(NamedTuple):
    """The same text, or template, in both languages."""

    en: str
    zh: str

    def of(self, lang: str) -> str:
        """The text in the operator's language, `en` or `zh-Hant`."""
        return self.zh if lang == CHINESE else self.en

    def filled(self, **facts: object) -> Words:
        """The template with its figures. KeyError if one is missing."""
        return Words(*(template.format(**_in(lang, facts)) for lang, template in zip(LANGUAGES, self, strict=True)))

    def __bool__(self) -> bool:
        return bool(self.en)


NO_WORDS: Final = Words("", "")


def _in(lang: str, facts: dict[str, object]) -> dict[str, object]:
    return {name: fact.of(lang) if isinstance(fact, Words) else fact for name, fact in facts.items()}


def same(text: str) -> Words:
    """Text that is not translated: text from outside, a name, a command."""
    return Words(text, text)


def cause_of(error: CollectorError) -> Words:
    """What is wrong, without the remedy."""
    return Words(str(error), error.zh or str(error))


def hint_of(error: CollectorError) -> Words:
    """What to do about it: a command, or advice."""
    return Words(error.hint, error.hint_zh or error.hint)


def line_of(error: CollectorError) -> Words:
    """The cause and its remedy in one line."""
    line, hint = Words(error.one_line(), " ".join(cause_of(error).zh.split())), hint_of(error)
    return Words(line.en, f"{line.zh}：{hint.zh}" if hint else line.zh)


def joined(first: Words, then: Words) -> Words:
    """Two sentences, one after the other; either may be empty."""
    if not (first and then):
        return first or then
    return Words(f"{first.en}; {then.en}", f"{first.zh}；{then.zh}")


def times(count: int) -> Words:
    """`once`, `4 times`."""
    return Words("once" if count == 1 else f"{count:,} times", f"{count:,} 次")


def symbols(count: int) -> Words:
    """`1 symbol`, `4 symbols`."""
    return Words("1 symbol" if count == 1 else f"{count:,} symbols", f"{count:,} 隻股票")


def counted(count: int, one: str, many: str, chinese: str) -> Words:
    """`1 day`, `1,234 days`; in Chinese the number and its noun."""
    noun = Words(one if count == 1 else many, chinese)
    return Words(*(f"{count:,} {each}" for each in noun))


def more(count: int) -> Words:
    """` (and 3 more)`, or empty for 0."""
    return Words(f" (and {count} more)", f"（另有 {count} 項）") if count > 0 else NO_WORDS

"""Results of `doctor`: one check is one small function that returns a result. Also their summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hk_tick_collector.ops.findings.remedies import is_command
from hk_tick_collector.ops.findings.words import CHINESE, ENGLISH, NO_WORDS, Words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Text: TypeAlias = Words | str


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOT_CHECKED = "not checked"
    WARNING = "warning"
    FAILURE = "failure"


AS_ROOT: Final = Words(
    "run it with sudo, or as a member of the group hkcollector", "以 sudo 執行，或以 hkcollector 群組成員執行"
)
EXIT_CODES: Final = {Outcome.OK: 0, Outcome.NOT_CHECKED: 0, Outcome.WARNING: 1, Outcome.FAILURE: 2}


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: `remedy` is what to type or do, also for what could not be checked.

    Text and remedy are English; `text_zh` and `remedy_zh` are the same in Traditional Chinese. `urgent`: ticks are
    missed because of it, or soon will be; the summary names it before others of the same outcome.
    """

    name: str
    outcome: Outcome
    text: str
    remedy: str = ""
    text_zh: str = ""
    remedy_zh: str = ""
    urgent: bool = False

    def words(self, lang: str) -> tuple[str, str]:
        """Text and remedy in the operator's language."""
        if lang == ENGLISH:
            return self.text, self.remedy
        return self.text_zh or self.text, self.remedy_zh or self.remedy

    def as_json(self) -> dict[str, str]:
        """The result for `--json`: always in English."""
        return {"name": self.name, "outcome": self.outcome, "text": self.text, "remedy": self.remedy}


def ok(name: str, text: Text) -> Check:
    """The check passed."""
    return _check(name, Outcome.OK, text, "")


def warning(name: str, text: Text, remedy: Text, *, urgent: bool = False) -> Check:
    """Collection works, but a problem may follow; `urgent` if some ticks are not collected, or soon will not be."""
    return _check(name, Outcome.WARNING, text, remedy, urgent=urgent)


def failure(name: str, text: Text, remedy: Text) -> Check:
    """Ticks cannot be collected or stored."""
    return _check(name, Outcome.FAILURE, text, remedy)


def not_checked(name: str, text: Text, remedy: Text = "") -> Check:
    """The check was not made; the text says why."""
    return _check(name, Outcome.NOT_CHECKED, text, remedy)


def _check(name: str, outcome: Outcome, text: Text, remedy: Text, *, urgent: bool = False) -> Check:
    """A text that is not translated: a command, an error message."""
    said, to_do = (each if isinstance(each, Words) else Words(each, each) for each in (text, remedy))
    return Check(name, outcome, said.en, to_do.en, said.zh, to_do.zh, urgent)


def verdict(checks: Sequence[Check], lang: str = ENGLISH) -> tuple[Outcome, str]:
    """The worst outcome, and the summary line with the most urgent thing to do and its cause."""
    count = Counter(check.outcome for check in checks)
    unseen = _UNSEEN.filled(count=count[Outcome.NOT_CHECKED]) if count[Outcome.NOT_CHECKED] else NO_WORDS
    for worst in (Outcome.FAILURE, Outcome.WARNING):
        if count[worst]:
            first = min((check for check in checks if check.outcome is worst), key=lambda check: not check.urgent)
            line = _WRONG.filled(
                worst=worst.name,
                failures=count[Outcome.FAILURE],
                warnings=count[Outcome.WARNING],
                unseen=unseen,
                first=first.name,
                text=Words(*(_short(first.words(each)[0]) for each in (ENGLISH, CHINESE))),
                mark=" -> " if is_command(first.remedy) else Words("; ", "；"),
                remedy=Words(first.words(ENGLISH)[1], first.words(CHINESE)[1]),
            )
            return worst, line.of(lang)
    return Outcome.OK, _FINE.filled(count=count[Outcome.OK], unseen=unseen).of(lang)


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 3]}..."


_MOST_TEXT: Final = 160  # the cause in the summary; the line of the check has all of it
_UNSEEN: Final = Words("; {count} could not be checked", "；{count} 項未能檢查")
_FINE: Final = Words("OK: all {count} checks passed{unseen}", "OK: {count} 項檢查全部通過{unseen}")
_WRONG: Final = Words(
    "{worst}: failures {failures}, warnings {warnings}{unseen}; first {first}: {text}{mark}{remedy}",
    "{worst}: FAILURE {failures} 項，WARNING {warnings} 項{unseen}；先處理 {first}：{text}{mark}{remedy}",
)

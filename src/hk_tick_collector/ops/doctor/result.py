"""What `doctor` finds: one check is one small function that returns a result. Here are the results and their sum."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hk_tick_collector.ops.findings.remedies import is_command

if TYPE_CHECKING:
    from collections.abc import Sequence


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOT_CHECKED = "not checked"
    WARNING = "warning"
    FAILURE = "failure"


EXIT_CODES: Final = {Outcome.OK: 0, Outcome.NOT_CHECKED: 0, Outcome.WARNING: 1, Outcome.FAILURE: 2}


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: `remedy` is what to type or do, also for what could not be checked."""

    name: str
    outcome: Outcome
    text: str
    remedy: str = ""


def ok(name: str, text: str) -> Check:
    """As it should be."""
    return Check(name, Outcome.OK, text)


def warning(name: str, text: str, remedy: str) -> Check:
    """Collection works, but this will hurt."""
    return Check(name, Outcome.WARNING, text, remedy)


def failure(name: str, text: str, remedy: str) -> Check:
    """Ticks would not be collected, or not kept."""
    return Check(name, Outcome.FAILURE, text, remedy)


def not_checked(name: str, text: str, remedy: str = "") -> Check:
    """Nobody looked, and why."""
    return Check(name, Outcome.NOT_CHECKED, text, remedy)


def verdict(checks: Sequence[Check]) -> tuple[Outcome, str]:
    """The worst outcome, and the line that sums all up and names the first thing to do."""
    count = Counter(check.outcome for check in checks)
    unseen = f"; {count[Outcome.NOT_CHECKED]} could not be checked" if count[Outcome.NOT_CHECKED] else ""
    for worst in (Outcome.FAILURE, Outcome.WARNING):
        if count[worst]:
            first = next(check for check in checks if check.outcome is worst)
            numbers = f"failures {count[Outcome.FAILURE]}, warnings {count[Outcome.WARNING]}{unseen}"
            mark = " ->" if is_command(first.remedy) else ":"
            return worst, f"{worst.name}: {numbers}; first {first.name}{mark} {first.remedy}"
    return Outcome.OK, f"OK: all {count[Outcome.OK]} checks passed{unseen}"

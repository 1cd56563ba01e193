"""How much of the day is stored → findings, and words for a small loss. Pure.

Losses are judged beside what could be expected: not what was traded before a symbol was collected, and not what OpenD
may still give. A loss of any size is a warning for a quarter of an hour (`gaps_lost`); one that makes the day less than
99.99 % complete stays a warning for the rest of the day; a smaller one is named on the line that says OK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Finding, Severity

if TYPE_CHECKING:
    from hk_tick_collector.store.query import Completeness, Incomplete

_LEAST_SHARE: Final = 0.9999


def lost_ticks(incomplete: Incomplete, ticks_healing: int) -> int:
    """How many ticks are lost that could be expected; `ticks_healing` are those that OpenD may still give."""
    return max(0, incomplete.missing - incomplete.before_start - ticks_healing)


def check_completeness(
    day: str, complete: Completeness, incomplete: Incomplete, ticks_healing: int, *, importing: bool = False
) -> list[Finding]:
    """What is wrong with the completeness of a day (`20261120`).

    While a file of the predecessor is `importing`, or waits for that, what is missing may be in it.
    """
    findings = []
    if incomplete.above:
        findings.append(
            Finding(
                "above_complete",
                Severity.WARNING,
                f"{incomplete.above:,} symbols of {day} have more ticks than their sequence tells,"
                f" {incomplete.above_first} first: their completeness is not known",
                f"hk-tick-collector gaps --day {day} {incomplete.above_first}",
            )
        )
    lost, expected = lost_ticks(incomplete, ticks_healing), complete.expected - incomplete.before_start
    if lost and not importing and (expected <= 0 or (expected - lost) / expected < _LEAST_SHARE):
        share = f"{max(0, expected - lost) / expected:.2%}" if expected > 0 else "0 %"
        findings.append(
            Finding(
                "incomplete",
                Severity.WARNING,
                f"{day} is {share} complete: {lost:,} ticks are lost, {incomplete.worst} lacks most;"
                " no action needed, this clears with the next trading day",
                remedies.GAPS,
            )
        )
    return findings

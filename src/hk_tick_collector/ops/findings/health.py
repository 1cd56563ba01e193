"""Live state + now → findings, in order; and the first line of `status` with the reason and the command. Pure.

The calendar and the market's state are only used to explain why there are no ticks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .completeness import check_totals
from .finding import Finding, Severity
from .host import descriptors_short
from .not_reporting import Host, check_gone
from .ordering import in_order, worst
from .registry import REGISTRY
from .spec import Limits, Seen
from .words import ENGLISH, NO_WORDS, Words, more

if TYPE_CHECKING:
    from hk_tick_collector.ops.live.status import LiveStatus

NOTHING_KNOWN: Final = Host()

__all__ = [
    "COLLECTING",
    "Finding",
    "Limits",
    "Severity",
    "check",
    "check_totals",
    "descriptors_short",
    "in_order",
    "lag_s",
    "line_of",
    "summary",
]
COLLECTING: Final = Words("collecting", "正在收集")
_FINE: Final = Words("OK: {work}, nothing to do{quiet}", "OK: {work}，毋須處理{quiet}")


def lag_s(status: LiveStatus, now_ms: int) -> float | None:
    """Now minus the time of the newest stored tick, in seconds; None before the first one."""
    return None if status.newest_ts_ms is None else (now_ms - status.newest_ts_ms) / 1000


def check(status: LiveStatus | None, now_ms: int, limits: Limits, host: Host = NOTHING_KNOWN) -> list[Finding]:
    """The findings, the one to act on first at the head. `status` is None if there is no live state at all.

    `host` helps to explain why a service does not report.
    """
    gone = check_gone(status, now_ms, host)
    if gone or status is None:
        return [gone] if gone else []
    return in_order(list(REGISTRY.found(Seen(status, now_ms, limits))))


def summary(
    findings: list[Finding], quiet: Words = NO_WORDS, lang: str = ENGLISH, work: Words = COLLECTING
) -> tuple[Severity, str]:
    """The overall severity and the first line of `status`; `quiet` is the reason why no ticks are expected,
    `work` what is done when nothing is wrong.

    The line shows the first finding: they are in the order of `in_order`.
    """
    if not findings:
        bracketed = Words(f" ({quiet.en})", f"（{quiet.zh}）") if quiet else NO_WORDS
        return Severity.OK, _FINE.filled(work=work, quiet=bracketed).of(lang)
    first, severity = findings[0], worst(findings)
    return severity, line_of(replace(first, severity=severity), more(len(findings) - 1), lang)


def line_of(finding: Finding, others: Words = NO_WORDS, lang: str = ENGLISH) -> str:
    """One finding as one line; the text after the arrow can be pasted. The severity is always in English."""
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.severity.name}: {finding.words.of(lang)}{others.of(lang)}{remedy}"

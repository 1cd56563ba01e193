"""Findings in the order in which they are to be read: the cause before what follows from it. Pure.

A disk that is full lets the writer wait, then rows queue, spool, and lag: four findings, and one thing to do. So a
cause takes over the severity of what it explains, and stands before it.
"""

from __future__ import annotations

from typing import Final

from .finding import Finding, Severity

_WAITING: Final = (
    "persistent_stall",
    "spooling",
    "queue",
    "dropped",
    "lag",
    "no_ticks_stored",
    "gaps_lost",
    "gaps_healing",
)
_SILENCE: Final = (
    "no_tick_at_open",
    "no_ticks",
    "no_ticks_stored",
    "lag",
    "pushes_stopped",
    "gaps_lost",
    "gaps_healing",
)
_FETCHED: Final = ("gaps_lost", "gaps_healing", "lag")

# The beginning of a cause's code → the codes that it explains, directly or through another. Causes are told apart by
# where on the data's way they are: what is nearer to OpenD does not follow from what is nearer to the disk.
_EXPLAINS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("disk_hangs", ("service_hung", "writer_stuck", "writer_slow_disk", "live_state", "day_file", *_WAITING)),
    ("live_state", ("day_file",)),
    ("service_", ("day_file",)),
    ("descriptors", ("opend_away", "writer_no_descriptors", "writer_cannot_open", "day_file", *_WAITING, *_SILENCE)),
    ("writer_disk_full", ("disk",)),
    ("writer_", ("day_file", "wal_large", *_WAITING)),
    ("day_held", ("day_file", "day_not_sealed", "lag", "gaps_healing")),
    ("day_being_copied", ("lag",)),
    ("copy_too_slow", ("spooling", "queue", "lag")),
    ("persistent_stall", _WAITING[1:]),
    (
        "opend_",
        (
            "opend_not_ready",
            "not_subscribed",
            "still_subscribing",
            "backfill_failing",
            "symbols_refused",
            "link_unstable",
            *_SILENCE,
        ),
    ),
    ("not_subscribed", _SILENCE),
    ("symbols_refused", ("still_subscribing",)),
    ("backfill_failing", ("gaps_lost", "gaps_healing", "incomplete")),
    ("gaps_lost", ("incomplete",)),
    ("bad_messages", ("link_unstable", *_FETCHED)),
    ("link_unstable", _FETCHED),
    ("pushes_stopped", _FETCHED),
    ("no_tick_at_open", ("lag",)),
    ("no_ticks", ("lag",)),
    ("spooling", ("queue", "dropped", *_FETCHED)),
    ("queue", ("dropped", *_FETCHED)),
    ("dropped", _FETCHED),
    ("sealed_day", ("lag",)),
    ("day_damaged", _FETCHED),
    ("day_gone", _FETCHED),
    ("clock_drift", ("sealed_day", "sealed_day_backfill", "rejected")),
)
_BADNESS: Final = (Severity.OK, Severity.WARNING, Severity.UNKNOWN, Severity.CRITICAL)


def in_order(findings: list[Finding]) -> list[Finding]:
    """The one to act on first; of equal ones the causes, then as they came."""

    def place(finding: Finding) -> tuple[int, bool]:
        below = [other for other in findings if _explains(finding, other)]
        explained = any(_explains(other, finding) for other in findings)
        return -max(_BADNESS.index(each.severity) for each in (finding, *below)), explained

    return sorted(findings, key=place)


def worst(findings: list[Finding]) -> Severity:
    """The severity of the whole: what is known to be critical outweighs what is not known."""
    return max((finding.severity for finding in findings), key=_BADNESS.index, default=Severity.OK)


def _explains(cause: Finding, other: Finding) -> bool:
    if cause is other or cause.code == other.code:
        return False
    return any(cause.code.startswith(start) and other.code in codes for start, codes in _EXPLAINS)

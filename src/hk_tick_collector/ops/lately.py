"""Findings of the last quarter of an hour: a warning while something is fresh, afterwards it is only listed. Pure.

A reconnect that went well is no finding: the figures of `status` name it. One that repeats, or bytes that are not
OpenD's protocol, is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .status import LiveStatus

_BREAKS: Final = 3  # so many connections that ended make a link unstable
_WHEN: Final = "in the last 15 minutes"


def times(count: int) -> str:
    """`once`, `4 times`."""
    return "once" if count == 1 else f"{count:,} times"


def check_lately(status: LiveStatus) -> list[Finding]:
    """What went wrong lately, and what still heals."""
    return [*_link(status), *_refused(status), *_gaps(status)]


def _link(status: LiveStatus) -> Iterator[Finding]:
    if status.connected and status.protocol_errors_lately:
        yield Finding(
            "bad_messages",
            Severity.WARNING,
            f"OpenD sent what is not its protocol {times(status.protocol_errors_lately)} {_WHEN},"
            f" the last time: {status.protocol_error}",
            "what passed meanwhile is fetched; if it goes on, update OpenD, and look for a proxy on the way:"
            f" {remedies.grep('futu_disconnected')}",
        )
    if status.connected and status.link_breaks_lately >= _BREAKS:
        yield Finding(
            "link_unstable",
            Severity.WARNING,
            f"the link to OpenD broke {times(status.link_breaks_lately)} {_WHEN},"
            f" the last time: {status.link_break_reason}",
            f"{remedies.OPEND_STATUS}; {remedies.grep('futu_disconnected')}",
        )
    if status.skipped_messages_lately:
        yield Finding(
            "messages_skipped",
            Severity.WARNING,
            f"{status.skipped_messages_lately:,} messages that mean nothing to us were skipped {_WHEN},"
            f" the last one: {status.skipped_message}",
            f"compare OpenD's version with the one this release was made for: {remedies.grep('message_skipped')}",
        )
    if status.pushes_stopped_lately:
        yield Finding(
            "pushes_stopped",
            Severity.WARNING,
            f"OpenD had stopped pushing {status.pushes_stopped_lately:,} symbols {_WHEN},"
            f" {status.pushes_stopped_first} first: subscribed again, what was missed is fetched",
            f"the warning ends by itself; if it comes again: {remedies.RESTART_OPEND}",
        )


def _refused(status: LiveStatus) -> Iterator[Finding]:
    """Ticks that came and are not stored."""
    if status.sealed_day_lately:
        nothing_else = not status.persisted_rows_per_min
        yield Finding(
            "sealed_day",
            Severity.CRITICAL if nothing_else else Severity.WARNING,
            f"{'every tick is' if nothing_else else f'{status.sealed_day_lately} ticks were'} rejected:"
            f" their day is sealed ({status.sealed_day} since the start)",
            f"ls -l {status.data_root}: only finished days may be read-only (docs/data-quality.md)",
        )
    if status.sealed_day_backfill_lately:
        yield Finding(
            "sealed_day_backfill",
            Severity.WARNING,
            f"backfill answers brought {status.sealed_day_backfill_lately:,} ticks of sealed days {_WHEN}, which were"
            " rejected: symbols that were added today have such",
            "no action needed, this clears by itself",
        )
    yield from _other_content(status)
    if status.rejected_lately:
        yield Finding(
            "rejected",
            Severity.WARNING,
            f"{status.rejected_lately} ticks that cannot be stored came {_WHEN}",
            remedies.grep("tick_rejected"),
        )
    if status.dropped_lately:
        yield Finding(
            "dropped",
            Severity.WARNING,
            f"{status.dropped_lately} ticks were dropped {_WHEN}, {status.dropped} since the start",
            f"{remedies.GAPS}; why the disk was slow: {remedies.JOURNAL}",
        )


def _other_content(status: LiveStatus) -> Iterator[Finding]:
    """Ticks with the key of another one, which was first."""
    if status.conflicts_lately:
        symbol, ticks = status.conflicts_most, status.conflicts_most_ticks
        yield Finding(
            "conflict",
            Severity.WARNING,
            f"{status.conflicts_lately:,} ticks were rejected {_WHEN}: another trade is stored under their sequence"
            f" (since the start {status.conflicts:,} of {status.conflicts_symbols:,} symbols, {symbol} most:"
            f" {ticks:,})",
            remedies.for_rejected("conflict", symbol, ticks),
        )
    if status.no_sequence_lately:
        symbol, ticks = status.no_sequence_most, status.no_sequence_most_ticks
        yield Finding(
            "no_sequence",
            Severity.WARNING,
            f"{status.no_sequence_lately:,} ticks were rejected {_WHEN}: OpenD gave them the sequence 0, which is none"
            f" (since the start {status.no_sequence:,} of {status.no_sequence_symbols:,} symbols, {symbol} most:"
            f" {ticks:,})",
            remedies.for_rejected("no_sequence", symbol, ticks),
        )


def _gaps(status: LiveStatus) -> Iterator[Finding]:
    if status.gaps_lost_lately:
        yield Finding(
            "gaps_lost",
            Severity.WARNING,
            f"{status.gaps_lost_lately} gaps of the last 15 minutes can heal no more: OpenD has their ticks no longer",
            f"{remedies.GAPS}; nothing can be done, the warning ends by itself",
        )
    if status.gaps_healing:
        yield Finding(
            "gaps_healing",
            Severity.WARNING,
            f"{status.gaps_healing} gaps are being fetched again",
            f"wait, they close by themselves; {remedies.GAPS}",
        )

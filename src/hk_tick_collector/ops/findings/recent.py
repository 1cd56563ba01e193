"""Findings of the last quarter of an hour: a warning while something is fresh, afterwards it is only listed. Pure.

A reconnect that went well is no finding: the figures of `status` name it. One that repeats, or bytes that are not
OpenD's protocol, is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

from . import remedies
from .finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

_BREAKS: Final = 3  # so many connections that ended make a link unstable
_RESTARTS: Final = 2  # unplanned ones within an hour
_RESTARTS_CRITICAL: Final = 5
_HOUR_MS: Final = 3_600_000
_WHEN: Final = "in the last 15 minutes"


def times(count: int) -> str:
    """`once`, `4 times`."""
    return "once" if count == 1 else f"{count:,} times"


def check_lately(status: LiveStatus) -> list[Finding]:
    """What went wrong lately, and what still heals."""
    return [*_restarts(status), *_link(status), *_refused(status), *_gaps(status)]


def unplanned_restarts(status: LiveStatus, now_ms: int) -> list[int]:
    """When the collector was started again within the last hour although nobody had stopped it (UTC epoch ms)."""
    return [at_ms for at_ms in status.unplanned_ms if abs(now_ms - at_ms) < _HOUR_MS]


def _restarts(status: LiveStatus) -> Iterator[Finding]:
    """It runs now, and ended by itself again and again."""
    starts = unplanned_restarts(status, status.written_ms)
    if len(starts) >= _RESTARTS:
        yield Finding(
            "restarts",
            Severity.CRITICAL if len(starts) >= _RESTARTS_CRITICAL else Severity.WARNING,
            f"the collector ended by itself {times(len(starts))} in the last hour and was started again, the last time"
            f" at {market.hkt(starts[-1]):%H:%M:%S} HKT",
            remedies.ENDS,
            starts[0],
        )


def _link(status: LiveStatus) -> Iterator[Finding]:
    if status.connected and status.protocol_errors_lately:
        yield Finding(
            "bad_messages",
            Severity.WARNING,
            f"OpenD sent what is not its protocol {times(status.protocol_errors_lately)} {_WHEN},"
            f" the last time: {status.protocol_error}; if it goes on, update OpenD, and look for a proxy on the way",
            remedies.grep("futu_disconnected"),
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
            f" the last one: {status.skipped_message}; compare OpenD's version with the one this release was made for",
            remedies.grep("message_skipped"),
        )
    if status.pushes_stopped_lately:
        yield Finding(
            "pushes_stopped",
            Severity.WARNING,
            f"OpenD had stopped pushing {status.pushes_stopped_lately:,} symbols {_WHEN},"
            f" {status.pushes_stopped_first} first: subscribed again, what was missed is backfilled; if it comes again,"
            " restart futu-opend after the close",
            remedies.grep("pushes_stopped"),
        )


def _refused(status: LiveStatus) -> Iterator[Finding]:
    """Ticks that came and are not stored."""
    if status.sealed_day_lately:
        nothing_else = not status.persisted_rows_per_min
        yield Finding(
            "sealed_day",
            Severity.CRITICAL if nothing_else else Severity.WARNING,
            f"{'every tick is' if nothing_else else f'{status.sealed_day_lately} ticks were'} rejected:"
            f" their day is sealed ({status.sealed_day} since the start); only finished days may be read-only"
            " (docs/data-quality.md)",
            f"ls -l {status.data_root}",
        )
    if status.sealed_day_backfill_lately:
        yield Finding(
            "sealed_day_backfill",
            Severity.WARNING,
            f"backfill answers brought {status.sealed_day_backfill_lately:,} ticks of sealed days {_WHEN}, which were"
            " rejected: symbols that were added today have such; no action needed, this clears by itself",
            "",
        )
    yield from _other_content(status)
    if status.rejected_lately:
        yield Finding(
            "rejected",
            Severity.WARNING,
            f"{status.rejected_lately} ticks that cannot be stored came {_WHEN}",
            remedies.grep("tick_rejected"),
        )
    if status.not_subscribed_lately:
        yield Finding(
            "not_subscribed_ticks",
            Severity.WARNING,
            f"OpenD pushed {status.not_subscribed_lately:,} ticks {_WHEN} of symbols that are not in FUTU_SYMBOLS,"
            f" {status.not_subscribed_first} first; they are counted and not stored",
            remedies.grep("symbol_not_subscribed"),
        )
    if status.dropped_lately:
        yield Finding(
            "dropped",
            Severity.WARNING,
            f"{status.dropped_lately} ticks were dropped {_WHEN}, {status.dropped} since the start",
            f"{remedies.GAPS}; {remedies.JOURNAL}",
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
    importing = "" in status.predecessor_files.values()  # what OpenD no longer has may be in the predecessor's file
    if status.gaps_lost_lately and not importing:
        traded = _traded(status.lost_from_ms, status.lost_to_ms)
        yield Finding(
            "gaps_lost",
            Severity.WARNING,
            f"{_lost_ticks(status)}{traded} are lost: OpenD no longer holds them; no action needed, this warning clears"
            " by itself",
            remedies.GAPS,
            status.lost_found_ms,
            status.ticks_lost + status.unknown_gaps_lost,
        )
    if status.gaps_healing:
        yield Finding(
            "gaps_healing",
            Severity.WARNING,
            f"{status.gaps_healing:,} gaps are being backfilled: they close by themselves",
            remedies.GAPS,
        )


def _lost_ticks(status: LiveStatus) -> str:
    """How many ticks are lost, as far as that is known."""
    unknown = status.unknown_gaps_lost_lately
    known = status.gaps_lost_lately - unknown
    words = [f"{status.ticks_lost_lately:,} ticks in {_gaps_of(known)}"] if known else []
    if unknown:
        words.append(f"an unknown number{'' if known else ' of ticks'} in {_gaps_of(unknown)}")
    return " and ".join(words)


def _gaps_of(count: int) -> str:
    return "1 gap" if count == 1 else f"{count:,} gaps"


def _traded(from_ms: int | None, to_ms: int | None) -> str:
    """From when to when lost ticks were traded."""
    if from_ms is None or to_ms is None:
        return ""
    return f" (traded {market.hkt(from_ms):%H:%M:%S} to {market.hkt(to_ms):%H:%M:%S} HKT)"

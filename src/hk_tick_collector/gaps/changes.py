"""The rows of the tables `gaps` and `symbols` that changed since the last call, for the next transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange, RuleChange

if TYPE_CHECKING:
    from .gap import OpenGap
    from .symbol_days import SymbolDays


def take_gaps(known: SymbolDays) -> list[GapChange]:
    """The rows of `gaps` that changed since the last call, for the transaction of the rows seen since."""
    changes: list[GapChange] = []
    for day in known.days.values():
        if not day.dirty or day.unread:
            continue  # the ids of an unread day's gaps may already be used by other rows of its file
        now_ms = known.now_ms()
        for symbol, gap, is_open in day.dirty.values():
            # A gap that opened and closed before it was written came only from ticks that arrived out of order.
            if is_open or gap.written:
                changes.append(GapChange(day.number, _gap(symbol, gap, now_ms, is_open=is_open)))
            gap.written = True
        day.dirty, day.idle_s = {}, None
    return changes


def take_rules(known: SymbolDays) -> list[RuleChange]:
    """The symbols whose rule changed since the last call, for the same transaction."""
    changes: list[RuleChange] = []
    for day in known.days.values():
        if day.rules and not day.unread:
            changes += [
                RuleChange(day.number, symbol, rule, day.tracks[symbol].run_seq) for symbol, rule in day.rules.items()
            ]
            day.rules, day.idle_s = {}, None
    return changes


def _gap(symbol: str, gap: OpenGap, now_ms: int, *, is_open: bool) -> Gap:
    return Gap(
        symbol=symbol,
        from_seq=gap.from_seq,
        to_seq=gap.to_seq,
        from_ts_ms=gap.from_ts_ms,
        to_ts_ms=gap.to_ts_ms,
        missing=gap.missing if is_open else 0,
        cause=gap.cause,
        status=GAP_OPEN if is_open else GAP_HEALED,
        opened_ms=gap.opened_ms,
        closed_ms=None if is_open else now_ms,
        id=gap.id,
    )

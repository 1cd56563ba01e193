"""The finding for missing ticks that OpenD does not return although they were requested repeatedly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import FindingSpec, Rule
from .words import Words, symbols

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen

_FAILS_MS: Final = 60_000
_REPEATED_MS: Final = 10_000  # requests must fail for at least this long: one failed request is not a finding


def _failing(seen: Seen) -> Iterator[Finding]:
    """Missing ticks that have been requested from OpenD without success for a minute."""
    status, now_ms = seen.status, seen.now_ms
    failing = {
        symbol: since_ms
        for symbol, since_ms in status.backfill_failing_ms.items()
        if now_ms - since_ms >= _FAILS_MS and status.backfill_failed_ms.get(symbol, 0) - since_ms >= _REPEATED_MS
    }
    if not status.connected or not failing:
        return
    since_ms, first = min((since_ms, symbol) for symbol, since_ms in failing.items())
    yield BACKFILL_FAILING.found(
        Severity.WARNING,
        since_ms=since_ms,
        count=symbols(len(failing)),
        since_s=(now_ms - since_ms) / 1000,
        first=first,
        reason=status.backfill_reason,
    )


BACKFILL_FAILING: Final = FindingSpec(
    code="backfill_failing",
    when=_failing,
    text=Words(
        "OpenD has not given the missing ticks of {count} for {since_s:.0f} s, {first} first: {reason};"
        " the request is repeated",
        "已有 {since_s:.0f} 秒未能向 OpenD 補取 {count}缺漏的 tick，首隻 {first}：{reason}；會再次補取",
    ),
    remedy=Remedy(remedies.grep("backfill_failed")),
    meaning=Words(
        "for a minute OpenD has refused, or not answered, every request for a symbol's missing ticks",
        "一分鐘以來，OpenD 拒絕或沒有回應某股票的每一次補取",
    ),
    do=Words(remedies.grep("backfill_failed"), f"`{remedies.grep('backfill_failed')}`"),
    alert=Rule(hold_s=5, by_ticks=True),
    causes=("gaps_lost", "gaps_healing", "incomplete"),
)

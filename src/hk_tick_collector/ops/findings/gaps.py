"""Findings for missing ticks: being backfilled, or lost because OpenD no longer holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import SOON, FindingSpec, Rule
from .words import NO_WORDS, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

    from .finding import Finding
    from .spec import Seen


def _lost(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    importing = (
        "" in status.predecessor_files.values()
    )  # ticks that OpenD no longer holds may be in the predecessor's file
    if status.gaps_lost_lately and not importing:
        yield GAPS_LOST.found(
            Severity.WARNING,
            since_ms=status.lost_found_ms,
            size=status.ticks_lost + status.unknown_gaps_lost,
            amount=_lost_ticks(status),
            traded=_traded(status.lost_from_ms, status.lost_to_ms),
        )


def _lost_ticks(status: LiveStatus) -> Words:
    """The number of lost ticks, as far as it is known."""
    unknown = status.unknown_gaps_lost_lately
    known = status.gaps_lost_lately - unknown
    amount = _KNOWN.filled(ticks=status.ticks_lost_lately, gaps=_gaps_of(known))
    if not unknown:
        return amount
    if not known:
        return _UNKNOWN.filled(gaps=_gaps_of(unknown))
    return _BOTH.filled(known=amount, gaps=_gaps_of(unknown))


def _gaps_of(count: int) -> Words:
    return Words("1 gap" if count == 1 else f"{count:,} gaps", f"{count:,} 個缺口")


def _traded(from_ms: int | None, to_ms: int | None) -> Words:
    """The time range in which the lost ticks were traded."""
    if from_ms is None or to_ms is None:
        return NO_WORDS
    start, end = f"{market.hkt(from_ms):%H:%M:%S}", market.clock_text(to_ms)
    return Words(f" (traded {start} to {end})", f"（成交於 {start} 至 {end}）")


_KNOWN: Final = Words("{ticks:,} ticks in {gaps}", "{gaps}共 {ticks:,} 筆")
_UNKNOWN: Final = Words("an unknown number of ticks in {gaps}", "{gaps}，筆數不明")
_BOTH: Final = Words("{known} and an unknown number in {gaps}", "{known}，另有 {gaps}筆數不明")
GAPS_LOST: Final = FindingSpec(
    code="gaps_lost",
    when=_lost,
    text=Words(
        "{amount}{traded} are lost: OpenD no longer holds them; no action needed, this warning clears by itself",
        "有 tick 已遺失：{amount}{traded}，OpenD 已不再保留；毋須處理，警告會自行消失",
    ),
    remedy=Remedy(remedies.GAPS),
    meaning=Words(
        "ticks are lost: OpenD no longer holds them; the text says how many and when they were traded",
        "有 tick 已遺失：OpenD 已不再保留；訊息列出數目與成交時間",
    ),
    do=Words(
        f"no action needed, the warning clears after 15 minutes; {remedies.GAPS}",
        f"毋須處理，15 分鐘後警告自行消失；`{remedies.GAPS}`",
    ),
    alert=SOON,
    causes=("incomplete",),
)


def _healing(seen: Seen) -> Iterator[Finding]:
    if seen.status.gaps_healing:
        yield GAPS_HEALING.found(Severity.WARNING, gaps=seen.status.gaps_healing)


GAPS_HEALING: Final = FindingSpec(
    code="gaps_healing",
    when=_healing,
    text=Words("{gaps:,} gaps are being backfilled: they close by themselves", "{gaps:,} 個缺口正在補取：會自行補回"),
    remedy=Remedy(remedies.GAPS),
    meaning=Words("gaps are being backfilled", "缺口正在補取"),
    do=Words("wait, they close by themselves", "等待，會自行補回"),
    alert=Rule(hold_s=180),
)

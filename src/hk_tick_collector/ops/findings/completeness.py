"""How complete the day is → findings, and a short text for a small loss. Pure.

Only ticks that could be expected count as lost: not those before a symbol was collected, and not those that OpenD can
still return. A loss of any size is a warning for a quarter of an hour (`gaps_lost`). If the day is less than 99.99 %
complete, the warning lasts for the rest of the day; a smaller loss is mentioned on the line that says OK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import UNEXPLAINED

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import BY_STATUS, FindingSpec
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.model import Reconciled
    from hk_tick_collector.store.query import Completeness, Incomplete

    from .finding import Finding

LEAST_SHARE: Final = 0.9999  # of the ticks of a day; less is a warning, here and in `quality`


def lost_ticks(incomplete: Incomplete, ticks_healing: int) -> int:
    """The number of lost ticks. `ticks_healing` missing ticks are not lost, because OpenD can still return them."""
    return max(0, incomplete.missing - incomplete.before_start - ticks_healing)


def check_completeness(
    day: str, complete: Completeness, incomplete: Incomplete, ticks_healing: int, *, importing: bool = False
) -> list[Finding]:
    """What is wrong with the completeness of a day (`20261120`).

    `importing` says that a file of the predecessor is being imported, or waits to be imported. The missing ticks may be
    in that file.
    """
    findings = []
    if incomplete.above:
        findings.append(
            ABOVE_COMPLETE.found(Severity.WARNING, count=incomplete.above, day=day, first=incomplete.above_first)
        )
    lost, expected = lost_ticks(incomplete, ticks_healing), complete.expected - incomplete.before_start
    if lost and not importing and (expected <= 0 or (expected - lost) / expected < LEAST_SHARE):
        share = f"{max(0, expected - lost) / expected:.2%}" if expected > 0 else "0 %"
        findings.append(INCOMPLETE.found(Severity.WARNING, day=day, share=share, lost=lost, worst=incomplete.worst))
    return findings


def check_totals(rows: Sequence[Reconciled]) -> list[Finding]:
    """The findings of the day's reconciliation with OpenD's totals; none if there was no reconciliation."""
    unexplained = [row for row in rows if row.explained == UNEXPLAINED]
    if not unexplained:
        return []
    worst = max(unexplained, key=lambda row: row.difference)
    return [
        TOTALS_DIFFER.found(
            Severity.WARNING,
            count=len(unexplained),
            all=len(rows),
            session=Words(worst.session, _SESSIONS.get(worst.session, worst.session)),
            worst=worst.symbol,
            shares=worst.difference,
        )
    ]


_SESSIONS: Final = {"lunch": "午休", "close": "收市"}
TOTALS_DIFFER: Final = FindingSpec(
    code="totals_differ",
    text=Words(
        "{count} of {all} symbols differ from OpenD's volume at {session} for an unknown reason, most of all {worst} by"
        " {shares:,} shares (docs/data-quality.md)",
        "{session}核對時 {all} 隻股票中有 {count} 隻的成交量與 OpenD 的總數不符，原因不明，最大為 {worst} 相差"
        " {shares:,} 股（docs/data-quality.md）",
    ),
    remedy=Remedy("hk-tick-collector gaps {worst}"),
    meaning=Words(
        "some symbols differ from OpenD's volume of the day for an unknown reason",
        "部分股票的成交量與 OpenD 的總數不符，原因不明",
    ),
    do=Words(
        "docs/data-quality.md explains the table reconciliation",
        "見 docs/data-quality.md 關於 reconciliation 的說明",
    ),
    alert=BY_STATUS,  # and in the daily digest
)
ABOVE_COMPLETE: Final = FindingSpec(
    code="above_complete",
    text=Words(
        "{count:,} symbols of {day} have more ticks than their sequence allows, {first} first: their completeness is"
        " unknown",
        "{day} 有 {count:,} 隻股票的 tick 多於其序號所示，首隻 {first}：完整度不明",
    ),
    remedy=Remedy("hk-tick-collector gaps --day {day} {first}"),
    meaning=Words(
        "a symbol has more ticks than its sequence allows: its completeness is unknown",
        "某股票的 tick 多於其序號所示：完整度不明",
    ),
    do=Words(
        "hk-tick-collector gaps SYMBOL; see docs/data-quality.md",
        "`hk-tick-collector gaps 股票`；見 docs/data-quality.md",
    ),
    alert=BY_STATUS,
)
INCOMPLETE: Final = FindingSpec(
    code="incomplete",
    text=Words(
        "{day} is {share} complete: {lost:,} ticks are lost, most of them of {worst}; no action needed, this clears"
        " with the"
        " next trading day",
        "{day} 的完整度為 {share}：遺失 {lost:,} 筆 tick，欠最多的是 {worst}；毋須處理，下一個交易日自行消失",
    ),
    remedy=Remedy(remedies.GAPS),
    meaning=Words(
        "today is less than 99.99 % complete: ticks that should have arrived are lost; ticks before the first start"
        " do not"
        " count",
        "當日完整度低於 99.99 %：應收到的 tick 有所遺失（首次啟動之前的不計）",
    ),
    do=Words(
        f"no action needed, this clears with the next trading day; {remedies.GAPS}",
        f"毋須處理，下一個交易日自行消失；`{remedies.GAPS}`",
    ),
    alert=BY_STATUS,  # the loss itself is alerted as gaps_lost
)

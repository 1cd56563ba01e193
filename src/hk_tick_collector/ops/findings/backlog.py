"""Findings for rows that wait to be stored: stalls, the spool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import SMALL, FindingSpec, Rule, Says
from .words import Words, times
from .writer import WAITING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

    from .finding import Finding
    from .spec import Seen

_STALLED_MS: Final = 3_000
_STALLS_CRITICAL: Final = 2  # this many stalls within a quarter of an hour are critical, see the runbook, section 6


def queued_rows(status: LiveStatus) -> int:
    """Rows that wait for the writer; rows that wait for the file of their day have a finding of their own."""
    return status.waiting - sum(status.held_rows.values()) - sum(status.held_again.values())


def _stalls(seen: Seen) -> Iterator[Finding]:
    """A stall that lasts or returned is critical; one that is over is a warning for some minutes."""
    status, queued = seen.status, queued_rows(seen.status)
    still = queued and seen.now_ms - (status.last_commit_ms or status.started_ms) > _STALLED_MS
    if status.stalls and still:
        yield PERSISTENT_STALL.found(Severity.CRITICAL, times=times(status.stalls), rows=queued)
    elif status.stalls_lately:
        severity = Severity.CRITICAL if status.stalls_lately >= _STALLS_CRITICAL else Severity.WARNING
        yield PERSISTENT_STALL.found(severity, "over", times=times(status.stalls_lately))


PERSISTENT_STALL: Final = FindingSpec(
    code="persistent_stall",
    when=_stalls,
    text=Words(
        "the watchdog has met a stall {times}: {rows:,} rows wait", "watchdog 發現停滯 {times}：{rows:,} 筆等候寫入"
    ),
    remedy=Remedy(remedies.STALL),
    variants={
        "over": Says(
            Words(
                "the watchdog met a stall {times} in the last 15 minutes; rows are stored again"
                " (docs/incident-watchdog-stall.md)",
                "watchdog 在最近 15 分鐘內發現停滯 {times}；現已恢復寫入（docs/incident-watchdog-stall.md）",
            ),
            Remedy(remedies.grep("WATCHDOG")),
        )
    },
    meaning=Words(
        "the watchdog met a stall: rows wait and nothing is committed", "watchdog 發現停滯：資料等候而沒有提交"
    ),
    do=Words("docs/incident-watchdog-stall.md", "見 docs/incident-watchdog-stall.md"),
    alert=Rule(hold_s=0, critical_s=0),  # section 6 of the runbook: repeated stalls are critical
    causes=WAITING[1:],
)


def _spooling(seen: Seen) -> Iterator[Finding]:
    if seen.status.spooled and not seen.status.copy_held:
        yield SPOOLING.found(Severity.WARNING, rows=seen.status.spooled)


SPOOLING: Final = FindingSpec(
    code="spooling",
    when=_spooling,
    text=Words(
        "{rows} rows are in the spool: the day file could not be written in time; they are stored as soon as it can be",
        "{rows} 筆在 spool：日檔未能及時寫入；可寫入時即自動存入",
    ),
    remedy=Remedy(remedies.JOURNAL),
    meaning=Words(
        "rows are in the spool: the day file could not be written in time; no tick is lost",
        "資料在 spool：日檔未能及時寫入；沒有遺失 tick",
    ),
    do=Words(f"wait; for the reason: {remedies.LOGS}", f"等待；原因：`{remedies.LOGS}`"),
    alert=SMALL,
    causes=("queue", "dropped", "gaps_lost", "gaps_healing", "lag"),
)

"""Findings of the service itself while it runs: restarts, wrong settings, a live state that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.store.rights import JOIN_GROUP

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import BY_STATUS, FindingSpec, Rule
from .words import Words, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

    from .finding import Finding
    from .spec import Seen

_RESTARTS: Final = 2  # unplanned ones within an hour
_RESTARTS_CRITICAL: Final = 5
_HOUR_MS: Final = 3_600_000


def unplanned_restarts(status: LiveStatus, now_ms: int) -> list[int]:
    """When the collector was started again within the last hour although nobody had stopped it (UTC epoch ms)."""
    return [at_ms for at_ms in status.unplanned_ms if abs(now_ms - at_ms) < _HOUR_MS]


def _restarts(seen: Seen) -> Iterator[Finding]:
    """It runs now, and ended by itself again and again."""
    starts = unplanned_restarts(seen.status, seen.status.written_ms)
    if len(starts) >= _RESTARTS:
        yield RESTARTS.found(
            Severity.CRITICAL if len(starts) >= _RESTARTS_CRITICAL else Severity.WARNING,
            since_ms=starts[0],
            times=times(len(starts)),
            last=f"{market.hkt(starts[-1]):%H:%M:%S} HKT",
        )


RESTARTS: Final = FindingSpec(
    code="restarts",
    when=_restarts,
    text=Words(
        "the collector ended by itself {times} in the last hour and was started again, the last time at {last}",
        "收集器在最近一小時內自行終止 {times} 再被啟動，最近一次在 {last}",
    ),
    remedy=Remedy(remedies.ENDS),
    meaning=Words(
        "the service runs, but ended by itself twice or more within an hour and was started again; a stop by an"
        " operator or an upgrade does not count, and begins the count anew",
        "服務在運行，但一小時內曾兩次或以上自行終止再被重啟；由人或升級停止的不計，並重新計數",
    ),
    do=Words(remedies.ENDS, f"`{remedies.ENDS}`"),
    alert=Rule(hold_s=0, critical_s=0),  # section 6 of the runbook; at once: it may not live for long
)
SETTINGS: Final = FindingSpec(
    code="settings",
    text=Words(
        "the collector runs, but would not start again with these settings: {error}",
        "收集器在運行，但以這些設定不能再次啟動：{error}",
    ),
    remedy=Remedy("sudo vim {file}"),
    meaning=Words(
        "the service runs, but the settings on disk are wrong: it would not start again",
        "服務在運行，但磁碟上的設定有誤：不能再次啟動",
    ),
    do=Words(remedies.EDIT_SETTINGS, f"`sudo vim {remedies.INSTALLED_SETTINGS}`；`{remedies.RESTART}`"),
    alert=BY_STATUS,
)
SETTINGS_UNREADABLE: Final = FindingSpec(
    code="settings_unreadable",
    text=Words("{error}", "{error}"),
    remedy=Remedy(JOIN_GROUP),
    meaning=Words("this user may not read the settings", "目前使用者無權讀取設定"),
    do=Words(
        "sudo usermod -aG hkcollector $USER, then log in again",
        "`sudo usermod -aG hkcollector $USER`，再重新登入",
    ),
    alert=BY_STATUS,
)
LIVE_STATE: Final = FindingSpec(
    code="live_state",
    text=Words("{error}", "{error}"),
    remedy=Remedy(remedies.DOCTOR),
    meaning=Words("status.json cannot be read or is of another version", "status.json 不能讀取，或屬另一版本"),
    do=Words(
        "sudo usermod -aG hkcollector $USER, then log in again; after an upgrade restart the service",
        "`sudo usermod -aG hkcollector $USER` 再重新登入；升級後重啟服務",
    ),
    alert=BY_STATUS,
    causes=("day_file",),
)

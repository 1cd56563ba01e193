"""Findings for the alerts themselves: messages that do not arrive, dead-man pings that are not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import PATIENT, FindingSpec, Rule
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen


def _alerts(seen: Seen) -> Iterator[Finding]:
    failing = seen.status.alerts_failing
    if failing:
        since_ms = min(failing.values())
        yield ALERTS_FAILING.found(
            Severity.WARNING,
            since_ms=since_ms,
            to=", ".join(sorted(failing)),
            since=market.clock_text(since_ms),
            error=seen.status.alerts_error,
        )


def _deadman(seen: Seen) -> Iterator[Finding]:
    since_ms = seen.status.deadman_failing_ms
    if since_ms is not None:
        yield DEADMAN_FAILING.found(
            Severity.WARNING,
            since_ms=since_ms,
            since=market.clock_text(since_ms),
            error=seen.status.deadman_error,
        )


ALERTS_FAILING: Final = FindingSpec(
    code="alerts_failing",
    when=_alerts,
    text=Words("alerts to {to} are not delivered since {since}: {error}", "告警自 {since} 起未能送達 {to}：{error}"),
    remedy=Remedy(remedies.TEST_ALERTS),
    meaning=Words(
        "a destination of ALERT_URLS accepts no messages; they are tried again for a quarter of an hour, and the"
        " finding ends with the next message that arrives",
        "`ALERT_URLS` 其中一個目的地收不到訊息；每則重試約一刻鐘，下一則送達後此項即消失",
    ),
    do=Words(
        f"{remedies.TEST_ALERTS}; correct ALERT_URLS, or this host's network",
        f"`{remedies.TEST_ALERTS}`；改正 `ALERT_URLS`，或檢查本機網絡",
    ),
    alert=PATIENT,  # the other destinations tell it
)
DEADMAN_FAILING: Final = FindingSpec(
    code="deadman_failing",
    when=_deadman,
    text=Words(
        "the dead-man pings are not answered since {since}, so the outside watcher will raise an alarm: {error}",
        "外部監察的 ping 自 {since} 起沒有成功，對方將會告警：{error}",
    ),
    remedy=Remedy(remedies.grep("deadman_failed")),
    meaning=Words(
        "the outside watcher at DEADMAN_URL does not answer the ping of each minute; collection is not affected",
        "`DEADMAN_URL` 的外部監察沒有回應每分鐘的 ping；收集不受影響",
    ),
    do=Words(
        "check DEADMAN_URL and this host's network; sudo vim /opt/futu_tick_downloader/.env",
        "檢查 `DEADMAN_URL` 與本機網絡；`sudo vim /opt/futu_tick_downloader/.env`",
    ),
    alert=Rule(hold_s=180),
)

"""Findings for the connection in the last quarter of an hour: it broke, invalid bytes, pushes that stopped.

One reconnection is not a finding; the figures of `status` show it. Repeated disconnections, or bytes that are not
OpenD's protocol, are findings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import PATIENT, SMALL, FindingSpec, Says
from .words import Words, symbols, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

    from .finding import Finding
    from .spec import Seen

_BREAKS: Final = 3  # this many broken connections are the finding link_unstable
_UNPUSHED_MS: Final = 30_000  # a symbol that is subscribed again is pushed at once
_BACKFILLED: Final = ("gaps_lost", "gaps_healing", "lag")


def _bad_messages(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.connected and status.protocol_errors_lately:
        yield BAD_MESSAGES.found(
            Severity.WARNING, times=times(status.protocol_errors_lately), last=status.protocol_error
        )


BAD_MESSAGES: Final = FindingSpec(
    code="bad_messages",
    when=_bad_messages,
    text=Words(
        "OpenD sent data that is not its protocol {times} in the last 15 minutes, most recently: {last};"
        " if it lasts, update OpenD, and check for a proxy in between",
        "OpenD 在最近 15 分鐘內送來 {times} 不合協定的資料，最近一次：{last}；若持續，更新 OpenD，並檢查中間有否代理",
    ),
    remedy=Remedy(remedies.grep("futu_disconnected")),
    meaning=Words(
        "OpenD sent bytes that are not its protocol; the connection was closed and opened again",
        "OpenD 送來不合協定的資料；已重新連線",
    ),
    do=Words("if it lasts: update OpenD, check for a proxy in between", "若持續：更新 OpenD，檢查中間有否代理"),
    alert=PATIENT,
    causes=("link_unstable", *_BACKFILLED),
)


def _unstable(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.connected and status.link_breaks_lately >= _BREAKS:
        yield LINK_UNSTABLE.found(
            Severity.WARNING, times=times(status.link_breaks_lately), last=status.link_break_reason
        )


LINK_UNSTABLE: Final = FindingSpec(
    code="link_unstable",
    when=_unstable,
    text=Words(
        "the connection to OpenD broke {times} in the last 15 minutes, most recently: {last}",
        "與 OpenD 的連線在最近 15 分鐘內中斷 {times}，最近一次：{last}",
    ),
    remedy=Remedy(f"{remedies.OPEND_STATUS}; {remedies.grep('futu_disconnected')}"),
    meaning=Words(
        "the connection to OpenD broke three times or more within 15 minutes", "15 分鐘內與 OpenD 的連線中斷三次或以上"
    ),
    do=Words(remedies.OPEND_STATUS, f"`{remedies.OPEND_STATUS}`"),
    alert=PATIENT,
    causes=_BACKFILLED,
)


def _skipped(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.skipped_messages_lately:
        yield MESSAGES_SKIPPED.found(
            Severity.WARNING, count=status.skipped_messages_lately, last=status.skipped_message
        )


MESSAGES_SKIPPED: Final = FindingSpec(
    code="messages_skipped",
    when=_skipped,
    text=Words(
        "{count:,} unknown messages were skipped in the last 15 minutes, the last one: {last};"
        " check whether OpenD's version is the one that this release supports",
        "最近 15 分鐘內略過 {count:,} 個無法理解的訊息，最近一個：{last}；核對 OpenD 版本是否與本版本相符",
    ),
    remedy=Remedy(remedies.grep("message_skipped")),
    meaning=Words("messages that the collector does not know were skipped", "略過了無法理解的訊息"),
    do=Words("check whether OpenD's version is the one that this release supports", "核對 OpenD 版本是否與本版本相符"),
    alert=SMALL,
)


def _stopped(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.pushes_stopped_lately:
        variant = "all" if _nothing_pushed(status, seen.now_ms) else ""
        count, first = symbols(status.pushes_stopped_lately), status.pushes_stopped_first
        yield PUSHES_STOPPED.found(Severity.WARNING, variant, count=count, first=first)


def _nothing_pushed(status: LiveStatus, now_ms: int) -> bool:
    """Whether OpenD has new ticks of every subscribed symbol and still pushes none: the subscriptions are in order."""
    last_ms = max(status.last_tick_ms or 0, status.link_since_ms or 0)
    silent = status.connected and status.trading and now_ms - last_ms > _UNPUSHED_MS
    return silent and status.pushes_stopped_lately >= status.subscribed > 0


PUSHES_STOPPED: Final = FindingSpec(
    code="pushes_stopped",
    when=_stopped,
    text=Words(
        "OpenD stopped pushing {count} in the last 15 minutes, {first} first: subscribed again, and the missing ticks"
        " are backfilled; if it happens again, restart futu-opend after the close",
        "OpenD 在最近 15 分鐘內曾停止推送 {count}，首隻 {first}：已重新訂閱，缺漏正在補取；若再出現，"
        "收市後重啟 futu-opend",
    ),
    remedy=Remedy(remedies.grep("pushes_stopped")),
    variants={
        "all": Says(
            Words(
                "OpenD has new ticks of everything that is subscribed, {count}, and pushes none of them: they are"
                " requested instead",
                "OpenD 有全部已訂閱股票（{count}）的新 tick，但一筆也沒有推送：現改為逐次補取",
            ),
            Remedy(
                f"{remedies.OPEND_LOG}; {remedies.TAKE_BACK}",
                "another terminal of this account may have taken the quote right: the second command takes it back; if"
                " that does not help, restart futu-opend",
                "行情權限可能被同一帳戶的另一終端佔用：第二個命令取回；仍然不成，重啟 futu-opend",
            ),
        )
    },
    meaning=Words(
        "OpenD stopped pushing some symbols; they were subscribed again", "OpenD 曾停止推送部分股票；已重新訂閱"
    ),
    do=Words(
        f"no action needed; if it happens again: {remedies.RESTART_OPEND}",
        f"自行消失；若再出現：`{remedies.RESTART_OPEND}`",
    ),
    alert=SMALL,
    causes=_BACKFILLED,
)

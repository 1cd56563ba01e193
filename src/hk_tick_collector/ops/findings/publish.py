"""Findings of `publish`, from its live state. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .finding import Severity
from .remedies import Remedy
from .spec import PATIENT, FindingSpec, Rule, Says
from .streaming import PUBLISH, engine, flow, gone, losses
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.publish_state import PublishState

    from .finding import Finding

_NAMED: Final = 3


def check_publish(state: PublishState, now_ms: int) -> list[Finding]:
    """What is wrong with a publish whose live state this is, in no particular order."""
    if (only := gone(PUBLISH, state, now_ms)) is not None:
        return only
    return [
        *engine(PUBLISH, state, now_ms),
        *flow(PUBLISH, state.behind_rows, state.behind_since_ms, now_ms),
        *losses(PUBLISH, state, now_ms),
        *_of_publish(state),
    ]


def _of_publish(state: PublishState) -> Iterator[Finding]:
    if state.name_taken_by:
        yield PUBLISH_NAME_TAKEN.found(Severity.CRITICAL, name=state.source, by=state.name_taken_by)
    for day, why in list(state.days_unread.items())[:_NAMED]:
        yield PUBLISH_UNREAD.found(Severity.CRITICAL, "" if day else "none", day=day, error=why)
    if state.cursors_unsaved:
        yield PUBLISH_CURSORS.found(Severity.WARNING, error=state.cursors_unsaved)


PUBLISH_NAME_TAKEN: Final = FindingSpec(
    code="publish_name_taken",
    text=Words(
        "another publisher uses the name {name}: {by}; each host needs an INSTANCE_ID of its own",
        "另一個發布者使用名稱 {name}：{by}；每台主機須有自己的 INSTANCE_ID",
    ),
    remedy=Remedy("sudo vim /opt/futu_tick_downloader/.env; sudo systemctl restart hk-tick-publish"),
    meaning=Words("two publishers have one name", "兩個發布者同名"),
    do=Words("set another INSTANCE_ID on one of the hosts", "在其中一台主機設定另一個 INSTANCE_ID"),
    alert=Rule(hold_s=0, critical_s=0),
)
PUBLISH_UNREAD: Final = FindingSpec(
    code="publish_day_unread",
    text=Words("publish cannot read the file of {day}: {error}", "`publish` 不能讀取 {day} 的日檔：{error}"),
    remedy=Remedy("sudo hk-tick-collector doctor"),
    variants={
        "none": Says(
            Words(
                "publish cannot list the day files in DATA_ROOT: {error}",
                "`publish` 不能列出 DATA_ROOT 的日檔：{error}",
            ),
            Remedy("sudo hk-tick-collector doctor"),
        )
    },
    meaning=Words("a day file cannot be read, so its ticks are not published", "日檔不能讀取，其 tick 沒有發布"),
    do=Words("sudo hk-tick-collector doctor; it is tried again", "`sudo hk-tick-collector doctor`；程式會重試"),
    alert=PATIENT,
)
PUBLISH_CURSORS: Final = FindingSpec(
    code="publish_cursors_unsaved",
    text=Words(
        "publish cannot save what it has sent: {error}; a restart would send ticks again",
        "`publish` 不能儲存已發布的位置：{error}；重啟後會重複發布",
    ),
    remedy=Remedy("df -h; sudo journalctl -u hk-tick-publish -n 30 --no-pager"),
    meaning=Words(
        "the file of what was sent cannot be written; sending ticks twice does no harm",
        "已發布位置的檔案不能寫入；重複發布沒有壞處",
    ),
    do=Words("free space on its disk, or correct its rights", "騰出磁碟空間，或更正權限"),
    alert=PATIENT,
)

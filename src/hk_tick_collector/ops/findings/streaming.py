"""Findings for the stream between `publish` and `merge`, and for either process as such, from their live states. Pure.

Neither process is part of the service: `status` reads `publish.json` and `merge.json`, and each process alerts. That it
has ended or is stuck it cannot say itself: the service on the same host does. What only one of them can find is in
publish.py and merge.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import LATELY_MS

from .finding import Severity
from .remedies import Remedy
from .spec import PATIENT, SOON, FindingSpec, Rule, Says
from .words import NO_WORDS, Words, same, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.merge_state import MergeState
    from hk_tick_collector.ops.live.publish_state import PublishState

    from .finding import Finding

PUBLISH: Final = "publish"
MERGE: Final = "merge"
BEHIND_MS: Final = 60_000
_SILENT_MS: Final = 10_000  # its file is replaced every second
_AWAY_CRITICAL_MS: Final = 15 * 60_000  # nothing is lost meanwhile, but a copy off this host is that old
_SHORT_S: Final = 2 * 86_400.0  # a stream that keeps less does not outlast a weekend without a merge
_FULL: Final = 0.95  # of its limit: then it drops messages before their age


def gone(process: str, state: PublishState | MergeState, now_ms: int) -> list[Finding] | None:
    """The finding for a process that has ended or is stuck; None while it runs. A stopped one is no fault."""
    if state.state == "stopped":
        return [STREAM_STOPPED.found(Severity.WARNING, process=process)]
    age_ms = now_ms - state.written_ms
    if abs(age_ms) < _SILENT_MS + 1000:
        return None
    if age_ms < 0:  # a process that runs would have replaced it within a second
        return [STREAM_NOT_REPORTING.found(Severity.CRITICAL, "ahead", process=process)]
    age_s = age_ms // 1000
    return [STREAM_NOT_REPORTING.found(Severity.CRITICAL, process=process, age_s=age_s, since_ms=state.written_ms)]


STREAM_STOPPED: Final = FindingSpec(
    code="stream_stopped",
    text=Words(
        "{process} was stopped: nothing is sent or merged until it runs again",
        "{process} 已停止：再次啟動前不會發布或合併",
    ),
    remedy=Remedy("sudo systemctl start hk-tick-{process}"),
    meaning=Words("publish or merge was stopped", "`publish` 或 `merge` 已停止"),
    do=Words(
        "sudo systemctl start hk-tick-publish or hk-tick-merge; it goes on where it ended",
        "`sudo systemctl start hk-tick-publish` 或 `hk-tick-merge`；由停止處繼續",
    ),
    alert=PATIENT,
)
STREAM_NOT_REPORTING: Final = FindingSpec(
    code="stream_not_reporting",
    text=Words(
        "{process} has not reported for {age_s:,} s: it was killed or is stuck",
        "{process} 已 {age_s:,} 秒沒有更新狀態：已被終止或卡住",
    ),
    remedy=Remedy("sudo systemctl status hk-tick-{process} --no-pager"),
    variants={
        "ahead": Says(
            Words(
                "{process} has not reported since this host's clock was set back: it was killed or is stuck",
                "{process} 自本機時鐘被調慢後一直沒有更新狀態：已被終止或卡住",
            ),
            Remedy("sudo systemctl status hk-tick-{process} --no-pager"),
        ),
        "unit": Says(
            Words("{process} does not run: its unit is {state}", "{process} 沒有執行：其 unit 狀態為 {state}"),
            Remedy("sudo systemctl status hk-tick-{process} --no-pager"),
        ),
        "never": Says(
            Words(
                "no {process} runs for MERGE_ROOT={root} (no {process}.json)",
                "MERGE_ROOT={root} 沒有 {process} 在執行（沒有 {process}.json）",
            ),
            Remedy("sudo systemctl start hk-tick-{process}"),
        ),
    },
    meaning=Words(
        "publish or merge has ended without being stopped, or is stuck", "`publish` 或 `merge` 意外結束或卡住"
    ),
    do=Words(
        "sudo systemctl status hk-tick-publish hk-tick-merge; nothing is lost: it goes on where it ended",
        "`sudo systemctl status hk-tick-publish hk-tick-merge`；沒有遺失，由停止處繼續",
    ),
    alert=Rule(hold_s=30, critical_s=0),
)


def engine(process: str, state: PublishState | MergeState, now_ms: int) -> Iterator[Finding]:
    """The NATS servers and the stream."""
    unit = f"sudo journalctl -u hk-tick-{process} -n 30 --no-pager"
    if state.refused:
        hint = same(f"; {state.fault_hint}") if state.fault_hint else NO_WORDS
        yield STREAM_REFUSES.found(
            Severity.CRITICAL, process=process, fault=state.fault, hint=hint, since_ms=state.away_since_ms
        )
    elif state.away_since_ms is not None and state.fault:
        away_ms = now_ms - state.away_since_ms
        severity = Severity.CRITICAL if away_ms > _AWAY_CRITICAL_MS else Severity.WARNING
        yield STREAM_AWAY.found(
            severity, process=process, fault=state.fault, since_ms=state.away_since_ms, remedy=Remedy(unit)
        )
    if not state.server:
        return
    if 0 < state.stream_servers < state.stream_replicas:
        yield STREAM_SERVERS.found(Severity.WARNING, there=state.stream_servers, all=state.stream_replicas)
    if state.stream_differences:
        yield STREAM_SETTINGS.found(Severity.WARNING, settings=", ".join(state.stream_differences))
    if state.unsynced:
        yield STREAM_UNSYNCED.found(Severity.WARNING)
    if 0 < state.stream_max_age_s < _SHORT_S:
        yield STREAM_RETENTION.found(Severity.WARNING, hours=round(state.stream_max_age_s / 3600))
    elif state.stream_max_bytes > 0 and state.stream_bytes >= _FULL * state.stream_max_bytes:
        yield STREAM_RETENTION.found(Severity.WARNING, "full", mb=state.stream_max_bytes // 2**20)


STREAM_AWAY: Final = FindingSpec(
    code="stream_away",
    text=Words(
        "{process} reaches no NATS server: {fault}; ticks stay in the day files and follow later",
        "{process} 無法連接 NATS 伺服器：{fault}；tick 保留在日檔，恢復後補發",
    ),
    remedy=Remedy("sudo systemctl status hk-nats --no-pager"),
    meaning=Words(
        "no NATS server can be used; collecting is not affected, and nothing is lost while the day files are there",
        "沒有可用的 NATS 伺服器；收集不受影響，日檔仍在便沒有遺失",
    ),
    do=Words(
        "check the servers: systemctl status hk-nats on each; see docs/publish.md",
        "檢查各伺服器：`systemctl status hk-nats`；見 docs/publish.md",
    ),
    alert=PATIENT,
    causes=("stream_behind", "stream_source_silent"),
)
STREAM_REFUSES: Final = FindingSpec(
    code="stream_refuses",
    text=Words("the NATS servers refuse {process}: {fault}{hint}", "NATS 伺服器拒絕 {process}：{fault}{hint}"),
    remedy=Remedy("sudo journalctl -u hk-tick-{process} -n 30 --no-pager"),
    meaning=Words(
        "the NATS servers answer and refuse: version, credentials, certificates or settings of the stream",
        "NATS 伺服器有回應但拒絕：版本、憑證檔、證書或 stream 設定不符",
    ),
    do=Words("do what the line says; it is tried again every few seconds", "按該行所述處理；程式會每隔數秒重試"),
    alert=Rule(hold_s=30, critical_s=0),
    causes=("stream_behind", "stream_source_silent"),
)
STREAM_SERVERS: Final = FindingSpec(
    code="stream_servers",
    text=Words(
        "{there} of {all} NATS servers hold all of the stream: one more failure may stop it",
        "{all} 個 NATS 伺服器中有 {there} 個持有完整的 stream：再有一個失效便可能停止",
    ),
    remedy=Remedy("sudo systemctl status hk-nats --no-pager", "on each server", "在每個伺服器上執行"),
    meaning=Words("a NATS server is down or catches up", "有 NATS 伺服器停止或正在追上"),
    do=Words(
        "start hk-nats on the server that is missing; it catches up by itself",
        "在欠缺的伺服器啟動 hk-nats；它會自行追上",
    ),
    alert=Rule(hold_s=120),
)
STREAM_SETTINGS: Final = FindingSpec(
    code="stream_settings",
    text=Words("the stream HK_TICKS was changed: {settings}", "stream HK_TICKS 的設定曾被更改：{settings}"),
    remedy=Remedy(
        "", "nats stream edit HK_TICKS; see docs/publish.md", "`nats stream edit HK_TICKS`；見 docs/publish.md"
    ),
    meaning=Words(
        "settings of the stream differ from those that publish gives it; no tick is lost by that",
        "stream 的設定與 `publish` 建立時不同；不會因此遺失 tick",
    ),
    do=Words("nats stream edit HK_TICKS, if that was not intended", "如非有意更改，執行 `nats stream edit HK_TICKS`"),
    alert=PATIENT,
)
STREAM_UNSYNCED: Final = FindingSpec(
    code="stream_unsynced",
    text=Words(
        "the NATS server of this host acknowledges messages that are not on its disk yet",
        "本機的 NATS 伺服器在訊息寫入磁碟前已確認",
    ),
    remedy=Remedy("grep sync_interval /etc/hk-nats/nats.conf; sudo systemctl restart hk-nats"),
    meaning=Words(
        "sync_interval is not always: a power cut of all servers loses messages that they have acknowledged; they are"
        " noticed and sent again while the day files are there",
        "`sync_interval` 不是 `always`：所有伺服器同時斷電會遺失已確認的訊息；日檔仍在時會察覺並重新發布",
    ),
    do=Words(
        "set sync_interval: always in the section jetstream, and restart hk-nats",
        "在 jetstream 一節設定 `sync_interval: always`，然後重啟 hk-nats",
    ),
    alert=PATIENT,
    causes=("stream_lost_data",),
)
STREAM_RETENTION: Final = FindingSpec(
    code="stream_retention_short",
    text=Words(
        "the stream keeps only {hours} hours: a merge that is away for longer must ask the collectors again",
        "stream 只保留 {hours} 小時：`merge` 中斷更久便要向收集器重新索取",
    ),
    remedy=Remedy("", "nats stream edit HK_TICKS --max-age 7d", "`nats stream edit HK_TICKS --max-age 7d`"),
    variants={
        "full": Says(
            Words(
                "the stream has reached its {mb:,} MB and drops its oldest messages before their age",
                "stream 已達上限 {mb:,} MB，最舊的訊息會提早移除",
            ),
            Remedy("", "nats stream edit HK_TICKS --max-bytes", "`nats stream edit HK_TICKS --max-bytes`"),
        )
    },
    meaning=Words(
        "the stream keeps messages for a shorter time than a merge may be away",
        "stream 的保留時間短於 `merge` 可能中斷的時間",
    ),
    do=Words(
        "raise max_age or max_bytes of the stream; the day files still have everything",
        "提高 stream 的 max_age 或 max_bytes；日檔仍有全部資料",
    ),
    alert=PATIENT,
)


def flow(process: str, behind: int, since_ms: int | None, now_ms: int) -> Iterator[Finding]:
    """How far a process is behind; `behind` in ticks for publish, in messages for merge."""
    if since_ms is not None and now_ms - since_ms > BEHIND_MS:
        unit = Words("ticks", "筆 tick") if process == PUBLISH else Words("messages", "則訊息")
        seconds = (now_ms - since_ms) // 1000
        yield STREAM_BEHIND.found(
            Severity.WARNING, process=process, count=behind, unit=unit, seconds=seconds, since_ms=since_ms
        )


STREAM_BEHIND: Final = FindingSpec(
    code="stream_behind",
    text=Words(
        "{process} has been behind for {seconds:,} s: {count:,} {unit} wait",
        "{process} 已落後 {seconds:,} 秒：{count:,} {unit}等候",
    ),
    remedy=Remedy("sudo journalctl -u hk-tick-{process} -n 30 --no-pager"),
    meaning=Words(
        "publish or merge does not keep up, or catches up after an outage",
        "`publish` 或 `merge` 跟不上，或中斷後正在追上",
    ),
    do=Words(
        "wait while the number falls; else look at disk and CPU of the host", "數字下降則等待；否則檢查主機的磁碟與 CPU"
    ),
    alert=Rule(hold_s=300),
)


def losses(process: str, state: PublishState | MergeState, now_ms: int) -> Iterator[Finding]:
    """Messages that the servers had acknowledged and no longer have."""
    if state.loss_ms is not None and now_ms - state.loss_ms < LATELY_MS:
        yield STREAM_LOST_DATA.found(
            Severity.WARNING, process=process, times=times(state.losses), detail=state.loss_detail, size=state.losses
        )


STREAM_LOST_DATA: Final = FindingSpec(
    code="stream_lost_data",
    text=Words(
        "the NATS servers lost messages that they had acknowledged, {process} noticed it {times}: {detail};"
        " they are sent and read again",
        "NATS 伺服器遺失了已確認的訊息，{process} 發現 {times}：{detail}；會重新發布與讀取",
    ),
    remedy=Remedy(
        "",
        "check on each server that sync_interval is always: hk-tick-collector doctor",
        "在每個伺服器確認 sync_interval 為 always：`hk-tick-collector doctor`",
    ),
    meaning=Words(
        "acknowledged messages are gone from the stream; the day files have them, and they are sent again",
        "已確認的訊息不在 stream 內；日檔仍有，會重新發布",
    ),
    do=Words(
        "set sync_interval: always on each server, and check its disk; no tick is lost while a day file has it",
        "在每個伺服器設定 `sync_interval: always` 並檢查磁碟；日檔仍有便沒有遺失",
    ),
    alert=SOON,
)

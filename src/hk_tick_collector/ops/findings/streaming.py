"""Findings for `publish` and `merge` and the stream between them, from their live states. Pure.

Neither process is part of the service: `status` reads `publish.json` and `merge.json`, and each process alerts.
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
_SILENT_MS: Final = 10_000  # its file is replaced every second
_AWAY_CRITICAL_MS: Final = 15 * 60_000  # nothing is lost meanwhile, but a copy off this host is that old
_BEHIND_MS: Final = 60_000
_SHORT_S: Final = 2 * 86_400.0  # a stream that keeps less does not outlast a weekend without a merge
_FULL: Final = 0.95  # of its limit: then it drops messages before their age
_SOURCE_SILENT_MS: Final = 10 * 60_000
_HANGS_MS: Final = 120_000  # the check of a large file before it is sealed takes half a minute
_NAMED: Final = 3


def check_publish(state: PublishState, now_ms: int) -> list[Finding]:
    """What is wrong with a publish whose live state this is, in no particular order."""
    gone = _gone(PUBLISH, state, now_ms)
    if gone is not None:
        return gone
    return [
        *_engine(PUBLISH, state, now_ms),
        *_flow(PUBLISH, state.behind_rows, state.behind_since_ms, now_ms),
        *_losses(PUBLISH, state, now_ms),
        *_of_publish(state),
    ]


def check_merge(state: MergeState, now_ms: int, min_free_mb: int = 0) -> list[Finding]:
    """What is wrong with a merge whose live state this is. `min_free_mb` is DISK_MIN_FREE_MB."""
    gone = _gone(MERGE, state, now_ms)
    if gone is not None:
        return gone
    return [
        *_engine(MERGE, state, now_ms),
        *_flow(MERGE, state.behind, state.behind_since_ms, now_ms),
        *_losses(MERGE, state, now_ms),
        *_of_files(state, min_free_mb),
        *_of_messages(state, now_ms),
        *_of_sources(state, now_ms),
    ]


# --- both ---


def _gone(process: str, state: PublishState | MergeState, now_ms: int) -> list[Finding] | None:
    """The finding for a process that has ended or is stuck; None while it runs. A stopped one is no fault."""
    if state.state == "stopped":
        return [STREAM_STOPPED.found(Severity.WARNING, process=process)]
    age_s = (now_ms - state.written_ms) // 1000
    if age_s * 1000 <= _SILENT_MS:
        return None
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
        "unit": Says(
            Words("{process} does not run: its unit is {state}", "{process} 沒有執行：其 unit 狀態為 {state}"),
            Remedy("sudo systemctl status hk-tick-{process} --no-pager"),
        )
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


def _engine(process: str, state: PublishState | MergeState, now_ms: int) -> Iterator[Finding]:
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


def _flow(process: str, behind: int, since_ms: int | None, now_ms: int) -> Iterator[Finding]:
    if since_ms is not None and now_ms - since_ms > _BEHIND_MS:
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
    alert=Rule(hold_s=300, critical_s=1800),
)


def _losses(process: str, state: PublishState | MergeState, now_ms: int) -> Iterator[Finding]:
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


# --- publish ---


def _of_publish(state: PublishState) -> Iterator[Finding]:
    if state.name_taken_by:
        yield PUBLISH_NAME_TAKEN.found(Severity.CRITICAL, name=state.source, by=state.name_taken_by)
    for day, why in list(state.days_unread.items())[:_NAMED]:
        yield PUBLISH_UNREAD.found(Severity.CRITICAL, day=day, error=why)
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


# --- merge ---


def _of_files(state: MergeState, min_free_mb: int) -> Iterator[Finding]:
    """The merged day files and their disk."""
    if state.trouble:
        yield MERGE_NOT_WRITTEN.found(
            Severity.CRITICAL,
            day=state.trouble_day or "?",
            cause=state.trouble,
            error=state.trouble_detail,
            since_ms=state.trouble_since_ms,
        )
    elif state.files_since_ms is not None and state.written_ms - state.files_since_ms > _HANGS_MS:
        seconds = (state.written_ms - state.files_since_ms) // 1000
        yield MERGE_HANGS.found(Severity.CRITICAL, root=state.data_root, seconds=seconds, since_ms=state.files_since_ms)
    if state.damaged_files:
        yield MERGE_DAMAGED.found(Severity.WARNING, what=state.damaged_files[-1])
    if waits := list(state.not_sealed.items()):
        days = "; ".join(f"{day}: {why}" for day, why in waits[:_NAMED])
        yield MERGE_NOT_SEALED.found(Severity.WARNING, count=len(waits), days=days)
    if state.disk_free_mb is not None and state.disk_free_mb < min_free_mb:
        severity = Severity.CRITICAL if state.disk_free_mb < min_free_mb / 4 else Severity.WARNING
        yield MERGE_DISK.found(severity, free_mb=state.disk_free_mb, limit_mb=min_free_mb, root=state.data_root)


MERGE_NOT_WRITTEN: Final = FindingSpec(
    code="merge_not_written",
    text=Words(
        "merge cannot write {day} ({cause}): {error}; it tries again, and the stream keeps what follows",
        "`merge` 不能寫入 {day}（{cause}）：{error}；會重試，其後的訊息保留在 stream",
    ),
    remedy=Remedy("df -h; sudo journalctl -u hk-tick-merge -n 30 --no-pager"),
    meaning=Words("a merged day file cannot be written", "合併的日檔不能寫入"),
    do=Words("correct the cause that is named; it then goes on by itself", "處理所述原因；其後自行繼續"),
    alert=Rule(hold_s=30, critical_s=0),
    causes=("stream_behind",),
)
MERGE_HANGS: Final = FindingSpec(
    code="merge_disk_hangs",
    text=Words(
        "merge has waited {seconds:,} s for files in {root}: the disk does not respond",
        "`merge` 已等候 {root} 的檔案 {seconds:,} 秒：磁碟沒有回應",
    ),
    remedy=Remedy("sudo dmesg | tail"),
    meaning=Words("a read or write of the merged files does not end", "合併日檔的讀寫沒有完成"),
    do=Words("check the disk; what follows stays in the stream", "檢查磁碟；其後的訊息保留在 stream"),
    alert=Rule(hold_s=30, critical_s=0),
    causes=("stream_behind",),
)
MERGE_DAMAGED: Final = FindingSpec(
    code="merge_day_replaced",
    text=Words("{what}; the day is built again from the stream", "{what}；該日由 stream 重建"),
    remedy=Remedy("sudo dmesg | tail"),
    meaning=Words(
        "a merged day file was damaged or removed, and is built again from the stream",
        "合併的日檔損壞或被移除，正由 stream 重建",
    ),
    do=Words("check the disk; compare the new file before the old one is removed", "檢查磁碟；移除舊檔前先核對新檔"),
    alert=SOON,
)
MERGE_NOT_SEALED: Final = FindingSpec(
    code="merge_not_sealed",
    text=Words("{count} merged days are not sealed: {days}", "有 {count} 個合併日檔未封存：{days}"),
    remedy=Remedy(
        "",
        "a collector that is gone for good: the day is sealed after a week",
        "收集器如已永久停用，該日於一星期後封存",
    ),
    meaning=Words(
        "a merged day waits until each collector has sealed its own file", "合併日檔等候各收集器封存自己的日檔"
    ),
    do=Words("start the collector that is named, and its publish; or wait", "啟動所述收集器及其 `publish`；或等待"),
    alert=Rule(hold_s=4 * 3600),
)
MERGE_DISK: Final = FindingSpec(
    code="merge_disk_low",
    text=Words(
        "{free_mb:,} MB are free in {root}, less than DISK_MIN_FREE_MB={limit_mb}",
        "{root} 剩餘 {free_mb:,} MB，少於 DISK_MIN_FREE_MB={limit_mb}",
    ),
    remedy=Remedy("df -h {root}"),
    meaning=Words("the disk of the merged day files is nearly full", "合併日檔的磁碟將滿"),
    do=Words("move old days, or enlarge the disk", "搬走較早的日檔，或擴充磁碟"),
    alert=PATIENT,
    causes=("merge_not_written",),
)


def _of_messages(state: MergeState, now_ms: int) -> Iterator[Finding]:
    """Messages that are wrong, or were dropped before they were read."""
    if state.expired_ms is not None and now_ms - state.expired_ms < LATELY_MS:
        yield MERGE_EXPIRED.found(Severity.WARNING, times=times(state.expired), size=state.expired)
    if state.wrong_name_ms is not None and now_ms - state.wrong_name_ms < LATELY_MS:
        yield MERGE_WRONG_NAME.found(
            Severity.CRITICAL, count=state.wrong_name, last=state.wrong_name_last, size=state.wrong_name
        )
    if state.refused_message_ms is not None and now_ms - state.refused_message_ms < LATELY_MS:
        yield MERGE_REFUSED.found(
            Severity.WARNING, count=state.refused_messages, last=state.refused_message, size=state.refused_messages
        )


MERGE_EXPIRED: Final = FindingSpec(
    code="merge_expired",
    text=Words(
        "the stream dropped messages before merge had read them ({times}); the collectors are asked to send again",
        "stream 在 `merge` 讀取前已移除訊息（{times}）；已要求收集器重新發布",
    ),
    remedy=Remedy("", "see docs/merge.md", "見 docs/merge.md"),
    meaning=Words(
        "merge was away for longer than the stream keeps its messages", "`merge` 中斷的時間長於 stream 的保留時間"
    ),
    do=Words(
        "raise max_age or max_bytes of the stream; hk-tick-collector gaps shows what is still missing",
        "提高 stream 的 max_age 或 max_bytes；`hk-tick-collector gaps` 列出仍欠缺的部分",
    ),
    alert=SOON,
    caused_by=("stream_retention_short",),
)
MERGE_WRONG_NAME: Final = FindingSpec(
    code="merge_wrong_name",
    text=Words(
        "{count} messages name another collector than the one that may send them: {last}; they are not merged",
        "有 {count} 則訊息所載的收集器名稱不是其獲准使用者：{last}；沒有合併",
    ),
    remedy=Remedy("sudo journalctl -u hk-tick-merge --no-pager | grep message_refused | tail"),
    meaning=Words("a publisher uses another collector's name", "有發布者使用其他收集器的名稱"),
    do=Words("check INSTANCE_ID and the authorization of the NATS servers", "檢查 INSTANCE_ID 與 NATS 伺服器的授權"),
    alert=SOON,
)
MERGE_REFUSED: Final = FindingSpec(
    code="merge_message_refused",
    text=Words(
        "{count} messages of the stream are wrong and are not merged, the last: {last}",
        "stream 有 {count} 則訊息有誤而沒有合併，最近一則：{last}",
    ),
    remedy=Remedy("sudo journalctl -u hk-tick-merge --no-pager | grep message_refused | tail"),
    meaning=Words("a message is cut off, or has values that no collector sends", "訊息不完整，或有收集器不會發出的值"),
    do=Words("check who may publish on hk.ticks; see docs/merge.md", "檢查誰可發布到 hk.ticks；見 docs/merge.md"),
    alert=SOON,
)


def _of_sources(state: MergeState, now_ms: int) -> Iterator[Finding]:
    """The collectors, compared with each other."""
    if state.disagreement:
        yield SEQUENCE_DISAGREES.found(
            Severity.CRITICAL, what=state.disagreement, root=state.data_root, since_ms=state.disagreement_ms
        )
    if state.conflicts:
        yield MERGE_CONFLICTS.found(
            Severity.WARNING,
            count=state.conflicts,
            first=state.conflicts_first,
            root=state.data_root,
            day=state.newest_day,
            size=state.conflicts,
        )
    if state.sums_differ:
        which, symbols = next(iter(state.sums_differ.items()))
        yield MERGE_SUMS.found(Severity.WARNING, which=which, symbols=symbols, count=len(state.sums_differ))
    newest_ms = max(state.sources.values(), default=0)
    for source, last_ms in state.sources.items():
        if newest_ms - last_ms > _SOURCE_SILENT_MS and now_ms - newest_ms < _BEHIND_MS:
            minutes = (now_ms - last_ms) // 60_000
            yield STREAM_SOURCE_SILENT.found(Severity.WARNING, source=source, minutes=minutes, since_ms=last_ms)


SEQUENCE_DISAGREES: Final = FindingSpec(
    code="sequence_disagrees",
    text=Words(
        "the collectors number the same ticks differently ({what}): each has day files of its own in"
        " {root}/collectors, and the union takes each symbol from one of them",
        "收集器對相同的 tick 編號不同（{what}）：各有日檔於 {root}/collectors，合併日檔的每個代號只取自其中一個收集器",
    ),
    remedy=Remedy("cat {root}/sequences-disagree.json"),
    meaning=Words(
        "the sequences of two OpenDs are not the same, so one cannot fill the gaps of the other",
        "兩個 OpenD 的序號不同，不能互補缺口",
    ),
    do=Words(
        "see docs/merge.md; after the cause is gone remove sequences-disagree.json and restart merge",
        "見 docs/merge.md；原因消除後移除 sequences-disagree.json 並重啟 `merge`",
    ),
    alert=Rule(hold_s=0, critical_s=0),
)
MERGE_CONFLICTS: Final = FindingSpec(
    code="merge_conflicts",
    text=Words(
        "{count:,} ticks have the same symbol and sequence as another one and other content, first {first}:"
        " the first that came is kept, the others are in the table conflicts",
        "有 {count:,} 筆 tick 與另一筆代號、序號相同而內容不同，首見 {first}：保留先到者，其餘存入資料表 conflicts",
    ),
    remedy=Remedy("sqlite3 -readonly {root}/{day}.db 'SELECT * FROM conflicts LIMIT 20'"),
    meaning=Words(
        "two collectors sent different ticks with one symbol and sequence", "兩個收集器以同一代號及序號發出不同的 tick"
    ),
    do=Words("compare them with the exchange's figures; nothing is lost", "與交易所數字核對；沒有遺失"),
    alert=SOON,
    caused_by=("sequence_disagrees",),
)
MERGE_SUMS: Final = FindingSpec(
    code="merge_sums_differ",
    text=Words(
        "a collector says that it has ticks which are not merged, also after it was asked: {which}, {symbols}"
        " symbols ({count} such days)",
        "收集器表示有未合併的 tick，要求重發後仍然如此：{which}，{symbols} 個代號（共 {count} 項）",
    ),
    remedy=Remedy("sudo journalctl -u hk-tick-merge --no-pager | grep sums_differ | tail"),
    meaning=Words("the sums of a collector and of the merged day differ", "收集器與合併日檔的總和不符"),
    do=Words(
        "check that its publish runs; merge asks again when it says its sums again",
        "確認其 `publish` 正在執行；下次收到總和時會再要求重發",
    ),
    alert=PATIENT,
)
STREAM_SOURCE_SILENT: Final = FindingSpec(
    code="stream_source_silent",
    text=Words(
        "nothing came from the collector {source} for {minutes} min, while others send",
        "收集器 {source} 已 {minutes} 分鐘沒有訊息，而其他收集器仍在發布",
    ),
    remedy=Remedy("", "on that host: hk-tick-collector status", "在該主機執行：`hk-tick-collector status`"),
    meaning=Words("one of several collectors does not publish", "其中一個收集器沒有發布"),
    do=Words(
        "on that host: hk-tick-collector status; the union has what the others send",
        "在該主機執行 `hk-tick-collector status`；合併日檔有其他收集器的資料",
    ),
    alert=PATIENT,
)

"""Findings of `merge`, from its live state. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import LATELY_MS

from .finding import Severity
from .remedies import Remedy
from .spec import PATIENT, SOON, FindingSpec, Rule
from .streaming import BEHIND_MS, MERGE, engine, flow, gone, losses
from .words import Words, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.merge_state import MergeState

    from .finding import Finding

_SOURCE_SILENT_MS: Final = 10 * 60_000
_HANGS_MS: Final = 120_000  # the check of a large file before it is sealed takes half a minute
_NAMED: Final = 3


def check_merge(state: MergeState, now_ms: int, min_free_mb: int = 0) -> list[Finding]:
    """What is wrong with a merge whose live state this is. `min_free_mb` is DISK_MIN_FREE_MB."""
    if (only := gone(MERGE, state, now_ms)) is not None:
        return only
    return [
        *engine(MERGE, state, now_ms),
        *flow(MERGE, state.behind, state.behind_since_ms, now_ms),
        *losses(MERGE, state, now_ms),
        *_of_files(state, min_free_mb),
        *_of_messages(state, now_ms),
        *_of_sources(state, now_ms),
    ]


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
        "a collector that is gone for good: the day is sealed after a week, or after three days if it sent nothing of"
        " that day",
        "收集器如已永久停用，該日於一星期後封存；沒有送來該日 tick 的，三日後封存",
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
            day=state.conflicts_day or state.newest_day,
            size=state.conflicts,
        )
    if state.sums_differ:
        which, symbols = next(iter(state.sums_differ.items()))
        yield MERGE_SUMS.found(Severity.WARNING, which=which, symbols=symbols, count=len(state.sums_differ))
    newest_ms = max(state.sources.values(), default=0)
    for source, last_ms in state.sources.items():
        if newest_ms - last_ms > _SOURCE_SILENT_MS and now_ms - newest_ms < BEHIND_MS:
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
        " symbols ({count} in all)",
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

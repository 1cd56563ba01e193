"""Every event that only `merge` writes to its log: its meaning and what to do. Text only."""

from __future__ import annotations

from typing import Final

from hk_tick_collector.ops.findings.explanation import Entry, entry, fine

MERGE_EVENTS: Final[dict[str, Entry]] = {
    "merge_started": fine("merge runs", "`merge` 已啟動"),
    "merge_stopped": fine(
        "merge has ended; what it did not commit is still in the stream", "`merge` 已結束；未提交的仍在 stream"
    ),
    "merge_summary": fine("the figures of the last interval", "最近一段時間的數字"),
    "merge_connected": fine(
        "a NATS server is there; the stream is read from position= on",
        "已連上 NATS 伺服器；由 `position=` 起讀取 stream",
    ),
    "merge_disconnected": entry(
        "the connection to the NATS server is lost; merge connects again and goes on where it ended",
        "與 NATS 伺服器的連線中斷；`merge` 會重連並由停止處繼續",
        "nothing, unless it repeats: systemctl status hk-nats on the server",
        "毋須處理；如反覆出現，在伺服器執行 `systemctl status hk-nats`",
    ),
    "merge_engine_away": entry(
        "no NATS server can be used; merge tries again, and the stream keeps what it has",
        "沒有可用的 NATS 伺服器；`merge` 會重試，stream 保留已有資料",
        "see reason=; systemctl status hk-nats on each server",
        "按 `reason=` 處理；在各伺服器執行 `systemctl status hk-nats`",
    ),
    "merge_data_lost": entry(
        "the last message that was read is not in the stream any more: the servers lost acknowledged messages. It is"
        " read again from its start, and publishers send again what they find lost",
        "最後讀取的訊息已不在 stream：伺服器遺失了已確認的訊息。會由頭重新讀取，發布者亦會重發",
        "check on each server that sync_interval is always, and its disk; see docs/merge.md",
        "確認各伺服器的 `sync_interval` 為 `always` 並檢查磁碟；見 docs/merge.md",
    ),
    "merge_messages_missing": entry(
        "messages in the middle of the stream are gone; the collectors are asked to send again",
        "stream 中段有訊息消失；已要求收集器重發",
        "check the disks of the NATS servers: sudo dmesg | tail",
        "檢查 NATS 伺服器的磁碟：`sudo dmesg | tail`",
    ),
    "merge_messages_expired": entry(
        "the stream dropped messages, by its age or size, before merge had read them; the collectors are asked again",
        "stream 因期限或大小移除了 `merge` 尚未讀取的訊息；已要求收集器重發",
        "raise max_age or max_bytes of the stream; see docs/merge.md",
        "提高 stream 的 `max_age` 或 `max_bytes`；見 docs/merge.md",
    ),
    "message_refused": entry(
        "a message of the stream is wrong and is not merged: another collector's name, another day, cut bytes",
        "stream 有訊息有誤而沒有合併：名稱屬其他收集器、日期不符或不完整",
        "see detail=; check who may publish under that subject",
        "按 `detail=` 處理；檢查誰可用該 subject 發布",
    ),
    "merge_starts_over": entry(
        "day files are not what merge took them for: one is damaged or was removed, or the collectors disagree. The"
        " stream is read again as far as that is necessary",
        "日檔與 `merge` 所知不符：已損壞、被移除，或收集器編號不同。會按需要重新讀取 stream",
        "see detail=",
        "按 `detail=` 處理",
    ),
    "merge_waits": entry(
        "a merged day file cannot be written; it is tried again, and the stream keeps what follows",
        "合併日檔不能寫入；會重試，其後的訊息保留在 stream",
        "see detail=; df -h",
        "按 `detail=` 處理；`df -h`",
    ),
    "sums_differ": entry(
        "a collector says that it has ticks that are not merged; it is asked to send those symbols again",
        "收集器表示有未合併的 tick；已要求重發有關代號",
        "nothing, unless the finding merge_sums_differ appears",
        "毋須處理；除非出現 finding `merge_sums_differ`",
    ),
    "again_requested": fine("a collector is asked to send ticks of a day again", "已要求收集器重發某日的 tick"),
    "sequences_disagree": entry(
        "two collectors number the same ticks differently: from now on each has day files of its own, and the union"
        " takes each symbol from one of them",
        "兩個收集器對相同的 tick 編號不同：此後各有日檔，合併日檔的每個代號只取自其中一個",
        "see docs/merge.md",
        "見 docs/merge.md",
    ),
}

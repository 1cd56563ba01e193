"""Every event that `publish` writes to its log: its meaning and what to do. Text only, as in log_events.py."""

from __future__ import annotations

from typing import Final

from hk_tick_collector.ops.findings.explanation import Entry, entry, fine

_DISK: Final = ("df -h; check the directory in detail=", "`df -h`；檢查 `detail=` 所示的目錄")
_READ: Final = (
    "correct what detail= names; publish tries again by itself",
    "按 `detail=` 處理；`publish` 會自行再試",
)

PUBLISH_EVENTS: Final[dict[str, Entry]] = {
    "publish_started": fine(
        "publish has started; since= is the first day that it sends", "`publish` 已啟動；`since=` 是首個發送的日子"
    ),
    "publish_connected": fine("publish is connected to a NATS server", "`publish` 已連接 NATS 伺服器"),
    "publish_disconnected": entry(
        "the connection to the NATS server was lost; publish connects to another one or again, and nothing is lost",
        "與 NATS 伺服器的連線中斷；`publish` 會改連另一伺服器或重新連線，沒有 tick 遺失",
        "if it repeats: systemctl status hk-nats on the host in reason=",
        "如重複出現：在 `reason=` 所示的主機執行 `systemctl status hk-nats`",
    ),
    "publish_engine_away": entry(
        "no NATS server can be used; collection is not affected, and publish sends what was stored once one is back",
        "沒有可用的 NATS 伺服器；收集不受影響，恢復後 `publish` 會補發期間寫入的 tick",
        "see reason=: start the servers, or correct STREAM_URL, STREAM_CREDS or STREAM_CA",
        "按 `reason=` 處理：啟動伺服器，或改正 STREAM_URL、STREAM_CREDS、STREAM_CA",
    ),
    "publish_summary": entry(
        "ticks that were acknowledged in the last interval, those that wait, and how long acknowledgements took",
        "上一段時間內獲確認的 tick 數、仍待發送的數目，以及確認所需時間",
        "a growing behind_rows means that the servers are too slow: look at their disks",
        "`behind_rows` 不斷增加即伺服器太慢：檢查其磁碟",
    ),
    "publish_sums": fine(
        "publish told readers how many ticks of the day it has sent, so that they can check theirs",
        "`publish` 已發布當日發送的 tick 總數，供讀取方核對",
    ),
    "publish_day_done": fine("the day is sealed, and all of it is sent", "該日已封存並全部發送"),
    "publish_day_read": fine("the file of that day can be read again", "該日檔案已可再讀取"),
    "publish_day_unread": entry(
        "the file of that day cannot be read, so its ticks are not sent; other days are",
        "該日檔案不能讀取，其 tick 暫不發送；其他日子照常",
        *_READ,
    ),
    "publish_day_gone": entry(
        "the file of that day was removed; unsent= ticks of it were not sent",
        "該日檔案已被移除；`unsent=` 是未發送的 tick 數",
        "if unsent= is not 0: put the file back, or hk-tick-collector restore",
        "`unsent=` 不是 0 時：把檔案放回，或用 `hk-tick-collector restore`",
    ),
    "publish_day_anew": entry(
        "the file of that day is another one than before, so the day is sent again; readers ignore what they have",
        "該日檔案已換成另一個，因此整日重新發送；讀取方會略過已有的 tick",
        "nothing, if the file was replaced on purpose",
        "如屬有意更換檔案，無須處理",
    ),
    "publish_symbol_anew": fine(
        "it was not certain which late ticks of a symbol were not sent yet, so all of that symbol was sent again",
        "未能確定某股票有哪些遲到的 tick 尚未發送，因此該股票全部重發",
    ),
    "publish_lost_data": entry(
        "the NATS servers no longer have a message that they had acknowledged; publish sends the day again",
        "NATS 伺服器已沒有一則曾確認的訊息；`publish` 會重新發送當日的 tick",
        "find out why: a power cut without sync_interval: always, a disk rolled back, a store deleted",
        "查明伺服器遺失的原因：沒有設定 `sync_interval: always` 而斷電、磁碟還原，或儲存目錄被刪除",
    ),
    "publish_check_failed": entry(
        "the file has other ticks of some symbols than those that were sent, in the same number; they are sent again",
        "檔案中某些股票的 tick 與已發送的不同，但數目相同；會重新發送",
        "another program changed the day file: hk-tick-collector doctor",
        "有其他程式更改了日檔：`hk-tick-collector doctor`",
    ),
    "publish_again": fine(
        "a reader asked for ticks again, because the stream had dropped them or sums differed",
        "讀取方要求重發 tick：stream 已刪去，或總數不符",
    ),
    "publish_again_refused": entry(
        "a request of a reader could not be met: reason=",
        "未能按讀取方的要求重發，原因見 `reason=`",
        "for a day that is archived: hk-tick-collector restore",
        "已歸檔的日子：`hk-tick-collector restore`",
    ),
    "publish_name_taken": entry(
        "another publisher uses the same name; the one that started later ends by itself",
        "另一 `publish` 用了相同名稱；較後啟動的一個會自行結束",
        "give each host an INSTANCE_ID of its own",
        "為每台主機設定不同的 INSTANCE_ID",
    ),
    "publish_source_renamed": fine(
        "INSTANCE_ID is another one than before: everything is sent again under the new name",
        "INSTANCE_ID 已更改：以新名稱全部重新發送",
    ),
    "publish_cursors_damaged": fine(
        "the file with what was sent was damaged and was set aside; ticks are sent again, which does no harm",
        "記錄發送進度的檔案損壞，已另存；tick 會重新發送，並無影響",
    ),
    "publish_cursors_not_written": entry(
        "what was sent cannot be noted now; publish goes on, and a restart would send ticks again",
        "目前未能記錄發送進度；`publish` 繼續運作，重啟後會重發部分 tick",
        *_DISK,
    ),
    "publish_stopped": fine(
        "publish has ended; behind_rows= ticks are sent at the next start",
        "`publish` 已結束；`behind_rows=` 的 tick 於下次啟動時發送",
    ),
}

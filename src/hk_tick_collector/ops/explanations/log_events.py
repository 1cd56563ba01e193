"""Every event that the service writes to its log: its meaning and what to do. Text only; `catalogue` looks it up.

A test reads the sources. It fails for an event that is logged and not listed here, and for one listed and not logged.
"""

from __future__ import annotations

from typing import Final

from hk_tick_collector.ops.findings.explanation import Entry, entry, fine

EVENTS: Final[dict[str, Entry]] = {
    # the service
    "metrics_listening": fine("Prometheus can read metrics at this address", "Prometheus 可由此位址讀取指標"),
    "metrics_unavailable": entry(
        "METRICS_ADDR cannot be used; it is tried again, and collection is not affected",
        "METRICS_ADDR 不能使用；會重試，收集不受影響",
        "sudo ss -ltnp shows which program holds the port; set another METRICS_ADDR, or leave it empty",
        "`sudo ss -ltnp` 看哪個程式佔用；改 METRICS_ADDR 或留空",
    ),
    "metrics_failed": entry(
        "the metrics server ended because of a bug; it starts again, and collection is not affected",
        "指標服務因程式缺陷結束；會重新啟動，收集不受影響",
        "report it with the lines below",
        "連同其後各行回報",
    ),
    "unplanned_restart": entry(
        "the service starts although nobody stopped the previous run: that run failed, was killed or"
        " crashed; within_an_hour= counts such starts",
        "服務啟動，而上一次運行並非由人停止：失敗結束、被強制終止或崩潰；`within_an_hour=` 是一小時內的次數",
        "sudo journalctl -u hk-tick-collector --since '1 hour ago' --no-pager",
        "`sudo journalctl -u hk-tick-collector --since '1 hour ago' --no-pager`",
    ),
    "starts_not_kept": entry(
        ".starts.json in DATA_ROOT cannot be read or written: repeated crashes may not be recognized",
        "`DATA_ROOT/.starts.json` 不能讀取或寫入：未必能認出反覆崩潰",
        "ls -la DATA_ROOT",
        "`ls -la DATA_ROOT`",
    ),
    "alert_sent": fine("an alert was delivered", "告警已送達"),
    "alert_failed": entry(
        "an alert could not be sent; it is tried again, and collection is not affected",
        "告警未能送出；會重試，收集不受影響",
        "see detail=; check ALERT_URLS and this host's network",
        "按 `detail=` 處理；檢查 ALERT_URLS 與本機網絡",
    ),
    "alert_dropped": entry(
        "an alert was given up, why= gives the reason; the problem itself is in the log",
        "放棄一則告警，原因見 `why=`；問題本身仍在日誌",
        "check ALERT_URLS; hk-tick-collector status shows what is wrong now",
        "檢查 ALERT_URLS；現況見 `hk-tick-collector status`",
    ),
    "alerts_not_kept": entry(
        "the record of sent alerts could not be written or read: after a restart open findings are sent again",
        "未能保存或讀取已發告警的記錄：重啟後未完結的會再發一次",
        "check space and permissions of the directory in path=",
        "檢查 `path=` 所在目錄的空間與權限",
    ),
    "alerts_muted": fine(
        "hk-tick-collector alerts --mute: nothing is sent about this finding until the time in until=",
        "`hk-tick-collector alerts --mute`：`until=` 之前不發此 finding 的訊息",
    ),
    "alerts_unmuted": fine(
        "a mute has ended, by its time or by alerts --unmute; what is still open is sent",
        "靜音結束（到時，或 `alerts --unmute`）；仍未完結的會發出",
    ),
    "mutes_not_read": entry(
        "the file of mutes is invalid or cannot be read: nothing is muted",
        "靜音檔不能讀取或內容無效：一律不靜音",
        "sudo hk-tick-collector alerts --unmute",
        "`sudo hk-tick-collector alerts --unmute`",
    ),
    "service_ended": entry(
        "the service has ended: logged by hk-tick-collector-failed@.service, which sends a notice if notice=True; ends="
        " counts the ends since the last notice",
        "服務已結束：由 `hk-tick-collector-failed@.service` 記錄；`notice=True` 即發出通知，"
        "`ends=` 是上次通知之後的次數",
        "sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200",
        "`sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200`",
    ),
    "deadman_pinged": fine(
        "the outside watcher at DEADMAN_URL answered; logged for the first answer, and for the first after a failure",
        "`DEADMAN_URL` 的外部監察有回應；只記第一次，以及失敗後的第一次",
    ),
    "deadman_failed": entry(
        "the outside watcher did not answer, so it will raise an alarm; tried again each minute, and collection is not"
        " affected",
        "外部監察沒有回應，它將會告警；每分鐘重試，收集不受影響",
        "see detail=; check DEADMAN_URL and this host's network",
        "按 `detail=` 處理；檢查 `DEADMAN_URL` 與本機網絡",
    ),
    "deadman_withheld": entry(
        "no dead-man ping is sent, because of the critical findings in why=: the outside watcher will raise an alarm",
        "因 `why=` 所列的嚴重問題而不發 ping：外部監察將會告警",
        "hk-tick-collector status",
        "`hk-tick-collector status`",
    ),
    "setting": entry(
        "a setting is unusual but works, or an entry of FUTU_SYMBOLS is left out; detail= says which and why",
        "某項設定可疑但可用，或 `FUTU_SYMBOLS` 有一項不收集；`detail=` 指明是哪一項及原因",
        "sudo hk-tick-collector config --check; correct the line, then sudo systemctl restart hk-tick-collector",
        "`sudo hk-tick-collector config --check`；改正該行，再 `sudo systemctl restart hk-tick-collector`",
    ),
    "started": fine("the service runs; version, pid and DATA_ROOT", "服務已啟動；附版本、pid 與 DATA_ROOT"),
    "signal": fine(
        "systemd or a person told the service to stop; it stores what it holds, then ends",
        "systemd 或人手要求停止；服務先寫完已收到的資料再結束",
    ),
    "memory_short": entry(
        "a step failed for lack of memory; the service stores what it holds and ends by itself",
        "某項工作沒有記憶體可用；服務寫完已收到的資料後自行結束",
        "free -m; stop the program that uses the memory, or raise LimitAS= and MemoryMax= of the unit",
        "`free -m`；停止佔用記憶體者，或提高 unit 的 LimitAS= 與 MemoryMax=",
    ),
    "stopping": entry(
        "a part failed, cause= says why; the service stops and systemd starts it again",
        "某部分因 `cause=` 所述原因失敗，服務停止，由 systemd 重新啟動",
        "see cause=; if it happens again: hk-tick-collector doctor",
        "按 `cause=` 處理；若再出現：`hk-tick-collector doctor`",
    ),
    "shutdown": entry(
        "the last line of a run: flushed_rows were committed, left_rows were not, lost_rows are not in the spool"
        " either",
        "該次執行的最後一行：`flushed_rows` 已提交，`left_rows` 未提交，`lost_rows` 亦不在 spool",
        "left_rows=0 is fine; otherwise start again: spooled rows are stored and lost ones requested from OpenD",
        "`left_rows=0` 即正常；否則再啟動，已入 spool 的會存入，遺失的會向 OpenD 補取",
    ),
    "bug": entry(
        "an error that should never happen; the traceback below it is for the developers",
        "不應發生的情況；其後的 Traceback 供開發者使用",
        "report it with the lines below and the version; the service starts again by itself",
        "連同其後各行與版本回報；服務會自行重啟",
    ),
    "health": entry(
        "the state in one line every HEALTH_INTERVAL_SEC; connected=False while there is no connection to OpenD",
        "每 HEALTH_INTERVAL_SEC 一行的狀態；與 OpenD 沒有連線時 `connected=False`",
        "during trading persisted_rows_per_min must be above 0; if not: hk-tick-collector status",
        "盤中 `persisted_rows_per_min` 應大於 0；否則 `hk-tick-collector status`",
    ),
    "persist_summary": entry(
        "rows and batches committed in the last interval, and how long commits took",
        "上一段時間提交的列數、批數與提交延遲",
        "a p99 of seconds means a slow disk: cat /proc/pressure/io",
        "p99 達數秒即磁碟緩慢：`cat /proc/pressure/io`",
    ),
    "persist_loop_heartbeat": entry(
        "the writer thread is running; the line shows what waits, and how long ago the last commit was",
        "寫入執行緒仍在運作；附等待列數與距上次提交的時間",
        "if trouble= is not none, look for persist_failed or sqlite_busy_backoff",
        "`trouble=` 不是 none 時，找 `persist_failed` 或 `sqlite_busy_backoff`",
    ),
    "status_not_written": entry(
        "status.json could not be replaced, so status and alerts see an old state; collection is not affected",
        "無法更新 status.json，`status` 與告警看到舊狀態；收集不受影響",
        "check space and permissions of the directory in path=",
        "檢查 `path=` 所在目錄的空間與權限",
    ),
    "descriptors_short": entry(
        "nearly every file descriptor of the process is open",
        "程序的檔案描述符將用盡",
        "sudo ls -l /proc/PID/fd lists them; then sudo systemctl restart hk-tick-collector",
        "`sudo ls -l /proc/PID/fd` 看是甚麼；再 `sudo systemctl restart hk-tick-collector`",
    ),
    # OpenD
    "futu_connected": fine("OpenD accepted the connection", "OpenD 已接受連線"),
    "futu_disconnected": entry(
        "the connection to OpenD ended or could not be made; reason= says why. The collector keeps trying",
        "與 OpenD 的連線中斷或無法建立，原因見 `reason=`；會一直重試",
        "sudo systemctl status futu-opend --no-pager; nc -vz 127.0.0.1 11111",
        "`sudo systemctl status futu-opend --no-pager`；`nc -vz 127.0.0.1 11111`",
    ),
    "subscribed": fine("symbols are subscribed; quota used and left", "已訂閱股票；附已用與剩餘額度"),
    "subscribing": fine(
        "subscribing takes longer, because OpenD refuses some symbols; the line has the numbers subscribed, refused"
        " and left",
        "因 OpenD 拒絕部分股票，訂閱需時較長；附已訂閱、被拒與剩餘數目",
    ),
    "log_lines_lost": entry(
        "this many log lines could not be written before this one: nobody read stderr, or its disk was full or frozen."
        " Collection was not affected",
        "此行之前有若干行日誌未能寫出：stderr 沒有人讀取，或其磁碟已滿或凍結。收集不受影響",
        "find out why stderr was not read: Ctrl-S in a terminal, a pipe, a supervisor; status shows what the lines"
        " said",
        "查出 stderr 為何沒有被讀取：終端機按了 Ctrl-S、管道或監管程式沒有讀取；略去的內容見 status",
    ),
    "symbols_refused": entry(
        "OpenD refuses symbols, one line for each reason; reason= is OpenD's text without the symbol, cause= is"
        " quota, quote_right, temporary or other. The other symbols are collected",
        "OpenD 拒絕部分股票，每個原因一行；`reason=` 為 OpenD 的原文（不含股票代號），`cause=` 為 quota（額度）、"
        "quote_right（行情權限）、temporary（OpenD 暫時未能處理）或 other；其餘照常收集",
        "see hint=. quota: hk-tick-collector doctor compares it; quote_right: see opend_quote_right_none;"
        " temporary: no action, it is tried again every minute; other: correct FUTU_SYMBOLS",
        "按 `hint=`。quota：`hk-tick-collector doctor` 會比對；quote_right：見 `opend_quote_right_none`；"
        "temporary：毋須處理，每分鐘重試；other：改正 FUTU_SYMBOLS",
    ),
    "subscriptions_lost": entry(
        "OpenD no longer has subscriptions that it had accepted; the symbols are subscribed again",
        "OpenD 失去已接受的訂閱；現正重新訂閱",
        "nothing, missing ticks are backfilled; if it happens again: sudo systemctl restart futu-opend",
        "毋須處理，欠缺的會補取；若再出現：`sudo systemctl restart futu-opend`",
    ),
    "pushes_stopped": entry(
        "OpenD stopped pushing symbol= although it has newer ticks and the connection is open; the symbol is subscribed"
        " again, and all of symbols= if count= is more than 1",
        "連線仍在，OpenD 亦有新成交，卻停止推送 symbol=（count= 多於 1 即 symbols= 各隻）；現正重新訂閱",
        "nothing, missing ticks are backfilled; if it happens again: sudo systemctl restart futu-opend",
        "毋須處理，欠缺的會補取；若再出現：`sudo systemctl restart futu-opend`",
    ),
    "resubscribe_failed": entry(
        "OpenD refused to subscribe count= symbols again, symbol= is the first; they are tried again, half of them at"
        " a time",
        "OpenD 拒絕重新訂閱 count= 隻股票，首隻為 symbol=；會分半再試",
        "see reason=; if it happens again: sudo systemctl restart futu-opend",
        "按 `reason=` 處理；若再出現：`sudo systemctl restart futu-opend`",
    ),
    "market_state": fine("OpenD reports that the market's session changed", "OpenD 指市場進入另一時段"),
    "question_failed": entry(
        "OpenD did not answer a request other than for ticks: kind= is the request, reason= why; it is repeated,"
        " the connection stays, and no tick is rejected because of it; logged once, then every ten minutes with a"
        " count",
        "OpenD 沒有回覆某項查詢：`kind=` 是請求，`reason=` 是原因；會再查詢，連線照舊，不會因此拒收 tick；"
        "先記一次，其後每十分鐘記一次連同次數",
        "nothing; if it lasts: hk-tick-collector doctor",
        "毋須處理；若持續：`hk-tick-collector doctor`",
    ),
    "question_answered": fine("OpenD answers that request again", "OpenD 已恢復回覆該項查詢"),
    "opend_notice": entry(
        "a notice from OpenD: kind= is a word like kicked_out, explained as opend_kicked_out",
        "OpenD 的通知：`kind=` 如 kicked_out，解釋見 `opend_kicked_out`",
        "hk-tick-collector status gives the remedy",
        "`hk-tick-collector status` 指出做法",
    ),
    "opend_notices": entry(
        "how many more notices of one kind came within a minute: the first five have lines of their own",
        "一分鐘內同類通知再收到的數目；首五個各有一行",
        "as for opend_notice; if it lasts, sudo systemctl restart futu-opend",
        "同 `opend_notice`；若持續，`sudo systemctl restart futu-opend`",
    ),
    "message_skipped": entry(
        "a complete message that the collector does not know was skipped; it contained no readable tick",
        "略過一個無法理解的完整訊息",
        "check whether OpenD's version is the one that this release supports",
        "核對 OpenD 版本是否與本版本相符",
    ),
    # the flow of data
    "tick_rejected": entry(
        "a tick is rejected: cause= says why, sealed_day: its day is finished, conflict: another trade is stored under"
        " its sequence, no_sequence: sequence 0; the first hundred of each cause are logged whole, 500 characters at"
        " most",
        "某筆 tick 被拒收，原因見 `cause=`：`sealed_day` 屬已封存日子，`conflict` 同序號已有另一成交，"
        "`no_sequence` 序號為 0；每種原因首一百筆整筆寫在日誌",
        "a few are errors in OpenD's data; many of sealed_day: ls -l the day file, only finished days may be read-only",
        "零星出現屬 OpenD 資料的錯誤；大量 `sealed_day`：`ls -l` 日檔，只有已完結的日子可為唯讀",
    ),
    "symbol_not_subscribed": entry(
        "OpenD pushes a symbol that is not in FUTU_SYMBOLS: its ticks are counted as rejected and not stored; a symbol"
        " is logged once, for a hundred symbols at most",
        "OpenD 推送不在 FUTU_SYMBOLS 內的股票：其 tick 計入拒收，不會儲存；每隻股票只列一次，最多一百隻",
        "add it to FUTU_SYMBOLS if you want it",
        "若需要，加入 FUTU_SYMBOLS",
    ),
    "ticks_rejected": entry(
        "how many more ticks were rejected for a cause since its last line, one line a minute; most= is the symbol"
        " with the most; sealed_day_backfill: a backfill answer contained ticks of sealed days, which is harmless",
        "同一原因自上一行起再拒收的筆數，每分鐘最多一行；`most=` 為最多的股票；"
        "`sealed_day_backfill` 指補取的回覆包含已封存的日子，並無影響",
        "as for tick_rejected",
        "同 `tick_rejected`",
    ),
    "day_schema_mended": entry(
        "a trigger or an index of the day file was dropped or changed, or is of an earlier version: it was created"
        " again",
        "日檔的 trigger 或索引被刪除、更改，或屬舊版本：已重新建立",
        "after an upgrade nothing; otherwise find who changed it (day files are read-only for others): sudo fuser -v"
        " the file",
        "升級後出現毋須處理；否則找出更改者，日檔只供讀取：`sudo fuser -v` 日檔",
    ),
    "ticks_dropped": entry(
        "memory and spool were full, so ticks were dropped; they are counted and recorded as gaps",
        "記憶體與 spool 均滿，tick 被丟棄；已計數並列為缺口",
        "find out why the disk is too slow (persist_failed, disk_slow); hk-tick-collector gaps --open",
        "找出磁碟太慢的原因（`persist_failed`、`disk_slow`）；`hk-tick-collector gaps --open`",
    ),
    "gap_opened": entry(
        "ticks are missing between two sequences; they are requested from OpenD at once",
        "兩個序號之間欠缺 tick；隨即向 OpenD 補取",
        "wait for gap_closed; hk-tick-collector gaps --open shows what is still missing",
        "等待 `gap_closed`；`hk-tick-collector gaps --open` 看仍欠甚麼",
    ),
    "gap_closed": fine("a gap is filled, or its ticks can never be stored", "缺口已補回，或其 tick 已確定不能儲存"),
    "gap_contradicted": entry(
        "the counter skipped numbers, but OpenD's answers show no tick between them: the gap is closed",
        "計數跳號，但 OpenD 的回覆顯示其間沒有 tick：缺口關閉",
        "no action needed; if it is often one symbol, sequence_rule_broken follows",
        "毋須處理；同一股票屢次出現，隨後有 `sequence_rule_broken`",
    ),
    "sequence_restarted": entry(
        "the counter of these symbols restarted during the day: OpenD's 1,000 ticks of each are requested",
        "這些股票的計數在日中重新開始：隨即向 OpenD 查詢其保留的全部 1,000 筆",
        "wait for gap_closed; hk-tick-collector gaps --open shows what is still missing",
        "等待 `gap_closed`；`hk-tick-collector gaps --open` 看仍欠甚麼",
    ),
    "sequence_rule_broken": entry(
        "the sequence of these symbols does not show which ticks are missing, why= is the reason: for the rest of the"
        " day"
        " OpenD's successive answers are compared instead",
        "這些股票的序號不能顯示欠缺多少，`why=` 為原因：當日餘下時間改為比較 OpenD 前後的回覆",
        "no action needed; hk-tick-collector status names them, their completeness is unknown",
        "毋須處理；`hk-tick-collector status` 列出這些股票，其完整度不明",
    ),
    "gaps_beyond_reach": entry(
        "OpenD no longer has these ticks: it keeps 1,000 of each symbol. The gap stays recorded",
        "OpenD 已不保留這些 tick（每隻股票只保留 1,000 筆）；缺口留下記錄",
        "these ticks are lost; keep outages shorter than the outage budget in hk-tick-collector status",
        "這些 tick 已遺失；中斷時間不要超過 `hk-tick-collector status` 的 `outage budget`",
    ),
    "backfill": fine(
        "missing ticks were requested from OpenD; found= of them were new", "已向 OpenD 補取；`found=` 為新得的筆數"
    ),
    "backfill_failed": entry(
        "OpenD did not answer a request for a symbol's ticks; it is repeated",
        "OpenD 沒有回應某股票的補取；會再補取",
        "nothing; if it lasts: sudo systemctl status futu-opend --no-pager",
        "毋須處理；若持續：`sudo systemctl status futu-opend --no-pager`",
    ),
    "pulled": fine("DEBUG: one answer of a backfill", "DEBUG：一次補取的回應"),
    "instruments_asked": fine(
        "OpenD said what the symbols are (table instruments): symbols= all of them, suspended= of these",
        "OpenD 已說明各股票的資料（資料表 instruments）：`symbols=` 全部，`suspended=` 其中停牌",
    ),
    "instruments_failed": entry(
        "OpenD did not say what missing= symbols are; they are asked for again, at most five times a day; ticks do not"
        " depend on it",
        "OpenD 未說明 `missing=` 隻股票的資料；會再查詢，每日最多五次；不影響 tick",
        "nothing",
        "毋須處理",
    ),
    "reconciled": entry(
        "our volume compared with OpenD's, at lunch and after the close",
        "午休與收市後，本機成交量與 OpenD 的總數的核對",
        "unexplained=0 is fine; otherwise see reconciliation in docs/data-quality.md",
        "`unexplained=0` 即正常；否則見 docs/data-quality.md 的 reconciliation",
    ),
    "reconcile_failed": entry(
        "the comparison with OpenD's totals failed; it is tried again",
        "未能與 OpenD 的總數核對；會再試",
        "nothing; if it lasts, see reason=",
        "毋須處理；若持續，按 `reason=` 處理",
    ),
    # the writer and its disk
    "persist_failed": entry(
        "a batch could not be written: cause= is explained as writer_CAUSE. The batch is kept and tried again",
        "一批資料未能寫入：`cause=` 的解釋見 `writer_原因`；該批保留並重試",
        "hk-tick-collector status gives the remedy; writing resumes by itself",
        "`hk-tick-collector status` 指出做法；排除後自行恢復",
    ),
    "sqlite_busy_backoff": entry(
        "another process holds a lock on the day file; holder= names it if the kernel shows it;"
        " the writer waits and tries again; meanwhile ticks go to the spool",
        "另一程序鎖住日檔，若核心有提供，`holder=` 指明該程序；寫入執行緒等待後重試，其間 tick 寫入 spool",
        "hk-tick-collector status names the holder; stop it, or: sudo fuser -v the day file",
        "`hk-tick-collector status` 指明佔用者；停止它，或 `sudo fuser -v` 日檔",
    ),
    "writer_recovered": fine("the writer commits again", "寫入執行緒已恢復提交"),
    "disk_slow": entry(
        "the writer waits in the kernel for the disk; meanwhile rows wait in memory",
        "寫入執行緒在核心等待磁碟；資料暫存記憶體",
        "cat /proc/pressure/io; sudo dmesg | tail",
        "`cat /proc/pressure/io`；`sudo dmesg | tail`",
    ),
    "WATCHDOG persistent_stall": entry(
        "the queue is over its threshold and nothing was committed for WATCHDOG_STALL_SEC; action= is what was done",
        "佇列超過門檻而 WATCHDOG_STALL_SEC 內沒有提交；已執行 `action=`",
        "docs/incident-watchdog-stall.md; smallest remedy: sudo systemctl restart hk-tick-collector",
        "見 docs/incident-watchdog-stall.md；最小恢復：`sudo systemctl restart hk-tick-collector`",
    ),
    "writer_failed": entry(
        "the writer ended because of a bug; the traceback below it is for the developers, and the service starts again",
        "寫入執行緒因程式缺陷結束；其後的 Traceback 供開發者使用，服務會重新啟動",
        "report it with the lines below; what was not committed is requested from OpenD again",
        "連同其後各行回報；未提交的會再向 OpenD 補取",
    ),
    "thread_stacks": entry(
        "the stacks of all threads follow, for the developers",
        "其後為各執行緒的堆疊，供開發者使用",
        "keep the lines for the review",
        "保留以作事後檢討",
    ),
    "writer_replaced": entry(
        "the writer thread was stuck and another thread replaced it",
        "寫入執行緒無法恢復，已由另一執行緒接替",
        "nothing now; the cause is in the WATCHDOG lines before it",
        "目前毋須處理；原因見其前的 WATCHDOG 各行",
    ),
    "spool_started": entry(
        "memory is full, or a copy of the day is being made, so rows go to SPOOL_DIR; no tick is lost",
        "記憶體已滿，或正在複製日檔，資料寫入 SPOOL_DIR；沒有遺失 tick",
        "cause=copy: nothing; otherwise find out why the day file cannot be written: hk-tick-collector status",
        "`cause=copy`：毋須處理；其餘：找出日檔不能寫入的原因：`hk-tick-collector status`",
    ),
    "commits_held": fine(
        "sqlite3 copies the day (.backup): commits wait for it, ticks are kept in memory and spool",
        "`sqlite3` 正以 `.backup` 複製日檔：提交暫停等它完成，tick 留在記憶體與 spool",
    ),
    "commits_resumed": entry(
        "ticks are stored again; why=copy_ended: the copy is complete, copy_stands_still: it makes no progress,"
        " limit: it was not complete after a minute, spool: the spool could not take more, stop: the service stops",
        "恢復提交；`why=copy_ended`：複製已結束，`copy_stands_still`：複製沒有進展，`limit`：一分鐘內未完成，"
        "`spool`：spool 未能接收等待中的資料，`stop`：服務停止",
        "copy_ended, stop: nothing; limit: stop the copy and use sudo hk-tick-collector snapshot;"
        " spool: check the disk of SPOOL_DIR",
        "`copy_ended`、`stop`：毋須處理；`limit`：結束該複製，改用 `sudo hk-tick-collector snapshot`；"
        "`spool`：檢查 SPOOL_DIR 的磁碟",
    ),
    "spool_drained": fine("all spooled rows are in the day file", "spool 內的資料已全部寫入日檔"),
    "spool_replayed": fine("rows that an earlier run left in the spool were stored", "上次執行留下的資料已存入"),
    "spool_not_synced": entry(
        "spooled rows are written but not synced: a power cut could lose them",
        "spool 已寫入但未同步到磁碟：斷電可能遺失",
        "check the disk of SPOOL_DIR: sudo dmesg | tail",
        "檢查 SPOOL_DIR 的磁碟：`sudo dmesg | tail`",
    ),
    "spool_failed": entry(
        "the spool cannot be read or written; when memory is full too, ticks are dropped",
        "spool 不能讀寫；若記憶體亦滿，tick 會被丟棄",
        "check space and permissions of SPOOL_DIR: df -h; hk-tick-collector doctor",
        "檢查 SPOOL_DIR 的空間與權限：`df -h`；`hk-tick-collector doctor`",
    ),
    "spool_damaged": entry(
        "a record of the spool is damaged; the others are read, its ticks are requested from OpenD again",
        "spool 有一段損壞；其餘照讀，損失的部分向 OpenD 補取",
        "check the disk: sudo dmesg | tail; hk-tick-collector gaps --open",
        "檢查磁碟：`sudo dmesg | tail`；`hk-tick-collector gaps --open`",
    ),
    # the day's file
    "day_opened": fine("a day file is open for writing", "日檔已開啟"),
    "day_closed": fine(
        "a day file is closed; plain=False: a reader held it, so its WAL remains",
        "檔案已關閉；`plain=False` 即有讀取者佔用，WAL 留下",
    ),
    "day_close_failed": entry(
        "closing a day file failed; nothing committed is lost",
        "關閉檔案失敗；已提交的沒有遺失",
        "see detail=; check the disk",
        "按 `detail=` 處理；檢查磁碟",
    ),
    "day_sealed": fine("a finished day is one plain read-only file", "已完結的日子封存為單一唯讀檔案"),
    "day_seal_failed": entry(
        "a finished day could not be sealed, or did not pass its check",
        "已完結的日子未能封存，或未通過檢查",
        "see detail= and docs/sqlite-wal.md",
        "見 `detail=` 與 docs/sqlite-wal.md",
    ),
    "day_set_aside": entry(
        "a damaged day file was renamed and a new one created, which is backfilled from OpenD",
        "損壞的檔案已改名保留，新檔已建立並向 OpenD 補取",
        "keep the file in kept_as=, see docs/sqlite-wal.md; hk-tick-collector gaps --open",
        "保留 `kept_as=` 的檔案，見 docs/sqlite-wal.md；`hk-tick-collector gaps --open`",
    ),
    "predecessor_set_aside": entry(
        "the day file belonged to the predecessor, another collector: it was renamed, and a new one created at once",
        "日檔屬原有程式：已改名保留，並立即建立新檔",
        "nothing: its ticks are imported automatically; predecessor_imported follows",
        "毋須處理：其 tick 會自動匯入，完成時記錄 predecessor_imported",
    ),
    "predecessor_import": fine(
        "the import of a predecessor's file into the day file begins, beside the live ticks",
        "開始把原有程式檔案的 tick 匯入日檔，與即時 tick 並行",
    ),
    "predecessor_imported": fine(
        "every row of a predecessor's file is in the day file, checked row by row; kept_as= is the old file",
        "原有程式檔案的每一列均已匯入日檔並逐列核對；`kept_as=` 為保留的舊檔",
    ),
    "predecessor_not_imported": entry(
        "a predecessor's file that was renamed cannot be imported now; it is tried again every minute",
        "已改名保留的原有程式檔案暫時不能匯入；每分鐘重試",
        "see detail=; if another process has it open, stop that process",
        "按 `detail=` 處理；若檔案被另一程序開啟，先停止該程序",
    ),
    "day_file_gone": entry(
        "the day file was deleted, moved or replaced while it was written; a new one was created",
        "寫入期間檔案被移除、移走或換掉；新檔已建立",
        "take its ticks from a copy if there is one; do not touch files of the current day",
        "如有副本，由副本取回其 tick；不要移動當日的日檔",
    ),
    "day_held": entry(
        "only the file of this day cannot be written: its ticks wait in a spool of their own, other days are stored"
        " as usual",
        "只有該日的檔案不能寫入：其 tick 存於專用的 spool，其他日子照常寫入",
        "hk-tick-collector status names the file and the remedy; the ticks are stored when it can be written",
        "`hk-tick-collector status` 指出檔案與做法；檔案可寫入後自動存入",
    ),
    "day_writable": fine(
        "the file of a day can be written again; the waiting ticks are being stored",
        "該日的檔案可再寫入；等待中的 tick 正在存入",
    ),
    "day_recounted": entry(
        "the spool lost rows of a day, so the ticks in its file were counted again",
        "spool 遺失了某日的資料，已按檔案實際內容重新計數",
        "hk-tick-collector gaps --open shows what is missing",
        "`hk-tick-collector gaps --open` 看欠缺甚麼",
    ),
    "day_begun_afresh": entry(
        "a new file of a day is in use; what memory still held has been written to it",
        "該日的新檔已啟用；記憶體中該日的資料已寫入",
        "hk-tick-collector gaps --open shows what is missing",
        "`hk-tick-collector gaps --open` 看欠缺甚麼",
    ),
    "day_not_rebuilt": entry(
        "the new file of a day cannot be read yet; it is tried every second",
        "該日的新檔暫時不能讀取；每秒重試",
        "see detail=; check the disk",
        "按 `detail=` 處理；檢查磁碟",
    ),
    "day_resumed": entry(
        "the file of a day that could not be read before has been read; its gaps continue from the file's content",
        "之前未能讀取的日檔已讀入；缺口按檔案所記繼續",
        "hk-tick-collector gaps --open shows what is missing",
        "`hk-tick-collector gaps --open` 看欠缺甚麼",
    ),
    "day_not_resumed": entry(
        "a day's file could not be read at the start; no gap of that day is written until it can be (day_resumed)",
        "未能讀取該日檔案的內容；可讀取之前（`day_resumed`）不會寫入缺口",
        "see detail=; hk-tick-collector doctor",
        "按 `detail=` 處理；`hk-tick-collector doctor`",
    ),
    "counters_disagree": entry(
        "the counters of a day file do not agree with its ticks; the ticks are taken as correct",
        "檔案的計數與其 tick 不符；以 tick 為準",
        "check the disk: sudo dmesg | tail; see docs/data-quality.md",
        "檢查磁碟：`sudo dmesg | tail`；見 docs/data-quality.md",
    ),
    "web_failed": entry(
        "the page could not show one second because of a bug; the traceback below is for the developers, and the next"
        " second is tried",
        "網頁因程式錯誤未能顯示某一秒的狀態；下面的 traceback 供開發者使用，下一秒會再試",
        "report it with the traceback; collection is not affected",
        "連同 traceback 回報；不影響收集",
    ),
    "web_examination_failed": entry(
        "the page could not examine the service as status does, because of a bug; it tries again",
        "網頁因程式錯誤未能像 status 一樣檢查服務；會再試",
        "report it with the traceback; collection is not affected",
        "連同 traceback 回報；不影響收集",
    ),
    "web_reading_killed": entry(
        "the process that reads for the page was killed, for example for want of memory; the page ends, and systemd"
        " starts it again",
        "替網頁讀取的程序已被終止，例如記憶體不足；網頁隨之結束，由 systemd 重新啟動",
        "sudo dmesg | tail names who killed it; collection is not affected",
        "`sudo dmesg | tail` 可看到由誰終止；不影響收集",
    ),
    "web_count_failed": entry(
        "the page could not count the ticks of each symbol, because of a bug; it tries again",
        "網頁因程式錯誤未能統計各股票的 tick；會再試",
        "report it with the traceback; collection is not affected",
        "連同 traceback 回報；不影響收集",
    ),
}

SIMULATOR_EVENTS: Final[dict[str, Entry]] = {
    "simulator_listening": fine("the simulated OpenD listens", "模擬 OpenD 已開始"),
    "simulator_stopped": fine("the simulated OpenD ended", "模擬 OpenD 已結束"),
    "simulator_market_ended": fine("the simulated day is over", "模擬的交易日已完結"),
    "client_connected": fine("a client connected to the simulator", "有用戶端連上模擬 OpenD"),
    "client_disconnected": fine("a client disconnected from the simulator", "用戶端已離開"),
    "client_cut": fine(
        "the simulator disconnected a client; reason= says why", "模擬 OpenD 切斷用戶端，原因見 `reason=`"
    ),
    "clients_left": fine("clients were still connected when the simulator ended", "結束時仍有用戶端"),
    "scenario_step": fine("a scripted fault begins or ends", "預定的故障開始或結束"),
    "scenario_step_failed": entry(
        "a scripted fault could not be performed",
        "預定的故障未能執行",
        "correct the scenario: hk-tick-collector simulate --help",
        "改正劇本：`hk-tick-collector simulate --help`",
    ),
}

"""Every code of a finding: what it means and what to do. Words only; `catalogue` finds them.

`status --json` and alerts name findings by these codes. A test reads the sources and fails for a code that is made and
not here, and for one that is here and not made.
"""

from __future__ import annotations

from typing import Final

from .entry import Entry, entry
from .remedies import ENDS, RELOGIN, TAKE_BACK

_RESTART_OPEND: Final = ("sudo systemctl restart futu-opend", "`sudo systemctl restart futu-opend`")
_START: Final = ("sudo systemctl start hk-tick-collector", "`sudo systemctl start hk-tick-collector`")
_RESUMES: Final = ("it resumes by itself", "排除後自行恢復")
_LINES: Final = ("hk-tick-collector logs --since '10 minutes ago'", "`hk-tick-collector logs --since '10 minutes ago'`")


def _opend(en: str, zh: str, do_en: str, do_zh: str, *, restart: bool = True) -> Entry:
    """OpenD's own troubles, most of which end with a restart of OpenD."""
    if restart:
        return entry(en, zh, f"{do_en}, then {_RESTART_OPEND[0]}", f"{do_zh}，再 {_RESTART_OPEND[1]}")
    return entry(en, zh, do_en, do_zh)


def _writer(en: str, zh: str, do_en: str, do_zh: str) -> Entry:
    """Causes for which the writer waits; rows are kept meanwhile."""
    return entry(
        f"the writer waits: {en}", f"寫入程序等待中：{zh}", f"{do_en}; {_RESUMES[0]}", f"{do_zh}；{_RESUMES[1]}"
    )


FINDINGS: Final[dict[str, Entry]] = {
    # the service
    "service_down": entry(
        "no collector is running for this DATA_ROOT: there is no status.json",
        "此 DATA_ROOT 沒有收集器在運行：沒有 status.json",
        *_START,
    ),
    "service_stopped": entry("the service was stopped", "服務已被停止", *_START),
    "service_hung": entry(
        "the live state is old: the service hangs, is frozen, or died",
        "即時狀態過舊：服務卡住、被凍結或已死",
        "sudo systemctl restart hk-tick-collector; sudo systemctl status hk-tick-collector --no-pager",
        "`sudo systemctl restart hk-tick-collector`；`sudo systemctl status hk-tick-collector --no-pager`",
    ),
    "disk_hangs": entry(
        "the disk of DATA_ROOT answers nobody: it is frozen (fsfreeze, as backups of virtual machines do it) or fails",
        "DATA_ROOT 所在磁碟沒有回應：檔案系統被凍結（`fsfreeze`，虛擬機備份會這樣做），或磁碟故障",
        "wait for the backup to end; if none is running, the finding names the command that thaws; sudo dmesg | tail",
        "等待備份完成；若沒有備份在進行，以判語所列指令解凍；`sudo dmesg | tail`",
    ),
    "service_settings": entry(
        "the service does not run: it refuses its settings (exit 2); the text names key, value and what is allowed",
        "服務沒有運行：設定有誤而拒絕啟動（退出碼 2）；文字列出鍵、值與允許範圍",
        "sudo vim /opt/futu_tick_downloader/.env; sudo systemctl restart hk-tick-collector",
        "`sudo vim /opt/futu_tick_downloader/.env`；`sudo systemctl restart hk-tick-collector`",
    ),
    "service_blocked": entry(
        "the service does not run and cannot start: a file of another account, or somebody's lock, keeps it out;"
        " the text names file and owner, or the process",
        "服務沒有運行亦不能啟動：被另一帳戶的檔案或別人的鎖擋住；文字指明檔案與擁有者，或佔用的程序",
        "paste the command of the text (chown, or kill), then sudo systemctl start hk-tick-collector",
        "貼上文字中的命令（`chown` 或 `kill`），再 `sudo systemctl start hk-tick-collector`",
    ),
    "not_taken_over": entry(
        "installed beside another program, which runs under the service's name until the restart; the restart sets the"
        " owner of the data and starts this version",
        "已在原有程式旁安裝，重啟之前服務名下運行的仍是它；重啟會設好資料的擁有者並啟動本版本",
        "sudo systemctl restart hk-tick-collector; see docs/operations.md",
        "`sudo systemctl restart hk-tick-collector`；見 docs/operations.md",
    ),
    "service_died": entry(
        "the service died, was killed, or dies at every start; the text says how",
        "服務已死、被殺或每次啟動即死；文字說明情形",
        "sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200; sudo systemctl start hk-tick-collector",
        "`sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200`；`sudo systemctl start hk-tick-collector`",
    ),
    "restarts": entry(
        "the service runs, but ended by itself twice or more within an hour and was started again; a stop by an"
        " operator or an upgrade does not count, and begins the count anew",
        "服務在運行，但一小時內曾兩次或以上自行終止再被重啟；由人或升級停止的不計，並重新計數",
        ENDS,
        f"`{ENDS}`",
    ),
    "settings": entry(
        "the service runs, but the settings on disk are wrong: it would not start again",
        "服務在運行，但設定檔有誤：重啟便起不來",
        "sudo vim /opt/futu_tick_downloader/.env; sudo systemctl restart hk-tick-collector",
        "`sudo vim /opt/futu_tick_downloader/.env`；`sudo systemctl restart hk-tick-collector`",
    ),
    "settings_unreadable": entry(
        "this user may not read the settings",
        "目前使用者無權讀取設定",
        "sudo usermod -aG hkcollector $USER, then log in again",
        "`sudo usermod -aG hkcollector $USER`，再重新登入",
    ),
    "live_state": entry(
        "status.json cannot be read or is of another version",
        "status.json 不能讀取或屬另一版本",
        "sudo usermod -aG hkcollector $USER, then log in again; after an upgrade restart the service",
        "`sudo usermod -aG hkcollector $USER` 再重新登入；升級後重啟服務",
    ),
    "day_file": entry(
        "the day file cannot be read",
        "當日檔案不能讀取",
        "follow the text: hk-tick-collector doctor",
        "按說明處理：`hk-tick-collector doctor`",
    ),
    "descriptors": entry(
        "file descriptors run out: without one no link and no file can be opened",
        "檔案描述符將用盡：再不能開檔案或連線",
        "sudo systemctl restart hk-tick-collector",
        "`sudo systemctl restart hk-tick-collector`",
    ),
    # OpenD
    "opend_away": entry(
        "no connection to OpenD",
        "與 OpenD 沒有連線",
        "sudo systemctl status futu-opend --no-pager; nc -vz 127.0.0.1 11111; sudo systemctl restart futu-opend",
        "`sudo systemctl status futu-opend --no-pager`；`nc -vz 127.0.0.1 11111`；" + _RESTART_OPEND[1],
    ),
    "opend_not_ready": entry(
        "OpenD answers but is not logged in; the text names its state",
        "OpenD 有回應但未登入；文字指明其狀態",
        "see the finding opend_STATE, and docs/operations.md for the login",
        "見 `opend_狀態` 一項，登入步驟見 docs/operations.md",
    ),
    "opend_loaded": _opend("OpenD has just started", "OpenD 剛啟動", "wait a minute", "等一分鐘"),
    "opend_logging_in": _opend("OpenD logs in", "OpenD 正在登入", "wait a minute", "等一分鐘"),
    "opend_preparing": _opend("OpenD prepares", "OpenD 正在準備", "wait a minute", "等一分鐘"),
    "opend_needs_captcha": _opend(
        "Futu wants a captcha",
        "富途要求圖形驗證碼",
        "enter it in OpenD's console (docs/operations.md)",
        "在 OpenD 主控台輸入（docs/operations.md）",
        restart=False,
    ),
    "opend_needs_sms_code": _opend(
        "Futu wants the code of an SMS",
        "富途要求短訊驗證碼",
        "enter it in OpenD's console (docs/operations.md)",
        "在 OpenD 主控台輸入（docs/operations.md）",
        restart=False,
    ),
    "opend_device_lock_enabled": _opend(
        "the account's device lock was switched on",
        "帳戶已開啟裝置鎖",
        "enter the device's code in OpenD's console (docs/operations.md)",
        "在 OpenD 主控台輸入裝置碼（docs/operations.md）",
        restart=False,
    ),
    "opend_login_failed": _opend(
        "OpenD's login failed", "OpenD 登入失敗", "check account and password", "檢查帳號與密碼"
    ),
    "opend_password_changed": _opend(
        "the account's password was changed", "帳戶密碼已更改", "set the new one in OpenD", "在 OpenD 設定新密碼"
    ),
    "opend_trade_password_changed": _opend(
        "the trade password was changed; ticks need none",
        "交易密碼已更改；收取 tick 毋須它",
        "wait a minute",
        "等一分鐘",
    ),
    "opend_login_banned": _opend(
        "the account may not log in", "帳戶被禁止登入", "ask Futu's support", "聯絡富途客服", restart=False
    ),
    "opend_forced_logout": _opend(
        "OpenD was logged out by another login or by Futu",
        "OpenD 被另一登入或富途登出",
        f"log it in again, without a restart: {RELOGIN}",
        f"重新登入，毋須重啟：`{RELOGIN}`",
        restart=False,
    ),
    "opend_kicked_out": _opend(
        "another terminal of this account took its quotes: OpenD is connected, and no tick comes",
        "同一帳戶的另一終端取得了行情：OpenD 仍連線，但沒有 tick",
        f"take them back, without a restart of OpenD: {TAKE_BACK}",
        f"搶回行情，毋須重啟 OpenD：`{TAKE_BACK}`",
        restart=False,
    ),
    "opend_needs_update": _opend(
        "Futu demands a newer OpenD", "富途要求更新 OpenD", "install the current OpenD", "安裝最新的 OpenD"
    ),
    "opend_disclaimer_not_agreed": _opend(
        "the API disclaimer was not agreed to", "未同意 API 免責聲明", "agree in Futu's app", "在富途 App 同意"
    ),
    "opend_disclaimer_unavailable": _opend(
        "OpenD could not load the API disclaimer",
        "OpenD 未能載入 API 免責聲明",
        "check this host's network",
        "檢查本機網絡",
    ),
    "opend_config_load_failed": _opend(
        "OpenD cannot read its configuration", "OpenD 不能讀取其設定", "check OpenD.xml", "檢查 OpenD.xml"
    ),
    "opend_network_config_missing": _opend(
        "OpenD misses its network configuration",
        "OpenD 欠網絡設定",
        "check OpenD.xml and its installation",
        "檢查 OpenD.xml 與安裝",
    ),
    "opend_api_server_failed": _opend(
        "OpenD cannot open its port",
        "OpenD 不能開啟連接埠",
        "find who holds it: sudo ss -ltnp",
        "找出誰佔用：`sudo ss -ltnp`",
    ),
    "opend_app_data_missing": _opend(
        "OpenD's data beside the program is missing", "OpenD 程式旁的資料遺失", "install OpenD anew", "重新安裝 OpenD"
    ),
    "opend_data_missing": _opend("OpenD's data is missing", "OpenD 的資料遺失", "install OpenD anew", "重新安裝 OpenD"),
    "opend_quote_link_lost": _opend(
        "OpenD lost Futu's servers",
        "OpenD 與富途伺服器失去連線",
        "check this host's network; it comes back by itself",
        "檢查本機網絡；會自行恢復",
        restart=False,
    ),
    "opend_quote_right_bmp": _opend(
        "the quote right fell to BMP, which has no ticks",
        "行情權限降為 BMP，沒有 tick",
        f"another terminal may hold it, take it back: {TAKE_BACK}; else check the account's Hong Kong quote right",
        f"可能被另一終端佔用，先搶回：`{TAKE_BACK}`；不成即檢查帳戶的港股行情權限",
        restart=False,
    ),
    "opend_quote_right_none": _opend(
        "the account has no Hong Kong quote right",
        "帳戶沒有港股行情權限",
        f"another terminal may hold it, take it back: {TAKE_BACK}; else check the account's Hong Kong quote right",
        f"可能被另一終端佔用，先搶回：`{TAKE_BACK}`；不成即檢查帳戶的港股行情權限",
        restart=False,
    ),
    "not_subscribed": entry(
        "no symbol is subscribed",
        "沒有已訂閱的股票",
        f"{_LINES[0]}; hk-tick-collector doctor",
        f"{_LINES[1]}；`hk-tick-collector doctor`",
    ),
    "symbols_refused": entry(
        "OpenD refused some symbols; the others are collected",
        "OpenD 拒絕部分股票；其餘照常收集",
        "by OpenD's words: the quota (hk-tick-collector doctor), the quote right, or a symbol that is wrong in"
        " FUTU_SYMBOLS",
        "按 OpenD 的原話：額度（`hk-tick-collector doctor`）、行情權限，或 FUTU_SYMBOLS 內有錯的股票",
    ),
    "still_subscribing": entry(
        "some symbols are not subscribed ten seconds after the connection began; the others are collected",
        "連線十秒後仍有股票未訂閱；其餘照常收集",
        "OpenD refuses a whole request for one symbol: see symbols_refused, correct FUTU_SYMBOLS; the others follow by"
        " themselves",
        "OpenD 會因一隻股票拒絕整個請求：見 `symbols_refused`，改正 `FUTU_SYMBOLS`；其餘股票會自行訂閱",
    ),
    "bad_symbols": entry(
        "some entries of FUTU_SYMBOLS are no symbols: the text says where, and what was probably meant;"
        " the others are collected",
        "`FUTU_SYMBOLS` 有部分不是股票代號：文字指明檔案與行，以及可能的正確寫法；其餘照常收集",
        "sudo hk-tick-collector config --check; correct each line; sudo systemctl restart hk-tick-collector",
        "`sudo hk-tick-collector config --check`；逐行改正；`sudo systemctl restart hk-tick-collector`",
    ),
    "bad_messages": entry(
        "OpenD sent bytes that are not its protocol; the connection was begun anew",
        "OpenD 送來不合協定的資料；已重新連線",
        "if it goes on: update OpenD, look for a proxy on the way",
        "若持續：更新 OpenD，檢查中間有否代理",
    ),
    "link_unstable": entry(
        "the link to OpenD broke three times or more within 15 minutes",
        "15 分鐘內與 OpenD 的連線斷開三次或以上",
        "sudo systemctl status futu-opend --no-pager",
        "`sudo systemctl status futu-opend --no-pager`",
    ),
    "messages_skipped": entry(
        "messages that mean nothing to us were skipped",
        "略過了無法理解的訊息",
        "compare OpenD's version with the one this release was made for",
        "核對 OpenD 版本是否與本版本相符",
    ),
    "pushes_stopped": entry(
        "OpenD had stopped pushing some symbols; they are subscribed again",
        "OpenD 曾停止推送部分股票；已重新訂閱",
        f"ends by itself; if it comes again: {_RESTART_OPEND[0]}",
        f"自行消失；若再出現：{_RESTART_OPEND[1]}",
    ),
    # the writer and its disk
    "writer_busy": _writer(
        "another process holds a lock on the day file; the text names pid, user and command where the kernel tells"
        " them; ticks are spooled",
        "另一程序鎖住當日檔案；文字指明 pid、使用者與命令（核心能說的話）；tick 寫入 spool",
        "end the process that is named (a reader may hold such a lock too); without a name: sudo fuser -v the day file",
        "停止所指明的程序（只讀的程序也可以佔用鎖）；沒有指明時：`sudo fuser -v` 當日檔案",
    ),
    "writer_disk_full": _writer("the disk is full", "磁碟已滿", "free space: df -h", "騰出空間：`df -h`"),
    "writer_read_only": _writer(
        "the file system is read-only",
        "檔案系統唯讀",
        "sudo dmesg | tail; then mount -o remount,rw",
        "`sudo dmesg | tail`；再 `mount -o remount,rw`",
    ),
    "writer_no_permission": _writer(
        "DATA_ROOT may not be written",
        "DATA_ROOT 沒有寫入權限",
        "sudo chown -R hkcollector:hkcollector DATA_ROOT",
        "`sudo chown -R hkcollector:hkcollector DATA_ROOT`",
    ),
    "writer_no_directory": _writer(
        "DATA_ROOT is gone",
        "DATA_ROOT 不見了",
        "bring it back: is its disk mounted?",
        "取回該目錄：磁碟是否已掛載？",
    ),
    "writer_no_file": _writer("the day file is gone", "當日檔案不見了", "nobody may move it", "不可移動該檔"),
    "writer_no_descriptors": _writer(
        "no file descriptor is left",
        "檔案描述符已用盡",
        "sudo systemctl restart hk-tick-collector",
        "`sudo systemctl restart hk-tick-collector`",
    ),
    "writer_file_size_limit": _writer(
        "a limit of the size of a file is met (RLIMIT_FSIZE): rows are spooled or kept in memory",
        "達到檔案大小上限（RLIMIT_FSIZE）：資料暫存或留在記憶體",
        "set LimitFSIZE=infinity, in a shell ulimit -f unlimited; sudo systemctl restart hk-tick-collector",
        "設 `LimitFSIZE=infinity`（shell 則 `ulimit -f unlimited`）；`sudo systemctl restart hk-tick-collector`",
    ),
    "writer_no_memory": _writer(
        "memory ran out", "記憶體不足", "free -m, and end what takes it", "`free -m`，停止佔用者"
    ),
    "writer_io_error": _writer(
        "the disk fails to read or write",
        "磁碟讀寫錯誤",
        "sudo dmesg | tail, and replace the disk",
        "`sudo dmesg | tail`，並更換磁碟",
    ),
    "writer_cannot_open": _writer(
        "the day file cannot be opened",
        "當日檔案不能開啟",
        "ls -l the file; hk-tick-collector doctor",
        "`ls -l` 該檔；`hk-tick-collector doctor`",
    ),
    "writer_foreign_file": _writer(
        "a file of another program has the day's name",
        "有其他程式的檔案佔用當日檔名",
        "move it away with the command that status prints",
        "以 status 列出的命令移走該檔",
    ),
    "writer_predecessor_file": _writer(
        "a file of the predecessor, another collector, has the day's name and cannot be set aside",
        "原有程式的檔案佔用當日檔名，且不能改名保留",
        "sudo hk-tick-collector import FILE",
        "`sudo hk-tick-collector import FILE`",
    ),
    "writer_damaged": _writer(
        "the day file is damaged", "當日檔案損壞", "see docs/sqlite-wal.md", "見 docs/sqlite-wal.md"
    ),
    "writer_schema_changed": _writer(
        "another program changed the tables of the day file so that it cannot be written; ticks wait, and are spooled",
        "另一程式更改了當日檔案的資料表，令其不能寫入；tick 暫存等候",
        "undo the change that status names, with sqlite3; rows are stored again by themselves",
        "以 sqlite3 還原 status 所指的更改；其後自動恢復儲存",
    ),
    "writer_interrupted": _writer(
        "the watchdog interrupted a statement",
        "watchdog 中斷了一項操作",
        "see WATCHDOG in hk-tick-collector logs",
        "在 `hk-tick-collector logs` 看 WATCHDOG",
    ),
    "writer_bug": _writer(
        "an error without a name, a bug", "未有名稱的錯誤，屬程式缺陷", "report it with the journal", "連同日誌回報"
    ),
    "writer_slow_disk": entry(
        "the writer waits inside the kernel for the disk; rows wait in memory; the text says when the disk is frozen",
        "寫入程序在核心等待磁碟；資料暫存記憶體；磁碟若被凍結，文字會說明",
        "cat /proc/pressure/io; sudo dmesg | tail; a frozen disk is thawed by the command that the finding names",
        "`cat /proc/pressure/io`；`sudo dmesg | tail`；被凍結的磁碟以判語所列指令解凍",
    ),
    "writer_stuck": entry(
        "the writer has not moved for 30 s and gives no cause",
        "寫入程序 30 秒沒有動靜，原因不明",
        "sudo systemctl restart hk-tick-collector",
        "`sudo systemctl restart hk-tick-collector`",
    ),
    "persistent_stall": entry(
        "the watchdog met a stall: rows wait and nothing is committed",
        "watchdog 發現停滯：資料等待而沒有提交",
        "docs/incident-watchdog-stall.md",
        "見 docs/incident-watchdog-stall.md",
    ),
    "spooling": entry(
        "rows are in the spool: the day file could not take them in time; none is lost",
        "資料在 spool：當日檔案來不及寫入；沒有遺失",
        f"wait; why it could not: {_LINES[0]}",
        f"等待；原因：{_LINES[1]}",
    ),
    "day_being_copied": entry(
        "sqlite3 copies the day (.backup): commits wait for it, ticks are kept in memory and spool; nothing is wrong",
        "`sqlite3` 正以 `.backup` 複製當日檔案：提交暫停等它完成，tick 留在記憶體與 spool；屬正常",
        "wait: they are stored when it ends, after a minute at the latest",
        "等待：複製結束即寫入，最遲一分鐘後",
    ),
    "copy_too_slow": entry(
        "a copy of the day is not done after a minute: commits go on, and it starts over at each of them",
        "複製當日檔案一分鐘後仍未完成：收集器恢復提交，每次提交都令它從頭再來",
        "end it, then: sudo hk-tick-collector snapshot",
        "結束它，改用 `sudo hk-tick-collector snapshot`",
    ),
    "queue": entry("many rows wait for the disk", "大量資料等待寫入", *_LINES),
    "wal_large": entry(
        "the write-ahead log grows: a reader holds it",
        "WAL 過大：有讀者佔用",
        "lsof the -wal file, and end the reader",
        "`lsof` 該 -wal 檔，停止該讀者",
    ),
    "disk": entry(
        "little space is left in DATA_ROOT",
        "DATA_ROOT 剩餘空間不足",
        "df -h; move old days away, then their snapshots",
        "`df -h`；搬走舊日子與快照",
    ),
    "day_damaged": entry(
        "a damaged day file was set aside and a fresh one begun",
        "損壞的檔案已改名保留，新檔已建立",
        "keep it, see docs/sqlite-wal.md; hk-tick-collector gaps --open",
        "保留該檔，見 docs/sqlite-wal.md；`hk-tick-collector gaps --open`",
    ),
    "day_gone": entry(
        "the day file was removed, moved or replaced while it was written",
        "寫入期間檔案被移除、移走或換掉",
        "bring its ticks back from a copy; hk-tick-collector gaps --open",
        "由副本取回 tick；`hk-tick-collector gaps --open`",
    ),
    "day_held": entry(
        "the file of one day cannot be written: its ticks wait in a spool of their own, every other day goes on",
        "某一日的檔案不能寫入：其 tick 存於專用的 spool，其他日子照常寫入",
        "what status names: move the file away, or give it back to the collector's account; no restart is needed",
        "按 status 所示：移走該檔，或將擁有者改回 collector 帳戶；毋須重啟",
    ),
    "day_being_imported": entry(
        "the service adds the ticks of a predecessor's file, another collector's, to the day; nothing is wrong. Until"
        " then its ticks are not called lost",
        "服務正把原有程式的日檔匯入當日檔案；屬正常。完成之前不會把其 tick 當作遺失",
        "nothing: it ends by itself",
        "毋須處理：會自行完成",
    ),
    "predecessor_file": entry(
        "a day file of the predecessor, another collector, was set aside and its ticks are not in ours yet",
        "原有程式的日檔已改名保留，其 tick 尚未匯入",
        "follow the text; the collector tries again every minute, or: sudo hk-tick-collector import FILE",
        "按文字說明處理；收集器每分鐘重試，亦可執行 `sudo hk-tick-collector import FILE`",
    ),
    "predecessor_days": entry(
        "files of earlier days are the predecessor's, another collector's: no verb reads them before they are imported",
        "較早的日檔屬原有程式：匯入之前任何指令都不會讀取",
        "sudo hk-tick-collector import /data/sqlite/HK",
        "`sudo hk-tick-collector import /data/sqlite/HK`",
    ),
    "day_not_sealed": entry(
        "the file of a finished day cannot be sealed; the other days are",
        "已完結的某一日不能封存；其他日子照常封存",
        "follow the cause that status names; it is tried again every minute",
        "按 status 所示的原因處理；每分鐘重試",
    ),
    # the data
    "lag": entry(
        "the newest stored tick is old while the market trades",
        "盤中最新的 tick 已過時",
        f"hk-tick-collector status; {_LINES[0]}",
        f"`hk-tick-collector status`；{_LINES[1]}",
    ),
    "no_tick_at_open": entry(
        "the session has begun by OpenD's word, and no tick of any symbol has come",
        "OpenD 說已開市，但任何股票都沒有 tick",
        "hk-tick-collector doctor; if it finds nothing: sudo systemctl restart futu-opend",
        "`hk-tick-collector doctor`；若無異常：`sudo systemctl restart futu-opend`",
    ),
    "no_ticks": entry(
        "no tick of any symbol comes though OpenD says that the market trades; one halted symbol is no finding",
        "OpenD 說盤中，但所有股票均無 tick；單一股票停牌不算",
        "hk-tick-collector doctor; if it finds nothing: sudo systemctl restart futu-opend",
        "`hk-tick-collector doctor`；若無異常：`sudo systemctl restart futu-opend`",
    ),
    "no_ticks_stored": entry(
        "nothing is stored although ticks are wanted: connections come and go, no symbol is subscribed,"
        " or OpenD does not tell whether the market trades",
        "需要收集但一直沒有 tick 入庫：連線反覆中斷、沒有訂閱到任何股票，或 OpenD 沒有回覆市場狀態",
        "hk-tick-collector doctor; sudo systemctl restart futu-opend; the text names the cause",
        "`hk-tick-collector doctor`；`sudo systemctl restart futu-opend`；原因見文字",
    ),
    "questions_failed": entry(
        "OpenD refuses a question beside the ticks, or does not answer it in time; ticks are collected all the same",
        "OpenD 拒絕或沒有及時回覆某項查詢（狀態、訂閱資訊、交易日曆等）；tick 照常收集",
        "wait, it is asked again; if it stays so: sudo systemctl restart futu-opend",
        "稍候，會自動再問；若持續：`sudo systemctl restart futu-opend`",
    ),
    "clock_drift": entry(
        "this host's clock differs from OpenD's; ticks keep the exchange's own time",
        "本機時鐘與 OpenD 不同；tick 仍用交易所時間",
        "timedatectl status; sudo systemctl restart systemd-timesyncd",
        "`timedatectl status`；`sudo systemctl restart systemd-timesyncd`",
    ),
    "sealed_day": entry(
        "ticks are rejected because their day is sealed",
        "tick 所屬的日子已封存，被拒收",
        "ls -l DATA_ROOT: only finished days may be read-only",
        "`ls -l` DATA_ROOT：只有已完結的日子可為唯讀",
    ),
    "sealed_day_backfill": entry(
        "a backfill answer reached back to days that are sealed: those ticks are counted and rejected",
        "補取的回覆包含已封存日子的 tick：已計數並拒收",
        "no action needed: so it is with symbols that were added today; this clears by itself",
        "毋須處理：當日新增的股票會這樣；警告會自行結束",
    ),
    "conflict": entry(
        "ticks of one symbol have the sequence of another, stored tick and differ from it: the first is kept",
        "同一股票有 tick 與已儲存者序號相同而內容不同：保留先到者，其餘拒收",
        "look at the ticks that status names; a sequence that begins anew in mid-day is a fault of OpenD: restart it"
        " after the close",
        "查看 status 所列的 tick；序號在日中重新開始屬 OpenD 故障：收市後重啟 OpenD",
    ),
    "no_sequence": entry(
        "OpenD gives ticks the sequence 0, which is none: one of each symbol and day is kept, the others are rejected",
        "OpenD 給出的 tick 序號為 0，即沒有序號：每隻股票每日只保留一筆，其餘拒收",
        "look at the ticks that status names; install the current version of OpenD",
        "查看 status 所列的 tick；安裝最新版本的 OpenD",
    ),
    "rejected": entry(
        "ticks came that cannot be stored",
        "收到不能儲存的 tick",
        "hk-tick-collector logs --event tick_rejected",
        "`hk-tick-collector logs --event tick_rejected`",
    ),
    "not_subscribed_ticks": entry(
        "OpenD pushes ticks of symbols that are not in FUTU_SYMBOLS; they are counted as rejected and not stored",
        "OpenD 推送不在 FUTU_SYMBOLS 內的股票；這些 tick 計入拒收，不會儲存",
        "add the symbols to FUTU_SYMBOLS if they are wanted; otherwise restart OpenD in a quiet moment",
        "若需要這些股票，加入 FUTU_SYMBOLS；否則待收市後重啟 OpenD",
    ),
    "dropped": entry(
        "memory and spool were full: ticks were dropped, counted, and are open gaps",
        "記憶體與 spool 均滿：tick 被丟棄，已計數並列為缺口",
        "hk-tick-collector gaps --open; find why the disk was slow",
        "`hk-tick-collector gaps --open`；找出磁碟慢的原因",
    ),
    "gaps_lost": entry(
        "ticks are lost: OpenD no longer holds them; the text says how many and when they were traded",
        "有 tick 已遺失：OpenD 已沒有它們；文字列出數目與成交時間",
        "no action needed, the warning clears after 15 minutes; hk-tick-collector gaps --open",
        "毋須處理，15 分鐘後警告自行消失；`hk-tick-collector gaps --open`",
    ),
    "incomplete": entry(
        "today is less than 99.99 % complete: ticks are lost that could be expected, apart from those of before the"
        " first start",
        "當日完整度低於 99.99 %：有應收而遺失的 tick（首次啟動之前的不計）",
        "no action needed, it clears with the next trading day; hk-tick-collector gaps --open",
        "毋須處理，下一個交易日自行消失；`hk-tick-collector gaps --open`",
    ),
    "above_complete": entry(
        "a symbol has more ticks than its sequence tells: its completeness is not known",
        "某股票的 tick 多於其序號所示：完整度不明",
        "hk-tick-collector gaps SYMBOL; see docs/data-quality.md",
        "`hk-tick-collector gaps 股票`；見 docs/data-quality.md",
    ),
    "backfill_failing": entry(
        "OpenD has refused or not answered every request for a symbol's missing ticks for a minute",
        "一分鐘內 OpenD 拒絕或沒有回應某股票的每一次補取",
        "sudo journalctl -u hk-tick-collector --no-pager | grep backfill_failed | tail",
        "`sudo journalctl -u hk-tick-collector --no-pager | grep backfill_failed | tail`",
    ),
    "gaps_healing": entry(
        "gaps are being backfilled",
        "缺口正在補取",
        "wait, they close by themselves",
        "等待，會自行補回",
    ),
    "totals_differ": entry(
        "some symbols differ from OpenD's own volume without a known reason",
        "部分股票的成交量與 OpenD 官方數字不符，原因不明",
        "docs/data-quality.md tells how to read the table reconciliation",
        "見 docs/data-quality.md 關於 reconciliation 的說明",
    ),
    # what is kept (hk-tick-collector report)
    "disk_fills": entry(
        "as days have been, the disk is full within days",
        "按近日增長，磁碟將於數日內用盡",
        "hk-tick-collector report names the days that may be moved; or enlarge the disk",
        "`hk-tick-collector report` 列出可搬走的日子；或擴充磁碟",
    ),
    "day_unreadable": entry(
        "a day file cannot be read",
        "某日的檔案不能讀取",
        "see docs/sqlite-wal.md; bring it back from a copy",
        "見 docs/sqlite-wal.md；由副本取回",
    ),
    "snapshot_damaged": entry(
        "a snapshot does not have its SHA-256 or cannot be read",
        "快照與其 SHA-256 不符或不能讀取",
        "sudo hk-tick-collector snapshot --day YYYYMMDD takes it anew",
        "`sudo hk-tick-collector snapshot --day YYYYMMDD` 重做",
    ),
    "no_snapshot": entry(
        "a past day has no snapshot",
        "某日沒有快照",
        "sudo hk-tick-collector snapshot --day YYYYMMDD",
        "`sudo hk-tick-collector snapshot --day YYYYMMDD`",
    ),
    "no_sum": entry(
        "a snapshot has no SHA-256, so nothing tells that it was checked",
        "快照沒有 SHA-256，不能證明已驗證",
        "sudo hk-tick-collector snapshot --day YYYYMMDD",
        "`sudo hk-tick-collector snapshot --day YYYYMMDD`",
    ),
    "snapshot_behind": entry(
        "a snapshot has fewer ticks than its day file",
        "快照的 tick 少於當日檔案",
        "sudo hk-tick-collector snapshot --day YYYYMMDD",
        "`sudo hk-tick-collector snapshot --day YYYYMMDD`",
    ),
    "unsealed": entry(
        "a past day is not sealed yet",
        "已完結的日子仍未封存",
        "hk-tick-collector logs --event day_seal_failed",
        "`hk-tick-collector logs --event day_seal_failed`",
    ),
    "damaged_files": entry(
        "damaged day files were set aside and still lie there",
        "有改名保留的損壞檔案",
        "see docs/sqlite-wal.md, then move them to another disk",
        "見 docs/sqlite-wal.md，再搬到另一磁碟",
    ),
    "spool": entry(
        "spool files wait for a day file",
        "spool 有資料等待寫入",
        "the collector stores them by itself, also at its next start",
        "收集器會自行寫入，下次啟動時亦然",
    ),
    "partial": entry(
        "a snapshot was killed half-way, or is being taken now",
        "快照做到一半被終止，或正在進行",
        "nothing: the next snapshot of that day uses it up",
        "毋須處理：該日的下一個快照會用掉它",
    ),
}

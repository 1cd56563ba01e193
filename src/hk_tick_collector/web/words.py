"""The texts of the page in both languages. Templates use them as `t.NAME`."""

from __future__ import annotations

from typing import Final

from hk_tick_collector.ops.findings.market_silence import NO_BUDGET, STATES
from hk_tick_collector.ops.findings.words import Words, same

WORDS: Final[dict[str, Words]] = {
    # around each view
    "skip": Words("Skip to the content", "跳到內容"),
    "views": Words("Views", "檢視"),
    "now": Words("Now", "現在"),
    "symbol": Words("Symbol", "股票"),
    "days": Words("Days", "日子"),
    "other_language": Words("繁體中文", "English"),
    "theme": Words("Colours", "顏色"),
    "theme_auto": Words("as the system", "跟隨系統"),
    "theme_light": Words("light", "淺色"),
    "theme_dark": Words("dark", "深色"),
    "connecting": Words("connecting", "連接中"),
    "is_live": Words("live", "即時"),
    "lost": Words(
        "No data from the page's server for {seconds} s. All figures below are from {time} HKT.",
        "已 {seconds} 秒沒有收到頁面伺服器的資料。以下全部是 {time} HKT 的數字。",
    ),
    "full": Words(
        "Too many browsers have this page open. It connects as soon as one of them closes it.",
        "太多瀏覽器正在查看此頁：有人離開後會自動連接。",
    ),
    "no_script": Words(
        "Without JavaScript this page does not update itself: reload it.",
        "沒有 JavaScript，此頁不會自動更新：請重新載入。",
    ),
    "copy": Words("Copy", "複製"),
    "copied": Words("Copied", "已複製"),
    "copy_failed": Words("Select it and press Ctrl+C", "請選取後按 Ctrl+C"),
    "made_by": Words("read-only; nothing here changes collection", "唯讀；此頁不會影響收集"),
    # login, errors
    "login": Words("Log in", "登入"),
    "token": Words("Token (WEB_TOKEN of the collector's settings)", "權杖（收集器設定中的 WEB_TOKEN）"),
    "wrong_token": Words("The token is wrong.", "權杖不正確。"),
    "wait": Words("Too many wrong tokens: try again in {seconds} s.", "錯誤次數太多：請在 {seconds} 秒後再試。"),
    "error_404": Words("There is no such page.", "沒有這個頁面。"),
    "error_405": Words("This page is read-only.", "此頁唯讀。"),
    "error_500": Words(
        "The page failed: a bug. The service's journal has the details; collection is not affected.",
        "頁面出錯：這是程式錯誤，詳情見服務日誌；收集不受影響。",
    ),
    "to_now": Words("Back to Now", "返回「現在」"),
    # the verdict
    "verdict": Words("Verdict", "結論"),
    "severity_OK": same("OK"),
    "severity_WARNING": Words("WARNING", "警告"),
    "severity_CRITICAL": Words("CRITICAL", "嚴重"),
    "severity_UNKNOWN": Words("UNKNOWN", "不明"),
    "fine": Words("Collecting, nothing to do", "正在收集，毋須處理"),
    "next": Words("Next", "下一步"),
    "as_of": Words(
        "The service does not report. The figures are from its last report, {time} HKT.",
        "服務沒有回報。數字屬於最後一次回報，{time} HKT。",
    ),
    "unread": Words(
        "status.json could not be read for {seconds} s: the disk does not answer.",
        "{seconds} 秒未能讀取 status.json：磁碟沒有回應。",
    ),
    "never": Words("The collector has never reported here.", "收集器從未在此回報。"),
    # figures
    "figures": Words("The last hour", "最近一小時"),
    "rate": Words("Rate", "速率"),
    "lag": Words("Lag", "延遲"),
    "commit": Words("Commit p99", "提交 p99"),
    "queue": Words("Queue", "佇列"),
    "spool": Words("Spool", "Spool"),
    "disk": Words("Disk free", "磁碟剩餘"),
    "unit_rate": Words("ticks/s", "筆／秒"),
    "unit_lag": Words("s", "秒"),
    "unit_commit": same("ms"),
    "unit_queue": Words("rows", "筆"),
    "unit_spool": Words("rows", "筆"),
    "unit_disk": same("GB"),
    "most": Words("highest {value}", "最高 {value}"),
    "least": Words("lowest {value}", "最低 {value}"),
    "unknown": Words("unknown", "不明"),
    "not_trading": Words("no trading now", "現時沒有交易"),
    "hour_known": Words(
        "The page has figures since {time} HKT only.",
        "此頁只有 {time} HKT 起的數字。",
    ),
    "picture": Words("{name}, the last hour: {text}", "{name}，最近一小時：{text}"),
    # OpenD and the market
    "opend": same("OpenD"),
    "connected": Words("connected", "已連線"),
    "away": Words("disconnected", "已中斷"),
    "for": Words("for {time}", "已 {time}"),
    "market": Words("Market", "市場"),
    "symbols": Words("Symbols", "股票"),
    "subscribed": Words("{subscribed} of {symbols} subscribed", "已訂閱 {symbols} 隻中的 {subscribed} 隻"),
    "clock": Words("Clock", "時鐘"),
    "drift": Words("{seconds} s against OpenD", "與 OpenD 相差 {seconds} 秒"),
    "budget": Words("Outage budget", "可中斷時間"),
    "budget_of": Words(
        "{seconds} s: after that {symbol} loses ticks for good",
        "{seconds} 秒：OpenD 中斷超過此時間，{symbol} 的 tick 便會遺失",
    ),
    "budget_left": Words(
        "{left} s left of {seconds} s, then {symbol} loses ticks",
        "{seconds} 秒中尚餘 {left} 秒，之後 {symbol} 的 tick 會遺失",
    ),
    "budget_over": Words(
        "used up {over} s ago: {symbol} loses ticks now", "已在 {over} 秒前用盡：{symbol} 正遺失 tick"
    ),
    "budget_unknown": NO_BUDGET,
    "gaps": Words("Gaps", "缺口"),
    "gaps_open": Words("{count} open, {missing} ticks missing", "{count} 個未補，欠 {missing} 筆 tick"),
    "gaps_none": Words("none open", "沒有未補缺口"),
    **{f"market_{state}": words for state, words in STATES.items()},
    # the busiest symbols
    "busiest": Words("Busiest symbols", "最活躍股票"),
    "ticks_minute": Words("ticks, last minute", "最近一分鐘筆數"),
    "ticks_today": Words("ticks today", "今日筆數"),
    "ten_minutes": Words("last ten minutes", "最近十分鐘"),
    "counted": Words("Counted by the page over the last {minutes} min.", "此頁點算最近 {minutes} 分鐘。"),
    "no_ticks": Words("No ticks in this time.", "此段時間沒有 tick。"),
    # findings
    "findings": Words("What is wrong now", "現有問題"),
    "no_findings": Words("Nothing is wrong.", "沒有問題。"),
    "since": Words("since {time}", "由 {time} 起"),
    "today": Words("What was wrong today", "今日出現過的問題"),
    "from": Words("from", "由"),
    "to": Words("to", "至"),
    "what": Words("what", "事項"),
    "lasts": Words("now", "現在"),
    "today_known": Words("As far as the page has seen since {time} HKT.", "此頁由 {time} HKT 起所見。"),
    "nothing_today": Words("Nothing was wrong.", "沒有出現過問題。"),
    "more_today": Words("{count} older ones are not shown.", "另有 {count} 項較早的沒有顯示。"),
    # what `status` prints
    "details": Words("Everything that status prints", "status 的全部輸出"),
    "details_of": Words("of {time} HKT", "{time} HKT 的輸出"),
    "details_none": Words("not read yet", "仍未讀取"),
    "details_failed": Words("cannot be read: {error}", "無法讀取：{error}"),
}

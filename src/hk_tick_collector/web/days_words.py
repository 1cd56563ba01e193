"""The texts of the view *Days* in both languages. Templates use them as `t.NAME`."""

from __future__ import annotations

from typing import Final

from hk_tick_collector.ops.findings.words import Words
from hk_tick_collector.quality.verdict import STANDING_WORDS

DAYS_WORDS: Final[dict[str, Words]] = {
    "calendar": Words("Calendar", "日曆"),
    "last_year": Words("last 12 months", "最近 12 個月"),
    "years": Words("Years", "年份"),
    "all_days": Words("Days", "日數"),
    "all_ticks": Words("Ticks", "tick 數"),
    "all_missing": Words("Ticks missing", "欠缺 tick"),
    "all_wrong": Words("Days to look at", "須查看的日子"),
    "reading_days": Words("{left} days are still being read.", "仍有 {left} 日正在讀取。"),
    "older_days": Words(
        "{count} older days are not in the calendar: hk-tick-collector quality",
        "日曆未包括另外 {count} 個較早的日子：hk-tick-collector quality",
    ),
    "no_archive": Words("Archived days are left out: {why}", "未包括已歸檔的日子：{why}"),
    "no_days": Words("No day has been collected yet.", "尚未收集任何日子。"),
    "look_at": Words("Days to look at, the newest first", "須查看的日子，由最新起"),
    "nothing_to_look_at": Words("None of these days needs a look.", "這些日子都不須查看。"),
    "more_to_look_at": Words("{count} more are marked in the calendar.", "另有 {count} 日，見日曆上的標記。"),
    "day": Words("day", "日期"),
    "verdict": Words("verdict", "結論"),
    "why": Words("why", "原因"),
    "ticks": Words("ticks", "tick 數"),
    "complete": Words("complete", "完整度"),
    "verdict_OK": Words("nothing to do", "毋須處理"),
    "verdict_WARNING": Words("look at it before you use it", "使用前先看原因"),
    "verdict_CRITICAL": Words("not usable as it is", "現狀不宜使用"),
    "verdict_UNKNOWN": Words("could not be read", "未能讀取"),
    "verdict_none": Words("weekday without a file", "沒有日檔的平日"),
    **{f"standing_{standing}": words for standing, words in STANDING_WORDS.items()},
    "archived": Words("archived", "已歸檔"),
    "being_collected": Words("being collected", "收集中"),
    "findings": Words("Why this verdict", "結論的原因"),
    "figures": Words("Figures", "數字"),
    "timeline": Words("Connection and gaps over the day", "全日的連線與缺口"),
    "connected": Words("connected in trading hours", "交易時段內已連線"),
    "timeline_table": Words("The same as a table", "相同內容的表格"),
    "from_to": Words("from – to", "由–至"),
    "what": Words("what", "事項"),
    "missing": Words("missing", "欠"),
    "without_opend": Words("no connection to OpenD", "沒有連接 OpenD"),
    "gap_open": Words("gap, ticks missing", "缺口，欠 tick"),
    "gap_filled": Words("gap, filled", "缺口，已補"),
    "nothing_happened": Words("Connected all day, and no gap.", "全日保持連線，沒有缺口。"),
    "worst_symbols": Words("Symbols with the most missing ticks", "欠缺最多的股票"),
    "more_symbols": Words("{count} more symbols are incomplete.", "另有 {count} 隻股票不完整。"),
    "no_worst": Words("No symbol has a missing tick by its sequence.", "按序號沒有股票欠缺 tick。"),
    "symbol_column": Words("symbol", "股票"),
    "stored": Words("stored", "已存"),
    "reconciliation": Words("Totals compared with OpenD's", "與 OpenD 總數核對"),
    "not_compared": Words(
        "Not compared yet: that happens at noon and after the close.", "尚未核對：午休及收市後進行。"
    ),
    "compared": Words(
        "{session}: {matching} of {symbols} symbols match", "{session}：{symbols} 隻股票中 {matching} 隻相符"
    ),
    "session_lunch": Words("At noon", "午間"),
    "session_close": Words("After the close", "收市後"),
    "ours": Words("our shares", "本機股數"),
    "theirs": Words("OpenD's shares", "OpenD 股數"),
    "explained": Words("explained", "解釋"),
    "certificate": Words("Certificate", "證書"),
    "no_certificate": Words("None: the day is not archived.", "沒有：此日尚未歸檔。"),
    "signed_by": Words(
        "Signed by {signer}; the signature is valid. Its files were not read here: to read and compare them:",
        "由 {signer} 簽署，簽署有效。此處沒有讀取其檔案；讀取並比對檔案：",
    ),
    "not_signed": Words("Do not rely on it: {why}", "不可依賴：{why}"),
    "certificate_text": Words("the certificate", "證書"),
    "certificate_signature": Words("its signature", "其簽署"),
    "number": Words("number {number} of the chain", "證書鏈第 {number} 號"),
    "export": Words("Take the data", "取用資料"),
    "export_parquet": Words("Ticks as Parquet", "tick（Parquet）"),
    "export_csv": Words("Ticks of one symbol as CSV", "單一股票的 tick（CSV）"),
    "export_bars": Words("One-minute bars as CSV", "一分鐘 K 線（CSV）"),
    "export_page": Words("This day as a page in one file", "此日的單一檔案網頁"),
    "export_minutes": Words(
        "The minutes of one symbol are a click away on its candles.", "單一股票的分鐘資料可在其陰陽燭頁下載。"
    ),
    "export_commands": Words(
        "All ticks of a day may be gigabytes; take them on the host, beside the data:",
        "全日的 tick 可達數 GB；請在主機上以命令取用：",
    ),
    "export_json": Words("The figures of this page as JSON", "此頁數字（JSON）"),
    "back": Words("All days", "全部日子"),
    "earlier": Words("Earlier day", "前一日"),
    "later": Words("Later day", "後一日"),
    "tried": Words("Tried again and again since {time} HKT.", "由 {time} HKT 起不斷重試。"),
    "cannot_read": Words(
        "Cannot be read since {time} HKT; what is shown is from before.", "由 {time} HKT 起不能讀取；所示為之前的內容。"
    ),
    "open_symbol": Words("candles", "陰陽燭"),
}

"""The texts of the view *Symbol* in both languages. Templates use them as `t.NAME`."""

from __future__ import annotations

from typing import Final

from hk_tick_collector.ops.findings.words import Words

SYMBOL_WORDS: Final[dict[str, Words]] = {
    "symbol_of": Words("{symbol}, candles of one minute", "{symbol}，一分鐘陰陽燭"),
    "choose": Words("Symbol", "股票"),
    "choose_hint": Words("like HK.00700 or 700", "例如 HK.00700 或 700"),
    "show": Words("Show", "顯示"),
    "bad_symbol": Words(
        "'{given}' is not a valid symbol; write one like HK.00700.", "「{given}」不是有效的股票代號；請寫成 HK.00700。"
    ),
    "bad_day": Words("'{given}' is not a date; write one like 20261120.", "「{given}」不是日期；請寫成 20261120。"),
    "no_tick": Words(
        "No tick of {symbol} is stored on {day}. The settings show whether it is collected:",
        "{day} 沒有 {symbol} 的 tick。設定可顯示是否有收集：",
    ),
    "reading": Words("Reading the day file", "正在讀取日檔"),
    "price": Words("Last price", "最新價"),
    "day_change": Words("Change", "升跌"),
    "day_volume": Words("Shares", "成交股數"),
    "day_turnover": Words("Turnover, HKD", "成交額（港元）"),
    "ticks_stored": Words("Ticks stored", "已存 tick"),
    "completeness": Words("Completeness", "完整度"),
    "missing_of": Words("{missing} of {expected} ticks are missing", "{expected} 筆之中欠 {missing} 筆"),
    "nothing_missing": Words("no tick is missing by its sequence", "按其序號沒有欠缺"),
    "not_known": Words("not known: its sequence does not show what is missing", "不明：其序號無法顯示欠缺"),
    "above": Words("not known: more ticks than its sequence shows", "不明：tick 多於其序號所示"),
    "last_tick": Words("Last tick", "最後一筆"),
    "suspended": Words("suspended", "停牌"),
    "chart": Words(
        "Candles of one minute with volume; a table of the same minutes is below it.",
        "一分鐘陰陽燭及成交量；下方有相同內容的表格。",
    ),
    "chart_keys": Words(
        "Wheel, pinch or + and − zoom, arrows move, Home shows the whole day, End the newest minutes.",
        "滾輪、雙指或 + − 縮放，方向鍵移動，Home 顯示全日，End 顯示最新。",
    ),
    "zoom_in": Words("Zoom in", "放大"),
    "zoom_out": Words("Zoom out", "縮小"),
    "whole_day": Words("Whole day", "全日"),
    "newest": Words("Newest", "最新"),
    "no_chart": Words("No candles: {why}", "沒有陰陽燭：{why}"),
    "no_library": Words("the chart library could not be loaded", "未能載入圖表程式庫"),
    "late_rows": Words(
        "{count} backfilled ticks are stored and not yet in the candles.",
        "{count} 筆補回的 tick 已存入，仍未計入陰陽燭。",
    ),
    "buy": Words("buy", "買"),
    "sell": Words("sell", "賣"),
    "neutral": Words("neither", "中性"),
    "gap_open": Words("gap, ticks missing", "缺口，欠 tick"),
    "gap_filled": Words("gap, filled", "缺口，已補"),
    "away_span": Words("no connection to OpenD", "沒有連接 OpenD"),
    "by": Words("Chart: ", "圖表："),
    "last_ticks": Words("Last ticks", "最新成交"),
    "time": Words("time", "時間"),
    "price_column": Words("price", "價格"),
    "shares": Words("shares", "股數"),
    "side": Words("side", "買賣"),
    "type": Words("type", "類別"),
    "gaps_of_day": Words("Gaps and outages of the day", "當日的缺口與中斷"),
    "no_gaps": Words("None.", "沒有。"),
    "from_to": Words("from – to", "由–至"),
    "missing": Words("missing", "欠"),
    "cause": Words("cause", "原因"),
    "state": Words("state", "狀態"),
    "open": Words("open", "未補"),
    "filled": Words("filled", "已補"),
    "unknown_size": Words("size unknown", "大小不明"),
    "more_spans": Words("{count} more: ", "另有 {count} 項："),
    "tried": Words("Tried again and again since {time} HKT.", "由 {time} HKT 起不斷重試。"),
    "cannot_read": Words(
        "Cannot be read since {time} HKT; what is shown is from before.", "由 {time} HKT 起不能讀取；所示為之前的內容。"
    ),
    "live_day": Words("{day}, being collected", "{day}，收集中"),
    "over_day": Words("{day}, over", "{day}，已完結"),
    "archived_day": Words("{day}, from the archive", "{day}，取自歸檔"),
    "the_day": Words("This day", "此日"),
    "minutes_table": Words("The minutes as a table", "各分鐘的表格"),
    "minutes_csv": Words("minutes as CSV", "分鐘資料（CSV）"),
    "minute": Words("minute", "分鐘"),
    "open_price": Words("open", "開"),
    "high": Words("high", "高"),
    "low": Words("low", "低"),
    "close": Words("close", "收"),
}

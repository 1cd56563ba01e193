"""The page that `?` shows: keys, and what the figures mean. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.ops.findings.words import Words

from .cells import BOLD, Span, broken, columns, line, padded

if TYPE_CHECKING:
    from .cells import Line

_HELP: Final = (
    ("Ctrl-Z", Words("stop the view; fg continues it", "暫停畫面；fg 繼續")),
    ("s", Words("sort by the next figure", "按下一項數字排序")),
    ("r", Words("reverse the order", "倒轉次序")),
    ("j k, arrows", Words("choose a symbol; also PgUp, PgDn, Home, End", "選擇股票；亦可用 PgUp、PgDn、Home、End")),
    ("Enter", Words("the last ticks of the chosen symbol", "所選股票的最新成交")),
    ("/", Words("find a symbol: type a part of its name", "搜尋股票：輸入部分代號")),
    ("f", Words("all findings with their commands", "所有問題及處理命令")),
    ("Esc", Words("back", "返回")),
)
_MEANINGS: Final = (
    (Words("ticks/s", "每秒筆數"), Words("of a symbol: the mean of the last 10 s", "一隻股票：最近 10 秒的平均")),
    (
        Words("of the day", "當日"),
        Words("counted from the day's first tick, also over restarts", "由當日第一筆起計，重啟亦累計"),
    ),
    (
        Words("of the run", "本次運行"),
        Words("counted from the last start of the service", "由服務最近一次啟動起計"),
    ),
    (Words("missing", "欠缺"), Words("'-' where the feed does not show it", "「-」表示資料來源不能顯示")),
)


def help_lines(ends: Words, width: int, lang: str) -> list[Line]:
    """Each key and what it does, then what the figures mean; `ends` is what the end of the view ends."""
    rows = [("q, Ctrl-C", ends), *_HELP]
    rows += [(name.of(lang), words) for name, words in _MEANINGS]
    label = max(columns(key) for key, _ in rows) + 2
    lines: list[Line] = []
    for key, words in rows:
        flowed = broken(line(words.of(lang)), width - label)
        names = [key, *[""] * (len(flowed) - 1)]
        lines += [(Span(padded(name, label), BOLD), *each) for name, each in zip(names, flowed, strict=True)]
    return lines

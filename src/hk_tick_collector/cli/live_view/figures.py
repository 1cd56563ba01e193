"""The figures of a view in groups: of this moment, of OpenD, of the day, of the run, of the file. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.findings.market_silence import budget_left_s, state_words
from hk_tick_collector.ops.findings.words import Words

from .cells import BAD, BOLD, DIM, WARNING, line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.ops.live.status import LiveStatus

    from .cells import Line

BARS: Final = "▁▂▃▄▅▆▇█"
ASCII_BARS: Final = "_.-=+*#@"  # for a terminal without these characters
_RATES_S: Final = 30  # seconds of the sparkline
_MB: Final = 2**20
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


class Group(NamedTuple):
    """Figures with a common name; each is one item, which is not broken if it fits into a line."""

    name: str
    items: list[Line]


def groups(live: LiveStatus | None, day: dict[str, Any] | None, as_of_ms: int, bars: str, lang: str) -> list[Group]:
    """All groups, the most important first. `day` is what `status` knows of the day file, as in its JSON."""
    found = []
    if live:
        found = [_now(live, as_of_ms, bars, lang), _opend(live, as_of_ms, lang)]
    if day:
        found.append(_day(day, lang))
    if live:
        found.append(_run(live, lang))
    file = _file(live, day, lang)
    return [*found, file] if file.items else found


def sparkline(values: Sequence[float], bars: str = BARS) -> str:
    """Bars from zero to the largest value."""
    top = max(values, default=0) or 1
    return "".join(bars[int(max(0, value) * (len(bars) - 1) // top)] for value in values)


def moment(at_ms: int, now_ms: int) -> str:
    """A time in Hong Kong, with its date unless it is today."""
    at, now = market.hkt(at_ms), market.hkt(now_ms)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> Words:
    """`12 s`, `34 min` or `5 h 10 min`."""
    whole = int(max(0.0, seconds))
    if whole < 2 * _MINUTE_S:
        return Words(f"{whole} s", f"{whole} 秒")
    if whole < 2 * _HOUR_S:
        return Words(f"{whole // _MINUTE_S} min", f"{whole // _MINUTE_S} 分鐘")
    hours, minutes = whole // _HOUR_S, whole % _HOUR_S // _MINUTE_S
    return Words(f"{hours:,} h {minutes} min", f"{hours:,} 小時 {minutes} 分鐘")


def _item(name: Words, text: Words | str, lang: str, style: str = "") -> Line:
    shown = text.of(lang) if isinstance(text, Words) else text
    return line((f"{name.of(lang)} ", DIM), (shown, style))


def _now(live: LiveStatus, as_of_ms: int, bars: str, lang: str) -> Group:
    behind_s = health.lag_s(live, as_of_ms)
    lag = Words("no tick yet", "仍沒有 tick")
    if behind_s is not None:
        lag = Words(f"{behind_s:.1f} s", f"{behind_s:.1f} 秒") if abs(behind_s) < 2 * _MINUTE_S else duration(behind_s)
    rate = live.rows_per_s[-1] if live.rows_per_s else 0
    queue = Words("{rows:,} of {most:,} rows", "{rows:,} 筆，上限 {most:,}")
    items = [
        _item(Words("rate", "速率"), Words(f"{rate:,} ticks/s", f"每秒 {rate:,} 筆"), lang, BOLD),
        _item(Words("lag", "延遲"), lag, lang, BOLD),
        _item(Words("queue", "佇列"), queue.filled(rows=live.waiting, most=live.max_queue_rows), lang),
        _item(Words("rows/min", "每分鐘"), f"{live.persisted_rows_per_min:,}", lang),
    ]
    if live.commit_ms_p99 is not None:
        commit = Words("p50 {p50:,} ms, p99 {p99:,} ms", "p50 {p50:,} ms，p99 {p99:,} ms")
        commit = commit.filled(p50=live.commit_ms_p50 or 0, p99=live.commit_ms_p99)
        items.append(_item(Words("commit", "提交"), commit, lang))
    if live.spooled:
        items.append(_item(Words("in the spool", "spool"), f"{live.spooled:,}", lang, WARNING))
    if any(live.rows_per_s):
        items.append(line(sparkline(live.rows_per_s[-_RATES_S:], bars)))
    return Group(Words("now", "現在").of(lang), items)


def _opend(live: LiveStatus, as_of_ms: int, lang: str) -> Group:
    since_ms = live.link_since_ms or live.started_ms
    for_s = max(0, as_of_ms - since_ms) / 1000
    if live.connected:
        state = line(Words("connected {time}", "已連線 {time}").filled(time=duration(for_s)).of(lang))
    else:
        away = Words("away {time}, since {moment}", "已中斷 {time}，由 {moment} 起")
        state = line((away.filled(time=duration(for_s), moment=moment(since_ms, as_of_ms)).of(lang), BAD))
    subscribed = Words("{count:,} of {symbols:,}", "{symbols:,} 隻中的 {count:,} 隻")
    items = [
        state,
        *_budget(live, as_of_ms, lang),
        _item(Words("subscribed", "已訂閱"), subscribed.filled(count=live.subscribed, symbols=live.symbols), lang),
    ]
    if live.market_state:
        trading = Words(", trading", "，交易中") if live.trading else Words("", "")
        items.append(
            _item(Words("market", "市場"), f"{state_words(live.market_state).of(lang)}{trading.of(lang)}", lang)
        )
    return Group("OpenD", items)


def _budget(live: LiveStatus, as_of_ms: int, lang: str) -> list[Line]:
    """How long OpenD may be away before ticks are lost for good; while it is away, how much of that is left."""
    if live.outage_budget_s is None:
        return []
    name = Words("outage budget", "可中斷時間")
    if live.connected:
        return [_item(name, Words(f"{live.outage_budget_s:,.0f} s", f"{live.outage_budget_s:,.0f} 秒"), lang)]
    left_s = budget_left_s(live, as_of_ms)
    if left_s is None:
        return []
    if left_s > 0:
        return [_item(name, Words(f"{left_s:,.0f} s left", f"尚餘 {left_s:,.0f} 秒"), lang, WARNING)]
    return [_item(name, Words("used up: ticks are being lost", "已用完：tick 正在遺失"), lang, BAD)]


def _day(day: dict[str, Any], lang: str) -> Group:
    percent = day["completeness"]["percent"]
    gaps = Words("{count:,} open, {missing:,} ticks missing", "{count:,} 個未補，欠 {missing:,} 筆")
    gaps = gaps.filled(count=day["gaps_open"], missing=day["missing"])
    items = [
        line((day["day"], BOLD)),
        _item(Words("ticks", "筆數"), f"{day['rows']:,}", lang),
        _item(Words("symbols", "股票"), f"{day['symbols']:,}", lang),
    ]
    if percent is not None:
        items.append(_item(Words("complete", "完整度"), f"{percent:.5f} %", lang))
    items.append(_item(Words("gaps", "缺口"), gaps, lang, WARNING if day["gaps_open"] else ""))
    if day.get("lost"):
        items.append(_item(Words("lost", "已遺失"), f"{day['lost']:,}", lang, WARNING))
    return Group(Words("of the day", "當日").of(lang), items)


def _run(live: LiveStatus, lang: str) -> Group:
    """The ledger. It counts from the start of the service, not of the day."""
    started = f"{market.hkt(live.started_ms):%m-%d %H:%M:%S}"
    counts = (
        (Words("received", "收到"), live.received, ""),
        (Words("stored", "已儲存"), live.stored, ""),
        (Words("duplicate", "重複"), live.duplicate, ""),
        (Words("rejected", "拒收"), live.rejected, WARNING if live.rejected else ""),
        (Words("dropped", "丟棄"), live.dropped, BAD if live.dropped else ""),
        (Words("waiting", "等候"), live.waiting, ""),
    )
    items = [line(Words(f"since {started}", f"由 {started} 起").of(lang))]
    items += [_item(name, f"{count:,}", lang, style) for name, count, style in counts]
    return Group(Words("of the run", "本次運行").of(lang), items)


def _file(live: LiveStatus | None, day: dict[str, Any] | None, lang: str) -> Group:
    items = []
    if day:
        items.append(line(f"{day['bytes'] / _MB:,.1f} MB"))
    if live:
        items.append(_item(Words("WAL", "WAL"), f"{live.wal_bytes / _MB:,.1f} MB", lang))
    if live and live.disk_free_mb is not None:
        items.append(_item(Words("disk free", "磁碟剩餘"), f"{live.disk_free_mb:,} MB", lang))
    return Group(Words("day file", "日檔").of(lang), items)

"""The figures of a day as text in both languages, for the lines of `quality` and for its page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, same

from .verdict import share

if TYPE_CHECKING:
    from .facts import DayFacts, SymbolFacts

_CAUSES: Final = 4  # the most that one line lists
_WORST: Final = 5

ROWS: Final = Words("rows", "筆數")
COMPLETE: Final = Words("completeness", "完整度")
GAPS: Final = Words("gaps", "缺口")
AWAY: Final = Words("without OpenD", "沒有 OpenD")
TOTALS: Final = Words("totals", "核對")
DELAY: Final = Words("delay", "延遲")
CLOCK: Final = Words("clock", "時鐘")
WORST: Final = Words("worst", "欠最多")
LEDGER: Final = Words("ledger", "帳目")
FILE: Final = Words("file", "檔案")


def figures(facts: DayFacts) -> list[tuple[Words, Words]]:
    """Every figure of a day that can be read, in the order in which they are shown."""
    return [
        (ROWS, _rows(facts)),
        (COMPLETE, _complete(facts)),
        (GAPS, _gaps(facts)),
        (AWAY, away(facts)),
        (TOTALS, _totals(facts)),
        *([(DELAY, _delay(facts))] if facts.scan else []),
        *([(CLOCK, _clock(facts))] if facts.scan or facts.drift_s is not None else []),
        *([(LEDGER, _ledger(facts))] if facts.ledger else []),
        *([(WORST, same(worst(facts.incomplete[:_WORST])))] if facts.incomplete else []),
        (FILE, _file(facts)),
    ]


def worst(symbols: tuple[SymbolFacts, ...] | list[SymbolFacts]) -> str:
    """`HK.00700 -1,234 (99.12 %)`, one after the other."""
    return ", ".join(f"{each.symbol} -{each.missing:,} ({each.share})" for each in symbols)


def delay(ms: int | None) -> str:
    """A delay with a suitable unit."""
    if ms is None:
        return "?"
    return f"{ms} ms" if abs(ms) < 1000 else f"{ms / 1000:,.1f}".removesuffix(".0") + " s"


def seconds(length_s: float) -> Words:
    """A length of time, with more digits the shorter it is."""
    if length_s < 120:
        return Words(f"{length_s:,.0f} s", f"{length_s:,.0f} 秒")
    if length_s >= 7200:
        hours, minutes = divmod(round(length_s / 60), 60)
        return Words(f"{hours:,} h {minutes} min", f"{hours:,} 小時 {minutes} 分")
    minutes, rest = divmod(round(length_s), 60)
    return Words(f"{minutes:,} min {rest} s", f"{minutes:,} 分 {rest} 秒")


def at(ts_ms: int | None) -> str:
    """A time of day in Hong Kong."""
    return "" if ts_ms is None else f"{market.hkt(ts_ms):%H:%M:%S}"


def _rows(facts: DayFacts) -> Words:
    text = Words("{rows:,} of {symbols:,} symbols{times}", "{rows:,} 筆，{symbols:,} 隻股票{times}")
    times = NO_WORDS
    if facts.first_ts_ms is not None:
        first, last = at(facts.first_ts_ms), at(facts.last_ts_ms)
        times = Words(f", from {first} to {last}", f"，由 {first} 至 {last}")
    return text.filled(rows=facts.rows, symbols=facts.symbols, times=times)


def _complete(facts: DayFacts) -> Words:
    text = Words(
        "{share}: {missing:,} of {expected:,} ticks are missing", "{share}：{expected:,} 筆之中欠 {missing:,} 筆"
    )
    found = text.filled(share=share(facts), missing=facts.missing, expected=facts.completeness.expected)
    if facts.without_rule:
        names = ", ".join(facts.without_rule_named)
        found = Words(
            f"{found.en}; unknown for {facts.without_rule:,} symbols ({names} …)",
            f"{found.zh}；{facts.without_rule:,} 隻股票不明（{names} …）",
        )
    return found


def _gaps(facts: DayFacts) -> Words:
    text = Words("{open:,} open{causes}, {healed:,} closed", "未補 {open:,} 個{causes}，已關閉 {healed:,} 個")
    still = [each for each in facts.gaps if each.status == GAP_OPEN]
    causes = NO_WORDS
    if still:
        parts = [
            (
                f"{each.cause} {each.missing:,}" + (f" + {each.unknown:,} of unknown size" if each.unknown else ""),
                f"{each.cause} {each.missing:,}" + (f"，另 {each.unknown:,} 個大小不明" if each.unknown else ""),
            )
            for each in still[:_CAUSES]
        ]
        others = len(still) - _CAUSES
        rest = (f", {others} more causes", f"、另 {others} 種原因") if others > 0 else ("", "")
        causes = Words(
            f" (missing ticks: {', '.join(part for part, _ in parts)}{rest[0]})",
            f"（欠：{'、'.join(part for _, part in parts)}{rest[1]}）",
        )
    return text.filled(open=facts.open_gaps, healed=facts.healed_gaps, causes=causes)


def away_sum(length_s: float, days: int, days_not_said: int) -> Words:
    """The time without OpenD of many days, some of whose files may not record connections."""
    if days_not_said == days:
        return Words("unknown: the files do not record connections", "不明：檔案沒有記錄連線")
    if not days_not_said:
        return seconds(length_s)
    text = Words("{length}; unknown for {days:,} days", "{length}；另有 {days:,} 日不明")
    return text.filled(length=seconds(length_s), days=days_not_said)


def away(facts: DayFacts) -> Words:
    """The time without OpenD."""
    if facts.away is None:
        return Words("unknown: the file does not record connections", "不明：檔案沒有記錄連線")
    if not facts.away.outages:
        return Words("0 s in trading hours", "交易時段內 0 秒")
    longest = max(facts.away.listed, key=lambda each: each.seconds)
    text = Words(
        "{length} in trading hours, {count:,} outages; the longest {longest} at {time} ({reason})",
        "交易時段內 {length}，{count:,} 次；最長 {longest}，於 {time}（{reason}）",
    )
    return text.filled(
        length=seconds(facts.away.trading_s),
        count=facts.away.outages,
        longest=seconds(longest.seconds),
        time=at(longest.from_ms),
        reason=longest.reason,
    )


def _totals(facts: DayFacts) -> Words:
    totals = facts.totals
    if totals is None:
        return Words("not compared with OpenD's totals", "未與 OpenD 的總數核對")
    sessions = {"lunch": "午休", "close": "收市"}
    text = Words(
        "{session}: {matching:,} of {symbols:,} symbols match OpenD's; ours {volume:,} shares, {turnover:,.0f} HKD,"
        " OpenD's {official_volume:,} and {official_turnover:,.0f}",
        "{session}：{symbols:,} 隻股票中 {matching:,} 隻與 OpenD 相符；本機 {volume:,} 股、{turnover:,.0f} 港元，"
        "OpenD {official_volume:,} 股、{official_turnover:,.0f} 港元",
    )
    return text.filled(
        session=Words(totals.session, sessions.get(totals.session, totals.session)),
        matching=totals.matching,
        symbols=totals.symbols,
        volume=totals.volume,
        turnover=totals.turnover,
        official_volume=totals.official_volume,
        official_turnover=totals.official_turnover,
    )


def _delay(facts: DayFacts) -> Words:
    found = facts.scan
    if found is None or not found.live_rows:
        return Words("no tick was pushed live", "沒有即時推送的 tick")
    text = Words(
        "half of the live ticks within {half}, 99 % within {most}, the latest {latest}",
        "即時 tick 一半在 {half} 內、99 % 在 {most} 內到達，最遲 {latest}",
    )
    return text.filled(half=delay(found.half_ms), most=delay(found.most_within_ms), latest=delay(found.most_ms))


def _clock(facts: DayFacts) -> Words:
    parts = []
    if facts.drift_s is not None:
        off = f"{facts.drift_s:+.1f}"
        if facts.is_over:
            parts.append(Words(f"at most {off} s off OpenD's", f"與 OpenD 最多相差 {off} 秒"))
        else:
            parts.append(Words(f"{off} s off OpenD's now", f"現時與 OpenD 相差 {off} 秒"))
    if facts.scan and (ms := facts.scan.clock_ms) is not None:
        off = f"{ms / 1000:+.3f}"
        parts.append(
            Words(f"live ticks came {off} s after their own time at best", f"即時 tick 最快在其時間之後 {off} 秒到達")
        )
    return Words(", ".join(part.en for part in parts), "，".join(part.zh for part in parts)) or Words("unknown", "不明")


def _ledger(facts: DayFacts) -> Words:
    text = Words(
        "received {received:,} = stored {stored:,} + duplicate {duplicate:,} + rejected {rejected:,} + dropped"
        " {dropped:,} + waiting {waiting:,}; {starts}",
        "收到 {received:,} = 存入 {stored:,} + 重複 {duplicate:,} + 拒收 {rejected:,} + 捨棄 {dropped:,} + 等候"
        " {waiting:,}；{starts}",
    )
    if not facts.ledger:
        return NO_WORDS
    runs = facts.ledger.runs
    starts = Words("1 run" if runs == 1 else f"{runs:,} runs", f"{runs:,} 次運行")
    return text.filled(**facts.ledger._asdict(), starts=starts)


def _file(facts: DayFacts) -> Words:
    if facts.is_archived:
        state = Words("archived", "已歸檔")
    elif facts.is_sealed:
        state = Words("sealed", "已封存")
    else:
        state = Words("not sealed", "未封存") if facts.is_over else Words("being written", "寫入中")
    text = Words("{path}, {state}, schema {schema}", "{path}，{state}，schema {schema}")
    return text.filled(path=facts.path, state=state, schema=facts.schema)

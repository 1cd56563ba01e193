"""What `quality` prints for several days: the line of the verdict, a row a day, and the sums. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.archive.proof import STANDINGS
from hk_tick_collector.ops.findings.words import Words, same
from hk_tick_collector.quality.figures import AWAY as WITHOUT_OPEND
from hk_tick_collector.quality.figures import COMPLETE, GAPS, ROWS, TOTALS, WORST, away_sum, seconds, worst
from hk_tick_collector.quality.verdict import as_percent, fine, line_of, share

if TYPE_CHECKING:
    from hk_tick_collector.quality.overall import Day as JudgedDay
    from hk_tick_collector.quality.overall import Overall

_HEADER = (
    Words("day", "日期"),
    Words("verdict", "結論"),
    Words("standing", "證明"),
    Words("rows", "筆數"),
    Words("complete", "完整度"),
    Words("open gaps", "未補缺口"),
    Words("no OpenD", "無 OpenD"),
    Words("totals", "核對"),
    Words("why", "原因"),
)


def verdict_line(found: Overall, lang: str) -> str:
    """One line: the verdict of one day, or of several days with the day to look at first."""
    if len(found.days) == 1:
        return line_of(found.days[0].facts, found.days[0].judged, lang)
    first = found.worst
    if first is None:
        counts = ", ".join(f"{name} {found.standings[name]:,}" for name in STANDINGS if found.standings[name])
        text = Words("OK: {days:,} days, {rows:,} ticks: {counts}", "OK: {days:,} 日，{rows:,} 筆 tick：{counts}")
        return text.filled(days=len(found.days), rows=found.rows, counts=counts).of(lang)
    worst_name, many = found.severity.name, found.severities
    others = [name for name in ("CRITICAL", "WARNING") if name != worst_name and many[name]]
    text = Words(
        "{severity}: {wrong:,} of {days:,} days{others}, first {day}: {why} -> hk-tick-collector quality --day {day}",
        "{severity}: {days:,} 日之中有 {wrong:,} 日{others}，首先看 {day}：{why}"
        " -> hk-tick-collector quality --day {day}",
    )
    return text.filled(
        severity=worst_name,
        wrong=many[worst_name],
        others=Words(
            f" ({', '.join(f'{name} {many[name]:,}' for name in others)})",
            f"（{'、'.join(f'{name} {many[name]:,} 日' for name in others)}）",
        )
        if others
        else "",
        days=len(found.days),
        day=first.facts.day,
        why=first.judged.findings[0].words,
    ).of(lang)


def day_rows(found: Overall, lang: str) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table, the oldest day first."""
    return [name.of(lang) for name in _HEADER], [_row(day, lang) for day in found.days]


def _row(day: JudgedDay, lang: str) -> list[str]:
    facts, judged = day
    why = judged.findings[0].words if judged.findings else fine(facts, judged)
    head = [facts.day, judged.severity.name, judged.standing]
    if facts.problem:
        return [*head, "", "", "", "", "", why.of(lang)]
    return [
        *head,
        f"{facts.rows:,}",
        share(facts),
        f"{facts.open_gaps:,}",
        seconds(facts.away.trading_s).of(lang) if facts.away else "?",
        f"{facts.totals.matching:,}/{facts.totals.symbols:,}" if facts.totals else "",
        why.of(lang) if judged.findings else "",
    ]


def overall_lines(found: Overall) -> list[tuple[Words, Words]]:
    """The sums over all days, name and figure."""
    percent = as_percent(found.completeness.percent)
    missing = found.completeness.expected - found.completeness.counted
    causes = ", ".join(f"{cause} {count:,}" for cause, count in found.missing_by_cause.most_common(4) if count)
    lines = [
        (ROWS, Words(f"{found.rows:,} in {len(found.days):,} days", f"{len(found.days):,} 日共 {found.rows:,} 筆")),
        (
            COMPLETE,
            Words(
                f"{percent}: {missing:,} ticks are missing",
                f"{percent}：欠 {missing:,} 筆",
            ),
        ),
        (
            GAPS,
            Words(
                f"{found.open_gaps:,} open, {found.healed_gaps:,} closed{': ' if causes else ''}{causes}",
                f"未補 {found.open_gaps:,} 個，已關閉 {found.healed_gaps:,} 個{'：' if causes else ''}{causes}",
            ),
        ),
        (WITHOUT_OPEND, away_sum(found.away_s, found.days_read, found.days_not_said)),
        (
            TOTALS,
            Words(
                f"{found.matching:,} of {found.compared:,} comparisons match",
                f"{found.compared:,} 次核對中 {found.matching:,} 次相符",
            ),
        ),
    ]
    if symbols := found.symbols(5):
        lines.append((WORST, same(worst(symbols))))
    return lines

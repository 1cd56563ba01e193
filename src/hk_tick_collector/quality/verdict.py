"""The rules: the facts of a day → its severity, its standing, what is wrong. Pure; a rule is one row of `RULES`.

The severity says whether a person should look; it is the exit code. The standing says how much is proved, in the words
of the certificate, and none of them is absolute: the meaning of the sequence is inferred (docs/data-quality.md).

    complete      nothing shows that a tick is missing
    gaps_known    ticks are missing, and it is known which and how many
    not_provable  not proven complete: ticks may be missing of which there is no trace

The standing is the one that `archive.proof` finds, which the certificate has too, and each of its doubts has a rule of
the same name here. A rule that is met gives the day at least its own standing. The first rule in the order of the table
that has the highest severity makes the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.archive.proof import COMPLETE, GAPS_KNOWN, NOT_PROVABLE, STANDINGS
from hk_tick_collector.model import CLOSE, NOT_TRADED, UNEXPLAINED
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.completeness import LEAST_SHARE
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, more
from hk_tick_collector.text import plain

from .facts import date_of
from .outages import sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from .facts import DayFacts

STANDING_WORDS: Final = {
    COMPLETE: Words("nothing shows that a tick is missing", "沒有跡象顯示欠缺任何 tick"),
    GAPS_KNOWN: Words("ticks are missing; which and how many is known", "欠缺部分 tick；欠哪些、欠多少均已知"),
    NOT_PROVABLE: Words("not proven complete", "未能證實齊全"),
}

USABLE_SHARE: Final = 0.99  # of the ticks of a day; less is critical
LEAST_UNPROVED: Final = 0.1  # of the symbols without any evidence; more is a warning
_END_MS: Final = 15 * 60_000  # a collector that worked within this time of the close saw the close


class Met(NamedTuple):
    """A rule that a day meets. Words and remedy are one line each and safe to print, also where they quote a file."""

    code: str
    severity: Severity
    words: Words
    remedy: str  # a command that can be pasted, or empty

    def as_json(self) -> dict[str, str]:
        """For `--json`: always with the English text, because scripts read it."""
        return {"code": self.code, "severity": self.severity.name, "text": self.words.en, "remedy": self.remedy}


class Judged(NamedTuple):
    """The verdict of a day."""

    severity: Severity
    standing: str  # one of STANDINGS
    findings: tuple[Met, ...]  # the worst first
    notes: tuple[Met, ...]  # of severity OK: what explains the standing


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong with a day.

    `when` gives the severity and the figures of the text if the rule is met, else None. The remedy is a template of a
    command; it is left out for an archived day, whose day file is not there.
    """

    code: str
    standing: str
    text: Words
    remedy: str
    when: Callable[[DayFacts, float], tuple[Severity, dict[str, object]] | None]


def judge(facts: DayFacts, drift_warn_s: float) -> Judged:
    """The verdict of one day. `drift_warn_s` is the setting DRIFT_WARN_SEC."""
    findings, standing = [], facts.proof.standing if facts.proof else COMPLETE
    for rule in RULES:
        if met := rule.when(facts, drift_warn_s):
            severity, figures = met
            words = rule.text.filled(**figures)
            remedy = "" if facts.is_archived and not facts.problem else _command(rule.remedy, facts.day, figures)
            findings.append(Met(rule.code, severity, Words(plain(words.en), plain(words.zh)), plain(remedy)))
            standing = max(standing, rule.standing, key=STANDINGS.index)
            if facts.problem:
                break
    findings.sort(key=lambda each: -each.severity)  # stable: rules of one severity stay in their order
    wrong = tuple(each for each in findings if each.severity is not Severity.OK)
    worst = max((each.severity for each in findings), default=Severity.OK)
    return Judged(worst, standing, wrong, tuple(findings[len(wrong) :]))


def _command(template: str, day: str, figures: dict[str, object]) -> str:
    """The remedy, with names from the file as single words of a shell; `hint` is a whole command of ours."""
    words = {
        name: quote(value) if isinstance(value, str) and name != "hint" else value for name, value in figures.items()
    }
    return template.format(day=day, **words)


def line_of(facts: DayFacts, judged: Judged, lang: str) -> str:
    """The verdict of one day as one line; the text after the arrow can be pasted. The severity is always in English."""
    if not judged.findings:
        return f"OK: {facts.day}: {fine(facts, judged).of(lang)}"
    first, others = judged.findings[0], more(len(judged.findings) - 1)
    arrow = f" -> {first.remedy}" if first.remedy else ""
    return f"{judged.severity.name}: {facts.day}: {first.words.of(lang)}{others.of(lang)}{arrow}"


def fine(facts: DayFacts, judged: Judged) -> Words:
    """The text for a day without a finding."""
    so_far = NO_WORDS if facts.is_over else Words(" so far", "（至今）")
    text = Words(
        "{standing}, {rows:,} ticks of {symbols:,} symbols{so_far}{missing}",
        "{standing}，{rows:,} 筆 tick，{symbols:,} 隻股票{so_far}{missing}",
    )
    lost = max(facts.missing, facts.gap_missing)
    missing = Words(f", {lost:,} missing ({share(facts)})", f"，欠 {lost:,} 筆（{share(facts)}）") if lost else NO_WORDS
    return text.filled(standing=judged.standing, rows=facts.rows, symbols=facts.symbols, so_far=so_far, missing=missing)


def share(facts: DayFacts) -> str:
    """The completeness as text, rounded down: 100 % only if no tick is missing by the counters."""
    return as_percent(facts.completeness.percent)


def as_percent(percent: float | None) -> str:
    """A share that was rounded down to five digits, as text."""
    return "? %" if percent is None else f"{percent:.5f}".rstrip("0").rstrip(".") + " %"


_Answer = tuple[Severity, dict[str, object]] | None


def _unreadable(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    if not facts.problem:
        return None
    severity = Severity.UNKNOWN if facts.is_unsure else Severity.CRITICAL
    if facts.remedy.startswith("sudo ") or remedies.is_command(facts.remedy):
        return severity, {"problem": facts.problem, "hint": facts.remedy}
    return severity, {"problem": "; ".join(filter(None, (facts.problem, facts.remedy))), "hint": ""}


def _not_traded(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    closed = facts.totals is not None and facts.totals.explained.keys() == {NOT_TRADED}
    return (Severity.OK, {}) if closed and not facts.rows else None


def _empty(facts: DayFacts, drift_warn_s: float) -> _Answer:
    if facts.rows or _not_traded(facts, drift_warn_s):
        return None
    return Severity.CRITICAL if facts.is_over else Severity.UNKNOWN, {"date": date_of(facts.day), "time": "09:00:00"}


def _miscounted(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    if facts.scan is None or facts.scan.rows == facts.rows:
        return None  # both are from one transaction, also on the day that is being collected
    return Severity.CRITICAL, {"rows": facts.rows, "found": facts.scan.rows}


def _incomplete(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    lost, expected = facts.missing, facts.completeness.expected
    if not lost:
        return None
    worst, severity = facts.incomplete[0], _of_loss(lost, expected)
    return severity, {"share": share(facts), "lost": lost, "worst": worst.symbol, "of_worst": worst.missing}


def _of_loss(lost: int, expected: int) -> Severity:
    stored = (expected - lost) / expected
    if stored < USABLE_SHARE:
        return Severity.CRITICAL
    return Severity.OK if stored >= LEAST_SHARE else Severity.WARNING


def _known_gaps(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    """Missing ticks in gaps of symbols without an expected number, which `_incomplete` does not count."""
    count, lost = facts.open_gaps - facts.unknown_gaps, facts.gap_missing - facts.missing
    if count <= 0 or (facts.missing and lost <= 0):
        return None
    return _of_loss(lost, facts.rows + lost) if lost else Severity.OK, {"count": count, "missing": facts.gap_missing}


def _doubted(facts: DayFacts, code: str) -> int:
    """How many symbols, gaps or ticks a doubt of `archive.proof` is about; 0 if there is none."""
    return facts.proof.doubts.get(code, 0) if facts.proof else 0


def _not_explained(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    """Of each symbol by itself: open gaps of one symbol say nothing of another."""
    if not facts.proof or not (lacking := facts.proof.not_explained):
        return None
    worst = max(sorted(lacking), key=lambda symbol: lacking[symbol])
    return Severity.OK, {"lost": sum(lacking.values()), "count": len(lacking), "worst": worst}


def _ledger(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    """While the day is collected ticks wait, and are no fault: the totals were not compared yet either."""
    if not facts.proof or not (wrong := facts.proof.ledger):
        return None
    severity = Severity.WARNING if wrong.keys() - {"waiting", "dropped"} else Severity.OK
    what = ", ".join(f"{name} {count:,}" for name, count in wrong.items())
    return severity, {"what": what, "date": date_of(facts.day), "time": "09:00:00"}


def _unknown_gaps(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    return (Severity.WARNING, {"count": count}) if (count := _doubted(facts, "gaps_of_unknown_size")) else None


def _above(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    return (Severity.WARNING, {"count": facts.above, "first": facts.above_first}) if facts.above else None


def _totals_differ(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    totals = facts.totals
    if totals is None or not (count := totals.explained.get(UNEXPLAINED, 0)):
        return None
    worst = totals.differing[0]
    return Severity.WARNING, {
        "count": count,
        "all": totals.symbols,
        "worst": worst.symbol,
        "shares": worst.difference,
    }


def _not_compared(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    """A sequence does not show that ticks came after its last one."""
    is_compared = facts.totals is not None and facts.totals.session == CLOSE
    return None if is_compared or not facts.rows else (Severity.OK, {})


def _no_answer(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    return (Severity.OK, {"count": count}) if (count := _doubted(facts, "no_answer")) else None


def _not_shown(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    if not facts.proof or not (symbols := facts.proof.not_fitting):
        return None
    return Severity.WARNING, {"count": len(symbols), "first": symbols[0]}


def _end_not_seen(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    """Nothing in the file shows missing ticks after the last one: only a later tick or OpenD's totals would."""
    if not facts.is_over or not facts.rows or (facts.totals is not None and facts.totals.session == CLOSE):
        return None
    seen = [facts.last_ts_ms or 0, facts.away.seen_ms or 0 if facts.away else 0]
    close_ms = market.close_ms(market.parse_day(facts.day))
    if (facts.last_ts_ms or 0) >= close_ms:
        return None
    ends_away = facts.away is not None and any(each.to_ms >= close_ms for each in facts.away.listed)
    if max(seen) >= close_ms - _END_MS and not ends_away:
        return None
    last = facts.last_ts_ms or sessions(facts.day)[0][0]
    return Severity.WARNING, {"date": date_of(facts.day), "time": f"{market.hkt(last):%H:%M:%S}"}


def _no_rule(facts: DayFacts, _drift_warn_s: float) -> _Answer:
    """OpenD's totals after the close are other evidence: if they match, a symbol without the rule is no warning."""
    if not facts.without_rule:
        return None
    severity = Severity.WARNING if facts.unproved > LEAST_UNPROVED * facts.symbols else Severity.OK
    return severity, {"count": facts.without_rule, "all": facts.symbols, "unproved": facts.unproved}


def _clock(facts: DayFacts, drift_warn_s: float) -> _Answer:
    """The live ticks show the clock difference of the whole day; the service reports only the present one."""
    by_ticks = facts.scan.clock_ms / 1000 if facts.scan and facts.scan.clock_ms is not None else 0.0
    off_s = max(by_ticks, facts.drift_s or 0.0, key=abs)
    return (Severity.WARNING, {"seconds": off_s}) if abs(off_s) > drift_warn_s else None


_GAPS: Final = "hk-tick-collector gaps --day {day} --open"
_LOGS: Final = "hk-tick-collector logs --since '{date} {time}'"
RULES: Final = (
    Rule(
        "unreadable",
        NOT_PROVABLE,
        Words("the file cannot be read: {problem}", "檔案不能讀取：{problem}"),
        "{hint}",
        _unreadable,
    ),
    Rule(
        "not_traded",
        NOT_PROVABLE,
        Words(
            "no tick is stored, and OpenD's totals show no trade either", "沒有任何 tick，OpenD 的總數亦顯示沒有成交"
        ),
        "",
        _not_traded,
    ),
    Rule(
        "empty",
        NOT_PROVABLE,
        Words("no tick is stored", "沒有任何 tick"),
        _LOGS,
        _empty,
    ),
    Rule(
        "counters_disagree",
        NOT_PROVABLE,
        Words(
            "the file has {found:,} ticks and its counters say {rows:,}: another program changed it, or it is damaged"
            " (docs/sqlite-wal.md)",
            "檔內有 {found:,} 筆 tick，計數則為 {rows:,} 筆：檔案被其他程式改動，或已損壞（docs/sqlite-wal.md）",
        ),
        "",
        _miscounted,
    ),
    Rule(
        "incomplete",
        GAPS_KNOWN,
        Words(
            "{share} complete: {lost:,} ticks are missing, most of them of {worst} ({of_worst:,})",
            "完整度 {share}：欠 {lost:,} 筆 tick，最多的是 {worst}（{of_worst:,} 筆）",
        ),
        _GAPS,
        _incomplete,
    ),
    Rule(
        "gaps_known",
        GAPS_KNOWN,
        Words(
            "{missing:,} ticks are missing in {count:,} gaps of known size",
            "{count:,} 個大小已知的缺口共欠 {missing:,} 筆 tick",
        ),
        _GAPS,
        _known_gaps,
    ),
    Rule(
        "not_explained",
        NOT_PROVABLE,
        Words(
            "the gaps of {count:,} symbols do not explain {lost:,} missing ticks, most of all those of {worst}",
            "{count:,} 隻股票的缺口未能解釋所欠的 {lost:,} 筆 tick，最多的是 {worst}",
        ),
        "hk-tick-collector gaps --day {day} {worst}",
        _not_explained,
    ),
    Rule(
        "ledger_differs",
        NOT_PROVABLE,
        Words(
            "the ledger does not account for every tick that was received ({what})",
            "帳目未能交代所有收到的 tick（{what}）",
        ),
        _LOGS,
        _ledger,
    ),
    Rule(
        "gaps_of_unknown_size",
        NOT_PROVABLE,
        Words(
            "{count:,} gaps of unknown size: how many ticks are missing cannot be told",
            "有 {count:,} 個大小不明的缺口：無法得知欠多少筆 tick",
        ),
        _GAPS,
        _unknown_gaps,
    ),
    Rule(
        "above_complete",
        NOT_PROVABLE,
        Words(
            "{count:,} symbols have more ticks than their sequence shows, {first} first: their completeness is unknown",
            "{count:,} 隻股票的 tick 多於其序號所示，首隻 {first}：完整度不明",
        ),
        "hk-tick-collector gaps --day {day} {first}",
        _above,
    ),
    Rule(
        "totals_differ",
        NOT_PROVABLE,
        Words(
            "{count:,} of {all:,} symbols differ from OpenD's volume for an unknown reason, most of all {worst} by"
            " {shares:,} shares",
            "{all:,} 隻股票中有 {count:,} 隻的成交量與 OpenD 不符，原因不明，最大為 {worst}，相差 {shares:,} 股",
        ),
        "hk-tick-collector gaps --day {day} {worst}",
        _totals_differ,
    ),
    Rule(
        "totals_not_shown",
        NOT_PROVABLE,
        Words(
            "the comparison with OpenD's totals has figures that do not show its result, for {count:,} symbols, {first}"
            " first",
            "{count:,} 隻股票與 OpenD 總數核對的數字與其結果不符，首隻 {first}",
        ),
        "hk-tick-collector gaps --day {day} {first}",
        _not_shown,
    ),
    Rule(
        "end_not_seen",
        NOT_PROVABLE,
        Words(
            "the last tick is of {time}, and neither the close nor OpenD's totals after it were seen: later ticks may"
            " be missing",
            "最後一筆 tick 在 {time}，其後既未見收市，亦未與 OpenD 的總數核對：之後的 tick 可能有所遺失",
        ),
        _LOGS,
        _end_not_seen,
    ),
    Rule(
        "not_compared",
        NOT_PROVABLE,
        Words(
            "no comparison with OpenD's totals after the close, so ticks after the last one may be missing",
            "收市後未與 OpenD 的總數核對，最後一筆之後可能有所欠缺",
        ),
        "",
        _not_compared,
    ),
    Rule(
        "no_answer",
        NOT_PROVABLE,
        Words("OpenD's totals of {count:,} symbols are missing", "欠缺 {count:,} 隻股票的 OpenD 總數"),
        "",
        _no_answer,
    ),
    Rule(
        "no_rule",
        NOT_PROVABLE,
        Words(
            "the sequence of {count:,} of {all:,} symbols does not show what is missing; for {unproved:,} of them"
            " OpenD's totals do not match either",
            "{all:,} 隻股票中有 {count:,} 隻的序號無法顯示欠缺，其中 {unproved:,} 隻亦無相符的 OpenD 總數",
        ),
        "hk-tick-collector gaps --day {day}",
        _no_rule,
    ),
    Rule(
        "clock",
        COMPLETE,
        Words(
            "the clock of the host is {seconds:+.1f} s off the exchange's, or live ticks came that late: do not compare"
            " recv_ts_ms with ts_ms",
            "本機時鐘與交易所相差 {seconds:+.1f} 秒，或即時 tick 一律遲到：recv_ts_ms 與 ts_ms 不可相比",
        ),
        "timedatectl status",
        _clock,
    ),
)

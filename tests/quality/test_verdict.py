"""The rules of the verdict: each in both languages with the same figures, and what each says can be typed."""

from __future__ import annotations

import re
from dataclasses import replace
from string import Formatter

import pytest
from tests.quality.days import DAY

from hk_tick_collector.archive.proof import NOT_PROVABLE, Proof
from hk_tick_collector.cli import VERBS
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.quality.facts import DayFacts, SymbolFacts, Totals
from hk_tick_collector.quality.scan import Scan
from hk_tick_collector.quality.verdict import RULES, Rule, judge, line_of
from hk_tick_collector.store.quality_reading import GapSum
from hk_tick_collector.store.query import Completeness

CLOSED = Totals("close", 0, 1, 1, {"match": 1}, 0, 0, 0.0, 0.0, ())
PROVED = Proof(False, False, (), (), 0, {}, {}, True, (), (), ())
FACTS = DayFacts(day=DAY, path=f"/data/{DAY}.db", is_archived=False, is_over=True, rows=1, symbols=1, totals=CLOSED)


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_rule_says_the_same_in_both_languages(rule: Rule) -> None:
    """The same figures; Chinese words in the Chinese text only; a remedy is a command of ours."""
    assert fields(rule.text.en) == fields(rule.text.zh)
    assert re.search(r"[\u4e00-\u9fff]", rule.text.zh)
    assert rule.text.en.isascii()
    verbs = re.findall(r"hk-tick-collector (\w+)", rule.remedy)
    assert set(verbs) <= {*VERBS}


def test_each_code_belongs_to_one_rule() -> None:
    """Programs rely on codes."""
    codes = [rule.code for rule in RULES]
    assert len(codes) == len(set(codes))


def test_a_symbol_in_a_command_is_quoted() -> None:
    """A remedy is pasted into a shell: a symbol of a hostile file must not become a command."""
    judged = judge(replace(FACTS, above=1, above_first="HK.1; reboot\n"), 2.0)
    assert judged.findings[0].remedy == f"hk-tick-collector gaps --day {DAY} 'HK.1; reboot '"


def test_a_file_that_cannot_be_read_is_not_judged_further() -> None:
    """One finding; access that failed is unknown, a file that is wrong is critical."""
    facts = replace(FACTS, problem="/data/x is damaged", remedy="see docs/sqlite-wal.md", rows=0)
    judged = judge(facts, 2.0)
    assert (judged.severity, judged.standing, len(judged.findings)) == (Severity.CRITICAL, NOT_PROVABLE, 1)
    assert judge(replace(facts, is_unsure=True), 2.0).severity is Severity.UNKNOWN
    assert line_of(facts, judged, "en").endswith("is damaged; see docs/sqlite-wal.md")
    assert line_of(facts, judge(replace(facts, remedy="sudo fuser -v x*"), 2.0), "en").endswith(" -> sudo fuser -v x*")


@pytest.mark.parametrize(
    ("clock_ms", "drift_s", "severity"),
    [(30, None, 0), (2500, None, 1), (-2500, None, 1), (30, 2.5, 1), (None, -2.5, 1), (None, None, 0)],
)
def test_a_large_clock_difference_is_a_warning(clock_ms: int | None, drift_s: float | None, severity: int) -> None:
    """Above DRIFT_WARN_SEC by the live ticks of the day or by OpenD's clock: a warning, whatever the sign."""
    scan = Scan(1, 1, (), 30, 30, 30, clock_ms)
    facts = replace(FACTS, scan=scan, drift_s=drift_s, last_ts_ms=2**42)
    assert judge(facts, 2.0).severity == severity
    assert judge(facts, 3.0).severity == 0


@pytest.mark.parametrize(("missing", "severity"), [(0, 0), (10, 0), (11, 1), (1000, 1), (1100, 2)])
def test_gaps_of_symbols_without_a_counter_are_counted(missing: int, severity: int) -> None:
    """A symbol of which no tick is stored has no counter: its gap counts all the same, by the same limits."""
    gap = GapSum("dropped", "open", 1, missing, 0)
    judged = judge(replace(FACTS, rows=100_000, gaps=(gap,), last_ts_ms=2**42), 2.0)
    assert (judged.severity, judged.standing) == (severity, "gaps_known")


def test_the_standing_is_the_worst_of_all_rules() -> None:
    """A small loss that is fine, and no gap that explains it."""
    facts = replace(FACTS, completeness=Completeness(1, 99_999, 100_000, 0, 99_999), last_ts_ms=2**42)
    facts = replace(facts, incomplete=(SymbolFacts("HK.00700", 99_999, 100_000),))
    facts = replace(facts, proof=PROVED._replace(not_explained={"HK.00700": 1}))
    judged = judge(facts, 2.0)
    assert (judged.severity, judged.standing) == (Severity.OK, NOT_PROVABLE)
    assert [note.code for note in judged.notes] == ["incomplete", "not_explained"]


def test_each_doubt_has_a_rule() -> None:
    """What the certificate doubts is a finding or a note here, under the same code, and is never left unsaid."""
    doubtful = Proof(True, False, ("S",), ("S",), 1, {"S": 1}, {"waiting": 1}, False, ("S",), ("S",), ("S",))
    assert len(doubtful.doubts) == len(Proof._fields) - 1  # each but `lacks`
    assert set(doubtful.doubts) <= {rule.code for rule in RULES}

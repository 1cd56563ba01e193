"""The sum over days. Pure. One day after the other is added, so that a year needs no more memory than a few days."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector.archive.proof import STANDINGS
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.store.query import Completeness

from .facts import SymbolFacts

if TYPE_CHECKING:
    from .facts import DayFacts
    from .verdict import Judged

FEW: Final = 10  # of each list of a day that is kept among many days
ALL: Final = 1_000_000
_WORST_SYMBOLS: Final = 30  # of all days


class Day(NamedTuple):
    """A day and its verdict."""

    facts: DayFacts
    judged: Judged


class Overall:
    """The days so far, and their sums."""

    def __init__(self, listed: int = FEW) -> None:
        """`listed`: how much of each list of a day is kept."""
        self._listed = listed
        self.days: list[Day] = []  # in the order in which they were added; their lists of symbols are cut
        self.severities: Counter[str] = Counter()
        self.standings: Counter[str] = Counter()
        self.rows = 0
        self.completeness = Completeness(0, 0, 0, 0, 0)  # of all symbols and days
        self.open_gaps = self.healed_gaps = self.unknown_gaps = 0
        self.missing_by_cause: Counter[str] = Counter()  # ticks missing in open gaps
        self.away_s = 0.0  # in trading hours
        self.days_read = 0  # days whose file could be read
        self.days_not_said = 0  # days whose file does not say when there was a connection
        self.compared = self.matching = 0  # symbols and days for which OpenD's totals were compared
        self._symbols: dict[str, SymbolFacts] = {}

    def add(self, facts: DayFacts, judged: Judged) -> None:
        """Adds a day."""
        self.days.append(Day(self._cut(facts), judged))
        self.severities[judged.severity.name] += 1
        self.standings[judged.standing] += 1
        if facts.problem:
            return
        self.days_read += 1
        self.rows += facts.rows
        self.completeness = Completeness(*map(sum, zip(self.completeness, facts.completeness, strict=True)))
        self.open_gaps += facts.open_gaps
        self.healed_gaps += facts.healed_gaps
        self.unknown_gaps += facts.unknown_gaps
        for gaps in facts.gaps:
            if gaps.status == GAP_OPEN:
                self.missing_by_cause[gaps.cause] += gaps.missing
        self.away_s += facts.away.trading_s if facts.away else 0.0
        self.days_not_said += facts.away is None
        if facts.totals:
            self.compared += facts.totals.symbols
            self.matching += facts.totals.matching
        for each in facts.incomplete:
            before = self._symbols.get(each.symbol, SymbolFacts(each.symbol, 0, 0))
            self._symbols[each.symbol] = SymbolFacts(
                each.symbol, before.rows + each.rows, before.expected + each.expected
            )

    def _cut(self, facts: DayFacts) -> DayFacts:
        totals, away, most = facts.totals, facts.away, self._listed
        return replace(
            facts,
            incomplete=facts.incomplete[:most],
            totals=totals and totals._replace(differing=totals.differing[:most]),
            away=away and away._replace(listed=away.listed[:most]),
        )

    @property
    def severity(self) -> Severity:
        """The worst verdict."""
        return max((day.judged.severity for day in self.days), default=Severity.UNKNOWN)

    @property
    def standing(self) -> str:
        """The worst standing."""
        return max((day.judged.standing for day in self.days), key=STANDINGS.index, default=STANDINGS[-1])

    @property
    def worst(self) -> Day | None:
        """The day to look at first: the newest of those with the worst verdict; None if nothing is wrong."""
        wrong = [day for day in self.days if day.judged.severity is not Severity.OK]
        return max(wrong, key=lambda day: (day.judged.severity, day.facts.day), default=None)

    def symbols(self, count: int = _WORST_SYMBOLS) -> list[SymbolFacts]:
        """The symbols with the most missing ticks. Rows and expected are of the days on which some are missing."""
        return sorted(self._symbols.values(), key=lambda each: (-each.missing, each.symbol))[:count]

    def document(self) -> dict[str, Any]:
        """The sums for `--json`."""
        return {
            "days": len(self.days),
            "verdicts": {severity.name: self.severities[severity.name] for severity in Severity},
            "standings": {standing: self.standings[standing] for standing in STANDINGS},
            "rows": self.rows,
            "expected": self.completeness.expected,
            "percent": self.completeness.percent,
            "missing": max(0, self.completeness.expected - self.completeness.counted),
            "gaps": {
                "open": self.open_gaps,
                "healed": self.healed_gaps,
                "of_unknown_size": self.unknown_gaps,
                "missing_by_cause": dict(self.missing_by_cause.most_common()),
            },
            "without_opend_s": round(self.away_s, 3),
            "days_without_connections": self.days_not_said,
            "totals": {"compared": self.compared, "matching": self.matching},
            "worst": [symbol_document(each) for each in self.symbols()],
        }


def symbol_document(each: SymbolFacts) -> dict[str, Any]:
    """A symbol for `--json`."""
    return {**each._asdict(), "missing": each.missing, "percent": each.percent}

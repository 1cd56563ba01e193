"""One day as a JSON document. Names and units are a contract: docs/quality.md lists them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .overall import symbol_document
from .verdict import line_of

if TYPE_CHECKING:
    from .facts import DayFacts, Totals
    from .scan import Scan
    from .verdict import Judged


def day_document(facts: DayFacts, judged: Judged) -> dict[str, Any]:
    """A day for `--json`: always in English. What is not known is null."""
    about = {
        "day": facts.day,
        "verdict": judged.severity.name,
        "standing": judged.standing,
        "line": line_of(facts, judged, "en"),
        "findings": [each.as_json() for each in judged.findings],
        "notes": [each.as_json() for each in judged.notes],
        "file": facts.path,
        "archived": facts.is_archived,
        "over": facts.is_over,
    }
    if facts.problem:
        return {**about, "problem": facts.problem}
    complete = facts.completeness
    return {
        **about,
        "sealed": facts.is_sealed,
        "schema": facts.schema,
        "rows": facts.rows,
        "symbols": facts.symbols,
        "first_ts_ms": facts.first_ts_ms,
        "last_ts_ms": facts.last_ts_ms,
        "volume": facts.volume,
        "turnover": facts.turnover,
        "completeness": {
            "percent": complete.percent,
            "expected": complete.expected,
            "missing": facts.missing,
            "symbols": complete.symbols,
            "symbols_incomplete": facts.incomplete_symbols,
            "symbols_above": facts.above,
            "symbols_without_rule": facts.without_rule,
        },
        "worst": [symbol_document(each) for each in facts.incomplete],
        "gaps": {
            "open": facts.open_gaps,
            "healed": facts.healed_gaps,
            "missing": facts.gap_missing,
            "of_unknown_size": facts.unknown_gaps,
            "causes": [each._asdict() for each in facts.gaps],
            "over_time": [each._asdict() for each in facts.spans],
        },
        "without_opend": facts.away
        and {
            "seconds": round(facts.away.trading_s, 3),
            "outages": facts.away.outages,
            "longest": [each._asdict() for each in facts.away.listed],
        },
        "totals": _totals(facts.totals) if facts.totals else None,
        "ledger": facts.ledger._asdict() if facts.ledger else None,
        "opend_clock_drift_s": facts.drift_s,
        "ticks": _scan(facts.scan) if facts.scan else None,
    }


def _totals(totals: Totals) -> dict[str, Any]:
    names = ("session", "at_ms", "symbols", "matching", "explained", "volume", "official_volume", "turnover")
    return {
        **{name: getattr(totals, name) for name in names},
        "official_turnover": totals.official_turnover,
        "differing": [{**row._asdict(), "difference": row.difference} for row in totals.differing],
    }


def _scan(found: Scan) -> dict[str, Any]:
    return {**found._asdict(), "minutes": [minute._asdict() for minute in found.minutes]}

"""What the tables of a day prove: its standing, which the certificate calls verdict.

Enters: every table of a day file or of a book, but not the ticks. Leaves: a `Proof`, whose doubts are the reasons why
the day is not `complete` or `gaps_known`. `complete` needs proof: each symbol by itself, because a surplus of one hides
what another lacks; a ledger that accounts for each tick; a comparison with OpenD's totals whose figures show what its
column `explained` says.

The standing never says more than the figures. No document of OpenD says that a sequence shows which ticks are missing;
this was inferred from the feed (docs/data-quality.md). So `complete` means complete as far as the sequence shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.model import (
    BY_GAP,
    BY_REJECTED,
    CLOSE,
    MATCH,
    MATCHING,
    NO_ANSWER,
    NOT_TRADED,
    TURNOVER,
    UNEXPLAINED,
    WITHOUT_BOTH,
    WITHOUT_LATE,
    WITHOUT_ODD_LOTS,
)
from hk_tick_collector.store.quality_reading import NO_GAPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hk_tick_collector.model import Reconciled
    from hk_tick_collector.store.quality_reading import QualityReader, SymbolGaps
    from hk_tick_collector.store.query import Run, SymbolCount

COMPLETE: Final = "complete"  # no tick is missing, as far as the sequences show
GAPS_KNOWN: Final = "gaps_known"  # ticks are missing, and the gaps say which and how many
NOT_PROVABLE: Final = "not_provable"  # the sequences do not show it, or the figures do not agree
STANDINGS: Final = (COMPLETE, GAPS_KNOWN, NOT_PROVABLE)  # each is worse than the one before

_COUNTER: Final = "counter"  # the rule of a symbol whose sequence shows what is missing


class Proof(NamedTuple):
    """What the tables of a day prove, of all symbols or of chosen ones. Symbols are in the order of their names."""

    is_empty: bool  # there is no tick
    lacks: bool  # ticks are missing in open gaps, were rejected, or are in the file of another day
    above: tuple[str, ...]  # symbols with more ticks than their sequence shows
    without_rule: tuple[str, ...]  # symbols whose sequence does not show what is missing
    of_unknown_size: int  # open gaps
    not_explained: dict[str, int]  # symbol → ticks that its sequence or a closed gap lacks, and no gap accounts for
    ledger: dict[str, int]  # what is wrong with the ledger → how many ticks
    is_compared: bool  # with OpenD's totals after the close
    not_compared: tuple[str, ...]  # symbols with ticks that are not part of the comparison, or got no answer
    unexplained: tuple[str, ...]  # symbols that differ from OpenD's totals for an unknown reason
    not_fitting: tuple[str, ...]  # symbols whose comparison has an unknown word, or one that the figures do not show

    @property
    def doubts(self) -> dict[str, int]:
        """Why the day is not provable, in the codes of `quality` → how many symbols, gaps or ticks it is about."""
        found = {
            "empty": int(self.is_empty),
            "no_rule": len(self.without_rule),
            "above_complete": len(self.above),
            "gaps_of_unknown_size": self.of_unknown_size,
            "not_explained": sum(self.not_explained.values()),
            "ledger_differs": sum(self.ledger.values()),
            "not_compared": int(not self.is_compared),
            "no_answer": len(self.not_compared),
            "totals_differ": len(self.unexplained),
            "totals_not_shown": len(self.not_fitting),
        }
        return {code: count for code, count in found.items() if count}

    @property
    def standing(self) -> str:
        """One of STANDINGS: the weakest that any figure requires."""
        if self.doubts:
            return NOT_PROVABLE
        return GAPS_KNOWN if self.lacks else COMPLETE


def read_proof(reader: QualityReader, day: str, symbols: Sequence[str] = ()) -> Proof:
    """Reads the tables of a day (`20261120`) within the reader's transaction. Raises the errors of DayReader."""
    counts, rules, gaps = reader.symbols(symbols), reader.rules(), reader.gaps_by_symbol(symbols)
    compared = [row for row in reader.reconciliation() if not symbols or row.symbol in symbols]
    by_symbol = {count.symbol: count for count in counts}
    is_compared = bool(compared) and compared[0].session == CLOSE
    not_compared = _not_compared(counts, compared)
    not_fitting = tuple(
        row.symbol
        for row in compared
        if row.explained not in (UNEXPLAINED, NO_ANSWER)
        and not _fits(row, day, by_symbol.get(row.symbol), gaps.get(row.symbol, NO_GAPS))
    )
    all_match = is_compared and not not_compared and not not_fitting
    all_match = all_match and all(row.explained in MATCHING for row in compared)
    has_open = any(each.open for each in gaps.values())
    return Proof(
        is_empty=not any(count.rows > 0 for count in counts),
        lacks=any(each.open or each.rejected or each.other_day for each in gaps.values()),
        above=tuple(each.symbol for each in counts if each.expected is not None and each.rows > each.expected),
        without_rule=tuple(
            each.symbol
            for each in counts
            if each.expected is None or each.symbol not in rules or rules[each.symbol].rule != _COUNTER
        ),
        of_unknown_size=sum(each.of_unknown_size for each in gaps.values()),
        not_explained=_not_explained(by_symbol, gaps),
        ledger=_ledger(reader.ledger(), counts, has_all=not symbols, has_witness=has_open or all_match),
        is_compared=is_compared,
        not_compared=not_compared,
        unexplained=tuple(row.symbol for row in compared if row.explained == UNEXPLAINED),
        not_fitting=not_fitting,
    )


def _not_explained(counts: Mapping[str, SymbolCount], gaps: Mapping[str, SymbolGaps]) -> dict[str, int]:
    """Of each symbol by itself: open gaps of one symbol say nothing of another."""
    found = {}
    for symbol in sorted({*counts, *gaps}):
        count, known = counts.get(symbol), gaps.get(symbol, NO_GAPS)
        lacking = (count.expected or 0) - count.rows if count else 0
        lacking -= known.missing + known.rejected + known.other_day
        if lost := max(0, lacking) + known.closed_missing:
            found[symbol] = lost
    return found


def _ledger(runs: Sequence[Run], counts: Sequence[SymbolCount], *, has_all: bool, has_witness: bool) -> dict[str, int]:
    """What does not agree in the account of the ticks that were received.

    Ticks that were dropped, or that were waiting when a run was killed, are the missing ones of open gaps, or were
    received again. `has_witness`: there is an open gap, or OpenD's totals after the close match those of each symbol.
    `has_all`: `counts` has every symbol of the day.
    """
    stored = sum(count.rows for count in counts)
    sums = {name: sum(getattr(run, name) for run in runs) for name in ("stored", "dropped", "waiting")}
    figures = [run[4:] for run in runs]
    found = {
        "negative": sum(value < 0 for each in figures for value in each),
        "unbalanced": sum(abs(received - sum(parts)) for received, *parts in figures),
        "stored": abs(sums["stored"] - stored) if has_all else 0,
        "waiting": 0 if has_witness else max(0, sums["waiting"]),
        "dropped": 0 if has_witness else max(0, sums["dropped"]),
    }
    return {name: count for name, count in found.items() if count}


def _not_compared(counts: Sequence[SymbolCount], compared: Sequence[Reconciled]) -> tuple[str, ...]:
    """Symbols without a comparison. Only OpenD's totals show ticks that are missing after the last one."""
    if not compared:
        return ()
    there = {row.symbol for row in compared}
    silent = [row.symbol for row in compared if row.explained == NO_ANSWER]
    left_out = [] if compared[0].session != CLOSE else [each.symbol for each in counts if each.rows]
    return tuple(sorted({*silent, *(symbol for symbol in left_out if symbol not in there)}))


def _fits(row: Reconciled, day: str, count: SymbolCount | None, gaps: SymbolGaps) -> bool:
    """Whether the figures of a comparison show what its word says, of the ticks that are in the file now.

    Ticks may have come after it, so the file may have more volume than was compared, never less.
    """
    if market.day_name(market.day_number(row.at_ms)) != day or row.volume > (count.volume if count else 0):
        return False
    odd, late = row.odd_lot_volume, row.late_volume
    left_out = {MATCH: 0, WITHOUT_ODD_LOTS: odd, WITHOUT_LATE: late, WITHOUT_BOTH: odd + late}
    if row.explained in left_out:
        return row.official_volume == row.volume - left_out[row.explained]
    if row.explained == TURNOVER:
        return any(row.official_volume == row.volume - volume for volume in left_out.values())
    if row.explained == NOT_TRADED:
        return not row.volume and (count is None or not count.rows)
    return (row.explained == BY_GAP and gaps.open > 0) or (row.explained == BY_REJECTED and gaps.rejected > 0)

"""What OpenD's totals show of the union: the rows of `reconciliation` of a merged day file.

Enters: a merged day file with what its collectors say that they have. Leaves: rows, as a collector makes them of its
own day file; `archive.proof` judges both alike. A merge has no OpenD, so the totals are those that collectors were told
after the close, but the sums beside them are those of the union. A row must never say more than is shown:

- Of the totals of several collectors the highest count: totals only grow during a day, so a lower one is older, or of
  an OpenD that lacks trades.
- Where the union's own sums do not match them, the row of a collector is taken over only if the union has exactly its
  ticks of that symbol. Its day file then proves as much: ticks came after the comparison, for example.
- A symbol of which the union lacks ticks that a collector has, or may have had, matches nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import CLOSE, MATCHING, NOT_TRADED, TURNOVER, UNEXPLAINED
from hk_tick_collector.store.day_sums import DaySums
from hk_tick_collector.store.merged_rows import MergedReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import Reconciled
    from hk_tick_collector.store.merged_rows import Said

_PROVES: Final = MATCHING | {TURNOVER}  # no tick is missing, as far as the volume shows


def compare_totals(path: Path, expected: Collection[str] = ()) -> list[Reconciled]:
    """The rows of a merged day, none if no collector has sent totals. Reads all ticks. Raises as DayReader.

    `expected` has symbols of collectors that have not said what they have: one that no collector compared gets the row
    `no_answer`.
    """
    with MergedReader(path) as reader, reader.snapshot():
        said = reader.said()
        if not any(each.totals for each in said):
            return []
        union = _Union(reader, said)
        rows: dict[str, list[tuple[Said, Reconciled]]] = {}
        for each in said:
            for row in each.totals:
                rows.setdefault(row.symbol, []).append((each, row))
        lacking, at_ms = union.lacking(), max(row.at_ms for each in said for row in each.totals)
        return [
            _without_proof(union, symbol, row) if symbol in lacking else row
            for symbol in sorted({*rows, *lacking, *expected})
            for row in (_row(union, symbol, rows.get(symbol, ()), at_ms),)
        ]


class _Union:
    """The ticks of the union, and of which the collectors have sent more. Reads within the reader's transaction."""

    def __init__(self, reader: MergedReader, said: Sequence[Said]) -> None:
        self.sums = DaySums.of(reader)
        self._said = said
        self._chosen = reader.chosen()
        self._conflicts = reader.with_conflicts()
        self._seq_sum = cache(lambda symbol: reader.seq_sum(symbol).seq_sum)  # reads the keys of the symbol

    def stored(self, symbol: str) -> int:
        """The ticks of a symbol."""
        count = self.sums.counts.get(symbol)
        return count.rows if count else 0

    def equals(self, symbol: str, said: Said) -> bool:
        """Whether the union has exactly the ticks of a collector, as far as their keys show it."""
        rows, seq_sum = said.sums.get(symbol, (0, 0))
        is_same = rows == self.stored(symbol) and self._chosen.get(symbol, said.source) == said.source
        return is_same and symbol not in self._conflicts and (not rows or self._seq_sum(symbol) == seq_sum)

    def lacking(self) -> set[str]:
        """The symbols of which a collector has ticks that the union lacks."""
        return {
            symbol
            for said in self._said
            for symbol, (rows, seq_sum) in said.sums.items()
            if self._chosen.get(symbol, said.source) == said.source
            and (rows > self.stored(symbol) or (0 < rows == self.stored(symbol) and self._seq_sum(symbol) != seq_sum))
        }


def _row(union: _Union, symbol: str, told: Iterable[tuple[Said, Reconciled]], at_ms: int) -> Reconciled:
    """The row of a symbol from the rows of the collectors. `at_ms` is that of a row without an answer."""
    answers, earlier = [], []
    for said, row in told:
        if row.explained == NOT_TRADED:
            earlier.append(row)
        elif row.official_volume is not None and row.official_turnover is not None:
            answers.append((row.official_volume, row.official_turnover, said, row))
    if not answers:
        # Totals of an earlier day say nothing of a symbol that another collector saw traded.
        return earlier[-1] if earlier and not union.stored(symbol) else union.sums.row(CLOSE, symbol, at_ms)
    volume, turnover = max(each[:2] for each in answers)
    highest = [(said, row) for *totals, said, row in answers if totals == [volume, turnover]]
    found = union.sums.row(CLOSE, symbol, max(row.at_ms for _, row in highest))
    found = found._replace(official_volume=volume, official_turnover=turnover)
    found = found._replace(explained=union.sums.explain(found, of_earlier_day=False))
    if found.explained not in _PROVES:
        for said, row in highest:
            if row.explained in _PROVES and union.equals(symbol, said):
                return row
    return found


def _without_proof(union: _Union, symbol: str, row: Reconciled) -> Reconciled:
    """The row of a symbol of which the union certainly lacks ticks."""
    if row.explained not in _PROVES:
        return row
    return union.sums.row(CLOSE, symbol, row.at_ms)._replace(
        official_volume=row.official_volume, official_turnover=row.official_turnover, explained=UNEXPLAINED
    )

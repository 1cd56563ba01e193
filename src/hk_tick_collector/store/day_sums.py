"""The sums of a day file, and what their comparison with OpenD's totals shows.

OpenD does not document which trades it counts in volume and turnover (docs/data-quality.md says what is known). So
our sums are compared with and without the trade types in question. The word that `explain` returns says which
comparison fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import (
    BY_GAP,
    BY_REJECTED,
    CAUSE_REJECTED,
    GAP_OPEN,
    MATCH,
    NO_ANSWER,
    NOT_TRADED,
    TURNOVER,
    UNEXPLAINED,
    WITHOUT_BOTH,
    WITHOUT_LATE,
    WITHOUT_ODD_LOTS,
    Reconciled,
)

from .query import DayReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .query import SymbolCount

_TURNOVER_HKD: Final = 1.0  # rounding: sums of decimal fractions may differ by this amount, or
_TURNOVER_SHARE: Final = 1e-6  # by this share


@dataclass(frozen=True, slots=True)
class DaySums:
    """The sums of a day file, read in one transaction: volume (shares) and turnover (HKD), by symbol."""

    counts: Mapping[str, SymbolCount]
    odd_lots: Mapping[str, tuple[int, float]]
    late: Mapping[str, tuple[int, float]]
    with_gaps: frozenset[str]  # symbols with an open gap
    with_rejected: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> DaySums:
        """Reads a day file, which can take seconds. Raises StoreError, or its subclass NoDayError."""
        with DayReader(path) as reader, reader.snapshot():
            return cls.of(reader)

    @classmethod
    def of(cls, reader: DayReader) -> DaySums:
        """The same within the reader's transaction. Raises the errors of DayReader."""
        with_gaps, with_rejected = set(), set()
        for gap in reader.each_gap():  # there may be a million
            if gap.status == GAP_OPEN:
                with_gaps.add(gap.symbol)
            if gap.cause == CAUSE_REJECTED:
                with_rejected.add(gap.symbol)
        return cls(
            counts={count.symbol: count for count in reader.symbols()},
            odd_lots=reader.sums_of_type("ODD_LOT"),
            late=reader.sums_of_type("LATE"),
            with_gaps=frozenset(with_gaps),
            with_rejected=frozenset(with_rejected),
        )

    def row(self, session: str, symbol: str, at_ms: int) -> Reconciled:
        """The sums of a symbol, without an answer of OpenD. `at_ms` is UTC epoch ms."""
        count = self.counts.get(symbol)
        odd, late = self.odd_lots.get(symbol, (0, 0.0)), self.late.get(symbol, (0, 0.0))
        return Reconciled(
            session=session,
            symbol=symbol,
            at_ms=at_ms,
            volume=count.volume if count else 0,
            turnover=count.turnover if count else 0.0,
            odd_lot_volume=odd[0],
            odd_lot_turnover=odd[1],
            late_volume=late[0],
            late_turnover=late[1],
            official_volume=None,
            official_turnover=None,
            explained=NO_ANSWER,
        )

    def explain(self, row: Reconciled, *, of_earlier_day: bool) -> str:
        """The word for the difference of a row with an answer; `of_earlier_day`: it may be that of an earlier day."""
        if row.official_volume is None or row.official_turnover is None:
            return NO_ANSWER
        odd, late = (row.odd_lot_volume, row.odd_lot_turnover), (row.late_volume, row.late_turnover)
        ways = (
            (MATCH, 0, 0.0),
            (WITHOUT_ODD_LOTS, *odd),
            (WITHOUT_LATE, *late),
            (WITHOUT_BOTH, odd[0] + late[0], odd[1] + late[1]),
        )
        volume, most = row.official_volume, max(_TURNOVER_HKD, _TURNOVER_SHARE * row.official_turnover)
        same = [(word, row.turnover - turnover) for word, shares, turnover in ways if row.volume - shares == volume]
        for word, turnover in same:
            if abs(turnover - row.official_turnover) <= most:
                return word
        if same:
            return TURNOVER
        if not row.volume and of_earlier_day:
            return NOT_TRADED
        if volume > row.volume - odd[0] - late[0]:  # OpenD has more: a tick of ours is missing
            if row.symbol in self.with_gaps:
                return BY_GAP
            if row.symbol in self.with_rejected:
                return BY_REJECTED
        return UNEXPLAINED

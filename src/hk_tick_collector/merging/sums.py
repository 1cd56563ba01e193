"""What a collector says that it has of a day, compared with what is merged → the symbols to ask it for again.

Enters: sums of a collector, and a day file. Leaves: symbols. It finds what the engine lost in the middle of its log:
everything before and after arrived, so no position shows it.

The union also has the ticks of other collectors, so its sums may differ although nothing is missing. A symbol is asked
for again if the collector has more ticks than the union, or as many and different ones: that shows that ticks are
missing. It is asked for too if the union has gaps that the collector may fill: that shows nothing, because the
collector may not have these ticks either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector.store.merged_rows import MergedReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Lacking(NamedTuple):
    """The symbols to ask a collector for again."""

    missing: list[str]  # it has ticks of them that the union lacks
    possible: list[str]  # the union has more ticks than it, and may lack some that it has
    is_sealed: bool = False  # the merged day is: nothing that a collector sends can be added any more

    @property
    def symbols(self) -> list[str]:
        """All of them."""
        return self.missing + self.possible


def lacking(path: Path, sums: Mapping[str, tuple[int, int]]) -> Lacking:
    """The symbols of which a collector seems to have ticks that the file lacks. `sums`: rows and sum of sequences.

    Reads the keys of the symbols whose number of ticks is equal. Raises NoDayError and the other errors of DayReader.
    """
    with MergedReader(path) as reader, reader.snapshot():
        has = {count.symbol: count for count in reader.symbols()}
        gapped = reader.symbols_with_gaps()
        found = Lacking([], [], reader.is_sealed())
        for symbol, (rows, seq_sum) in sums.items():
            count = has.get(symbol)
            if count is None or count.rows < rows:
                if rows > 0:
                    found.missing.append(symbol)
            elif count.rows == rows:
                if reader.seq_sum(symbol).seq_sum != seq_sum:
                    found.missing.append(symbol)
            elif symbol in gapped or count.expected is None:
                found.possible.append(symbol)
        return found

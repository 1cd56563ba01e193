"""Batches of ticks → batches of bars, in one pass. Importing this module imports pyarrow and numpy.

The rules, with their sources in docs/bars.md:

- Open, high, low and close come from ticks of AUTO_MATCH, INTER_AUTO_MATCH and AUCTION, in the order of (ts, seq).
- Volume and turnover come from all ticks. `late_volume` is the part of LATE, which never forms a price.
- A tick of an unknown type counts in volume and turnover alone, and is reported in `Bars.unknown_types`.
- A bar exists where there is a tick. One without a price has null prices.
- Bars shorter than a day end with the session: an auction, the morning, noon, the afternoon.
- The tick that reaches the size of a tick, volume or turnover bar is its last one. No tick is split.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from .chunks import chunks
from .cutting import cut, in_order_of_time, parts
from .summing import schema, summed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from .chunks import Chunk
    from .cutting import Cuts
    from .spec import BarSpec


_BATCH_ROWS: Final = 65_536


class Bars:
    """An iterator over batches of bars. `unknown_types` is complete when all batches have been read."""

    def __init__(self, batches: Iterable[pa.RecordBatch], spec: BarSpec) -> None:
        self.schema = schema(spec)
        self.unknown_types: Counter[str] = Counter()  # type → its ticks
        self._bars = self._each(batches, spec)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._bars

    def __next__(self) -> pa.RecordBatch:
        return next(self._bars)

    def unknown_line(self) -> str:
        """One line for people about `unknown_types`; empty if there are none."""
        if not self.unknown_types:
            return ""
        kinds = ", ".join(f"{name} ({count:,})" for name, count in sorted(self.unknown_types.items()))
        return f"ticks of an unknown type count in volume and turnover alone: {kinds}"

    def _each(self, batches: Iterable[pa.RecordBatch], spec: BarSpec) -> Iterator[pa.RecordBatch]:
        for chunk in chunks(batches, spec.prices, self.unknown_types):
            for part, cuts in parts(*_cut(chunk, spec)):
                found = summed(part, cuts, spec)
                for begin in range(0, found.num_rows, _BATCH_ROWS):
                    yield found.slice(begin, _BATCH_ROWS)


def _cut(chunk: Chunk, spec: BarSpec) -> tuple[Chunk, Cuts]:
    ordered = in_order_of_time(chunk)
    return ordered, cut(ordered, spec)

"""Reads an archived day: its Parquet file in the order of time, each gap before the ticks after it. Extra `data`.

The file is in the order of (symbol, seq). It is read once for each million of its ticks, each time a range of
sequences, and that part is sorted by time. So memory is limited, and each symbol stays in the order of its sequences.
"""

from __future__ import annotations

import warnings
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.data import tables
from hk_tick_collector.data.ranges import Times
from hk_tick_collector.errors import StoreError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.model import GAP_OPEN, Gap, Tick
from hk_tick_collector.store.live_reading import HIGHEST_SEQ, LOWEST_SEQ

from .delivered import NOTHING, Delivered
from .found import Found, first_seq, seqs_by_symbol
from .position import DayPosition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    import pyarrow as pa

    from hk_tick_collector.data.days import Source

    from .bound import Bound

_PART_TICKS: Final = 1_000_000
_SLICE_TICKS: Final = 10_000
_COLUMNS: Final = {
    "symbol": "symbol",
    "seq": "seq",
    "ts": "ts_ms",
    "price": "price",
    "volume": "volume",
    "turnover": "turnover",
    "direction": "direction",
    "tick_type": "tick_type",
    "push_type": "push_type",
    "recv_ts": "recv_ts_ms",
    "opend_recv_ts": "opend_recv_ts_ms",
    "type_sign": "type_sign",
}


class ArchivedDay:
    """One archived day; it is used like a `Day`."""

    def __init__(self, source: Source, bound: Bound, symbols: Sequence[str], known: DayPosition | None = None) -> None:
        self.bound = bound
        self.delivered: dict[str, Delivered] = dict(known.delivered) if known else {}
        self.has_more = True
        self.is_finished = False
        self.is_active = self.is_failing = self.is_failing_briefly = False
        self._known = dict(self.delivered)
        self._told = dict(known.open_gaps) if known else {}
        self._source = source
        self._symbols = tuple(symbols)
        self._slices: Iterator[list[Tick]] | None = None
        self._gaps: list[Gap] = []
        self._telling: tuple[Gap, ...] = ()

    @property
    def position(self) -> DayPosition:
        """What was delivered, as a value that later changes do not touch."""
        return DayPosition(dict(self.delivered), dict(self._told))

    def look(self) -> Found | None:
        """The next ticks; None at the end of the day. Raises StoreError, CollectorError without the extra `data`."""
        if self.is_finished:
            return None
        if self._slices is None:
            need("pyarrow", "data")
            self._gaps = self._gaps_to_tell()
            self._slices = self._read()
        ticks = next(self._slices, None)
        through = HIGHEST_SEQ if ticks is None else max((tick.seq for tick in ticks), default=LOWEST_SEQ)
        self._telling = tuple(gap for gap in self._gaps if first_seq(gap) <= through)
        self._gaps = [gap for gap in self._gaps if first_seq(gap) > through]
        self.is_finished, self.has_more = ticks is None, ticks is not None
        if not ticks and not self._telling:
            return None
        new, late = list[Tick](), list[Tick]()
        for tick in ticks or ():
            (late if tick.seq < self._known.get(tick.symbol, NOTHING).highest else new).append(tick)
        return Found(new, late, self._telling)

    def deliver(self, ticks: Iterable[Tick], late: Iterable[Tick], gaps: bool = False) -> None:
        """Takes note that these ticks of what was found are delivered, and with `gaps` its gaps."""
        for symbol, seqs in seqs_by_symbol((*ticks, *late)).items():
            self.delivered[symbol] = self.delivered.get(symbol, NOTHING).with_any(seqs)
        if gaps:
            for gap in self._telling:
                self._told[gap.id] = gap.missing
                if gap.status != GAP_OPEN:
                    del self._told[gap.id]

    def close(self) -> None:
        """Ends the reading of the file."""
        if self._slices is not None:
            self._slices.close()  # type: ignore[attr-defined]

    def _gaps_to_tell(self) -> list[Gap]:
        """Open gaps that were not told, told ones that have changed since; in the order of their beginning.

        The ids of gaps in a book are those of the day file, so a position that was saved with the day file can be used.
        """
        if self._source.book is None:
            warnings.warn(
                f"the book of {self._source.name} is missing: its gaps are not told", UserWarning, stacklevel=2
            )
            return []
        found = [Gap(**row) for row in tables.gaps_by_id(self._source).to_pylist()]
        return sorted((gap for gap in found if self._is_news(gap)), key=first_seq)

    def _is_news(self, gap: Gap) -> bool:
        if self._symbols and gap.symbol not in self._symbols:
            return False
        if gap.id in self._told:
            return gap.status != GAP_OPEN or gap.missing != self._told[gap.id]
        return gap.status == GAP_OPEN and not self.bound.excludes(gap)

    def _read(self) -> Iterator[list[Tick]]:
        import numpy as np

        with closing(self._source.ticks(self._symbols, Times(), ("seq",))) as batches:
            seqs = [batch.column(0).to_numpy() for batch in batches]
        if not seqs:  # the day has no tick, or none of these symbols
            return
        starts = np.sort(np.concatenate(seqs))[::_PART_TICKS].tolist()
        del seqs
        for low, high in pairwise([LOWEST_SEQ, *cuts(starts), HIGHEST_SEQ]):
            table = self._part(low, high)
            order = _order_of_time(table)
            for start in range(0, table.num_rows, _SLICE_TICKS):
                ticks = _ticks(table.take(order[start : start + _SLICE_TICKS]))
                yield [tick for tick in ticks if tick.seq not in self._known.get(tick.symbol, NOTHING)]

    def _part(self, low: int, high: int) -> pa.Table:
        """The ticks with low <= seq < high, in the order of the file; the last part includes `high`."""
        import pyarrow as pa

        kept = []
        with closing(self._source.ticks(self._symbols, Times(), tuple(_COLUMNS), dictionaries=True)) as batches:
            for batch in batches:
                seq = batch.column("seq").to_numpy()
                below = seq <= high if high == HIGHEST_SEQ else seq < high
                kept.append(batch.filter(pa.array((seq >= low) & below)))
        if not kept:
            raise StoreError(f"{self._source.path} has no tick", hint="hk-tick-collector certificate --check")
        return pa.Table.from_batches(kept).unify_dictionaries().combine_chunks()


def cuts(starts: Sequence[int]) -> list[int]:
    """Where a new part begins, from the ascending sequences at which each part would begin to have the same size.

    At the beginning of a second, so that all ticks of a second are in one part. Sequences of some feeds do not begin
    with the second: then at the sequence itself, because a part would have any number of ticks.
    """
    found = dict[int, None]()
    for before, seq in pairwise(starts):
        second = seq >> 32 << 32
        found[second if second > before else seq] = None
    return list(found)


def _order_of_time(table: pa.Table) -> np.ndarray[Any, Any]:
    """The order of `found.in_time_order`, of a table in the order of (symbol, seq)."""
    import numpy as np
    import pyarrow as pa

    if not table.num_rows:
        return np.zeros(0, np.int64)
    symbols: Any = table.column("symbol").combine_chunks()
    codes = symbols.indices.to_numpy()
    ts = table.column("ts").cast(pa.int64()).to_numpy()
    symbol = np.concatenate(([0], np.cumsum(codes[1:] != codes[:-1])))
    since = ts - ts.min()
    span = int(since.max()) + 1
    placed = np.maximum.accumulate(symbol * span + since) - symbol * span
    return np.lexsort((table.column("seq").to_numpy(), symbol, placed))


def _ticks(table: pa.Table) -> list[Tick]:
    columns = _with_ms(table, ("ts", "recv_ts", "opend_recv_ts")).to_pydict()
    return list(map(Tick, *(columns[name] for name in _COLUMNS)))


def _with_ms(table: Any, names: Sequence[str]) -> Any:
    """The same rows with these times as UTC epoch ms."""
    import pyarrow as pa

    for name in names:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).cast(pa.int64()))
    return table

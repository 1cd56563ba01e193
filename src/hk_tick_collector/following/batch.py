"""What a stream gives: ticks of one day that became known together, and the gaps that are reported with them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from hk_tick_collector import market
from hk_tick_collector.frames.extras import need

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from datetime import date

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from hk_tick_collector.data.result import Result
    from hk_tick_collector.model import Gap, Tick

    from .position import Position


class Batch:
    """Ticks of one day. `len(batch)` is their number; a batch that only reports gaps has none.

    `rows`: the ticks, as named tuples with the columns of the table `ticks`. Of each symbol they are in order of
    sequence, and higher than all ticks of it that came before, unless the batch is `late`. A `late` batch has ticks
    that became known after a later tick of their symbol was delivered: they were backfilled, or came out of order.

    `gaps`: gaps that opened, changed or were closed, before these ticks. `position` is the place after this batch.
    Frames have the columns and types of `Store.ticks`; they need the extra `data`.
    """

    __slots__ = ("__dict__", "_day", "gaps", "late", "position", "rows")

    def __init__(self, day: int, rows: list[Tick], gaps: tuple[Gap, ...], *, late: bool, position: Position) -> None:
        self._day = day
        self.rows = rows
        self.gaps = gaps
        self.late = late
        self.position = position

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True  # also without ticks: `if batch` must not skip its gaps

    def __iter__(self) -> Iterator[Tick]:
        return iter(self.rows)

    def __repr__(self) -> str:
        late = " late" if self.late else ""
        return f"<{len(self.rows)}{late} ticks and {len(self.gaps)} gaps of {market.day_name(self._day)}>"

    @property
    def day(self) -> date:
        """The Hong Kong trading day of the ticks."""
        return market.day_date(self._day)

    @cached_property
    def _result(self) -> Result:
        need("pyarrow", "data")
        from hk_tick_collector.data.result import Result

        batch = _record_batch(self._day, self.rows)

        def read() -> Generator[pa.RecordBatch, None, None]:
            yield batch

        return Result(batch.schema, read, repr(self)[1:-1], (self.day,))

    def arrow(self) -> pa.Table:
        """The ticks as a `pyarrow.Table`."""
        return self._result.arrow()

    def polars(self) -> pl.DataFrame:
        """The ticks as a `polars.DataFrame`."""
        return self._result.polars()

    def pandas(self) -> pd.DataFrame:
        """The ticks as a `pandas.DataFrame`."""
        return self._result.pandas()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The ticks as a stream of the Arrow C interface, for any library that reads it."""
        return self._result.__arrow_c_stream__(requested_schema)


def _record_batch(day: int, rows: list[Tick]) -> pa.RecordBatch:
    """The ticks with the columns of `frames.columns`, times in UTC."""
    import pyarrow as pa

    from hk_tick_collector.frames.columns import COLUMNS, schema
    from hk_tick_collector.model import Tick

    by_name: dict[str, Any] = dict(
        zip(Tick._fields, zip(*rows, strict=True) if rows else ((),) * len(Tick._fields), strict=True)
    )
    date = market.day_date(day)
    arrays = [
        pa.array(by_name[column.stored] if column.stored else [date] * len(rows), column.type) for column in COLUMNS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema())

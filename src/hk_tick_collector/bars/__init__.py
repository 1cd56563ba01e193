"""Bars of ticks: open, high, low, close and volumes by time, or by a number of ticks, shares or HKD.

spec.py      what is asked for; needs no extra
sessions.py  the parts of a day that a bar never crosses
price_rule.py which ticks form a price, and what each counts for
chunks.py    batches of ticks → chunks of whole symbols, as arrays
cutting.py   a chunk → where each bar begins
summing.py   a chunk and its bars → columns
stream.py    batches of ticks → batches of bars; its docstring has the rules

Which ticks count, and why: docs/bars.md. `bars` needs the extra `data`, which is imported at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .spec import BarSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from .stream import Bars

__all__ = ["TICK_COLUMNS", "BarSpec", "UnknownTypeWarning", "bar_schema", "bars"]

# The columns of ticks that `bars` uses; it ignores all others.
TICK_COLUMNS = ("date", "symbol", "ts", "price", "volume", "turnover", "direction", "tick_type")


class UnknownTypeWarning(UserWarning):
    """Ticks of a type that OpenD's SDK has no name for: their volume counts, their price does not."""


def bars(batches: Iterable[pa.RecordBatch], spec: BarSpec) -> Bars:
    """The bars of ticks, in the order (day, symbol, time): an iterator over batches, see `stream.Bars`.

    `batches` have at least TICK_COLUMNS, in the order (day, symbol, seq); texts may be dictionaries. Raises
    CollectorError without the extra `data`, and, while it is read, if the order is another.
    """
    from hk_tick_collector.frames.extras import need

    need("pyarrow", "data")
    need("numpy", "data")
    from .stream import Bars

    return Bars(batches, spec)


def bar_schema(spec: BarSpec) -> pa.Schema:
    """The columns of bars and their types. Raises CollectorError without the extra `data`."""
    return bars((), spec).schema

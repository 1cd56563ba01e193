"""Compares rows with the ticks of a day file that have the same key, to decide which are the same tick.

Enters: rows and a connection. Leaves: the rows whose key is not stored, and the rows that differ from the stored tick.
A tick that is pushed and later backfilled is the same tick. So how and when it reached us is not compared, and the
times may differ by a fraction of a second, because OpenD's pushes and answers differ there.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import schema
from .wide_statements import bindings, widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from hk_tick_collector.model import TickRow

# The first columns of a tick, which describe the trade. The others say how and when it reached us.
_COLUMNS: Final = schema.TICK_COLUMNS[: schema.TICK_COLUMNS.index("push_type")]
_CONTENT: Final = itemgetter(slice(len(_COLUMNS)))


def _is_near(column: str) -> str:
    """SQL that compares floats with a tolerance: equal sums may differ in their last digits."""
    return f"abs(got.{column} - has.{column}) <= 1e-9 * max(abs(got.{column}), abs(has.{column}))"


_SAME: Final = " AND ".join(
    (
        "abs(got.ts_ms - has.ts_ms) < 1000",
        _is_near("price"),
        "got.volume = has.volume",
        _is_near("turnover"),
        "got.direction = has.direction",
        "got.tick_type = has.tick_type",
    )
)
_HEAD: Final = f"WITH got (number, {', '.join(_COLUMNS)}) AS (VALUES "
_ROW: Final = "(" + ",".join("?" * len(_COLUMNS)) + ")"
# One result row for a whole statement: with many rows, the event loop could take the GIL at each row.
_TAIL: Final = f""") SELECT group_concat(number) FILTER (WHERE has.symbol IS NULL),
                            group_concat(number) FILTER (WHERE has.symbol IS NOT NULL)
    FROM got LEFT JOIN ticks AS has ON has.symbol = got.symbol AND has.seq = got.seq
    WHERE has.symbol IS NULL OR NOT ({_SAME})"""  # noqa: S608 - our own names
_WIDTHS: Final = widths(len(_HEAD + _TAIL), len("(000,") + len(_ROW))


class Compared(NamedTuple):
    """The result of `compare`. A row in neither list is stored with the same content."""

    missing: list[TickRow]  # no stored tick has their key
    differing: list[TickRow]  # a different tick has their key


def compare(db: apsw.Connection, rows: Sequence[TickRow]) -> Compared:
    """Compares rows with the ticks of a day file; both lists are in the order of `rows`. Raises apsw.Error."""
    found = Compared([], [])
    values, first = chain.from_iterable(map(_CONTENT, rows)), 0
    for width in _WIDTHS:
        statements = (len(rows) - first) // width
        if not statements:
            continue
        answers = list(db.executemany(_sql(width), bindings(values, statements, width * len(_COLUMNS))))
        for start, answer in zip(range(first, len(rows), width), answers, strict=False):
            _add(found.missing, rows, start, answer[0])
            _add(found.differing, rows, start, answer[1])
        first += statements * width
    return found


def _add(to: list[TickRow], rows: Sequence[TickRow], start: int, numbers: Any) -> None:
    if numbers is not None:
        to += [rows[start + number] for number in sorted(map(int, str(numbers).split(",")))]


@cache
def _sql(width: int) -> str:
    return _HEAD + ",".join(f"({number},{_ROW[1:]}" for number in range(width)) + _TAIL

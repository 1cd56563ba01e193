"""Inserts ticks into the table `ticks`: many rows per statement, each key once. Rows that are not inserted are compared
with the stored ones.
"""

from __future__ import annotations

from itertools import chain, repeat, starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import SchemaChangedError

from . import schema
from .same_tick import compare
from .schema_check import CHANGED_HINT
from .wide_statements import bindings, widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from hk_tick_collector.model import TickRow

_SECOND = itemgetter(1)
_INSERT_HEAD: Final = f"INSERT INTO ticks ({', '.join(schema.TICK_COLUMNS)}) VALUES "  # noqa: S608 - our own names
_INSERT_ROW: Final = "(" + ",".join("?" * len(schema.TICK_COLUMNS)) + ")"
# DO NOTHING only for the key: OR IGNORE would also ignore a NULL, and count it as a duplicate.
_INSERT_TAIL: Final = " ON CONFLICT (symbol, seq) DO NOTHING"
_WIDTHS: Final = widths(len(_INSERT_HEAD + _INSERT_TAIL), len(_INSERT_ROW + ","))


def insert(db: apsw.Connection, rows: Sequence[TickRow], name: str) -> tuple[int, list[TickRow]]:
    """Inserts rows, within the caller's transaction. Returns how many are new, and those whose key another tick has.

    Raises SchemaChangedError, with the file's `name`, when something prevents rows from being stored.
    """
    # Only iterators implemented in C are used, so that no Python code runs between statements. Otherwise the event
    # loop would take the GIL there: in a burst it always waits for the GIL.
    values, first, stored = chain.from_iterable(rows), 0, 0
    known: list[TickRow] = []  # rows of statements that did not insert all their rows
    for width in _WIDTHS:
        statements = (len(rows) - first) // width
        if not statements:
            continue
        # The change count is recorded before each statement, for the one before it, and once more at the end.
        inserted: list[int] = []
        noting = map(inserted.append, starmap(db.changes, repeat(())))
        values_of_each = bindings(values, statements, width * len(schema.TICK_COLUMNS))
        db.executemany(_insert_sql(width), map(_SECOND, zip(noting, values_of_each, strict=False)))
        for start, count in zip(range(first, len(rows), width), inserted[1:], strict=False):
            stored += count
            if count < width:
                known += rows[start : start + width]
        first += statements * width
    if not known:
        return stored, []
    missing, differing = compare(db, known)
    if missing:
        raise SchemaChangedError(
            f"{name}: a trigger or another program prevents {len(missing)} ticks from being stored,"
            f" the first is {missing[0][0]} {missing[0][1]}",
            hint=CHANGED_HINT,
        )
    return stored, differing


def _insert_sql(width: int) -> str:
    if width not in _INSERT_SQL:
        _INSERT_SQL[width] = _INSERT_HEAD + ",".join([_INSERT_ROW] * width) + _INSERT_TAIL
    return _INSERT_SQL[width]


_INSERT_SQL: Final[dict[int, str]] = {}

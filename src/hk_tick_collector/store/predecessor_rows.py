"""Rows of the predecessor that cannot be ticks in our table: they are stored unchanged in separate tables.

`ticks_without_seq` has the rows without a sequence, `rows_not_imported` the others, each with its cause. Both have all
columns of the predecessor unchanged, and the origin of each row. A row that is written twice is stored once. The tables
are created for the first such row, so a day without a predecessor has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .predecessor import COLUMNS, WITHOUT_SEQ

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

TABLE_WITHOUT_SEQ: Final = "ticks_without_seq"
TABLE_NOT_IMPORTED: Final = "rows_not_imported"


class BesideRow(NamedTuple):
    """One row, and why it cannot be a tick."""

    source: str  # name of the file that it came from
    row_id: int  # its rowid there
    cause: str
    values: tuple[Any, ...]  # in the order of COLUMNS


def write_beside(db: apsw.Connection, rows: Iterable[BesideRow]) -> None:
    """Adds rows, within the caller's transaction. Raises apsw.Error."""
    for table, extra in _TABLES.items():
        found = [row for row in rows if (row.cause == WITHOUT_SEQ) == (table == TABLE_WITHOUT_SEQ)]
        if not found:
            continue
        names = ("source", "source_rowid", *extra, *COLUMNS)
        columns = ", ".join(f"{name} NOT NULL" if name in _NOT_NULL else name for name in names)
        db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}, PRIMARY KEY (source, source_rowid)) WITHOUT ROWID")
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own names
        db.executemany(sql, ((row.source, row.row_id, *((row.cause,) if extra else ()), *row.values) for row in found))


def read_beside(db: apsw.Connection, source: str) -> Iterator[BesideRow]:
    """The rows that came from a file, ordered by their rowid there. Raises apsw.Error."""
    parts = []
    for table, extra in _TABLES.items():
        if db.table_exists("main", table):
            cause = extra[0] if extra else f"'{WITHOUT_SEQ}'"
            parts.append(f"SELECT source_rowid, {cause}, {', '.join(COLUMNS)} FROM {table} WHERE source = ?1")  # noqa: S608
    if parts:
        for row_id, cause, *values in db.execute(f"{' UNION ALL '.join(parts)} ORDER BY 1", (source,)):
            yield BesideRow(source, int(row_id), str(cause), tuple(values))


_TABLES: Final = {TABLE_WITHOUT_SEQ: (), TABLE_NOT_IMPORTED: ("cause",)}
_NOT_NULL: Final = frozenset({"source", "source_rowid", "cause"})

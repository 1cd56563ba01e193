"""The book of a day: a plain SQLite file with every table of the day file but `ticks`.

Enters: a sealed day file, only read. Leaves: the same tables with the same rows in the same order, and the same
`user_version`. The same rows give the same bytes with the same version of SQLite. A book is not a day file: its
`application_id` differs, and it has no triggers.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import apsw

from hk_tick_collector.errors import SchemaChangedError

from .disk import refusals_named
from .query import DayReader
from .schema_check import CHANGED_HINT

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

APPLICATION_ID: Final = 0x484B5442  # "HKTB"
_PAGE_BYTES: Final = 4096
_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
_LEFT_OUT: Final = "ticks"


def write_book(source: Path, target: Path) -> None:
    """Writes the book of the day file `source` as the new file `target`; not synced.

    Raises the errors of DayReader for the day file; SchemaChangedError if it has a table that is no plain table;
    StoreError if the book cannot be written.
    """
    with DayReader(source):  # says what the file is, if it is not a day file of ours
        pass
    with _named_errors(target), closing(apsw.Connection(str(target), flags=_FLAGS)) as db:
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}; PRAGMA journal_mode = off; PRAGMA synchronous = off")
        db.execute("ATTACH ? AS day", (f"file:{quote(str(source.absolute()))}?mode=ro",))
        db.execute("BEGIN")
        version: Any = db.execute("PRAGMA day.user_version").get
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version:d}")
        tables: list[Any] = db.execute(_TABLES, (_LEFT_OUT,)).fetchall()
        for name, sql in tables:
            _demand_plain(source, name, sql)
            db.execute(sql)
            quoted = '"' + name.replace('"', '""') + '"'
            order = _order(db, name)
            db.execute(f"INSERT INTO main.{quoted} SELECT * FROM day.{quoted} ORDER BY {order}")  # noqa: S608 - quoted
        indexes: list[Any] = db.execute(_INDEXES, (_LEFT_OUT,)).fetchall()
        for (sql,) in indexes:
            db.execute(sql)
        db.execute("COMMIT")


_TABLES: Final = """SELECT name, sql FROM day.sqlite_schema
    WHERE type = 'table' AND name <> ? AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"""
_INDEXES: Final = """SELECT sql FROM day.sqlite_schema
    WHERE type = 'index' AND tbl_name <> ? AND sql IS NOT NULL ORDER BY name"""


def _order(db: apsw.Connection, name: str) -> str:
    """The order of the rows: by the primary key, or as they were inserted in a table without one."""
    key: list[Any] = db.execute(
        "SELECT name FROM pragma_table_info(?, 'day') WHERE pk > 0 ORDER BY pk", (name,)
    ).fetchall()
    return ", ".join('"' + column.replace('"', '""') + '"' for (column,) in key) or "rowid"


def _demand_plain(source: Path, name: str, sql: str) -> None:
    if not sql.upper().startswith("CREATE TABLE"):
        raise SchemaChangedError(f"{source}: {name} is not a plain table", hint=CHANGED_HINT)


def _named_errors(target: Path) -> AbstractContextManager[None]:
    def words(_error: Exception, told: object) -> tuple[str, str]:
        return f"the book in {target.parent} cannot be written ({told})", "check the disks: df -h; sudo dmesg | tail"

    return refusals_named(words)

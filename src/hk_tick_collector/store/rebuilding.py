"""Makes a day file from a book (see book.py) and the ticks that belong to it, in three steps.

Enters: a copy of a book, as a file that nobody else has open. Leaves: a day file with the schema version of the book,
sealed as it was. `begin` adds the empty table `ticks`; after its rows were inserted by the caller, `finish` adds the
triggers, and `check` reads the whole file. Not synced.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import apsw

from hk_tick_collector.errors import ForeignFileError, StoreError

from . import book, schema
from .disk import refusals_named

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_TICKS: Final = "ticks"


def begin(path: Path) -> tuple[str, ...]:
    """Turns the copy of a book into a day file without ticks; the columns of its table `ticks`, in their order.

    Raises ForeignFileError if it is not a book, or one of a later version; StoreError if it cannot be written.
    """
    with _named_errors(path), closing(_open(path)) as db:
        version: Any = db.pragma("user_version")
        if db.pragma("application_id") != book.APPLICATION_ID or version < 1:
            raise ForeignFileError(
                f"{path.name} is not the book of a day", hint="hk-tick-collector certificate --check"
            )
        if version > schema.VERSION:
            raise ForeignFileError(
                f"the day has schema {version}, this version knows up to {schema.VERSION}",
                hint="restore it with the version of hk-tick-collector that archived it",
            )
        with closing(_empty(version)) as model:
            made: Any = model.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (_TICKS,)).get
        with db:
            db.execute(made)
            db.pragma("application_id", schema.APPLICATION_ID)
        return tuple(name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (_TICKS,)))


def finish(path: Path) -> None:
    """Adds the triggers of its version, which must not count the inserted rows again. StoreError if it cannot."""
    with _named_errors(path), closing(_open(path)) as db, closing(_empty(int(db.pragma("user_version")))) as model, db:
        for (sql,) in model.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"):
            db.execute(sql)


def check(path: Path) -> None:
    """Reads the whole file. Raises StoreError if it is damaged, or if a counter is not the number of its ticks."""
    with _named_errors(path), closing(_open(path)) as db:
        verdict = db.execute("PRAGMA integrity_check(1)").get
        if verdict != "ok":
            raise StoreError(f"the restored file is damaged ({verdict})", hint="check the disk: sudo dmesg | tail")
        for symbol, counted, stored in db.execute(schema.MISCOUNTED):
            raise StoreError(
                f"the book counts {counted} ticks of {symbol}, and the archive has {stored}",
                hint="hk-tick-collector certificate --check",
            )


def _open(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    db.pragma("journal_mode", "off")  # an unfinished file is useless
    db.pragma("synchronous", "off")
    return db


def _empty(version: int) -> apsw.Connection:
    """An empty day of this schema version, in memory."""
    db = apsw.Connection(":memory:")
    for migration in schema.MIGRATIONS[:version]:
        db.execute(migration)
    return db


def _named_errors(path: Path) -> AbstractContextManager[None]:
    def words(_error: Exception, told: object) -> tuple[str, str]:
        return f"the day in {path.parent} cannot be restored ({told})", "check the disk: df -h; sudo dmesg | tail"

    return refusals_named(words)

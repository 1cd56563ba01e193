"""Detects changes that other programs made to the tables of a day file, and undoes those that are safe to undo.

Enters: a connection to a file of ours. Leaves: descriptions of the changes. A new nullable column, index or view is
harmless and is kept. A trigger or index of ours that was dropped or altered is created again. The operator must undo
all other changes.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from hk_tick_collector.errors import SchemaChangedError

from . import schema

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

# The errors that SQLite raises when tables differ from what a statement expects, or a trigger or an index refuses a
# row. If our tables are unchanged, they are bugs of ours.
SCHEMA_ERRORS: Final = (
    apsw.SQLError,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.SchemaChangeError,
    apsw.AuthError,
    apsw.TooBigError,
)
_OVERFLOW: Final = "cannot store REAL value in INTEGER column"  # SQLite's message for a sum above 64 bits
CHANGED_HINT: Final = "undo that change with sqlite3; see docs/sqlite-wal.md"


class _Column(NamedTuple):
    name: str
    type: str
    not_null: bool
    default: str | None
    key: int  # its position in the primary key, from 1; 0 if it is not part of it
    hidden: int


class _Object(NamedTuple):
    kind: str  # table, index, trigger, view
    name: str
    table: str
    sql: str | None  # None for an index that SQLite created itself


class _Tables(NamedTuple):
    objects: dict[tuple[str, str], _Object]  # by kind and name
    columns: dict[str, dict[str, _Column]]  # by table and name


@contextmanager
def named_changes(db: apsw.Connection, name: str) -> Iterator[None]:
    """Turns an error caused by a schema change of another program into SchemaChangedError. Other errors are bugs.

    `name` is the name of the file, for the message. The block must end outside of a transaction.
    """
    try:
        yield
    except (*SCHEMA_ERRORS, UnicodeDecodeError) as error:
        changed = named_change(db, name, error)
        if changed is None:
            raise
        raise changed from error


def named_change(db: apsw.Connection, name: str, error: Exception) -> SchemaChangedError | None:
    """The error to raise for one of SCHEMA_ERRORS; None if the schema is unchanged, so that it is a bug."""
    found = difference(db)
    if found is None and (isinstance(error, UnicodeDecodeError) or _OVERFLOW in str(error)):
        found = "it holds values that no collector wrote"
    return None if found is None else SchemaChangedError(f"{name}: {found} ({error})", hint=CHANGED_HINT)


def difference(db: apsw.Connection) -> str | None:
    """Describes a difference to our schema that may cause an error; None if there is none."""
    version = int(db.pragma("user_version"))
    ours, newest = _made_by(schema.MIGRATIONS[: max(version, 0)]), _made_by(schema.MIGRATIONS)
    try:
        found = _read(db, newest.columns)
    except SCHEMA_ERRORS as cause:
        return f"its schema cannot be read: {cause}"
    early = [each for key, each in newest.objects.items() if key not in ours.objects and key in found.objects]
    if early:
        return f"user_version is {version}, but the {early[0].kind} {early[0].name} of a later version exists"
    wrong = _obstacle(ours, found) or _of_others(ours, found)
    if wrong:
        return wrong
    for key, each in ours.objects.items():
        if key not in found.objects:
            return f"the {each.kind} {each.name} is missing"
        if found.objects[key].sql != each.sql:
            return f"the {each.kind} {each.name} was altered"
    return None


def undo_changes(db: apsw.Connection, name: str) -> list[str]:
    """Creates dropped or altered triggers and indexes of ours again; returns a description of each.

    Call it within a transaction. Raises SchemaChangedError, without a change, if a table cannot be written.
    """
    ours = _made_by(schema.MIGRATIONS)
    found = _read(db, ours.columns)
    if wrong := _obstacle(ours, found):
        raise SchemaChangedError(f"{name}: {wrong}", hint=CHANGED_HINT)
    undone = []
    for key, each in ours.objects.items():
        there = found.objects.get(key)
        if each.kind not in ("trigger", "index") or (there is not None and there.sql == each.sql):
            continue
        if each.sql is None or (each.kind == "index" and ("table", each.name) in found.objects):
            continue
        if there is not None:
            db.execute(f"DROP {each.kind} {each.name}")
        db.execute(each.sql)
        undone.append(f"{each.kind} {each.name} {'was altered' if there is not None else 'was missing'}")
    return undone


def columns_of(migrations: tuple[str, ...], table: str) -> list[_Column]:
    """The columns of a table as these migrations create it; empty if they do not create it."""
    return list(_made_by(migrations).columns.get(table, {}).values())


def refuse_foreign_triggers(db: apsw.Connection, name: str) -> None:
    """Makes SQLite refuse statements in which a trigger of another program changes our tables: SchemaChangedError.

    Such a trigger can delete a row that was just inserted, and SQLite would still count it as inserted. Triggers of
    other programs may change their own tables. `name` is the name of the file, for the message.
    """
    ours = _made_by(schema.MIGRATIONS)
    mine = {name for kind, name in ours.objects if kind == "trigger"}

    def judge(operation: int, first: str | None, _second: str | None, _db: str | None, by: str | None) -> int:
        if by is not None and by not in mine:
            if operation in _CHANGES and first in ours.columns:
                raise SchemaChangedError(f"{name}: the trigger {by} changes the table {first}", hint=CHANGED_HINT)
            if operation == apsw.SQLITE_RECURSIVE:
                raise SchemaChangedError(f"{name}: the trigger {by} may run without end", hint=CHANGED_HINT)
        return apsw.SQLITE_OK

    db.authorizer = judge


_CHANGES: Final = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)


def cookie(db: apsw.Connection) -> int:
    """SQLite's counter of schema changes: while it is the same, the schema is unchanged."""
    return int(db.execute("PRAGMA schema_version").get)  # `pragma` would prepare it at each commit


def _obstacle(ours: _Tables, found: _Tables) -> str | None:
    """Describes a change that makes our statements fail."""
    for table, columns in ours.columns.items():
        if table not in found.columns:
            kind = "a view" if ("view", table) in found.objects else "missing"
            return f"the table {table} is {kind}"
        there = found.columns[table]
        for column in columns.values():
            if column.name not in there:
                return f"the column {table}.{column.name} is missing"
            if there[column.name]._replace(default=None) != column._replace(default=None):
                return f"the column {table}.{column.name} was altered"
        for column in there.values():
            if column.name not in columns and column.not_null and column.default is None and not column.hidden:
                return f"the column {table}.{column.name} must not be empty and has no default"
    return None


def _of_others(ours: _Tables, found: _Tables) -> str | None:
    """Describes an index or trigger of another program that can refuse a row."""
    for key, each in found.objects.items():
        if each.kind in ("trigger", "index") and key not in ours.objects and each.table in ours.columns:
            return f"the {each.kind} {each.name} was added to {each.table}"
    return None


def _read(db: apsw.Connection, tables: Container[str] | None = None) -> _Tables:
    """The schema of the file, with the columns of these tables or of all. SQLite may fail to read foreign tables."""
    rows = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
    objects = {(each.kind, each.name): each for each in map(_Object._make, rows)}
    columns: dict[str, dict[str, _Column]] = {}
    for kind, name in objects:
        if kind == "table" and (tables is None or name in tables):
            columns[name] = {column.name: column for column in _columns(db, name)}
    return _Tables(objects, columns)


def _columns(db: apsw.Connection, table: str) -> Iterator[_Column]:
    sql = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
    for name, kind, not_null, default, key, hidden in db.execute(sql, (table,)):
        yield _Column(name, kind.upper(), bool(not_null), default, key, hidden)


@cache
def _made_by(migrations: tuple[str, ...]) -> _Tables:
    """The schema that these migrations create."""
    db = apsw.Connection(":memory:")
    try:
        for migration in migrations:
            db.execute(migration)
        return _read(db)
    finally:
        db.close()

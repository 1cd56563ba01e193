"""Reads files that another program may have written: limits the work of statements and checks all values.

Enters: a path. Leaves: a connection on which each statement has limits for time and bytes, and rows whose values are
checked against the schema. In a hostile file a view can run without end, a STRICT table can have values of wrong types
(through `writable_schema`), and a number can be an impossible price. Each of these raises an error with the file name.
"""

from __future__ import annotations

import time
from functools import cache
from math import isfinite
from sys import float_info
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import apsw

from hk_tick_collector.errors import SchemaChangedError, StoreError

from . import schema
from .schema_check import CHANGED_HINT, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MOST_BYTES: Final = 1_000_000  # of one value; the longest of ours are texts from OpenD
_STEPS: Final = 20_000  # of SQLite's virtual machine between two checks of the time
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01
_KINDS: Final[dict[str, type]] = {"TEXT": str, "INTEGER": int, "REAL": float}
_SQL_TYPES: Final[dict[type, str]] = {str: "text", int: "integer", float: "real"}
SAVE_HINT: Final = "see docs/sqlite-wal.md for what can be saved"


class Allowance:
    """The CPU time that SQLite may use for a file. Counters need milliseconds; a scan gets time in proportion to the
    file size. Because CPU time is measured, a busy machine does not matter.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.renew()

    def renew(self) -> None:
        """Starts anew, for a connection that stays open and reads the file again and again."""
        self._left_s = 2.0
        self._scans = False
        self._last_s = time.thread_time()

    def scan(self, file_bytes: int) -> None:
        """Starts a statement that reads the whole file, and whose rows are processed between its steps."""
        # For a day of 100 MB this is seven minutes, thirty times the usual time.
        self._left_s += file_bytes / 250_000 + (0.0 if self._scans else 10.0)
        self._scans = True
        self._last_s = time.thread_time()

    def begin(self) -> None:
        """Starts a statement. The time between two statements does not count."""
        self._last_s = time.thread_time()

    def spend(self) -> bool:
        """SQLite's progress handler. Raises StoreError when the time is used up."""
        now_s = time.thread_time()
        self._left_s -= max(0.0, now_s - self._last_s)
        self._last_s = now_s
        if self._left_s < 0:
            raise StoreError(f"{self._path} takes more time to read than a day file can need", hint=SAVE_HINT)
        return False


def connect(path: Path, allowance: Allowance, *, finished: bool = False) -> apsw.Connection:
    """A read-only connection that runs no code of the file: no views, no functions with side effects.

    A `finished` file is read without its WAL and without locks, and no file is created beside it.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if finished else ''}"
    db = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    db.limit(apsw.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.set_progress_handler(allowance.spend, _STEPS)
    return db


def demand_tables(db: apsw.Connection, path: Path, tables: Iterable[str]) -> None:
    """Raises SchemaChangedError if one of these tables is a view or a virtual table, or has generated columns."""
    names = list(tables)
    marks = ", ".join("?" * len(names))
    found = db.execute(f"SELECT name, type, rootpage FROM sqlite_schema WHERE name IN ({marks})", names).fetchall()  # noqa: S608
    for name, kind, page in found:
        if kind != "table" or not isinstance(page, int) or page < 1:
            what = "a view" if kind == "view" else "not an ordinary table"
            raise SchemaChangedError(f"{path}: the table {name} is {what}", hint=CHANGED_HINT)
        for column, hidden in db.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,)):
            if hidden and column in _promised(name):
                raise SchemaChangedError(f"{path}: the column {name}.{column} is generated", hint=CHANGED_HINT)


class _Promise(NamedTuple):
    """The checks for the columns of a statement, each with the index of the column."""

    kinds: list[tuple[int, str, type, bool]]  # index, column, type, whether it may be NULL
    times: list[tuple[int, str]]  # UTC epoch ms
    floats: list[tuple[int, str]]


def checked(
    rows: Iterator[tuple[Any, ...]], path: Path, table: str, columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """The rows, each checked against the schema. Raises StoreError for the first invalid one."""
    kinds, times, floats = _promise(table, tuple(columns))
    good: set[tuple[type, ...]] = set()
    for row in rows:
        found = tuple(map(type, row))
        if found not in good:
            for at, column, kind, may_be_empty in kinds:
                if found[at] is not kind and not (may_be_empty and row[at] is None):
                    raise odd_value(path, f"{table}.{column}", row[at])
            good.add(found)
        for at, column in times:
            if row[at] is not None and not 0 <= row[at] < LATEST_MS:
                raise odd_value(path, f"{table}.{column}", row[at])
        for at, column in floats:
            if row[at] is not None and not isfinite(row[at]):
                raise odd_value(path, f"{table}.{column}", row[at])
        yield row


def all_checked(rows: list[tuple[Any, ...]], path: Path, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """The same for rows that are there already: column by column, which takes a third of the time."""
    if not rows:
        return rows
    kinds, times, floats = _promise(table, tuple(columns))
    values = list(zip(*rows, strict=True))
    is_good = (
        all(
            {*map(type, values[at])} <= {kind, *([NoneType] if may_be_empty else [])}
            for at, _, kind, may_be_empty in kinds
        )
        and all(0 <= ms < LATEST_MS for at, _ in times for ms in _ends(values[at]))
        and all(all(map(isfinite, values[at])) for at, _ in floats)
    )
    return rows if is_good else list(checked(iter(rows), path, table, columns))


def _ends(values: Sequence[Any]) -> tuple[int, ...]:
    """The least and the greatest of the values that are not NULL."""
    known = values if None not in values else [value for value in values if value is not None]
    return (min(known), max(known)) if known else ()


@cache
def odd_first(table: str, columns: tuple[str, ...]) -> str:
    """A term of ORDER BY that puts invalid rows first, so that `checked` raises its error at the first row.

    A verb that prints rows while it reads them has then printed none. SQLite sorts all rows in any case.
    """
    kinds, times, floats = _promise(table, columns)
    odd = []
    for _, column, kind, may_be_empty in kinds:
        words = f"typeof({column}) <> '{_SQL_TYPES[kind]}'"
        odd.append(f"({words} AND {column} IS NOT NULL)" if may_be_empty else words)
        if kind is str:
            odd.append(f"{column} GLOB '*[^ -~]*'")  # the collector writes none; text that is not UTF-8 is among them
    odd += [f"{column} NOT BETWEEN 0 AND {LATEST_MS - 1}" for _, column in times]
    odd += [f"abs({column}) > {float_info.max!r}" for _, column in floats]
    return f"ifnull({' OR '.join(odd)}, 0) DESC"


def id_of(value: object, path: Path, what: str) -> int:
    """The number in a column; StoreError for a value that the collector never writes."""
    if not isinstance(value, int) or not 0 <= value < 2**62:
        raise odd_value(path, what, value)
    return value


def odd_value(path: Path, what: str, value: object) -> StoreError:
    """The error for a value that the schema does not allow, or that is impossible."""
    shown = repr(value)
    return StoreError(f"{path}: {what} is {shown if len(shown) <= 40 else shown[:40] + '…'}", hint=SAVE_HINT)


def demand_figures(path: Path, table: str, figures: NamedTuple) -> None:
    """Raises StoreError for invalid counts and times. Sums of volume and turnover may be any numbers."""
    for name, value in figures._asdict().items():
        is_good = type(value) in (int, float)
        if is_good and name not in ("volume", "turnover"):
            is_good = 0 <= value < (LATEST_MS if name.endswith("_ms") else 2**63)
        if value is not None and not is_good:
            raise odd_value(path, f"{name} of {table}", value)


@cache
def _promised(table: str) -> dict[str, tuple[type, bool]]:
    """The columns of a table in our schema → their type, and whether they may be NULL."""
    found = columns_of(schema.MIGRATIONS, table)
    return {each.name: (_KINDS[each.type], not each.not_null and not each.key) for each in found}


@cache
def _promise(table: str, columns: tuple[str, ...]) -> _Promise:
    promised = _promised(table)
    known = [(at, name, *promised[name]) for at, name in enumerate(columns) if name in promised]
    times = [(at, name) for at, name, _, _ in known if name.endswith("_ms")]
    # A sum of valid turnovers may be infinite as a float.
    floats = [(at, name) for at, name, kind, _ in known if kind is float and table != "symbols"]
    return _Promise(known, times, floats)

"""A day file as others see it: another reader's queries, a reader that stays, the files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from pathlib import Path

COUNT: Final = "SELECT count(*) FROM ticks"


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    """The result of a query by another reader."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(db.execute(sql))
    finally:
        db.close()


def attach(path: Path) -> apsw.Connection:
    """A reader that has read and stays."""
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute(COUNT).get  # noqa: B018 - a property that reads
    return reader


def files(path: Path) -> list[str]:
    """The files beside the day file, by the end of their names."""
    return sorted(file.name.removeprefix(path.name) for file in path.parent.glob(f"{path.name}*"))

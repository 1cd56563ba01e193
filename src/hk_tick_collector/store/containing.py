"""Whether a sealed day file has all that a snapshot of its day has. Both are only read."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import apsw

from .disk import refusals_named
from .query import DayReader

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_FLAGS: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def lacking_ticks(day: Path, snapshot: Path) -> int:
    """How many ticks of the snapshot the day file does not have, with the same content in every column of the
    snapshot.

    Reads every tick of the snapshot. Raises the errors of DayReader for a file that is not a day file of ours.
    """
    for path in (day, snapshot):
        with DayReader(path, finished=True):  # says what is wrong with it
            pass
    with _named_errors(day), closing(apsw.Connection(_uri(snapshot), flags=_FLAGS)) as db:
        db.execute("ATTACH ? AS day", (_uri(day),))
        columns, known = _columns(db, "main"), _columns(db, "day")
        # A migration may have added columns to the day file since. The other way round the day file proves nothing.
        same = " AND ".join(f'has."{name}" IS copied."{name}"' if name in known else "FALSE" for name in columns)
        sql = f"""SELECT count(*) FROM main.ticks AS copied WHERE NOT EXISTS (
            SELECT 1 FROM day.ticks AS has WHERE has.symbol = copied.symbol AND has.seq = copied.seq AND {same})"""  # noqa: S608 - names of both schemas
        count: Any = db.execute(sql).get
        return int(count)


def _uri(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"


def _columns(db: apsw.Connection, name: str) -> list[str]:
    found: list[Any] = db.execute("SELECT name FROM pragma_table_info('ticks', ?)", (name,)).fetchall()
    return [column.replace('"', '""') for (column,) in found]


def _named_errors(day: Path) -> AbstractContextManager[None]:
    def words(_error: Exception, told: object) -> tuple[str, str]:
        return f"{day.name} and its snapshot cannot be compared ({told})", "check both disks: sudo dmesg | tail"

    return refusals_named(words)

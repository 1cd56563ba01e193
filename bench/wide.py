"""The plain wide insert, with which the end to end figures are compared: the usual way to use SQLite alone.

Rows in the order of their symbols, each INSERT as wide as SQLite allows, a transaction of the collector's largest
batch, the day file's own schema with its counters and the same pragmas. The collector's own statements are narrower and
faster; they have a row of their own in the report.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector.store.dayfile import DayFile, StoreOptions
from hk_tick_collector.store.schema import TICK_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

_PARAMETERS: Final = 32_766  # SQLite's limit for one statement
_WIDTH: Final = _PARAMETERS // len(TICK_COLUMNS)
_ROW: Final = f"({', '.join('?' * len(TICK_COLUMNS))})"


class WideFile:
    """A day file that is filled in this way."""

    def __init__(self, path: Path, day_name: str) -> None:
        options = StoreOptions()
        DayFile(path, day_name, "bench", 0, "bench", options).close()
        self._db = apsw.Connection(str(path))
        self._db.pragma("journal_mode", "wal")
        self._db.pragma("synchronous", options.synchronous)
        self._db.pragma("cache_size", -options.cache_kib)
        self._db.wal_autocheckpoint(options.wal_autocheckpoint_pages)

    def write(self, rows: Iterable[TickRow]) -> None:
        """Commits rows in one transaction."""
        batch = sorted(rows, key=itemgetter(0))
        with self._db:
            for first in range(0, len(batch), _WIDTH):
                piece = batch[first : first + _WIDTH]
                marks = ", ".join([_ROW] * len(piece))
                sql = f"INSERT INTO ticks VALUES {marks} ON CONFLICT (symbol, seq) DO NOTHING"
                self._db.execute(sql, tuple(chain.from_iterable(piece)))

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

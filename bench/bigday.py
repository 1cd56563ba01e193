"""Makes a day file of millions of rows in a minute, with pages like those of a collected day.

Ticks follow Zipf's law, in batches sorted by key as the writer sorts them, so pages split at the same places. One cycle
of 100,000 ticks is repeated with later times and increasing counters. `fill` inserts cycles inside SQLite, without the
counting trigger; `batches` gives the next cycle to the real writer, to be measured.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector import market
from hk_tick_collector.store.dayfile import DayFile, StoreOptions

from .stream import Preparation, flush

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

CYCLE_ROWS: Final = 100_000
BATCH_ROWS: Final = 10_000
_MOST_CYCLES: Final = 250  # a day is divided into this


class BigDay:
    """One day's file, created if it does not exist. It is plain and closed between calls."""

    def __init__(self, path: Path, symbols: Sequence[str], first_ms: int = 0) -> None:
        """`first_ms` is when the first tick is traded, counted from midnight."""
        self.path = path
        self.rows = 0
        self._cycle = 0
        preparation = Preparation(symbols, 1)
        day = market.parse_day(path.stem)
        self._start_ms = market.day_start_ms(day) + first_ms
        self._cycle_ms = market.DAY_MS // _MOST_CYCLES
        made = preparation.part(CYCLE_ROWS, CYCLE_ROWS * 1000 / self._cycle_ms).rows
        first_ms = made[0][2]
        self._each: dict[str, int] = {}  # symbol → its ticks in a cycle
        self._pattern: list[tuple[TickRow, int, int]] = []  # a tick, its offset in ms, its counter
        for row in made:
            self._each[row[0]] = counter = self._each.get(row[0], 0) + 1
            self._pattern.append((row, min(row[2] - first_ms, self._cycle_ms - 1), counter))
        self.open().close()

    def open(self) -> DayFile:
        """The file, opened as by the collector's writer."""
        return DayFile(self.path, self.path.stem, "bench", self._start_ms, "bench", StoreOptions())

    def fill(self, rows: int) -> None:
        """Inserts cycles until there are this many rows."""
        with closing(apsw.Connection(str(self.path))) as db:
            db.execute("PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA cache_size = -65536")
            trigger = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'ticks_counted'").get
            db.execute("DROP TRIGGER ticks_counted")  # it counts row by row; here the sum is computed once
            db.execute(_PATTERN)
            db.execute("BEGIN")
            db.executemany(
                f"INSERT INTO pattern VALUES ({', '.join('?' * 11)})",
                (
                    (place // BATCH_ROWS, row[0], counter, self._each[row[0]], offset_ms, *row[3:9])
                    for place, (row, offset_ms, counter) in enumerate(self._pattern)
                ),
            )
            while self.rows < rows:
                begun_ms = self._start_ms + self._cycle * self._cycle_ms
                for batch in range(CYCLE_ROWS // BATCH_ROWS):
                    db.execute(_FILL, {"batch": batch, "cycle": self._cycle, "begun_ms": begun_ms})
                self.rows += CYCLE_ROWS
                self._cycle += 1
            db.execute("DELETE FROM symbols")
            db.execute(_COUNT)
            db.execute("COMMIT")
            db.execute(trigger)
        flush(self.path)

    def batches(self) -> Iterator[list[TickRow]]:
        """The next cycle, in the writer's batches, in the order of arrival."""
        begun_ms = self._start_ms + self._cycle * self._cycle_ms
        for start in range(0, CYCLE_ROWS, BATCH_ROWS):
            yield [
                (
                    row[0],
                    (begun_ms + offset_ms) // 1000 << 32 | self._cycle * self._each[row[0]] + counter,
                    begun_ms + offset_ms,
                    *row[3:9],
                    begun_ms + offset_ms + 3,
                    begun_ms + offset_ms + 2,
                    " ",
                )
                for row, offset_ms, counter in self._pattern[start : start + BATCH_ROWS]
            ]
        self.rows += CYCLE_ROWS
        self._cycle += 1


_PATTERN: Final = """
CREATE TEMP TABLE pattern (
    batch INTEGER, symbol TEXT, counter INTEGER, each INTEGER, offset_ms INTEGER, price REAL, volume INTEGER,
    turnover REAL, direction TEXT, tick_type TEXT, push_type TEXT,
    PRIMARY KEY (batch, symbol, counter)
) WITHOUT ROWID
"""
_FILL: Final = """
INSERT INTO ticks
SELECT symbol, ((:begun_ms + offset_ms) / 1000 << 32) | (:cycle * each + counter), :begun_ms + offset_ms,
       price, volume, turnover, direction, tick_type, push_type, :begun_ms + offset_ms + 3,
       :begun_ms + offset_ms + 2, ' '
FROM pattern WHERE batch = :batch ORDER BY symbol, counter
"""
_COUNT: Final = """
INSERT INTO symbols (symbol, rows, first_ts_ms, last_ts_ms, max_seq, volume, turnover, expected, rule)
SELECT symbol, count(*), min(ts_ms), max(ts_ms), max(seq), sum(volume), sum(turnover), count(*), 'counter'
FROM ticks GROUP BY symbol
"""

"""Day files for the tests of `quality`: a day as a collector leaves it, and its book with the ticks in Parquet."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import apsw

from hk_tick_collector import market
from hk_tick_collector.quality.places import archived
from hk_tick_collector.store.book import APPLICATION_ID as BOOK_ID
from hk_tick_collector.store.query import DayReader
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS, tick_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow
    from hk_tick_collector.quality.places import DayLocation

HOUR_MS: Final = 3_600_000
DAY: Final = "20261120"
_GAP: Final = (
    "INSERT INTO gaps (symbol, from_seq, to_seq, from_ts_ms, to_ts_ms, missing, cause, status, opened_ms)"
    " VALUES (?, 1, 2, ?, ?, ?, ?, ?, ?)"
)


class Collected:
    """A day file, open for changes. Its collector ran and was connected from 08:00 to 16:09, unless told otherwise."""

    def __init__(self, path: Path, *, version: int = len(MIGRATIONS), connected: bool = True) -> None:
        self.path = path
        self.start_ms = market.day_start_ms(market.parse_day(path.stem))
        self.db = apsw.Connection(str(path))
        self.db.pragma("application_id", APPLICATION_ID)
        self.db.pragma("user_version", version)
        with self.db:
            for migration in MIGRATIONS[:version]:
                self.db.execute(migration)
            self.db.execute("INSERT INTO meta VALUES ('trading_day', ?)", (path.stem,))
        self.db.pragma("journal_mode", "wal")
        if connected:
            self.connection(8.0, None)
            self.run(8.0, 16.15)

    def at(self, hour: float) -> int:
        """UTC epoch ms of an hour in Hong Kong; 9.5 is 09:30."""
        return self.start_ms + round(hour * HOUR_MS)

    def ticks(self, symbol: str, count: int, *, hour: float = 9.5, skip: int = 0, delay_ms: int = 30) -> None:
        """Ticks of a symbol, ten a second; the first `skip` counters are missing, before `hour`."""
        rows = []
        for number in range(count):
            ts_ms = self.at(hour) + number * 100
            seq = ts_ms // 1000 << 32 | (skip + number + 1)
            rows.append(
                (symbol, seq, ts_ms, 388.2, 100, 38820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms + delay_ms, None, None)
            )
        self.add(rows)
        self.expect(symbol, count + skip)

    def add(self, rows: Sequence[TickRow]) -> None:
        """Any ticks."""
        names = tick_columns(self.db.pragma("user_version"))
        sql = f"INSERT INTO ticks ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        with self.db:
            self.db.executemany(sql, (row[: len(names)] for row in rows))
            self.db.execute(
                "UPDATE ledger SET stored = stored + ?1, received = received + ?1"
                " WHERE run_id = (SELECT max(run_id) FROM ledger)",
                (len(rows),),
            )

    def expect(self, symbol: str, expected: int | None) -> None:
        """How many ticks the sequence of a symbol shows."""
        rule = ", rule = iif(expected IS NULL, 'none', 'counter')" if self.db.pragma("user_version") >= 3 else ""
        self.db.execute("UPDATE symbols SET expected = ? WHERE symbol = ?", (expected, symbol))
        if rule:
            self.db.execute(f"UPDATE symbols SET {rule[2:]} WHERE symbol = ?", (symbol,))

    def gap(self, symbol: str, missing: int | None, *, cause: str = "disconnected", status: str = "open") -> None:
        """A gap at 10:00."""
        at_ms = self.at(10)
        self.db.execute(_GAP, (symbol, at_ms, at_ms + 60_000, missing, cause, status, at_ms))

    def connection(self, begin: float, end: float | None, *, reason: str = "", connected: bool = True) -> None:
        """A row of `connections`."""
        values = (self.at(begin), None if end is None else self.at(end), connected, 1, reason)
        self.db.execute("INSERT INTO connections VALUES (?, ?, ?, ?, ?)", values)

    def run(self, begin: float, end: float, **counts: int) -> None:
        """A row of `ledger`; without counts the first one stored the ticks that are there, and others nothing."""
        if not counts and not self.db.execute("SELECT count(*) FROM ledger").get:
            counts["stored"] = self.db.execute("SELECT ifnull(sum(rows), 0) FROM symbols").get
        figures = [counts.get(name, 0) for name in ("stored", "duplicate", "rejected", "dropped")]
        values = (f"r{begin}", self.at(begin), self.at(end), 1, sum(figures), *figures, 0)
        self.db.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def totals(self, explained: str = "match", *, session: str = "close", missing_shares: int = 0) -> None:
        """OpenD's totals of each symbol."""
        self.db.execute(
            "INSERT INTO reconciliation SELECT ?, symbol, ?, volume, turnover, 0, 0, 0, 0, volume + ?, turnover, ?"
            " FROM symbols",
            (session, self.at(16.15), missing_shares, explained),
        )

    def close(self) -> None:
        """As a collector leaves it after a clean stop: one plain file."""
        self.db.pragma("journal_mode", "delete")
        self.db.close()


def archive(path: Path, root: Path) -> DayLocation:
    """Archives a day file as `archive` lays it out: the book, and the ticks as Parquet. Returns its place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hk_tick_collector.frames.columns import NAMES, schema

    place = archived(root, path.stem)
    assert place.ticks is not None
    place.path.parent.mkdir(parents=True, exist_ok=True)
    place.ticks.mkdir(parents=True, exist_ok=True)
    with DayReader(path) as reader:
        ticks = list(reader.ticks_by_key())
    date = market.day_date(market.parse_day(path.stem))
    names = NAMES[:11]
    columns: list[Any] = [[date] * len(ticks), *([tick[at] for tick in ticks] for at in range(10))]
    table = pa.table(dict(zip(names, columns, strict=True)), schema=schema(names))
    pq.write_table(table, place.ticks / "ticks-0123456789abcdef.parquet")
    with closing(apsw.Connection(str(path))) as source, closing(apsw.Connection(str(place.path))) as book:
        with book.backup("main", source, "main") as backup:
            backup.step(-1)
        book.pragma("journal_mode", "delete")
        book.execute("DROP TABLE ticks")
        book.pragma("application_id", BOOK_ID)
        book.execute("VACUUM")
    return place

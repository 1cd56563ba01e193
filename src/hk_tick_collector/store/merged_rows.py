"""What a merged day file has beside the tables of every day file, created for its first such row.

`conflicts`     ticks of a source for whose key another tick is stored: the first is kept, this one is here, whole
`witnesses`     the source that brought the last missing tick of a healed row of `gaps`
`chosen`        the source of each symbol's ticks, where the sources number their ticks differently
`source_sums`   what each source says that it has of the day
`source_totals` the comparison of each source's own day file with its OpenD's totals after the close

A day file of a single collector has none of these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.model import Reconciled, Tick

from .query import DayReader
from .schema import TICK_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import apsw

    from hk_tick_collector.model import TickRow

TABLE_CONFLICTS: Final = "conflicts"
TABLE_WITNESSES: Final = "witnesses"
TABLE_CHOSEN: Final = "chosen"
TABLE_SUMS: Final = "source_sums"
TABLE_TOTALS: Final = "source_totals"
_LOW: Final = 0xFFFF_FFFF


class Witness(NamedTuple):
    """The source that brought the last missing tick of a gap."""

    gap_id: int  # `id` of the row of `gaps`
    source: str


class Chosen(NamedTuple):
    """The source of a symbol's ticks."""

    symbol: str
    source: str


class SeqSum(NamedTuple):
    """What proves that two files have the same ticks of a symbol, as far as their keys show it."""

    rows: int
    seq_sum: int  # the sum of all sequences, modulo 2^64


class Said(NamedTuple):
    """What a source says that it has of a day."""

    source: str
    sums: Mapping[str, tuple[int, int]]  # symbol → ticks, sum of their sequences modulo 2^64
    totals: Sequence[Reconciled]  # its own comparison with OpenD's totals after the close


def _no_source(_row: TickRow) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class MergedRows:
    """The part of a transaction that only a merged day file has. `source_of` names the source of a row of the batch.

    `said` replaces the sums of that source; its totals replace those of the same symbols.
    """

    source_of: Callable[[TickRow], str] = _no_source
    witnesses: Sequence[Witness] = ()
    chosen: Sequence[Chosen] = ()
    said: Said | None = None

    def write(self, db: apsw.Connection, conflicts: Sequence[TickRow], now_ms: int) -> None:
        """Adds the rows, within the caller's transaction; a row that is there stays. Raises apsw.Error."""
        if conflicts:
            db.execute(_CONFLICTS)
            db.executemany(_ADD_CONFLICT, ((self.source_of(row), *row, now_ms) for row in conflicts))
        if self.witnesses:
            db.execute(_WITNESSES)
            db.executemany(_ADD_WITNESS, self.witnesses)
        if self.chosen:
            db.execute(_CHOSEN)
            db.executemany(_ADD_CHOSEN, self.chosen)
        if self.said:
            self._write_said(db, self.said)

    @staticmethod
    def _write_said(db: apsw.Connection, said: Said) -> None:
        db.execute(_SUMS)
        db.execute(f"DELETE FROM {TABLE_SUMS} WHERE source = ?", (said.source,))  # noqa: S608 - our own names
        rows = ((said.source, symbol, count, _signed(total)) for symbol, (count, total) in said.sums.items())
        db.executemany(_ADD_SUMS, rows)
        if said.totals:
            db.execute(_TOTALS)
            db.executemany(_ADD_TOTALS, ((said.source, *row) for row in said.totals))


class MergedReader(DayReader):
    """The queries on what only a merged day file has. Raises the errors of DayConnection."""

    def conflicts(self) -> Iterator[tuple[str, Tick]]:
        """Each source and its tick for whose key another tick is stored, ordered by source and key."""
        if self._db.table_exists("main", TABLE_CONFLICTS):
            columns = ", ".join(TICK_COLUMNS)
            sql = f"SELECT source, {columns} FROM {TABLE_CONFLICTS} ORDER BY source, symbol, seq"  # noqa: S608 - our own names
            for source, *row in self._rows(sql):
                yield str(source), Tick(*row)

    def witnesses(self) -> dict[int, str]:
        """The source that healed a gap, by the id of the gap."""
        if not self._db.table_exists("main", TABLE_WITNESSES):
            return {}
        return dict(self._rows(f"SELECT gap_id, source FROM {TABLE_WITNESSES}"))  # noqa: S608

    def chosen(self) -> dict[str, str]:
        """The source of each symbol's ticks; empty where the sources are merged."""
        if not self._db.table_exists("main", TABLE_CHOSEN):
            return {}
        return dict(self._rows(f"SELECT symbol, source FROM {TABLE_CHOSEN}"))  # noqa: S608

    def said(self) -> list[Said]:
        """What each source says that it has of the day, by source."""
        sums: dict[str, dict[str, tuple[int, int]]] = {}
        totals: dict[str, list[Reconciled]] = {}
        if self._db.table_exists("main", TABLE_SUMS):
            for source, symbol, count, total in self._rows(f"SELECT source, symbol, rows, seq_sum FROM {TABLE_SUMS}"):  # noqa: S608
                sums.setdefault(source, {})[symbol] = count, total % 2**64
        if self._db.table_exists("main", TABLE_TOTALS):
            columns = ", ".join(Reconciled._fields)
            for source, *row in self._rows(f"SELECT source, {columns} FROM {TABLE_TOTALS}"):  # noqa: S608
                totals.setdefault(source, []).append(Reconciled._make(row))
        return [Said(name, sums.get(name, {}), totals.get(name, ())) for name in sorted({*sums, *totals})]

    def with_conflicts(self) -> set[str]:
        """The symbols of which a source has sent another tick for a stored key."""
        if not self._db.table_exists("main", TABLE_CONFLICTS):
            return set()
        return {symbol for (symbol,) in self._rows(f"SELECT DISTINCT symbol FROM {TABLE_CONFLICTS}")}  # noqa: S608

    def seq_sum(self, symbol: str) -> SeqSum:
        """Number and sum of the sequences of a symbol. Reads all keys of the symbol.

        Summed in two halves, because SQLite's sum() raises an error above 64 bits.
        """
        sql = "SELECT count(*), ifnull(sum(seq >> 32), 0), ifnull(sum(seq & ?), 0) FROM ticks WHERE symbol = ?"
        rows, high, low = next(self._rows(sql, (_LOW, symbol)))
        return SeqSum(rows, ((high << 32) + low) % 2**64)

    def symbols_with_gaps(self) -> set[str]:
        """The symbols that have an open gap."""
        return {symbol for (symbol,) in self._rows("SELECT DISTINCT symbol FROM gaps WHERE status = 'open'")}

    def patterned_surplus(self) -> dict[str, int]:
        """Symbols with more ticks than their sequence shows, and by how many. Reads only counters."""
        return dict(self._rows("SELECT symbol, rows - expected FROM symbols WHERE rows > expected"))


def _signed(value: int) -> int:
    """A number modulo 2^64 as SQLite stores it."""
    return (value + 2**63) % 2**64 - 2**63


_CONFLICTS: Final = f"""CREATE TABLE IF NOT EXISTS {TABLE_CONFLICTS} (
    source     TEXT    NOT NULL,  -- the collector that sent this tick
    symbol     TEXT    NOT NULL,  -- from here on as in ticks
    seq        INTEGER NOT NULL,
    ts_ms      INTEGER NOT NULL,
    price      REAL    NOT NULL,
    volume     INTEGER NOT NULL,
    turnover   REAL    NOT NULL,
    direction  TEXT    NOT NULL,
    tick_type  TEXT    NOT NULL,
    push_type  TEXT    NOT NULL,
    recv_ts_ms INTEGER NOT NULL,
    opend_recv_ts_ms INTEGER,
    type_sign  TEXT,
    found_ms   INTEGER NOT NULL,  -- when it was merged, UTC epoch ms
    PRIMARY KEY (source, symbol, seq)
) STRICT, WITHOUT ROWID"""
_ADD_CONFLICT: Final = (
    f"INSERT INTO {TABLE_CONFLICTS} (source, {', '.join(TICK_COLUMNS)}, found_ms) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * (len(TICK_COLUMNS) + 2))}) ON CONFLICT DO NOTHING"
)
_WITNESSES: Final = f"""CREATE TABLE IF NOT EXISTS {TABLE_WITNESSES} (
    gap_id INTEGER PRIMARY KEY,    -- id of a row of gaps
    source TEXT    NOT NULL        -- the collector that brought its last missing tick
) STRICT"""
_ADD_WITNESS: Final = f"INSERT INTO {TABLE_WITNESSES} (gap_id, source) VALUES (?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_CHOSEN: Final = f"""CREATE TABLE IF NOT EXISTS {TABLE_CHOSEN} (
    symbol TEXT PRIMARY KEY,
    source TEXT NOT NULL           -- the collector whose ticks of the symbol are in this file
) STRICT, WITHOUT ROWID"""
_ADD_CHOSEN: Final = f"INSERT INTO {TABLE_CHOSEN} (symbol, source) VALUES (?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_SUMS: Final = f"""CREATE TABLE IF NOT EXISTS {TABLE_SUMS} (
    source  TEXT    NOT NULL,
    symbol  TEXT    NOT NULL,
    rows    INTEGER NOT NULL,      -- the ticks that this collector says it has
    seq_sum INTEGER NOT NULL,      -- the sum of their sequences modulo 2^64, as a signed number
    PRIMARY KEY (source, symbol)
) STRICT, WITHOUT ROWID"""
_ADD_SUMS: Final = f"INSERT OR REPLACE INTO {TABLE_SUMS} (source, symbol, rows, seq_sum) VALUES (?, ?, ?, ?)"  # noqa: S608
_TOTALS: Final = f"""CREATE TABLE IF NOT EXISTS {TABLE_TOTALS} (
    source            TEXT    NOT NULL,  -- the collector whose comparison this is; all else as in reconciliation
    session           TEXT    NOT NULL,
    symbol            TEXT    NOT NULL,
    at_ms             INTEGER NOT NULL,
    volume            INTEGER NOT NULL,
    turnover          REAL    NOT NULL,
    odd_lot_volume    INTEGER NOT NULL,
    odd_lot_turnover  REAL    NOT NULL,
    late_volume       INTEGER NOT NULL,
    late_turnover     REAL    NOT NULL,
    official_volume   INTEGER,
    official_turnover REAL,
    explained         TEXT    NOT NULL,
    PRIMARY KEY (source, symbol)
) STRICT, WITHOUT ROWID"""
_ADD_TOTALS: Final = (
    f"INSERT OR REPLACE INTO {TABLE_TOTALS} (source, {', '.join(Reconciled._fields)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * (len(Reconciled._fields) + 1))})"
)

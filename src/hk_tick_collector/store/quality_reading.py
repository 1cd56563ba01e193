"""The SELECT statements for `quality`: sums over gaps, and ticks by minute. They also read an archived book.

A book (`ARCHIVE/books/YYYY-MM-DD.db`) has every table of a day file but `ticks`. The counters answer at once. `minutes`
reads every tick once, in parts, so that its caller can show progress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import ForeignFileError

from . import book
from .bounded_reading import LATEST_MS, demand_tables, odd_value
from .day_records import SymbolCount
from .foreign import foreign_file
from .query import DayReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BOOK_TABLES: Final = ("symbols", "meta", "gaps", "connections", "ledger", "reconciliation")
_CHECK: Final = "hk-tick-collector certificate --check"
_PART_ROWS: Final = 100_000  # of one statement of `minutes`: SQLite sorts them in memory
_MOST_SUMS: Final = 1000  # kinds of gaps: ours are about twenty causes, each open or healed
# The delay of a tick, in steps of a tenth of its size: the upper end of the step, in ms. SQLite divides towards zero.
_STEP: Final = """CASE WHEN delay < 0 THEN max(delay / 1000, -3600) * 1000
    WHEN delay < 100 THEN (delay / 10 + 1) * 10
    WHEN delay < 1000 THEN (delay / 100 + 1) * 100
    WHEN delay < 10000 THEN (delay / 1000 + 1) * 1000
    WHEN delay < 100000 THEN (delay / 10000 + 1) * 10000
    ELSE min(delay / 100000 + 1, 36) * 100000 END"""


class GapSum(NamedTuple):
    """All gaps of one cause and status."""

    cause: str
    status: str  # open, healed
    gaps: int
    missing: int  # ticks that are still not stored, as far as their number is known
    unknown: int  # gaps of unknown size


class SymbolGaps(NamedTuple):
    """All gaps of one symbol."""

    open: int
    of_unknown_size: int  # of the open ones; a size below 1 is impossible, so it is unknown too
    missing: int  # ticks missing in the other open ones
    rejected: int  # closed gaps: ticks that were received and could not be stored
    other_day: int  # closed gaps: ticks that were stored in the file of another day
    closed_missing: int  # ticks that are missing in closed gaps: a contradiction


NO_GAPS: Final = SymbolGaps(0, 0, 0, 0, 0, 0)


class GapSpan(NamedTuple):
    """The gaps of one cause and status that begin in the same minute."""

    cause: str
    status: str
    from_ms: int  # UTC epoch ms
    to_ms: int
    gaps: int
    missing: int
    symbols: int


class MinuteStep(NamedTuple):
    """Ticks of one minute with about the same delay."""

    minute: int  # UTC epoch minute of the trade
    is_live: int  # 1: pushed live; only then the delay depends on clock and network
    step_ms: int  # the upper end of the step of the delay; below 0 the tick came before its own time
    rows: int
    least_ms: int  # the smallest delay, recv_ts_ms - ts_ms
    most_ms: int


class QualityReader(DayReader):
    """The queries of `quality` on one day file. Raises the errors of DayConnection."""

    def gap_sums(self, symbols: Sequence[str] = ()) -> list[GapSum]:
        """The gaps by cause and status, the most missing ticks first."""
        where, values = _of_symbols(symbols)
        sql = f"""SELECT cause, status, count(*), ifnull(sum(missing), 0), count(*) - count(missing) FROM gaps {where}
            GROUP BY cause, status ORDER BY 4 DESC, 3 DESC, 1, 2 LIMIT {_MOST_SUMS}"""  # noqa: S608 - our own names
        return [GapSum._make(_figures(row, self.path, "gaps", texts=2)) for row in self._rows(sql, values, scans=True)]

    def gaps_by_symbol(self, symbols: Sequence[str] = ()) -> dict[str, SymbolGaps]:
        """The gaps of each symbol that has any."""
        where, values = _of_symbols(symbols)
        sql = f"""SELECT symbol, count(*) FILTER (WHERE is_open), count(*) FILTER (WHERE is_open AND missing < 1),
                ifnull(sum(missing) FILTER (WHERE is_open AND missing >= 1), 0),
                count(*) FILTER (WHERE NOT is_open AND cause = 'rejected'),
                count(*) FILTER (WHERE NOT is_open AND cause = 'other_day'),
                ifnull(sum(abs(missing)) FILTER (WHERE NOT is_open), 0)
            FROM (SELECT symbol, cause, status = 'open' AS is_open, ifnull(missing, 0) AS missing FROM gaps {where})
            GROUP BY symbol ORDER BY symbol"""  # noqa: S608 - our own names
        rows = (_figures(row, self.path, "gaps", texts=1) for row in self._rows(sql, values, scans=True))
        return {str(symbol): SymbolGaps._make(figures) for symbol, *figures in rows}

    def gap_spans(self, count: int, symbols: Sequence[str] = ()) -> list[GapSpan]:
        """The gaps by cause, status and minute, at most `count`: those with the most missing ticks, in order of time.

        A gap without a time is shown at the time when it was found. An end that is unknown counts as the beginning.
        """
        where, values = _of_symbols(symbols)
        sql = f"""SELECT * FROM (
            SELECT cause, status, min(ifnull(from_ts_ms, opened_ms)) AS from_ms,
                   max(ifnull(to_ts_ms, ifnull(from_ts_ms, opened_ms))), count(*), ifnull(sum(missing), 0) AS lost,
                   count(DISTINCT symbol)
            FROM gaps {where} GROUP BY cause, status, ifnull(from_ts_ms, opened_ms) / 60000
            ORDER BY status = 'open' DESC, lost DESC, from_ms LIMIT {count:d}) ORDER BY from_ms, cause"""  # noqa: S608
        spans = [
            GapSpan._make(_figures(row, self.path, "gaps", texts=2)) for row in self._rows(sql, values, scans=True)
        ]
        for span in spans:
            if (latest := max(span.from_ms, span.to_ms)) >= LATEST_MS:
                raise odd_value(self.path, "a time of gaps", latest)
        return spans

    def minutes(self, symbols: Sequence[str] = ()) -> Iterator[tuple[int, list[MinuteStep]]]:
        """The ticks by minute and delay, in parts: the number of ticks read so far, by the counters, and the sums.

        All parts are from one transaction if the caller has begun one. A part has about a hundred thousand ticks.
        """
        counts = self.symbols(symbols)
        parts = [(count.rows, "symbol = ?", (count.symbol,)) for count in counts] if symbols else _parts(counts)
        read = 0
        for at, (rows, where, values) in enumerate(parts):
            sql = f"""SELECT ts_ms / 60000, push_type = 'realtime', {_STEP} AS step, count(*), min(delay), max(delay)
                FROM (SELECT ts_ms, push_type, recv_ts_ms - ts_ms AS delay FROM ticks WHERE {where})
                GROUP BY 1, 2, 3"""  # noqa: S608 - our own names
            found = self._rows(sql, values, scans=at == 0)
            steps = [MinuteStep._make(_figures(row, self.path, "ticks", texts=0, signed=True)) for row in found]
            read += rows
            yield read, steps


class BookReader(QualityReader):
    """The same queries on an archived book, without those that need ticks. No file is created beside it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, finished=True)

    def _check_schema(self) -> None:
        """As that of a day file, without ticks."""
        self._bytes = self.page_bytes() * self.page_count()
        demand_tables(self._db, self.path, _BOOK_TABLES)
        if self._db.pragma("application_id") != book.APPLICATION_ID:
            raise foreign_file(self._db, self.path)
        for table, needed in (("symbols", SymbolCount._fields), ("meta", ("key", "value"))):
            columns = {name for (name,) in self._db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            if missing := [column for column in needed if column not in columns]:
                raise ForeignFileError(f"{self.path} is a book without {table}.{missing[0]}", hint=_CHECK)


def _parts(counts: Sequence[SymbolCount]) -> list[tuple[int, str, tuple[str, ...]]]:
    """Ranges of symbols with about `_PART_ROWS` ticks each: the number, the condition, its values.

    Together they have every tick, also those of a symbol without a counter, so that a wrong counter is noticed.
    """
    parts: list[tuple[int, str, tuple[str, ...]]] = []
    above, rows = "", 0
    for count in counts:
        rows += max(1, count.rows)
        if rows >= _PART_ROWS:
            parts.append((rows, "symbol > ? AND symbol <= ?", (above, count.symbol)))
            above, rows = count.symbol, 0
    return [*parts, (rows, "symbol > ?", (above,))]


def _figures(
    row: tuple[object, ...], path: Path, table: str, *, texts: int, signed: bool = False
) -> tuple[object, ...]:
    """The row, if its first `texts` values are texts and the others whole numbers; otherwise raises StoreError."""
    for at, value in enumerate(row):
        is_good = isinstance(value, str) if at < texts else isinstance(value, int) and (signed or value >= 0)
        if not is_good:
            raise odd_value(path, f"a value of {table}", value)
    return row


def _of_symbols(symbols: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    if not symbols:
        return "", ()
    return f"WHERE symbol IN ({', '.join('?' * len(symbols))})", tuple(symbols)

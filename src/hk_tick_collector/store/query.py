"""All SELECT statements on day files. They use separate connections, not the writer's (see `day_connection`)."""

from __future__ import annotations

import heapq
from itertools import starmap
from sys import float_info
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import GAP_OPEN, Gap, Instrument, Reconciled, Tick

from .bounded_reading import checked, demand_figures, id_of, odd_first
from .day_connection import DayConnection, is_date, list_days, path_of, sealed_early, unseal_command
from .day_records import Completeness, Incomplete, Rule, Run, Stretch, SymbolCount, Totals
from .same_tick import Compared, compare
from .schema import MISCOUNTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

__all__ = [
    "Completeness",
    "DayReader",
    "Incomplete",
    "Rule",
    "Run",
    "Stretch",
    "SymbolCount",
    "Totals",
    "demand_day",
    "demand_own_day",
    "is_date",
    "list_days",
    "path_of",
    "sealed_early",
    "unseal_command",
]

Times: TypeAlias = tuple[int | None, int | None]  # ts_ms from the first on, before the second, UTC epoch ms

ALL: Final[Times] = (None, None)
_INTEGRITY_LINES: Final = 5
_LONG: Final = ("ticks", "gaps")  # tables that can have millions of rows


def demand_day(path: Path, day: str, meta: Mapping[str, str]) -> None:
    """Raises StoreError if a day file or a book is of another day than its name says: it was renamed by hand.

    `day` is that of the name, like `20261120`; `meta` is the table `meta`. A file without a day there is not judged.
    """
    if (own := meta.get("trading_day", day)) != day:
        hint = f"give it its own name again if there is none of {own}, otherwise move it away"
        raise StoreError(f"{path} is the file of {own}, not of {day}", hint=hint)


def demand_own_day(reader: DayConnection) -> None:
    """Raises StoreError if a file whose name is a day, like `20261120.db`, is of another one; see `demand_day`."""
    path = reader.path
    if is_date(path.stem):
        own, day = reader.trading_day(), market.day_name(market.parse_day(path.stem))
        demand_day(path, day, {} if own is None else {"trading_day": own})


class DayReader(DayConnection):
    """The queries on one day file. Raises the errors of DayConnection."""

    def ticks(self, symbols: Sequence[str] = (), *, last: int | None = None, times: Times = ALL) -> Iterator[Tick]:
        """The ticks of the day in the order of (ts_ms, symbol, seq), for these symbols and times; `last`: only these.

        Memory is limited: SQLite sorts a large day in a temporary file. If a row does not
        match the schema, an error is raised before the first tick is returned.
        """
        where, values = _of_times(symbols, times)
        order = f"ORDER BY {odd_first('ticks', self.tick_columns)}, ts_ms, symbol, seq"
        if last is not None:
            latest = f"SELECT symbol, seq FROM ticks {where} ORDER BY ts_ms DESC, symbol DESC, seq DESC LIMIT {last:d}"  # noqa: S608 - our own names
            where = f"WHERE (symbol, seq) IN ({latest})"
        return self._ticks(f"{where} {order}", values)

    def ticks_by_key(self) -> Iterator[Tick]:
        """The ticks of the day in the order of (symbol, seq), which is their order in the file."""
        return self._ticks("ORDER BY symbol, seq", ())

    def latest(self, count: int, symbols: Sequence[str] = ()) -> list[Tick]:
        """The latest `count` ticks in the order of (ts_ms, symbol, seq), without scanning the day.

        The latest ticks of a symbol are those with the highest sequences. Across symbols the time decides.
        """
        heap: list[tuple[tuple[int, str, int], Tick]] = []
        for symbol in sorted(self.symbols(symbols), key=lambda symbol: -symbol.last_ts_ms):
            if len(heap) == count and (not heap or symbol.last_ts_ms < heap[0][0][0]):
                break  # the remaining symbols have only earlier ticks
            for tick in self._ticks("WHERE symbol = ? ORDER BY seq DESC LIMIT ?", (symbol.symbol, count)):
                entry = ((tick.ts_ms, tick.symbol, tick.seq), tick)
                if len(heap) < count:
                    heapq.heappush(heap, entry)
                else:
                    heapq.heappushpop(heap, entry)
        return [tick for _, tick in sorted(heap)]

    def ticks_after(self, symbol: str, seq: int, limit: int) -> list[Tick]:
        """At most `limit` ticks of a symbol with a sequence above `seq`, in order of sequence."""
        return list(self._ticks("WHERE symbol = ? AND seq > ? ORDER BY seq LIMIT ?", (symbol, seq, limit)))

    def tick(self, symbol: str, seq: int) -> Tick:
        """One stored tick."""
        return next(self._ticks("WHERE symbol = ? AND seq = ?", (symbol, seq)))

    def compare(self, rows: Sequence[TickRow]) -> Compared:
        """The rows whose key is not stored, and the rows whose key a different tick has."""
        with self._named_errors():
            self._allowance.scan(self._bytes)
            return compare(self._db, rows)

    def seqs(self, symbol: str, from_seq: int) -> Iterator[int]:
        """The sequences of a symbol that are `from_seq` or higher, in order."""
        rows = self._select(("seq",), "ticks", "WHERE symbol = ? AND seq >= ? ORDER BY seq", (symbol, from_seq))
        return (seq for (seq,) in rows)

    def symbols(self, symbols: Sequence[str] = ()) -> list[SymbolCount]:
        """The counters of these symbols, or of all symbols with ticks, ordered by name."""
        where, values = _of_symbols(symbols)
        rows = self._select(SymbolCount._fields, "symbols", f"{where} ORDER BY symbol", values)
        return list(map(SymbolCount._make, rows))

    def completeness(self) -> Completeness:
        """How much of the day is stored. Reads only counters."""
        sql = """SELECT count(expected), ifnull(sum(rows) FILTER (WHERE expected IS NOT NULL), 0),
                        ifnull(sum(expected), 0), count(*) - count(expected), ifnull(sum(min(rows, expected)), 0)
                 FROM symbols"""
        found = Completeness._make(next(self._rows(sql)))
        demand_figures(self.path, "symbols", found)
        return found

    def incomplete(self, *, first_day: bool) -> Incomplete:
        """The missing ticks of the day. Reads only counters and gaps. `first_day`: there is no file of an earlier day.

        Ticks from before a symbol was added during the day are always expected to be missing (`before_start`). Ticks
        from before the first run of the day are expected to be missing only on the first day: on other days the service
        should have been running.
        """
        gaps = """SELECT ifnull(sum(missing), 0),
                         ifnull(sum(missing) FILTER (
                             WHERE cause = 'before_start' AND (?1 OR opened_ms >= second.ms)), 0)
                  FROM gaps, (SELECT ifnull(min(started_ms), 9e18) AS ms FROM ledger WHERE started_ms >
                              (SELECT min(started_ms) FROM ledger WHERE stored > 0)) AS second
                  WHERE status = 'open'"""
        missing, before_start = next(self._rows(gaps, (first_day,)))
        worst = next(
            self._rows(
                """SELECT symbol FROM gaps WHERE status = 'open' AND missing > 0
                   GROUP BY symbol ORDER BY sum(missing) DESC, symbol LIMIT 1"""
            ),
            ("",),
        )
        above = next(self._rows("SELECT count(*), ifnull(min(symbol), '') FROM symbols WHERE rows > expected"))
        return Incomplete(missing, before_start, *above, *worst)

    def least_complete(self, count: int) -> list[SymbolCount]:
        """The symbols with the most missing ticks by their counter, at most `count`; complete ones are left out."""
        where = "WHERE expected > rows ORDER BY expected - rows DESC, symbol LIMIT ?"
        return list(map(SymbolCount._make, self._select(SymbolCount._fields, "symbols", where, (count,))))

    def rules(self) -> dict[str, Rule]:
        """The rule of each symbol. For a file of schema 2 it is derived from `expected`."""
        columns = {name for (name,) in self._rows("SELECT name FROM pragma_table_info('symbols')")}
        if {"rule", "run_seq"} <= columns:
            rows = self._select(("symbol", "rule", "run_seq"), "symbols", "")
            return {symbol: Rule(rule, run_seq) for symbol, rule, run_seq in rows}
        rows = self._select(("symbol", "expected IS NOT NULL AND expected >= rows"), "symbols", "")
        return {symbol: Rule("counter" if patterned else "", 0) for symbol, patterned in rows}

    def without_rule(self, count: int) -> list[str]:
        """Symbols whose sequence does not show what is missing, at most `count`, ordered by name."""
        return sorted(symbol for symbol, rule in self.rules().items() if rule.rule == "none")[:count]

    def newest_of(self, symbol: str, count: int, until_ms: int | None = None) -> list[tuple[int, int]]:
        """Sequence and time of the newest `count` ticks of a symbol, in order of receipt. Only ticks whose time is not
        later than `until_ms` (UTC epoch ms) count. Reads all ticks of the symbol.
        """
        where, values = ("AND ts_ms <= ?", (until_ms,)) if until_ms is not None else ("", ())
        rest = f"WHERE symbol = ? {where} ORDER BY recv_ts_ms DESC, ts_ms DESC LIMIT ?"
        rows = list(self._select(("seq", "ts_ms"), "ticks", rest, (symbol, *values, count)))
        return [(seq, ts_ms) for seq, ts_ms in reversed(rows)]

    def first_seq(self, symbol: str, from_seq: int, to_seq: int) -> int | None:
        """The lowest sequence of a symbol from `from_seq` to `to_seq`, None if there is none."""
        sql = "SELECT min(seq) FROM ticks WHERE symbol = ? AND seq BETWEEN ? AND ?"
        found: int | None = next(self._rows(sql, (symbol, from_seq, to_seq)))[0]
        return found

    def top_seq(self, symbol: str, from_seq: int, to_seq: int) -> int | None:
        """The highest sequence of a symbol from `from_seq` to `to_seq`, None if there is none."""
        sql = "SELECT max(seq) FROM ticks WHERE symbol = ? AND seq BETWEEN ? AND ?"
        found: int | None = next(self._rows(sql, (symbol, from_seq, to_seq)))[0]
        return found

    def odd_seqs(self, symbol: str, seconds: int) -> set[int]:
        """The sequences of a symbol whose high 32 bits differ from the tick's epoch second by more than `seconds`.

        Reads all ticks of the symbol.
        """
        sql = "SELECT seq FROM ticks WHERE symbol = ? AND abs((seq >> 32) - ts_ms / 1000) > ?"
        return {seq for (seq,) in self._rows(sql, (symbol, seconds), scans=True)}

    def has_seqs(self, from_seq: int, to_seq: int) -> bool:
        """Whether any tick has a sequence from `from_seq` to `to_seq`. Reads all ticks if none has."""
        sql = "SELECT EXISTS (SELECT 1 FROM ticks WHERE seq BETWEEN ? AND ?)"
        return bool(next(self._rows(sql, (from_seq, to_seq), scans=True))[0])

    def open_gaps_and_marks(self, causes: Sequence[str]) -> Iterator[Gap]:
        """The open gaps, and all gaps with one of these causes, ordered by symbol and sequence."""
        marks = ", ".join("?" * len(causes))
        wanted = f"WHERE status = ? OR cause IN ({marks}) ORDER BY symbol, from_seq"
        rows = self._select(Gap._fields, "gaps", wanted, (GAP_OPEN, *causes))
        return map(Gap._make, rows)

    def highest_gap_id(self) -> int:
        """The highest id of a gap, 0 if there is no gap."""
        return id_of(next(self._rows("SELECT ifnull(max(id), 0) FROM gaps"))[0], self.path, "gaps.id")

    def sums_of_type(self, tick_type: str) -> dict[str, tuple[int, float]]:
        """Volume (shares) and turnover (HKD) of the ticks of one type, by symbol. Scans the day: that takes seconds."""
        sql = "SELECT symbol, sum(volume), sum(turnover) FROM ticks WHERE tick_type = ? GROUP BY symbol"
        return {symbol: (volume, turnover) for symbol, volume, turnover in self._rows(sql, (tick_type,), scans=True)}

    def gaps(self, symbols: Sequence[str] = (), *, only_open: bool = False) -> list[Gap]:
        """As `each_gap`, in a list: a bad day can have a million."""
        return list(self.each_gap(symbols, only_open=only_open))

    def each_gap(self, symbols: Sequence[str] = (), *, only_open: bool = False) -> Iterator[Gap]:
        """The gaps of the day for these symbols or all, oldest first. Memory and errors are as with `ticks`."""
        where, values = _of_symbols(symbols)
        if only_open:
            where, values = (f"{where} AND status = ?" if where else "WHERE status = ?"), (*values, GAP_OPEN)
        order = f"ORDER BY {odd_first('gaps', Gap._fields)}, opened_ms, symbol, from_seq"
        return map(Gap._make, self._select(Gap._fields, "gaps", f"{where} {order}", values))

    def reconciliation(self) -> list[Reconciled]:
        """The latest comparison with OpenD's totals, ordered by symbol; empty before the first one.

        The comparison after the close replaces the one of the lunch break.
        """
        if not self._db.table_exists("main", "reconciliation"):
            return []  # a file of schema 1
        latest = "WHERE session = (SELECT min(session) FROM reconciliation) ORDER BY symbol"  # "close" < "lunch"
        return list(map(Reconciled._make, self._select(Reconciled._fields, "reconciliation", latest)))

    def instruments(self, symbols: Sequence[str] = ()) -> list[Instrument]:
        """What OpenD said of these symbols, or of all, ordered by symbol; empty for a file of schema 1 to 3.

        Names are outside text: print them through `text.plain`.
        """
        if not self._db.table_exists("main", "instruments"):
            return []
        where, values = _of_symbols(symbols)
        rows = self._select(Instrument._fields, "instruments", f"{where} ORDER BY symbol", values)
        return [
            each._replace(suspended=None if each.suspended is None else bool(each.suspended))
            for each in starmap(Instrument, rows)
        ]

    def connections(self) -> list[Stretch]:
        """The times with and without a connection to OpenD, oldest first."""
        rows = self._select(Stretch._fields, "connections", "ORDER BY from_ms")
        return [stretch._replace(connected=bool(stretch.connected)) for stretch in map(Stretch._make, rows)]

    def ledger(self) -> list[Run]:
        """The ledger row of every run that wrote this file, oldest first."""
        return list(map(Run._make, self._select(Run._fields, "ledger", "ORDER BY started_ms")))

    def meta(self) -> dict[str, str]:
        """The content of the table `meta`: day, versions."""
        return dict(self._select(("key", "value"), "meta", "ORDER BY key"))

    def is_sealed(self) -> bool:
        """Whether the file is marked as sealed."""
        return "sealed_ms" in self.meta()

    def totals(self) -> Totals:
        """The totals of the day. Reads only counters."""
        sql = """SELECT count(*), ifnull(sum(rows), 0), min(first_ts_ms), max(last_ts_ms), ifnull(sum(volume), 0),
                        ifnull(sum(turnover), 0.0),
                        (SELECT count(*) FROM gaps WHERE status = 'open'),
                        (SELECT ifnull(sum(missing), 0) FROM gaps WHERE status = 'open')
                 FROM symbols"""
        found = Totals._make(next(self._rows(sql)))
        demand_figures(self.path, "symbols and gaps", found)
        turnover = min(max(found.turnover, -float_info.max), float_info.max)  # JSON has no infinity
        return found._replace(turnover=turnover)

    def miscounted(self) -> list[str]:
        """Symbols whose counter is not the number of their ticks. Scans the keys of all ticks."""
        return [symbol for symbol, _, _ in self._rows(MISCOUNTED, scans=True)]

    def has_values(self, column: str) -> bool:
        """Whether any tick has a value in this column of `ticks`. Reads all ticks if none has."""
        sql = f"SELECT EXISTS (SELECT 1 FROM ticks WHERE {column} IS NOT NULL)"  # noqa: S608 - one of our own names
        return bool(next(self._rows(sql, scans=True))[0])

    def integrity(self) -> str:
        """`ok`, or the faults that SQLite's integrity check finds. Reads the whole file."""
        return "; ".join(line for (line,) in self._rows(f"PRAGMA integrity_check({_INTEGRITY_LINES})", scans=True))

    def _ticks(self, rest: str, values: Sequence[str | int]) -> Iterator[Tick]:
        return starmap(Tick, self._select(self.tick_columns, "ticks", rest, values))

    def _select(
        self, columns: Sequence[str], table: str, rest: str, values: Sequence[str | int] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Rows whose values are checked against the schema. All arguments except `values` must be constants."""
        rows = self._rows(f"SELECT {', '.join(columns)} FROM {table} {rest}", values, scans=table in _LONG)  # noqa: S608
        return checked(rows, self.path, table, columns)


def _of_times(symbols: Sequence[str], times: Times) -> tuple[str, tuple[str | int, ...]]:
    where, values = _of_symbols(symbols)
    terms = [where.removeprefix("WHERE ")] if where else []
    bounds = [(term, ms) for term, ms in zip(("ts_ms >= ?", "ts_ms < ?"), times, strict=True) if ms is not None]
    terms += [term for term, _ in bounds]
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), (*values, *(ms for _, ms in bounds))


def _of_symbols(symbols: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    if not symbols:
        return "", ()
    return f"WHERE symbol IN ({', '.join('?' * len(symbols))})", tuple(symbols)

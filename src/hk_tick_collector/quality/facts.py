"""Reads one day into plain values: `DayFacts`. Counters answer at once; `scans=True` reads every tick.

It does not judge: verdict.py does. What is listed has a limit, so that a day with a million gaps needs no more memory
than another; what is counted has none.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.archive.proof import read_proof
from hk_tick_collector.errors import BusyFileError, CollectorError, DiskHangsError, PredecessorFileError
from hk_tick_collector.model import CLOSE, GAP_OPEN, MATCHING, UNEXPLAINED, Reconciled
from hk_tick_collector.store.quality_reading import BookReader, GapSpan, GapSum, QualityReader
from hk_tick_collector.store.query import Completeness, SymbolCount, demand_day
from hk_tick_collector.store.schema import META_DRIFT

from .outages import Away, find_outages, sessions
from .places import in_store, ticks_file
from .scan import Scan, Scanner, parquet_minutes, remote_minutes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hk_tick_collector.archive.proof import Proof
    from hk_tick_collector.store.quality_reading import MinuteStep
    from hk_tick_collector.store.query import Run

    from .places import DayLocation

_KEPT_SYMBOLS: Final = 2000  # incomplete symbols of a day that are listed, the worst; all are counted
_NAMED: Final = 3
_KEPT_SPANS: Final = 600
_KEPT_DIFFERENCES: Final = 50


class SymbolFacts(NamedTuple):
    """One symbol that has fewer ticks than its sequence shows."""

    symbol: str
    rows: int
    expected: int

    @property
    def missing(self) -> int:
        """The ticks that are missing."""
        return self.expected - self.rows

    @property
    def percent(self) -> float:
        """The stored share, 0 to 100, rounded down."""
        return max(0, self.rows) * 10**7 // self.expected / 10**5 if self.expected > 0 else 0.0

    @property
    def share(self) -> str:
        """The same as text with two digits: never 100 % while a tick is missing."""
        hundredths = max(0, self.rows) * 10**4 // self.expected if self.expected > 0 else 0
        return f"{hundredths // 100}.{hundredths % 100:02} %"


class Totals(NamedTuple):
    """Our totals compared with OpenD's: the latest comparison of the day."""

    session: str  # lunch, close
    at_ms: int
    symbols: int
    matching: int
    explained: dict[str, int]  # the word of the table → symbols
    volume: int  # shares, of the symbols for which OpenD gave totals
    official_volume: int
    turnover: float  # HKD
    official_turnover: float
    differing: tuple[Reconciled, ...]  # the worst first

    @property
    def unexplained(self) -> list[Reconciled]:
        """Those that differ for an unknown reason, the worst first."""
        return [row for row in self.differing if row.explained == UNEXPLAINED]


class Ledger(NamedTuple):
    """Where the ticks went that were received, over all runs of the day."""

    runs: int
    received: int
    stored: int
    duplicate: int
    rejected: int
    dropped: int
    waiting: int


_NOTHING: Final = Completeness(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class DayFacts:
    """One day. If it cannot be read, `problem` says why, and nothing else is known.

    Times are UTC epoch ms. `is_over`: its trading hours are over by this host's clock, or the day is sealed: the file
    is not expected to grow.
    """

    day: str  # 20261120
    path: str
    is_archived: bool
    is_over: bool
    problem: str = ""
    remedy: str = ""
    is_unsure: bool = False  # the problem is about access, not about the file
    is_sealed: bool = False
    schema: int = 0
    symbols: int = 0
    rows: int = 0
    first_ts_ms: int | None = None
    last_ts_ms: int | None = None
    volume: int = 0  # shares
    turnover: float = 0.0  # HKD
    completeness: Completeness = _NOTHING
    incomplete: tuple[SymbolFacts, ...] = ()  # the worst first
    incomplete_symbols: int = 0
    above: int = 0  # symbols with more ticks than their sequence shows
    above_first: str = ""  # the first of them by name
    without_rule: int = 0  # symbols whose sequence does not show what is missing
    without_rule_named: tuple[str, ...] = ()  # the first of them by name
    unproved: int = 0  # how many of them do not match OpenD's totals after the close either
    proof: Proof | None = None  # None if the file cannot be read
    gaps: tuple[GapSum, ...] = ()
    spans: tuple[GapSpan, ...] = ()
    away: Away | None = None
    totals: Totals | None = None
    ledger: Ledger | None = None
    scan: Scan | None = None
    drift_s: float | None = None  # our clock minus OpenD's: the worst of the day, or of now while it is collected

    @property
    def missing(self) -> int:
        """Ticks missing by the counters of the symbols."""
        return max(0, self.completeness.expected - self.completeness.counted)

    @property
    def open_gaps(self) -> int:
        """Gaps whose ticks are missing."""
        return sum(each.gaps for each in self.gaps if each.status == GAP_OPEN)

    @property
    def healed_gaps(self) -> int:
        """Gaps that were closed."""
        return sum(each.gaps for each in self.gaps if each.status != GAP_OPEN)

    @property
    def unknown_gaps(self) -> int:
        """Open gaps of unknown size."""
        return sum(each.unknown for each in self.gaps if each.status == GAP_OPEN)

    @property
    def gap_missing(self) -> int:
        """Ticks missing in open gaps, as far as their number is known."""
        return sum(each.missing for each in self.gaps if each.status == GAP_OPEN)


class Progress(NamedTuple):
    """How many ticks of a day were read so far."""

    day: str
    read: int
    rows: int


def read_day(
    place: DayLocation, now_ms: int, symbols: Sequence[str] = (), *, spans: bool = False, scans: bool = False
) -> Iterator[Progress | DayFacts]:
    """The facts of one day, for these symbols or all. A file that cannot be read is a fact, not an error.

    `spans` adds the gaps over time. `scans` adds the ticks by minute, and yields the progress while they are read. The
    last item is the DayFacts. Raises nothing but bugs.
    """
    is_over = now_ms >= sessions(place.day)[-1][1]
    try:
        with _opened(place) as reader, reader.snapshot():
            demand_day(reader.path, place.day, reader.meta())
            found = _facts(reader, place, now_ms, symbols, is_over=is_over)
            if spans:
                found["spans"] = tuple(reader.gap_spans(_KEPT_SPANS, symbols))
            if scans:
                scan = Scanner()
                for read, part in _parts(reader, place, symbols):
                    scan.add(part)
                    yield Progress(place.day, read, found["rows"])
                found["scan"] = scan.result()
    except CollectorError as error:
        yield unreadable(place, now_ms, error)
    else:
        yield DayFacts(**found)


def unreadable(place: DayLocation, now_ms: int, error: CollectorError) -> DayFacts:
    """The facts of a day that cannot be read."""
    return DayFacts(
        day=place.day,
        path=place.where,
        is_archived=place.is_archived,
        is_over=now_ms >= sessions(place.day)[-1][1],
        problem=str(error),
        remedy=error.hint,
        is_unsure=isinstance(error, BusyFileError | DiskHangsError | PredecessorFileError)
        or isinstance(error.__cause__, PermissionError),
    )


def _parts(reader: QualityReader, place: DayLocation, symbols: Sequence[str]) -> Iterator[tuple[int, list[MinuteStep]]]:
    if place.remote:
        return remote_minutes(in_store(place.remote, place.day)[0], place.day, symbols)
    return parquet_minutes(ticks_file(place.ticks), place.day, symbols) if place.ticks else reader.minutes(symbols)


@contextmanager
def _opened(place: DayLocation) -> Iterator[QualityReader]:
    path = in_store(place.remote, place.day)[1].local() if place.remote else place.path
    with BookReader(path) if place.is_archived else QualityReader(path) as reader:
        yield reader


def _facts(
    reader: QualityReader, place: DayLocation, now_ms: int, symbols: Sequence[str], *, is_over: bool
) -> dict[str, Any]:
    counts, meta, runs = reader.symbols(symbols), reader.meta(), reader.ledger()
    reconciled = [row for row in reader.reconciliation() if not symbols or row.symbol in symbols]
    proof = read_proof(reader, place.day, symbols)
    lacking = [_of(count) for count in counts if (count.expected or 0) > count.rows]
    lacking.sort(key=lambda each: (-each.missing, each.symbol))
    is_over = is_over or "sealed_ms" in meta  # whatever the clock of this host says
    until_ms = sessions(place.day)[-1][1] if is_over else now_ms
    return {
        "day": place.day,
        "path": place.where,
        "is_archived": place.is_archived,
        "is_over": is_over,
        "is_sealed": "sealed_ms" in meta,
        "schema": reader.schema_version(),
        "symbols": len(counts),
        "rows": sum(count.rows for count in counts),
        "first_ts_ms": min((count.first_ts_ms for count in counts), default=None),
        "last_ts_ms": max((count.last_ts_ms for count in counts), default=None),
        "volume": sum(count.volume for count in counts),
        "turnover": sum(count.turnover for count in counts),
        "completeness": _completeness(counts),
        "incomplete": tuple(lacking[:_KEPT_SYMBOLS]),
        "incomplete_symbols": len(lacking),
        "above": len(proof.above),
        "above_first": proof.above[0] if proof.above else "",
        "without_rule": len(proof.without_rule),
        "without_rule_named": proof.without_rule[:_NAMED],
        "unproved": len(set(proof.without_rule).difference(row.symbol for row in reconciled if _proves(row))),
        "proof": proof,
        "gaps": tuple(reader.gap_sums(symbols)),
        "away": find_outages(place.day, reader.connections(), runs, until_ms, has_ticks=bool(counts)),
        "totals": _totals(reconciled),
        "ledger": _ledger(runs),
        "drift_s": _drift_s(meta),
    }


def _proves(row: Reconciled) -> bool:
    """Whether OpenD's totals after the close prove that no tick of this symbol is missing."""
    return row.session == CLOSE and row.explained in MATCHING


def _of(count: SymbolCount) -> SymbolFacts:
    return SymbolFacts(count.symbol, count.rows, count.expected or 0)


def _completeness(counts: Sequence[SymbolCount]) -> Completeness:
    """As `DayReader.completeness`, for chosen symbols."""
    judged = [(count.rows, count.expected) for count in counts if count.expected is not None]
    return Completeness(
        symbols=len(judged),
        rows=sum(rows for rows, _ in judged),
        expected=sum(expected for _, expected in judged),
        without_pattern=len(counts) - len(judged),
        counted=sum(map(min, judged)),
    )


def _totals(rows: Sequence[Reconciled]) -> Totals | None:
    if not rows:
        return None
    differing = [row for row in rows if row.explained not in MATCHING]
    differing.sort(key=lambda row: (row.explained != UNEXPLAINED, -row.difference, row.symbol))
    official = [row for row in rows if row.official_volume is not None and row.official_turnover is not None]
    return Totals(
        session=rows[0].session,
        at_ms=max(row.at_ms for row in rows),
        symbols=len(rows),
        matching=len(rows) - len(differing),
        explained=dict(sorted(Counter(row.explained for row in rows).items())),
        volume=sum(row.volume for row in official),
        official_volume=sum(row.official_volume or 0 for row in official),
        turnover=sum(row.turnover for row in official),
        official_turnover=sum(row.official_turnover or 0.0 for row in official),
        differing=tuple(differing[:_KEPT_DIFFERENCES]),
    )


def _ledger(runs: Sequence[Run]) -> Ledger | None:
    if not runs:
        return None
    return Ledger(
        len(runs),
        *(sum(getattr(run, name) for run in runs) for name in Ledger._fields[1:]),
    )


def _drift_s(meta: Mapping[str, str]) -> float | None:
    """The worst clock difference to OpenD, if the collector recorded it."""
    try:
        found = float(meta.get(META_DRIFT, "nan"))
    except ValueError:
        return None
    return found if isfinite(found) else None


def date_of(day: str) -> str:
    """`2026-11-20` for `20261120`."""
    return market.day_date(market.parse_day(day)).isoformat()

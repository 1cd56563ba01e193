"""`Store`: the days of a DATA_ROOT and of an archive as one, for any symbols over any days, the live day included.

Archived days are read from Parquet, others from their day files, a day that is being written from one transaction. It
only reads. Errors of arguments are raised at once, those of files when a result is used; each says what to do.
"""

from __future__ import annotations

import warnings
from contextlib import closing
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError, UsageError
from hk_tick_collector.frames.extras import need

from . import days as day_sources
from . import gap_count, proof, tables
from .ranges import Times, read_day, read_days, read_times
from .requests import Request, read_symbols
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from datetime import date
    from pathlib import Path

    import pyarrow as pa

    from hk_tick_collector.archive.certificate import Certificate

    from .days import Archive, Source
    from .gap_count import Gaps
    from .ranges import Day, DayRange, Time
    from .requests import Symbols


class Store:
    """The ticks of one collector. `hk_tick_collector.open` makes it. Days and times are Hong Kong's.

    `verify`: the signature and the SHA-256 of an archived day are checked before its first use. It may be used from
    several threads, and holds no file open.
    """

    def __init__(self, data_root: Path | None, archive: Archive | None = None, *, verify: bool = False) -> None:
        self.data_root = data_root
        self.archive = archive
        self._verify = verify
        self._verified: set[str] = set()

    def __repr__(self) -> str:
        places = {"data_root": self.data_root, "archive": self.archive}
        return f"Store({', '.join(f'{name}={str(place)!r}' for name, place in places.items() if place)})"

    def days(self, since: Day | None = None, until: Day | None = None) -> list[date]:
        """The days that have data, oldest first, those of the archive and those of day files."""
        found = day_sources.find_numbers(self.data_root, self.archive, read_days(None, since, until))
        return [market.day_date(day) for day in found]

    def ticks(
        self,
        symbols: Symbols = None,
        since: Day | None = None,
        until: Day | None = None,
        *,
        day: Day | None = None,
        columns: Sequence[str] | None = None,
        from_time: Time | None = None,
        to_time: Time | None = None,
        gaps: Gaps = "warn",
    ) -> Result:
        """The ticks of some symbols, or of all, over some days, or over all.

        `symbols`: one like `"HK.00700"`, or several; `since` and `until`: the first and the last day, both included,
        as a `date`, `"2026-11-20"` or `"20261120"`; `day`: one day instead. `columns`: only these, in this order (fewer
        are read faster). `from_time` is included, `to_time` is not: `"09:30"` for the same time of each day in Hong
        Kong, or a `datetime` with a time zone for one moment. `gaps`: what to do if ticks of the range are known to be
        missing: `"warn"` (a `GapWarning` with their count), `"raise"` (GapsError) or `"ignore"`.

        Raises UsageError for an argument that means nothing, NoDayError if there is no day, StoreError.
        """
        need("pyarrow", "data")
        from hk_tick_collector.frames.columns import schema

        names = _columns(columns)
        request = self._request(symbols, read_days(day, since, until), read_times(from_time, to_time), gaps)
        return Result(schema(names), lambda: self._read(request, names), f"ticks of {request}", request.dates)

    def bars(
        self,
        symbols: Symbols = None,
        since: Day | None = None,
        until: Day | None = None,
        *,
        every: str | None = None,
        ticks: int | None = None,
        volume: int | None = None,
        turnover: float | None = None,
        prices: str = "forming",
        day: Day | None = None,
        from_time: Time | None = None,
        to_time: Time | None = None,
        gaps: Gaps = "warn",
    ) -> Result:
        """Bars of the same ticks: by time (`every="1m"`, the default), or of so many ticks, shares or HKD.

        `every` is like `"30s"`, `"5m"` or `"1d"` and divides a day. `prices`: `"forming"` takes open, high, low, close
        and vwap from automatic matches and auctions, `"all"` from every known type but late reports. Ticks of an
        unknown type count in volume alone: an UnknownTypeWarning says how many. The rules and the columns are in
        /docs/bars.md; the rest as with `ticks`.
        """
        need("pyarrow", "data")
        from hk_tick_collector.bars import TICK_COLUMNS, BarSpec, UnknownTypeWarning, bar_schema, bars

        if every is None and ticks is None and volume is None and turnover is None:
            every = "1m"
        spec = BarSpec(every=every, ticks=ticks, volume=volume, turnover=turnover, prices=prices)
        request = self._request(symbols, read_days(day, since, until), read_times(from_time, to_time), gaps)

        def read() -> Generator[pa.RecordBatch, None, None]:
            with closing(self._read(request, TICK_COLUMNS, dictionaries=True)) as batches:
                found = bars(batches, spec)
                yield from found
            if line := found.unknown_line():
                warnings.warn(line, UnknownTypeWarning, stacklevel=2)

        return Result(bar_schema(spec), read, f"bars of {request}", request.dates)

    def gaps(
        self,
        symbols: Symbols = None,
        since: Day | None = None,
        until: Day | None = None,
        *,
        day: Day | None = None,
        only_open: bool = False,
    ) -> Result:
        """The gaps: which ticks are missing or were backfilled, and why. One row is one contiguous gap.

        `missing` is the number of ticks that are still not stored, null where it is unknown; `to_seq` is null where the
        end is unknown. NoDayError also for an archived day whose book is missing.
        """
        names = read_symbols(symbols)
        return self._table(tables.gaps(names, only_open=only_open), names, read_days(day, since, until))

    def certificate(self, day: Day) -> Certificate:
        """The certificate of an archived day: `verdict`, `rows`, `figures` by name, `files` with their SHA-256, `text`.

        Its signature and its files are checked with `open(verify=True)` only, and by `hk-tick-collector certificate
        --check`. Raises UsageError without an archive, NoDayError if the day has none, ArchiveError, StoreError.
        """
        number = read_day(day, "day")
        found = proof.certificate(self.archive, number)
        if self._verify and self.archive:
            proof.demand_proved(self.archive, number)
        return found

    def instruments(
        self,
        symbols: Symbols = None,
        since: Day | None = None,
        until: Day | None = None,
        *,
        day: Day | None = None,
    ) -> Result:
        """What OpenD said about each symbol on each day: name, lot size, type, suspended, listing date, previous close.

        A day that was written before schema 3 of the day file has no rows.
        """
        names = read_symbols(symbols)
        return self._table(tables.instruments(names), names, read_days(day, since, until))

    def symbols(self, since: Day | None = None, until: Day | None = None, *, day: Day | None = None) -> list[str]:
        """The symbols that have ticks in the range, by name."""
        found: set[str] = set()
        for source in self._sources(read_days(day, since, until)):
            self._demand_verified(source)
            names = tables.read(source, tables.SYMBOLS, (), tables.names_schema())
            if names is not None:
                found.update(map(str, names.column(0).to_pylist()))
                continue
            with closing(source.ticks((), Times(), ("symbol",))) as batches:  # without a book, from the ticks
                for batch in batches:
                    found.update(map(str, batch.column(0).unique().to_pylist()))
        return sorted(found)

    def _request(self, symbols: Symbols, days: DayRange, times: Times, gaps: Gaps) -> Request:
        """Finds the days and symbols of a request. Warns of its gaps; the warning names the line of the user's code."""
        gap_count.demand_choice(gaps)
        names = read_symbols(symbols)
        sources = [source for source in self._sources(days) if times.touch(source.day)]
        if not sources:
            raise NoDayError("no day of the range has these times", hint="check from_time and to_time")
        if gaps != "ignore":
            self._demand_verified(*sources)
            gap_count.report(gap_count.count(sources, names, times), sources, days, gaps, stacklevel=3)
        return Request(names, tuple(sources), times)

    def _table(self, table: tables.Table, symbols: Sequence[str], days: DayRange) -> Result:
        request = Request(symbols, tuple(self._sources(days)), Times())

        def read() -> Generator[pa.RecordBatch, None, None]:
            for source in request.sources:
                self._demand_verified(source)
                yield from table.of_day(source, symbols)

        return Result(table.schema, read, f"{table.name} of {request}", request.dates)

    def _read(
        self, request: Request, columns: Sequence[str], *, dictionaries: bool = False
    ) -> Generator[pa.RecordBatch, None, None]:
        for source in request.sources:
            self._demand_verified(source)
            with closing(source.ticks(request.symbols, request.times, columns, dictionaries=dictionaries)) as batches:
                yield from batches

    def _sources(self, days: DayRange) -> list[Source]:
        found = day_sources.find(self.data_root, self.archive, days)
        if not found:
            raise day_sources.no_day(self.data_root, self.archive, days)
        return found

    def _demand_verified(self, *sources: Source) -> None:
        wanted = [each for each in sources if each.is_archived and str(each.path) not in self._verified]
        if self._verify and self.archive and wanted:
            proof.demand_proved(self.archive, *(source.day for source in wanted))
            self._verified.update(str(source.path) for source in wanted)


def _columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """The columns of a request for ticks; UsageError for a column that does not exist."""
    from hk_tick_collector.frames.columns import NAMES

    if columns is None:
        return NAMES
    hint = f"columns are {', '.join(NAMES)}"
    try:
        given = (columns,) if isinstance(columns, str) else tuple(columns)
    except TypeError:
        raise UsageError(f"columns={columns!r} is no list of names", hint=hint) from None
    if unknown := [name for name in given if name not in NAMES]:
        raise UsageError(f"there is no column {unknown[0]!r}", hint=hint)
    if not given or len(set(given)) < len(given):
        raise UsageError(f"columns={columns!r} names none, or one twice", hint=hint)
    return given

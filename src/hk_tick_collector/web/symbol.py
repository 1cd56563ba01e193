"""What the Symbol view reads of a day: what is new of watched symbols, and the list of symbols.

Enters: where a day is, and what is known of it. Leaves: plain values. Each function runs in another process,
and opens and closes the day. `symbol_watch.py` keeps what was read and decides what is read next.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import NoDayError
from hk_tick_collector.quality.outages import Outage, find_outages, sessions
from hk_tick_collector.quality.places import DayLocation
from hk_tick_collector.store.file_identity import Identity, identity
from hk_tick_collector.store.quality_reading import BookReader, GapSpan, QualityReader
from hk_tick_collector.store.query import demand_day, list_days, path_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hk_tick_collector.model import Instrument, Tick
    from hk_tick_collector.store.day_records import SymbolCount

TICKS: Final = 60  # the newest ticks that are shown
SPANS: Final = 300  # gaps that are drawn, the largest
MOST_NEW: Final = 20_000  # ticks of one look; reading the whole symbol is faster than more


class Wanted(NamedTuple):
    """What is known of a symbol, and so what is wanted."""

    after_seq: int | None  # the highest known sequence; None: the newest ticks alone
    rows: int  # how many ticks are known
    gaps: bool  # its gaps are wanted


class News(NamedTuple):
    """What is new of a symbol."""

    counters: SymbolCount
    ticks: list[Tick]  # those above the highest known sequence, at most MOST_NEW; or the newest TICKS
    gaps: list[GapSpan] | None  # None if they were not wanted
    instrument: Instrument | None


class Look(NamedTuple):
    """What was read of a day in one transaction."""

    identity: Identity | None  # of the file; None if a later change of it might not show
    inode: int
    news: dict[str, News]  # of symbols that have a tick
    away: list[Outage] | None  # None if it was not wanted


class SymbolRow(NamedTuple):
    """A symbol in the list of those that can be looked at."""

    symbol: str
    name: str  # outside text
    rows: int
    missing: int


def look(
    place: DayLocation, wanted: Mapping[str, Wanted], unchanged: Identity | None, until_ms: int | None
) -> Look | None:
    """Reads what is new. None if the file is still `unchanged`: it is not opened then.

    With `until_ms` (UTC epoch ms) also the time without OpenD up to then. Raises StoreError.
    """
    found = identity(place.path)
    if unchanged is not None and found == unchanged:
        return None
    is_settled = found is not None and found.is_settled(time.time_ns())
    with opened(place) as reader, reader.snapshot():
        news = {count.symbol: _news(reader, place, count, wanted[count.symbol]) for count in reader.symbols([*wanted])}
        away = None if until_ms is None else _away(reader, place.day, until_ms)
    return Look(found if is_settled else None, found.inode if found else 0, news, away)


def newest_place(data_root: Path) -> DayLocation:
    """Where the newest day file is: the day that is being collected, if any is. Raises NoDayError or a StoreError."""
    days = list_days(data_root)
    if not days:
        raise NoDayError(f"no day has been collected in {data_root} yet", hint="hk-tick-collector status")
    return DayLocation(days[-1], path_of(data_root, days[-1]), None)


def list_symbols(place: DayLocation) -> list[SymbolRow]:
    """The symbols of a day that have a tick, those with the most ticks first. Raises StoreError."""
    with opened(place) as reader, reader.snapshot():
        names = {each.symbol: each.name or "" for each in reader.instruments()}
        rows = [
            SymbolRow(count.symbol, names.get(count.symbol, ""), count.rows, max(0, (count.expected or 0) - count.rows))
            for count in reader.symbols()
        ]
    return sorted(rows, key=lambda row: (-row.rows, row.symbol))


def opened(place: DayLocation) -> QualityReader:
    """The day file, or the archived book. StoreError also if it is of another day."""
    reader = BookReader(place.path) if place.is_archived else QualityReader(place.path)
    try:
        demand_day(place.path, place.day, reader.meta())
    except BaseException:
        reader.close()
        raise
    return reader


def _news(reader: QualityReader, place: DayLocation, count: SymbolCount, wanted: Wanted) -> News:
    ticks: list[Tick] = []
    if place.is_archived:
        pass  # the book has no ticks: `symbol_load.load` reads them
    elif wanted.after_seq is None:
        ticks = reader.latest(TICKS, (count.symbol,))
    elif count.rows > wanted.rows:
        ticks = reader.ticks_after(count.symbol, wanted.after_seq, MOST_NEW)
    return News(
        count,
        ticks,
        reader.gap_spans(SPANS, (count.symbol,)) if wanted.gaps else None,
        next(iter(reader.instruments((count.symbol,))), None) if wanted.gaps else None,
    )


def _away(reader: QualityReader, day: str, until_ms: int) -> list[Outage]:
    until_ms = min(until_ms, sessions(day)[-1][1])
    found = find_outages(day, reader.connections(), reader.ledger(), until_ms, has_ticks=True)
    return list(found.listed) if found else []

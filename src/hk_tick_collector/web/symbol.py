"""One symbol of one day for the page: candles, newest ticks, gaps, completeness; and the symbols of a day.

Enters: where a day is. Leaves: plain values, as changes since what a viewer has already. A day that is being written is
read incrementally, once for all viewers: a look reads the counters of the symbols that somebody watches, and the ticks
above the highest known sequence. Counters that show a tick with a lower sequence make a whole symbol be read again, in
at most a twentieth of the time. A file that did not change is not opened.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import CollectorError, StoreError
from hk_tick_collector.quality.outages import Outage, find_outages, sessions
from hk_tick_collector.quality.places import ticks_file
from hk_tick_collector.store.quality_reading import BookReader, GapSpan, QualityReader

from .candles import COLUMNS, Candle, Candles
from .file_identity import Identity, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    import pyarrow as pa

    from hk_tick_collector.model import Instrument, Tick
    from hk_tick_collector.quality.places import Place
    from hk_tick_collector.store.day_records import SymbolCount

TICKS: Final = 60  # the newest ticks that are shown
SPANS: Final = 300  # gaps that are drawn, the largest

_FRESH_S: Final = 0.9  # a look is not repeated within this time
_WATCHED_S: Final = 10.0  # a symbol is watched for this long after a viewer asked for it
_MOST_WATCHED: Final = 32
_SELDOM_S: Final = 5.0  # gaps and outages are read again after this time, or when the number of missing ticks changes
_MOST_NEW: Final = 20_000  # ticks of one look; with more the symbol is read as a whole, which is faster
_RELOAD_SHARE: Final = 20  # of the time that one reading of a whole symbol took, until it may be read again


class Known(NamedTuple):
    """What a viewer has: a version of one watch. Another watch has another epoch, and its versions say nothing."""

    epoch: str
    version: int


NOTHING: Final = Known("", 0)


class Figures(NamedTuple):
    """The counters of a symbol."""

    rows: int
    expected: int | None  # None if its sequence does not show how many ticks were traded
    volume: int  # shares
    turnover: float  # HKD
    first_ts_ms: int  # UTC epoch ms
    last_ts_ms: int


class Part(NamedTuple):
    """What changed since the version that a viewer has. None where nothing changed."""

    day: str
    symbol: str
    known: Known
    is_whole: bool  # all that there is: the viewer forgets what it has
    candles: list[Candle]
    ticks: list[Tick]  # oldest first; at most TICKS
    figures: Figures | None
    instrument: Instrument | None
    gaps: list[GapSpan] | None
    away: list[Outage] | None
    late_rows: int  # ticks that are stored and not yet in the candles
    no_candles: str  # why there are no candles; empty if there are
    is_over: bool


class _Watched:
    """A symbol that somebody watches, and the version of each of its values."""

    def __init__(self, day: str, version: int, asked_s: float) -> None:
        self.since = version
        self.asked_s = asked_s
        self.candles = Candles(day)
        self.changed: dict[int, int] = {}  # time_s of a candle → version
        self.ticks: deque[tuple[int, Tick]] = deque(maxlen=TICKS)
        self.figures: Figures | None = None
        self.figures_version = 0
        self.instrument: Instrument | None = None
        self.gaps: list[GapSpan] = []
        self.gaps_version = 0
        self.gaps_read_s = -_SELDOM_S
        self.is_unread = True  # its ticks must be read as a whole
        self.late_rows = 0
        self.loaded_s = 0.0
        self.load_cost_s = 0.0
        self.no_candles = ""

    @property
    def needs_load(self) -> bool:
        """Whether the ticks should be read as a whole, as soon as that may be."""
        return not self.no_candles and (self.is_unread or self.late_rows > 0)

    def note(self, candles: Iterable[Candle], version: int) -> None:
        """Notes candles that changed."""
        self.changed.update(dict.fromkeys((candle.time_s for candle in candles), version))

    def note_ticks(self, ticks: Iterable[Tick], version: int) -> None:
        """Notes the newest ticks, each once."""
        known = {tick.seq for _, tick in self.ticks}
        self.ticks.extend((version, tick) for tick in ticks if tick.seq not in known)


class DayWatch:
    """Watches symbols of one day. One caller at a time; memory is that of the watched symbols' candles.

    While a symbol is read as a whole, memory is that of its ticks, as for `bars`.
    """

    def __init__(self, place: Place, epoch: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`epoch` is another one for each watch; `clock` gives seconds."""
        self.place = place
        self._epoch = epoch
        self._clock = clock
        self._version = 0
        self._symbols: dict[str, _Watched] = {}
        self._away: list[Outage] = []
        self._away_version = 0
        self._away_read_s = -_SELDOM_S
        self._looked_s = -_FRESH_S
        self._unchanged: Identity | None = None  # of the file as it was read, if a later change would show
        self._inode = 0

    def part(self, symbol: str, known: Known, now_ms: int) -> Part:
        """What changed of a symbol. `now_ms` is the time, UTC epoch ms. Raises StoreError if the day cannot be read."""
        now_s = self._clock()
        is_new = symbol not in self._symbols
        watched = self._symbols.setdefault(symbol, _Watched(self.place.day, self._version + 1, now_s))
        watched.asked_s = now_s
        if is_new or now_s - self._looked_s >= _FRESH_S:
            self._forget(now_s)
            try:
                self._look(now_s, now_ms)
            except CollectorError:
                if is_new:
                    del self._symbols[symbol]
                raise
        return self._part(symbol, known, now_ms)

    def _part(self, symbol: str, known: Known, now_ms: int) -> Part:
        watched = self._symbols[symbol]
        is_whole = known.epoch != self._epoch or known.version < watched.since
        after = 0 if is_whole else known.version
        candles = watched.candles.candles
        return Part(
            day=self.place.day,
            symbol=symbol,
            known=Known(self._epoch, self._version),
            is_whole=is_whole,
            candles=[candles[time_s] for time_s in sorted(candles) if watched.changed[time_s] > after],
            ticks=[tick for version, tick in watched.ticks if version > after],
            figures=watched.figures if watched.figures_version > after else None,
            instrument=watched.instrument if is_whole else None,
            gaps=watched.gaps if watched.gaps_version > after else None,
            away=self._away if self._away_version > after or is_whole else None,
            late_rows=watched.late_rows,
            no_candles=watched.no_candles,
            is_over=now_ms >= sessions(self.place.day)[-1][1],
        )

    def _forget(self, now_s: float) -> None:
        """Forgets symbols that nobody watches any more; of many, those that were asked for longest ago."""
        for symbol in [name for name, each in self._symbols.items() if now_s - each.asked_s > _WATCHED_S]:
            del self._symbols[symbol]
        while len(self._symbols) > _MOST_WATCHED:
            del self._symbols[min(self._symbols, key=lambda name: self._symbols[name].asked_s)]

    def _look(self, now_s: float, now_ms: int) -> None:
        found = identity(self.place.path)
        is_settled = found is not None and found.is_settled(time.time_ns())
        if (
            self._unchanged is not None
            and found == self._unchanged
            and not any(each.needs_load for each in self._symbols.values())
        ):
            self._looked_s = now_s
            return
        inode = found.inode if found else self._inode
        if self._inode and inode != self._inode:
            self._start_again()
        self._inode = inode
        version = self._version + 1
        with _opened(self.place) as reader, reader.snapshot():
            if now_s - self._away_read_s >= _SELDOM_S:
                self._read_away(reader, version, now_ms)
                self._away_read_s = now_s
            for count in reader.symbols(tuple(self._symbols)):
                self._advance(reader, self._symbols[count.symbol], count, version, now_s)
        # After the connection is closed: Arrow's driver has an SQLite of its own, and when that closes the file, the
        # kernel drops every lock that this process has on it.
        for symbol, watched in self._symbols.items():
            if watched.figures and watched.needs_load and self._may_load(watched):
                self._load(symbol, watched, version)
        self._version, self._looked_s = version, now_s
        self._unchanged = found if is_settled else None

    def _start_again(self) -> None:
        """Another file is at the path: what was read of the first one says nothing of it."""
        for symbol, before in self._symbols.items():
            self._symbols[symbol] = _Watched(self.place.day, self._version + 1, before.asked_s)
        self._away_read_s = -_SELDOM_S

    def _read_away(self, reader: QualityReader, version: int, now_ms: int) -> None:
        day = self.place.day
        until_ms = min(now_ms, sessions(day)[-1][1])
        found = find_outages(day, reader.connections(), reader.ledger(), until_ms, has_ticks=True)
        away = list(found.listed) if found else []
        if away != self._away:
            self._away, self._away_version = away, version

    def _advance(
        self, reader: QualityReader, watched: _Watched, count: SymbolCount, version: int, now_s: float
    ) -> None:
        """Reads what is new of one symbol."""
        symbol, before = count.symbol, watched.figures
        figures = Figures(count.rows, count.expected, count.volume, count.turnover, count.first_ts_ms, count.last_ts_ms)
        if figures != before:
            watched.figures, watched.figures_version = figures, version
        missing = (count.expected or 0) - count.rows
        if (
            before is None
            or missing != (before.expected or 0) - before.rows
            or now_s - watched.gaps_read_s >= _SELDOM_S
        ):
            gaps = reader.gap_spans(SPANS, (symbol,))
            watched.gaps_read_s = now_s
            if gaps != watched.gaps:
                watched.gaps, watched.gaps_version = gaps, version
        if before is None:
            watched.instrument = next(iter(reader.instruments((symbol,))), None)
        if count.rows < watched.candles.rows:  # rows are never deleted: it was loaded after this snapshot began
            return
        if watched.is_unread or watched.no_candles:
            if not self.place.is_archived:
                watched.note_ticks(reader.latest(TICKS, (symbol,)), version)
        elif count.rows > watched.candles.rows:
            new = reader.ticks_after(symbol, watched.candles.top_seq, _MOST_NEW)
            changed = watched.candles.add(new) if len(new) < _MOST_NEW else None
            watched.is_unread = changed is None
            watched.note(changed or (), version)
            watched.note_ticks(new, version)
            watched.late_rows = count.rows - watched.candles.rows

    def _may_load(self, watched: _Watched) -> bool:
        return self._clock() - watched.loaded_s >= _RELOAD_SHARE * watched.load_cost_s

    def _load(self, symbol: str, watched: _Watched, version: int) -> None:
        """Reads all ticks of a symbol. Without the extra `data` there are no candles, and the page says why."""
        begin_s = self._clock()
        try:
            with closing(_ticks(self.place, symbol)) as batches:
                watched.note(watched.candles.load(batches), version)
            watched.no_candles = ""
        except StoreError:
            raise
        except CollectorError as error:  # the extra is missing
            watched.no_candles = error.one_line()
        watched.loaded_s = self._clock()
        watched.load_cost_s = watched.loaded_s - begin_s
        watched.is_unread, watched.late_rows = False, 0


class SymbolRow(NamedTuple):
    """A symbol in the list of those that can be looked at."""

    symbol: str
    name: str  # outside text
    rows: int
    missing: int


def list_symbols(place: Place) -> list[SymbolRow]:
    """The symbols of a day that have a tick, those with the most ticks first. Raises StoreError."""
    with _opened(place) as reader, reader.snapshot():
        names = {each.symbol: each.name or "" for each in reader.instruments()}
        rows = [
            SymbolRow(count.symbol, names.get(count.symbol, ""), count.rows, max(0, (count.expected or 0) - count.rows))
            for count in reader.symbols()
        ]
    return sorted(rows, key=lambda row: (-row.rows, row.symbol))


def _opened(place: Place) -> QualityReader:
    return BookReader(place.path) if place.is_archived else QualityReader(place.path)


def _ticks(place: Place, symbol: str) -> Generator[pa.RecordBatch, None, None]:
    from hk_tick_collector.frames import day_file, parquet_file

    if place.ticks is None:
        yield from day_file.read_ticks(place.path, symbols=(symbol,), columns=COLUMNS)
    else:
        source = ticks_file(place.ticks)
        yield from parquet_file.read_ticks(source, symbols=(symbol,), columns=COLUMNS, dictionaries=True)

"""Keeps the symbols of one day that somebody looks at, and tells each viewer what changed since it was told last.

A day that is being written is read incrementally, once for all viewers: a look reads the counters of the watched
symbols and the ticks above the highest known sequence. Counters that show a tick with a lower sequence make the whole
symbol be read again, in at most a twentieth of the time. Reading is done in other processes: `Reads`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import CollectorError, StoreError
from hk_tick_collector.quality.outages import Outage, sessions

from .candles import Candle, Candles
from .symbol import MOST_NEW, TICKS, News, Wanted, look
from .symbol_load import Loaded, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.model import Instrument, Tick
    from hk_tick_collector.quality.places import DayLocation
    from hk_tick_collector.store.file_identity import Identity
    from hk_tick_collector.store.quality_reading import GapSpan

    from .worker import Reads

_FRESH_S: Final = 0.9  # a look is not repeated within this time
_WATCHED_S: Final = 10.0  # a symbol is watched for this long after a viewer asked for it
_MOST_WATCHED: Final = 32
_SELDOM_S: Final = 5.0  # gaps and outages are read again after this time, or when the number of missing ticks changes
_RELOAD_SHARE: Final = 20  # times as long as reading a whole symbol again took, until the next one is read again


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
    """What a viewer gets: candles and ticks that changed since the version that it has, and the rest as it is now."""

    day: str
    symbol: str
    known: Known
    is_whole: bool  # candles and ticks are all that there are: the viewer forgets what it has
    candles: list[Candle]
    ticks: list[Tick]  # oldest first; at most TICKS
    figures: Figures | None  # None: no tick is stored
    last_price: float | None  # HKD
    instrument: Instrument | None
    gaps: list[GapSpan]
    away: list[Outage]
    has_new_figures: bool
    has_new_spans: bool  # gaps or times without OpenD
    late_rows: int  # ticks that are stored and not yet in the candles
    no_candles: str  # why there are no candles; empty if there are
    is_archived: bool
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
        self.is_looked_at = False  # a look has asked for everything that is wanted of it
        self.is_unread = True  # its ticks must be read as a whole
        self.late_rows = 0
        self.loaded_s = 0.0
        self.load_cost_s = 0.0
        self.no_candles = ""

    @property
    def needs_load(self) -> bool:
        """Whether the ticks should be read as a whole, as soon as that may be."""
        return self.figures is not None and not self.no_candles and (self.is_unread or self.late_rows > 0)

    def wanted(self, now_s: float) -> Wanted:
        """What the next look should read."""
        after_seq = None if self.is_unread or self.no_candles else self.candles.top_seq
        return Wanted(after_seq, self.candles.rows, gaps=now_s - self.gaps_read_s >= _SELDOM_S)

    def take(self, news: News, version: int, now_s: float) -> None:
        """Notes what a look read."""
        count, before = news.counters, self.figures
        figures = Figures(count.rows, count.expected, count.volume, count.turnover, count.first_ts_ms, count.last_ts_ms)
        if figures != before:
            self.figures, self.figures_version = figures, version
        if news.gaps is not None:
            self.gaps_read_s, self.instrument = now_s, news.instrument
            if news.gaps != self.gaps or before is None:
                self.gaps, self.gaps_version = news.gaps, version
        elif before is None or _missing(before) != _missing(figures):  # a gap was opened or filled
            self.gaps_read_s, self.is_looked_at = -_SELDOM_S, False
        if self.is_unread or self.no_candles:
            self._note_ticks(news.ticks, version)
        elif count.rows > self.candles.rows:  # fewer if it was loaded after this look began
            changed = self.candles.add(news.ticks) if len(news.ticks) < MOST_NEW else None
            self.is_unread = changed is None
            self._note(changed or (), version)
            self._note_ticks(news.ticks, version)
            self.late_rows = count.rows - self.candles.rows

    def take_loaded(self, loaded: Loaded, version: int) -> None:
        """Notes the candles of the whole symbol, and the ticks of an archived day."""
        candles = loaded.candles
        self._note_ticks(loaded.ticks, version)
        self._note(candles.differing(self.candles), version)
        self.candles, self.is_unread, self.late_rows = candles, False, 0

    def _note(self, candles: Iterable[Candle], version: int) -> None:
        self.changed.update(dict.fromkeys((candle.time_s for candle in candles), version))

    def _note_ticks(self, ticks: Iterable[Tick], version: int) -> None:
        known = {tick.seq for _, tick in self.ticks}
        self.ticks.extend((version, tick) for tick in ticks if tick.seq not in known)


class DayWatch:
    """Watches symbols of one day. Memory is that of the watched symbols' candles."""

    def __init__(
        self, place: DayLocation, epoch: str, reads: Reads, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`epoch` is another one for each watch; `clock` gives seconds."""
        self.place = place
        self._epoch = epoch
        self._reads = reads
        self._clock = clock
        self._one_look = asyncio.Lock()
        self._version = 0
        self._symbols: dict[str, _Watched] = {}
        self._away: list[Outage] = []
        self._away_version = 0
        self._away_read_s = -_SELDOM_S
        self._looked_s = -_FRESH_S
        self._unchanged: Identity | None = None  # of the file as it was read, if a later change would show
        self._inode = 0
        self._reload_not_before_s = 0.0

    async def part(self, symbol: str, known: Known, now_ms: int) -> Part:
        """What changed of a symbol. `now_ms` is the time, UTC epoch ms. Raises StoreError if the day cannot be read."""
        async with self._one_look:
            now_s = self._clock()
            is_new = symbol not in self._symbols  # one that was watched may have been forgotten while this waited
            watched = self._symbols.setdefault(symbol, _Watched(self.place.day, self._version + 1, now_s))
            watched.asked_s = now_s
            self._forget(now_s)
            if is_new or now_s - self._looked_s >= _FRESH_S:
                try:
                    await self._look(now_s, now_ms)
                except CollectorError:
                    if is_new:
                        self._symbols.pop(symbol, None)
                    raise
            return self._part(symbol, known, now_ms)

    def _part(self, symbol: str, known: Known, now_ms: int) -> Part:
        watched = self._symbols[symbol]
        is_whole = known.epoch != self._epoch or known.version < watched.since
        after = 0 if is_whole else known.version
        candles = watched.candles.by_time
        return Part(
            day=self.place.day,
            symbol=symbol,
            known=Known(self._epoch, self._version),
            is_whole=is_whole,
            candles=[candles[time_s] for time_s in sorted(candles) if watched.changed[time_s] > after],
            ticks=[tick for version, tick in watched.ticks if version > after],
            figures=watched.figures,
            last_price=watched.candles.last_price,
            instrument=watched.instrument,
            gaps=watched.gaps,
            away=self._away,
            has_new_figures=is_whole or watched.figures_version > after,
            has_new_spans=is_whole or max(watched.gaps_version, self._away_version) > after,
            late_rows=watched.late_rows,
            no_candles=watched.no_candles,
            is_archived=self.place.is_archived,
            is_over=now_ms >= sessions(self.place.day)[-1][1],
        )

    def _forget(self, now_s: float) -> None:
        """Forgets symbols that nobody watches any more; of many, those that were asked for longest ago."""
        for symbol in [name for name, each in self._symbols.items() if now_s - each.asked_s > _WATCHED_S]:
            del self._symbols[symbol]
        while len(self._symbols) > _MOST_WATCHED:
            del self._symbols[min(self._symbols, key=lambda name: self._symbols[name].asked_s)]

    async def _look(self, now_s: float, now_ms: int) -> None:
        is_due = any(each.needs_load or not each.is_looked_at for each in self._symbols.values())
        wanted = {symbol: watched.wanted(now_s) for symbol, watched in self._symbols.items()}
        until_ms = now_ms if now_s - self._away_read_s >= _SELDOM_S else None
        unchanged = None if is_due else self._unchanged
        found = await self._reads.read(partial(look, self.place, wanted, unchanged, until_ms), self.place.path)
        self._looked_s = now_s
        if found is None:
            return
        if self._inode and found.inode != self._inode:
            self._start_again(found.inode)
            await self._look(now_s, now_ms)
            return
        self._inode = found.inode
        version = self._version + 1
        for symbol, watched in self._symbols.items():
            watched.is_looked_at = True
            if news := found.news.get(symbol):
                watched.take(news, version, now_s)
        if found.away is not None:
            self._away_read_s = now_s
            if found.away != self._away:
                self._away, self._away_version = found.away, version
        # The one that was read longest ago first: all of them together have this share of the time.
        for symbol, watched in sorted(self._symbols.items(), key=lambda each: each[1].loaded_s):
            is_first = watched.loaded_s == 0.0
            if watched.needs_load and (is_first or self._clock() >= self._reload_not_before_s):
                await self._load(symbol, watched, version)
                if not is_first:
                    self._reload_not_before_s = watched.loaded_s + _RELOAD_SHARE * watched.load_cost_s
        self._version = version
        self._unchanged = found.identity

    async def _load(self, symbol: str, watched: _Watched, version: int) -> None:
        """Reads all ticks of a symbol. Without the extra `data` there are no candles, and the page says why."""
        begin_s = self._clock()
        try:
            watched.take_loaded(await self._reads.read(partial(load, self.place, symbol), self.place.path), version)
        except StoreError:
            raise
        except CollectorError as error:  # the extra is missing
            watched.no_candles = error.one_line()
        watched.loaded_s = self._clock()
        watched.load_cost_s = watched.loaded_s - begin_s

    def _start_again(self, inode: int) -> None:
        """Another file is at the path: what was read of the first one says nothing of it."""
        for symbol, before in self._symbols.items():
            self._symbols[symbol] = _Watched(self.place.day, self._version + 1, before.asked_s)
        self._away_read_s, self._inode, self._unchanged = -_SELDOM_S, inode, None


def _missing(figures: Figures) -> int:
    return (figures.expected or 0) - figures.rows

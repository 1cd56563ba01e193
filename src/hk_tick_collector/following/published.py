"""Ticks of NATS servers, day by day: the union of all sources, each tick once, gaps by the counter of sequences.

A server has what was published, and no table of gaps. So the counter in the sequences of a symbol shows which ticks are
missing. A symbol whose sequences have no such counter is remembered tick by tick, and has no gaps.
"""

from __future__ import annotations

import math
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import MessageError
from hk_tick_collector.jetstream.anchor import Anchor
from hk_tick_collector.jetstream.message import decode
from hk_tick_collector.jetstream.subjects import day_and_source
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, SEQ_NEAR_S, Gap, Tick, seq_of
from hk_tick_collector.store.live_reading import LOWEST_SEQ

from .bound import Bound
from .delivered import COUNTER, NOTHING, Delivered
from .feed import Feed
from .found import Found, in_time_order, seqs_by_symbol
from .local_days import StreamWarning
from .position import DayPosition, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hk_tick_collector.jetstream.connect import Servers
    from hk_tick_collector.jetstream.message import TickMessage
    from hk_tick_collector.jetstream.reading import StreamMessage

_BEGIN_S: Final = 8.0  # for a server to answer, and for the place at which the stream begins
_ACTIVE_S: Final = 1.0
_AWAY_S: Final = 5.0  # without a server before a warning: by then another server has taken over
_QUIET_S: Final = 5.0  # at the end of the stream: nothing more comes of a day that is over
_DAYS: Final = 8
_UNFINISHED_S: Final = 3600.0  # after a message of a day more of it may come, whatever its date
CAUSE: Final = "not_published"


class _Space(NamedTuple):
    """Ticks that are missing below a delivered one, by the counter."""

    from_seq: int | None  # None: from the day's begin on
    to_seq: int
    missing: int

    def gap(self, symbol: str, *, status: str, at_ms: int) -> Gap:
        """The same as a row of `gaps`; its times are the seconds of the ticks around it."""
        from_ms = None if self.from_seq is None else (self.from_seq >> 32) * 1000
        missing, closed_ms = (self.missing, None) if status == GAP_OPEN else (0, at_ms)
        to_ms = (self.to_seq >> 32) * 1000
        found = (symbol, self.from_seq, self.to_seq, from_ms, to_ms, missing, CAUSE, status, at_ms, closed_ms)
        return Gap(*found, self.to_seq)


class PublishedDay:
    """One day of the stream: what was delivered, and which gaps were told."""

    def __init__(self, number: int, bound: Bound, known: DayPosition | None = None) -> None:
        self.bound = bound
        self.heard_s = -math.inf  # when a message of it came (monotonic)
        self.delivered: dict[str, Delivered] = dict(known.delivered) if known else {}
        # Symbols whose sequences do not follow the counter. A position does not name them, but has their sequences.
        self._odd = {symbol for symbol, each in self.delivered.items() if not _are_of_day(number, each)}
        # Whether the day's begin belongs to the stream.
        self._is_whole = bound.is_open and not bound.only_new and not (known is not None and known.is_partial)
        self._told = {symbol: self._spaces(symbol, each) for symbol, each in self.delivered.items()}
        self._telling: dict[str, dict[int, _Space]] = {}

    @property
    def position(self) -> DayPosition:
        """What was delivered, as a value that later changes do not touch."""
        return DayPosition(dict(self.delivered), {}, is_partial=not self._is_whole and self.bound.is_open)

    def find(self, rows: Iterable[Tick]) -> Found | None:
        """Those of the ticks that were not delivered yet; `deliver` makes them known."""
        by_symbol: dict[str, dict[int, Tick]] = {}
        for tick in rows:
            if abs((tick.seq >> 32) - tick.ts_ms // 1000) > SEQ_NEAR_S:
                self._odd.add(tick.symbol)
            if tick.seq not in self.delivered.get(tick.symbol, NOTHING):
                by_symbol.setdefault(tick.symbol, {}).setdefault(tick.seq, tick)
        if not by_symbol:
            return None
        new, late, gaps = [], [], []
        for symbol, ticks in by_symbol.items():
            known = self.delivered.get(symbol, NOTHING)
            ordered = sorted(ticks.values(), key=seq_of)
            new.append([tick for tick in ordered if tick.seq > known.highest])
            late.append([tick for tick in ordered if tick.seq <= known.highest])
            gaps += self._changed_gaps(symbol, self._with(symbol, list(map(seq_of, ordered))))
        return Found(
            in_time_order(new), in_time_order(late), tuple(gap for gap in gaps if not self.bound.excludes(gap))
        )

    def deliver(self, ticks: Iterable[Tick], late: Iterable[Tick], gaps: bool = False) -> None:
        """Takes note that these ticks of what was found are delivered, and with `gaps` its gaps."""
        for symbol, seqs in seqs_by_symbol((*ticks, *late)).items():
            self.delivered[symbol] = self._with(symbol, seqs)
        if gaps:
            self._told.update(self._telling)
            self._telling = {}

    def _with(self, symbol: str, seqs: list[int]) -> Delivered:
        return self.delivered.get(symbol, NOTHING).with_any(seqs, exact=symbol in self._odd)

    def _changed_gaps(self, symbol: str, after: Delivered) -> list[Gap]:
        before, now = self._told.get(symbol, {}), self._spaces(symbol, after)
        self._telling[symbol] = now
        at_ms = now_ms()
        closed = [each.gap(symbol, status=GAP_HEALED, at_ms=at_ms) for to, each in before.items() if to not in now]
        opened = [each.gap(symbol, status=GAP_OPEN, at_ms=at_ms) for to, each in now.items() if before.get(to) != each]
        return closed + opened

    def _spaces(self, symbol: str, delivered: Delivered) -> dict[int, _Space]:
        """What is missing by the counter, by the highest missing sequence."""
        if symbol in self._odd:
            return {}
        found = {}
        for above, through in delivered.spaces():
            is_first = above == LOWEST_SEQ
            missing = ((through + 1) & COUNTER) - (0 if is_first else above & COUNTER) - 1
            if missing > 0 and (self._is_whole or not is_first):
                found[through] = _Space(None if is_first else above + 1, through, missing)
        return found


class PublishedTicks:
    """The days of a stream, as they are published. `only`: of this day alone; it ends once the day is over."""

    def __init__(self, servers: Servers, position: Position, *, only: int | None) -> None:
        self.symbols = position.symbols
        self._bound = position.bound
        self._at = position.at
        self._only = only
        self._days = {
            number: PublishedDay(number, position.bound.on(number), day) for number, day in position.days.items()
        }
        self._wanted = frozenset(position.symbols)
        bound = position.bound
        self._feed = Feed(servers, bound.day, position.at, only_new=bound.only_new, last_day=only)
        weakref.finalize(self, self._feed.end)  # a stream that nobody closed
        self._active_s = 0.0
        self._told_away_s: float | None = None
        self._told_ahead: set[str] = set()  # sources of which days were left out that have not begun
        self.is_finished = False

    @property
    def is_active(self) -> bool:
        """Whether a message came within the last second."""
        return time.monotonic() - self._active_s < _ACTIVE_S

    @property
    def position(self) -> Position:
        """What was delivered."""
        days = {number: day.position for number, day in self._days.items()}
        return Position(self.symbols, self._bound._replace(only_new=False), days, self._at)

    def begin(self) -> None:
        """Connects, and finds where the stream begins. StreamError if that cannot be."""
        self._feed.start(_BEGIN_S)
        self._at = self._at or self._feed.begun_at
        if self._bound.only_new:  # ticks of these days from before the start are not missing
            today = max(self._bound.day, market.day_number(now_ms()))
            for number in range(self._bound.day, today + 1):
                self._days.setdefault(number, PublishedDay(number, self._bound.on(number)))
            self._bound = self._bound._replace(only_new=False)

    def looks(self) -> Iterator[tuple[PublishedDay, int, Found] | None]:
        """What is found, to be delivered at once; None if there is nothing new now."""
        while not self.is_finished:
            messages = self._feed.take()
            if not messages:
                self.is_finished = self._is_over()
                if not self.is_finished:
                    self._tell_absence()
                    yield None
                continue
            self._active_s = time.monotonic()
            for number, rows in self._rows(messages).items():
                day = self._days.get(number) or PublishedDay(number, self._bound.on(number))
                day.heard_s = self._active_s
                if number not in self._days:
                    self._days[number] = day
                    self._forget_days()
                if found := day.find(rows):
                    yield day, number, found
            last = messages[-1]
            self._at = Anchor(last.seq, last.message_id)

    def close(self) -> None:
        """Ends the connection."""
        self._feed.close()

    def _rows(self, messages: list[StreamMessage]) -> dict[int, list[Tick]]:
        found: dict[int, list[Tick]] = {}
        tomorrow = market.day_number(now_ms()) + 1
        for message in messages:
            try:
                name, source = day_and_source(message.subject)
                number = market.parse_day(name)
                if number < self._bound.day or (self._only is not None and number != self._only):
                    continue
                if number > tomorrow:  # a wrong date, or the clock of this host is behind
                    self._tell_ahead(source, name)
                    continue
                ticks = decode(message.data)
                _demand_same(ticks, name, source)
            except MessageError as error:
                words = f"message {message.seq} of {message.subject} is left out: {error}"
                warnings.warn(words, StreamWarning, stacklevel=2)
                continue
            rows = map(Tick._make, ticks.rows)
            found.setdefault(number, []).extend(row for row in rows if not self._wanted or row.symbol in self._wanted)
        return dict(sorted(found.items()))

    def _forget_days(self) -> None:
        """Removes all but the last days from the position: the servers keep no more than a week.

        It keeps a day of which messages still come: a publisher with a longer backlog sends all its days in turn.
        """
        for number in sorted(self._days)[:-_DAYS]:
            if time.monotonic() - self._days[number].heard_s < _UNFINISHED_S:
                break
            del self._days[number]
            self._bound = Bound(number + 1)

    def _tell_ahead(self, source: str, day: str) -> None:
        """A warning that days of a source have not begun, once for each source."""
        if source not in self._told_ahead:
            self._told_ahead.add(source)
            words = f"messages of {source} of days that have not begun are left out, first those of {day}"
            warnings.warn(
                f"{words}; check the dates of its ticks, and the clock of this host", StreamWarning, stacklevel=2
            )

    def _tell_absence(self) -> None:
        """A warning if there has been no server for a while, once each time."""
        since_s = self._feed.away_since_s
        if since_s is None:
            self._told_away_s = None
        elif since_s != self._told_away_s and time.monotonic() - since_s >= _AWAY_S:
            self._told_away_s = since_s
            warnings.warn(f"{self._feed.away}; the stream goes on when it is back", StreamWarning, stacklevel=2)

    def _is_over(self) -> bool:
        if self._only is None or self._feed.quiet_s < _QUIET_S:
            return False
        return now_ms() >= market.sealing_ms(self._only)


def _demand_same(ticks: TickMessage, day: str, source: str) -> None:
    """Raises MessageError if the content names another source or day than the subject, which the server checks."""
    if (ticks.day, ticks.source) != (day, source):
        raise MessageError(f"it says that it is of {ticks.source} and {ticks.day}")


def _are_of_day(number: int, delivered: Delivered) -> bool:
    """Whether these sequences are seconds of the day and counters."""
    start_s = market.day_start_ms(number) // 1000
    end_s = start_s + market.DAY_MS // 1000
    return all(start_s - SEQ_NEAR_S <= seq >> 32 <= end_s + SEQ_NEAR_S for seq in (*delivered.firsts, *delivered.lasts))

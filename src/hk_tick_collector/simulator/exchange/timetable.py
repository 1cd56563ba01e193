"""The phases of a trading day: the market state that OpenD reports, the type of trading, and the activity.

HKEX's securities market: opening auction from 09:00 with its matching at 09:20 to 09:22, morning 09:30 to 12:00,
afternoon 13:00 to 16:00, closing auction to a random moment between 16:08 and 16:10. A half day ends with a closing
auction after 12:00. Pure; times are UTC epoch ms.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from hk_tick_collector import market

_MINUTE_MS: Final = 60_000
_HALF_DAYS: Final = frozenset({(12, 24), (12, 31)})  # the eve of the lunar new year, also a half day, is left out
_AUCTION, _WAITING, _MORNING, _REST, _AFTERNOON, _CLOSED, _CLOSING = 1, 2, 3, 4, 5, 6, 19  # QotMarketState


class Trading(Enum):
    """The type of trading of a phase."""

    NONE = auto()
    CONTINUOUS = auto()
    MATCHING = auto()  # an auction's trades, all at one price
    REPORTED = auto()  # off-exchange trades, reported to the exchange


@dataclass(frozen=True, slots=True)
class Phase:
    """A period of a day with one market state and one type of trading."""

    start_ms: int
    end_ms: int
    state: int  # QotMarketState
    trading: Trading
    opening: float = 0.0  # activity at its start; 1 is the mean of the continuous sessions
    middle: float = 0.0
    ending: float = 0.0

    def activity(self, ts_ms: int) -> float:
        """The activity at a moment of this phase; 1 is the mean of the continuous sessions.

        Activity falls from the open to a minimum at two thirds and rises to the close: a U over a whole day, or one
        half of it.
        """
        share = (ts_ms - self.start_ms) / (self.end_ms - self.start_ms)
        trough = 2 / 3
        if share < trough:
            return self.middle + (self.opening - self.middle) * (1 - share / trough) ** 2
        return self.middle + (self.ending - self.middle) * ((share - trough) / (1 - trough)) ** 2


class Timetable:
    """The phases of one day, in order and without gaps from midnight to midnight."""

    def __init__(self, phases: list[Phase]) -> None:
        self.phases = phases
        self._starts = [phase.start_ms for phase in phases]

    def at(self, ts_ms: int) -> Phase:
        """The phase of a moment of this day."""
        return self.phases[max(0, bisect_right(self._starts, ts_ms) - 1)]


class Calendar:
    """Which days trade, and when. Every weekday trades, and the day on which the simulation starts.

    With `always_open` every day is one session without end. As in OpenD's calendar, there are no unscheduled closures.
    """

    def __init__(self, first_day: int, seed: int, *, always_open: bool = False) -> None:
        self._first_day = first_day
        self._seed = seed
        self._always_open = always_open
        self._days: dict[int, Timetable] = {}

    def is_trading(self, day: int) -> bool:
        """Whether the exchange opens on this day."""
        return self._always_open or day == self._first_day or market.is_weekday(day)

    def is_half(self, day: int) -> bool:
        """Whether it opens only in the morning."""
        return not self._always_open and is_half_day(day)

    def day(self, day: int) -> Timetable:
        """The timetable of a day."""
        if (timetable := self._days.get(day)) is None:
            if self._always_open:
                timetable = endless_day(day)
            else:
                timetable = trading_day(day, self._seed) if self.is_trading(day) else idle_day(day)
            self._days = {day: timetable}
        return timetable

    def state(self, ts_ms: int) -> int:
        """The QotMarketState of a moment."""
        return self.day(market.day_number(ts_ms)).at(ts_ms).state


def trading_day(day: int, seed: int) -> Timetable:
    """The timetable of a trading day; `seed` decides the random end of its closing auction."""
    midnight = market.day_start_ms(day)
    close = random.Random(f"{seed}/{day}/close").randrange(8 * _MINUTE_MS, 10 * _MINUTE_MS)
    half = is_half_day(day)
    last = (12 if half else 16) * 60

    def at(minute: float, ms: int = 0) -> int:
        return midnight + int(minute * _MINUTE_MS) + ms

    phases = [
        Phase(at(0), at(540), _CLOSED, Trading.NONE),
        Phase(at(540), at(560), _AUCTION, Trading.REPORTED, 0.06, 0.03, 0.03),
        Phase(at(560), at(562), _AUCTION, Trading.MATCHING, 1.2, 0.6, 0.3),
        Phase(at(562), at(570), _WAITING, Trading.NONE),
        Phase(at(570), at(720), _MORNING, Trading.CONTINUOUS, 2.7, 0.65, 0.7),
    ]
    if not half:
        phases += [
            Phase(at(720), at(780), _REST, Trading.NONE),
            Phase(at(780), at(960), _AFTERNOON, Trading.CONTINUOUS, 0.95, 0.62, 2.55),
        ]
    match = close - 10_000  # the orders match at the end, all at one price
    return Timetable(
        [
            *phases,
            Phase(at(last), at(last, match), _CLOSING, Trading.REPORTED, 0.05, 0.05, 0.05),
            Phase(at(last, match), at(last, close), _CLOSING, Trading.MATCHING, 6.0, 6.0, 6.0),
            Phase(at(last, close), at(1440), _CLOSED, Trading.NONE),
        ]
    )


def idle_day(day: int) -> Timetable:
    """A day without trading."""
    midnight = market.day_start_ms(day)
    return Timetable([Phase(midnight, midnight + market.DAY_MS, _CLOSED, Trading.NONE)])


def endless_day(day: int) -> Timetable:
    """A day on which trading never stops, for tests and demonstrations at any hour."""
    midnight = market.day_start_ms(day)
    noon, end = midnight + market.DAY_MS // 2, midnight + market.DAY_MS
    return Timetable(
        [
            Phase(midnight, noon, _MORNING, Trading.CONTINUOUS, 1.0, 1.0, 1.0),
            Phase(noon, end, _AFTERNOON, Trading.CONTINUOUS, 1.0, 1.0, 1.0),
        ]
    )


def is_half_day(day: int) -> bool:
    """Whether the exchange closes at noon."""
    date = market.day_date(day)
    return (date.month, date.day) in _HALF_DAYS

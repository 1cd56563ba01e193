"""The synthetic market: the ticks of each slot of time. Pure: the same seed and the same slots give the same ticks.

Input: securities, a calendar, a seed, a rate. Output: ticks in the order of time.

Prices are a random walk on the spread table, between 90 % and 110 % of the last close. A buyer takes the ask, one level
above the bid, a seller takes the bid, and sometimes the quote follows. Sizes are whole board lots with a heavy tail; a
few trades are odd lots or reported off-exchange. In an auction all trades of a security have one price.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError
from hk_tick_collector.market import DAY_MS, HKT_OFFSET_MS, day_number

from .made import (
    AUCTION,
    AUTO_MATCH,
    BUY,
    INTER_AUTO_MATCH,
    INTER_NON_AUTO_MATCH,
    LATE,
    NEUTRAL,
    NON_AUTO_MATCH,
    ODD_LOT,
    SELL,
)
from .prices import LADDER, LADDER_MILS, level_of
from .sequences import Sequences
from .timetable import Trading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .listing import Security
    from .made import MadeRow
    from .timetable import Calendar


def _trades() -> list[tuple[int, int, int, int]]:
    """65,536 equally likely trades: (direction, levels above the bid, how far the quote follows, type)."""
    up = [(BUY, 1, 1)] * 14 + [(BUY, 1, 0)] * 108
    down = [(SELL, 0, -1)] * 14 + [(SELL, 0, 0)] * 108
    moves = up + down + [(NEUTRAL, 0, 0)] * 6 + [(NEUTRAL, 1, 0)] * 6
    kinds = [ODD_LOT] * 4 + [INTER_AUTO_MATCH] * 3 + [NON_AUTO_MATCH, INTER_NON_AUTO_MATCH] + [AUTO_MATCH] * 247
    return [(*move, kind) for kind in kinds for move in moves]


def _sizes() -> list[int]:
    """4,096 equally likely sizes in board lots: 80 % are one lot, 0.1 % a few hundred."""
    return [max(1, min(2000, int(0.5 * (4096 / (rank + 0.5)) ** 0.9))) for rank in range(4096)]


_TRADES: Final = _trades()
_SIZES: Final = _sizes()
_CARDS: Final = 1 << 16
_SWING: Final = 0.1  # the furthest price from the last close
_REPORTED_LOTS: Final = 20  # trades agreed off the order book are larger


class SyntheticMarket:
    """Makes the ticks of a listing.

    `ticks_per_ms` is the mean over the continuous sessions, in exchange time. Each trade makes `fills` ticks of one
    security at one moment, like an order that matches several others.
    """

    def __init__(
        self,
        securities: Sequence[Security],
        calendar: Calendar,
        *,
        seed: int,
        ticks_per_ms: float,
        fills: int = 1,
        sequences: Sequences | None = None,
    ) -> None:
        self._calendar = calendar
        self._rng = random.Random(f"{seed}/trades")
        self._trades_per_ms = ticks_per_ms / fills
        self._fills = fills
        self._lots = [security.lot for security in securities]
        self._deck = _deck(securities)
        self._bids = [level_of(security.last_close) for security in securities]
        self._lowest = [level_of(security.last_close * (1 - _SWING)) for security in securities]
        self._highest = [min(level_of(security.last_close * (1 + _SWING)), len(LADDER) - 2) for security in securities]
        self._sequences = sequences or Sequences([security.symbol for security in securities], {}, seed)
        self._counters = [0] * len(securities)
        self._day = -1
        self._other_days: dict[int, list[int]] = {}  # the counters of past and later days

    def slot(self, start_ms: int, end_ms: int) -> list[MadeRow]:
        """The ticks from `start_ms` to before `end_ms`; slots are requested in order."""
        ticks: list[MadeRow] = []
        while start_ms < end_ms:
            day = day_number(start_ms)
            self._begin(day)
            phase = self._calendar.day(day).at(start_ms)
            until_ms = min(end_ms, phase.end_ms)
            if phase.trading is not Trading.NONE:
                expected = self._trades_per_ms * phase.activity(start_ms) * (until_ms - start_ms)
                self._trade(phase.trading, start_ms, until_ms, _poisson(self._rng, expected), ticks)
            start_ms = until_ms
        self._sequences.number(ticks)
        return ticks

    def burst(self, ticks: int, ts_ms: int) -> list[MadeRow]:
        """This many ticks of one moment, which must not be before ticks already made."""
        self._begin(day_number(ts_ms))
        rows: list[MadeRow] = []
        self._trade(Trading.CONTINUOUS, ts_ms, ts_ms + 1, -(-ticks // self._fills), rows)
        self._sequences.number(rows)
        self.take_back(rows[ticks:])
        return rows[:ticks]

    def take_back(self, ticks: Sequence[MadeRow]) -> None:
        """Takes back the last ticks of today: their counters are free again."""
        for tick in ticks:
            self._counters[tick[0]] -= 1
        self._sequences.take_back(ticks)

    def single(self, security: int, ts_ms: int) -> MadeRow:
        """A tick of one board lot at the bid, of any day; its counter is the next one of that day."""
        counters = self._counters_of(day_number(ts_ms))
        counters[security] += 1
        level, volume = self._bids[security], self._lots[security]
        seq = (ts_ms // 1000) << 32 | counters[security]
        turnover = LADDER_MILS[level] * volume / 1000
        made: list[MadeRow] = [(security, seq, ts_ms, LADDER[level], volume, turnover, SELL, AUTO_MATCH)]
        self._sequences.number(made)
        return made[0]

    def outlier(self, security: int, made_ms: int, ts_ms: int) -> MadeRow:
        """A tick with a sequence of the moment at which it is made, and with another time.

        Raises CollectorError if the day of that time already has this sequence.
        """
        day, told_day = day_number(made_ms), day_number(ts_ms)
        if day != told_day and self._sequences.is_plain(security):
            nth, others = self._counters_of(day)[security] + 1, self._counters_of(told_day)
            if nth <= others[security]:
                raise CollectorError("the other day already has a tick with this sequence")
            others[security] = nth
        place, seq, _, price, volume, turnover, direction, tick_type = self.single(security, made_ms)
        return (place, seq, ts_ms, price, volume, turnover, direction, tick_type)

    def restart_counters(self, places: Iterable[int], now_ms: int) -> None:
        """Restarts counters at 1 with the next second; CollectorError if sequences would repeat."""
        self._sequences.restart_counters(places, now_ms)

    def resume(self, ticks: Iterable[MadeRow], others: Iterable[tuple[int, int, int | None]] = ()) -> None:
        """Continues after ticks that were made before: their days' counters, and the prices of the order book.

        `others` has position, sequence and, if known, time of making of outliers and of ticks not in `ticks`.
        """

        def rows() -> Iterator[tuple[int, int, int | None]]:
            for security, seq, ts_ms, price, _, _, _, tick_type in ticks:
                if tick_type == AUTO_MATCH and price > 0:
                    self._bids[security] = min(max(level_of(price), self._lowest[security]), self._highest[security])
                yield security, seq, ts_ms
            yield from others

        for day, counts in self._sequences.resume(rows()).items():
            counters = self._other_days.setdefault(day, [0] * len(self._counters))
            for security, count in counts.items():
                counters[security] = count

    def _counters_of(self, day: int) -> list[int]:
        if day == self._day:
            return self._counters
        return self._other_days.setdefault(day, [0] * len(self._counters))

    def _begin(self, day: int) -> None:
        """Counts from 1, or from the last counter of a day."""
        if day != self._day:
            if self._day >= 0:
                self._other_days[self._day] = self._counters
            self._day = day
            self._counters = self._other_days.pop(day, [0] * len(self._counters))

    def _trade(self, trading: Trading, start_ms: int, end_ms: int, number: int, ticks: list[MadeRow]) -> None:
        """Appends the ticks of `number` trades at random moments of a period within one phase."""
        if not number:
            return
        rng, fills = self._rng, self._fills
        # Random numbers in bulk cost a tenth of single calls.
        deck, width_ms = self._deck, end_ms - start_ms
        who = [deck[card] for card in memoryview(rng.randbytes(2 * number)).cast("H")]
        when = sorted([start_ms + (part * width_ms >> 16) for part in memoryview(rng.randbytes(2 * number)).cast("H")])
        if fills > 1:
            who = [security for security in who for _ in range(fills)]
            when = [moment for moment in when for _ in range(fills)]
        dice = memoryview(rng.randbytes(4 * len(who))).cast("I")
        if trading is Trading.CONTINUOUS:
            self._continuous(who, when, dice, ticks)
        else:
            self._at_the_bid(trading, who, when, dice, ticks)

    def _continuous(self, who: Sequence[int], when: Sequence[int], dice: memoryview[int], ticks: list[MadeRow]) -> None:
        """One tick for each security in `who`: the inner loop. Of 32 random bits, 16 choose the trade, 12 its size."""
        bids, lots, counters = self._bids, self._lots, self._counters
        lowest, highest, trades, sizes = self._lowest, self._highest, _TRADES, _SIZES
        prices, mils = LADDER, LADDER_MILS
        append = ticks.append
        at_ms, second = -1, 0
        for security, ts_ms, die in zip(who, when, dice, strict=True):
            if ts_ms != at_ms:
                at_ms, second = ts_ms, ts_ms // 1000 << 32
            direction, above, drift, kind = trades[die & 0xFFFF]
            level = bids[security]
            if drift and lowest[security] <= level + drift <= highest[security]:
                bids[security] = level + drift
            level += above
            volume = lots[security] * sizes[die >> 20]
            if kind == ODD_LOT:
                volume = 1 + (die >> 20) % max(1, lots[security] - 1)
            counters[security] = counter = counters[security] + 1
            append(
                (security, second | counter, ts_ms, prices[level], volume, mils[level] * volume / 1000, direction, kind)
            )

    def _at_the_bid(
        self, trading: Trading, who: Sequence[int], when: Sequence[int], dice: memoryview[int], ticks: list[MadeRow]
    ) -> None:
        """The ticks of an auction, or of off-exchange trades reported during one: prices do not move."""
        for security, ts_ms, die in zip(who, when, dice, strict=True):
            level = self._bids[security]
            volume = self._lots[security] * _SIZES[die >> 20]
            if trading is Trading.MATCHING:
                kind = AUCTION
            else:
                kind = LATE if _is_morning(ts_ms) and die & 1 else NON_AUTO_MATCH
                volume *= _REPORTED_LOTS
            self._counters[security] += 1
            seq = (ts_ms // 1000) << 32 | self._counters[security]
            turnover = LADDER_MILS[level] * volume / 1000
            ticks.append((security, seq, ts_ms, LADDER[level], volume, turnover, NEUTRAL, kind))


def _deck(securities: Sequence[Security]) -> list[int]:
    """65,536 positions in the listing; each security has a share by its weight, and one at least."""
    total = sum(security.weight for security in securities)
    cards: list[int] = []
    for place in reversed(range(len(securities))):  # the most active one last: it gets what rounding leaves over
        share = securities[place].weight / total
        cards += [place] * (max(1, round(share * _CARDS)) if place else _CARDS - len(cards))
    return cards


def _is_morning(ts_ms: int) -> bool:
    return (ts_ms + HKT_OFFSET_MS) % DAY_MS < DAY_MS // 2


def _poisson(rng: random.Random, mean: float) -> int:
    """A Poisson number: exact if small, otherwise from the normal distribution."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, number = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        number += 1
    return number

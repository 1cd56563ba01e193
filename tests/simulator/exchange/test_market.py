"""The synthetic day is realistic and repeatable."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from hk_tick_collector import market as calendar
from hk_tick_collector.errors import UsageError
from hk_tick_collector.simulator.exchange.listing import default_symbols, listing, parse_symbols
from hk_tick_collector.simulator.exchange.made import AUCTION, AUTO_MATCH, LATE, ODD_LOT, MadeTick
from hk_tick_collector.simulator.exchange.market import SyntheticMarket
from hk_tick_collector.simulator.exchange.prices import LADDER, level_of, spread_at
from hk_tick_collector.simulator.exchange.timetable import Calendar, Trading, trading_day

DAY = calendar.parse_day("20261120")
MIDNIGHT = calendar.day_start_ms(DAY)
MINUTE = 60_000
SECURITIES = listing(default_symbols(40), seed=1)


def at(clock: str, day: int = DAY) -> int:
    """UTC epoch ms of a Hong Kong time of day."""
    hour, minute = clock.split(":")
    return calendar.day_start_ms(day) + (int(hour) * 60 + int(minute)) * MINUTE


def make(start_ms: int, end_ms: int, *, seed: int = 1, per_second: float = 2.0, fills: int = 1) -> list[MadeTick]:
    """The ticks of a period, made in slots of one second."""
    market = SyntheticMarket(SECURITIES, Calendar(DAY, seed), seed=seed, ticks_per_ms=per_second / 1000, fills=fills)
    return [MadeTick(*row) for ms in range(start_ms, end_ms, 1000) for row in market.slot(ms, min(ms + 1000, end_ms))]


@pytest.fixture(scope="module")
def whole_day() -> list[MadeTick]:
    """A day of about 40,000 ticks."""
    return make(MIDNIGHT, MIDNIGHT + 24 * 60 * MINUTE)


def test_the_same_seed_makes_the_same_ticks_and_another_does_not() -> None:
    """The same seed, day and time give the same ticks."""
    span = (at("10:00"), at("10:05"))
    assert make(*span) == make(*span)
    assert make(*span) != make(*span, seed=2)


def test_sequences_hold_the_second_and_a_counter_from_one(whole_day: list[MadeTick]) -> None:
    """`sequence = (epoch second << 32) | counter`; the counter grows by one with each tick of that symbol."""
    counters: Counter[int] = Counter()
    for tick in whole_day:
        counters[tick.security] += 1
        assert tick.seq == (tick.ts_ms // 1000 << 32) | counters[tick.security]


def test_counters_restart_at_midnight_within_a_slot() -> None:
    """The first tick after midnight in Hong Kong has counter 1, wherever slots begin."""
    midnight = calendar.day_start_ms(DAY + 1)
    market = SyntheticMarket(SECURITIES[:1], Calendar(DAY, 1, always_open=True), seed=1, ticks_per_ms=0.5)
    ticks = [MadeTick(*row) for row in market.slot(midnight - 700, midnight + 700)]
    before = [tick for tick in ticks if tick.ts_ms < midnight]
    after = [tick for tick in ticks if tick.ts_ms >= midnight]
    assert [tick.seq & 0xFFFFFFFF for tick in before] == list(range(1, len(before) + 1))
    assert [tick.seq & 0xFFFFFFFF for tick in after] == list(range(1, len(after) + 1))
    assert before
    assert after


def test_ticks_come_in_the_order_of_their_time(whole_day: list[MadeTick]) -> None:
    """Time never goes back, and stays inside the requested slot."""
    assert all(one.ts_ms <= other.ts_ms for one, other in pairwise(whole_day))


def test_nothing_trades_at_lunch_or_at_night(whole_day: list[MadeTick]) -> None:
    """Ticks exist only in the sessions and auctions of the exchange."""
    hours = {(tick.ts_ms - MIDNIGHT) // MINUTE for tick in whole_day}
    assert min(hours) >= 9 * 60
    assert max(hours) < 16 * 60 + 10
    assert not hours & set(range(12 * 60, 13 * 60))
    assert not hours & set(range(9 * 60 + 22, 9 * 60 + 30))


def test_every_phase_has_its_kind_of_trades(whole_day: list[MadeTick]) -> None:
    """Auctions match at one price; the continuous sessions have no auction trades and few odd lots."""
    timetable = trading_day(DAY, 1)
    kinds: dict[Trading, Counter[int]] = defaultdict(Counter)
    auction_prices: dict[tuple[int, int], set[float]] = defaultdict(set)
    for tick in whole_day:
        phase = timetable.at(tick.ts_ms)
        kinds[phase.trading][tick.tick_type] += 1
        if phase.trading is Trading.MATCHING:
            auction_prices[phase.start_ms, tick.security].add(tick.price)
    assert set(kinds[Trading.MATCHING]) == {AUCTION}
    assert AUCTION not in kinds[Trading.CONTINUOUS]
    assert LATE in kinds[Trading.REPORTED]
    total = kinds[Trading.CONTINUOUS].total()
    assert kinds[Trading.CONTINUOUS][AUTO_MATCH] > 0.9 * total
    assert 0.002 * total < kinds[Trading.CONTINUOUS][ODD_LOT] < 0.05 * total
    assert all(len(prices) == 1 for prices in auction_prices.values())


def test_activity_has_the_shape_of_a_u(whole_day: list[MadeTick]) -> None:
    """The first and last quarters of an hour have more ticks than any around noon, and the mean is the given rate."""
    quarters = Counter((tick.ts_ms - MIDNIGHT) // (15 * MINUTE) for tick in whole_day)
    first, last = quarters[38], quarters[63]
    around_noon = [quarters[index] for index in (45, 46, 47, 53, 54, 55)]
    assert min(first, last) > 1.5 * max(around_noon)
    continuous = sum(number for index, number in quarters.items() if 38 <= index < 48 or 52 <= index < 64)
    assert continuous / (330 * 60) == pytest.approx(2.0, rel=0.05)


def test_activity_follows_zipf_over_the_symbols(whole_day: list[MadeTick]) -> None:
    """The most active symbol trades about ten times as often as the tenth, and every symbol trades."""
    numbers = Counter(tick.security for tick in whole_day)
    assert numbers[0] / numbers[9] == pytest.approx(10, rel=0.3)
    assert len(numbers) == len(SECURITIES)


def test_prices_stand_on_the_spread_table_within_a_tenth_of_the_close(whole_day: list[MadeTick]) -> None:
    """A price is a multiple of its spread."""
    ladder = set(LADDER)
    for tick in whole_day:
        assert tick.price in ladder
        close = SECURITIES[tick.security].last_close
        assert 0.89 * close < tick.price < 1.11 * close + spread_at(close)


@pytest.mark.parametrize(
    ("price", "spread"),
    [(0.1, 0.001), (0.25, 0.005), (0.5, 0.01), (9.99, 0.01), (10, 0.01), (20, 0.02), (50, 0.05), (100, 0.1),
     (200, 0.2), (500, 0.5), (1000, 1), (2000, 2), (5000, 5), (9995, 5)],
)  # fmt: skip
def test_the_spread_table_is_the_exchanges(price: float, spread: float) -> None:
    """The spreads of HKEX's Second Schedule since August 2025, at the edges of their price ranges."""
    assert spread_at(price) == pytest.approx(spread)
    assert LADDER[level_of(price)] == price


def test_volumes_are_board_lots_except_odd_lots(whole_day: list[MadeTick]) -> None:
    """An odd lot is smaller than a board lot, anything else a multiple of it; turnover is price times volume."""
    for tick in whole_day:
        lot = SECURITIES[tick.security].lot
        if tick.tick_type == ODD_LOT:
            assert 0 < tick.volume < lot
        else:
            assert tick.volume % lot == 0
            assert tick.volume > 0
        assert tick.turnover == round(tick.price * tick.volume, 3)


def test_one_trade_fills_as_many_ticks_as_asked() -> None:
    """With fills, consecutive ticks of one symbol have the same time."""
    ticks = make(at("10:00"), at("10:01"), per_second=100, fills=5)
    assert len(ticks) % 5 == 0
    for first in range(0, len(ticks), 5):
        assert len({(tick.security, tick.ts_ms) for tick in ticks[first : first + 5]}) == 1


@pytest.mark.parametrize(
    ("clock", "state"),
    [("08:59", 6), ("09:00", 1), ("09:25", 2), ("09:30", 3), ("11:59", 3), ("12:00", 4), ("13:00", 5), ("15:59", 5),
     ("16:00", 19), ("16:07", 19), ("16:10", 6), ("23:00", 6)],
)  # fmt: skip
def test_market_states_follow_the_day(clock: str, state: int) -> None:
    """GetGlobalState agrees with what the exchange does."""
    assert Calendar(DAY, 1).state(at(clock)) == state


def test_the_closing_auction_ends_at_a_random_moment_of_two_minutes() -> None:
    """Between 16:08 and 16:10, different each day."""
    ends = {trading_day(day, 1).phases[-1].start_ms - calendar.day_start_ms(day) for day in range(DAY, DAY + 30)}
    assert len(ends) > 20
    assert min(ends) >= (16 * 60 + 8) * MINUTE
    assert max(ends) < (16 * 60 + 10) * MINUTE


def test_a_half_day_closes_after_noon() -> None:
    """Christmas Eve trades in the morning and ends with an auction by 12:10."""
    eve = calendar.parse_day("20261224")
    states = [Calendar(eve, 1).state(at(clock, eve)) for clock in ("11:59", "12:05", "12:10", "14:00")]
    assert states == [3, 19, 6, 6]


def test_weekends_do_not_trade_unless_the_simulation_starts_there() -> None:
    """A simulation started on a Sunday trades then; the days after it are normal."""
    sunday = calendar.parse_day("20261122")
    days = Calendar(sunday, 1)
    assert [days.is_trading(sunday + number) for number in range(8)] == [True] * 6 + [False, False]
    assert not Calendar(DAY, 1).is_trading(sunday)


@pytest.mark.parametrize("text", ["700", "HK.700", "US.AAPL", "HK.00700x", "HK.0070０"])
def test_an_invalid_symbol_is_named(text: str) -> None:
    """The error names it, and says how to write it."""
    with pytest.raises(UsageError, match="is not a Hong Kong symbol"):
        parse_symbols(["HK.00981", text])


def test_symbols_are_taken_once_and_in_order() -> None:
    """Duplicates and blanks are harmless; at most 5,000 are allowed."""
    assert parse_symbols(["HK.00981", " HK.00700 ", "", "HK.00981"]) == ["HK.00981", "HK.00700"]
    assert len(set(default_symbols(5000))) == 5000
    with pytest.raises(UsageError, match="5001"):
        default_symbols(5001)

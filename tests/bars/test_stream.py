"""Bars against a slow reference, tick by tick, and the rules that a researcher relies on, each by name."""

from __future__ import annotations

import random
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bars.slow_reference import DAY_MS, HKT_MS, Trade, reference_bars

from hk_tick_collector import market
from hk_tick_collector.bars import TICK_COLUMNS, BarSpec, bar_schema, bars, chunks, cutting
from hk_tick_collector.bars.spec import length_ms
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.frames.columns import MS_UTC, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY: Final = market.parse_day("20261120")
MIDNIGHT_MS: Final = market.day_start_ms(DAY)
TYPES: Final = (
    "AUTO_MATCH", "INTER_AUTO_MATCH", "AUCTION", "LATE", "ODD_LOT", "NON_AUTO_MATCH", "OVERSEAS", "UNKNOWN", "TYPE_99",
)  # fmt: skip
DIRECTIONS: Final = ("BUY", "SELL", "NEUTRAL", "UNKNOWN")
# Minutes since midnight at which something begins or ends: auctions, sessions, lunch, half days, the day itself.
EDGES: Final = (0, 540, 560, 570, 600, 719, 720, 728, 730, 780, 959, 960, 968, 970, 1439)
MINUTES: Final = BarSpec(every="1m")
LENGTHS: Final = ("1s", "15s", "1m", "5m", "30m", "45m", "1h", "90m", "2h", "4h", "12h", "24h", "1d")


def at(clock: str) -> int:
    """UTC epoch ms of a time of DAY in Hong Kong, like 09:30:00.250."""
    hours, minutes, seconds = clock.split(":")
    return MIDNIGHT_MS + round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)


def trades(*rows: tuple[str, float, int, str], symbol: str = "HK.00700", day: int = DAY) -> list[Trade]:
    """Ticks in the order of their sequence: time, price, volume, type."""
    return [
        Trade(day, symbol, seq, at(clock), price, volume, price * volume, "BUY", tick_type)
        for seq, (clock, price, volume, tick_type) in enumerate(rows)
    ]


def batches(ticks: list[Trade], rows: int = 3, *, dictionaries: bool = False) -> Iterator[pa.RecordBatch]:
    """Ticks as a reader of day files gives them, in batches of a few rows."""
    target = schema(TICK_COLUMNS)
    ticks = sorted(ticks, key=lambda tick: (tick.day, tick.symbol, tick.seq))
    yield pa.RecordBatch.from_pylist([], schema=target)
    for begin in range(0, len(ticks), rows):
        part = ticks[begin : begin + rows]
        names = {"date": "day", "ts": "ts_ms"}
        arrays: list[Any] = []
        for field in target:
            values = [getattr(tick, names.get(field.name, field.name)) for tick in part]
            if field.name in names:
                arrays.append(pa.array(values, pa.int32() if field.name == "date" else pa.int64()).cast(field.type))
            else:
                arrays.append(pa.array(values, field.type))
        batch = pa.RecordBatch.from_arrays(arrays, schema=target)
        if dictionaries:
            texts = [name for name in target.names if target.field(name).type == pa.string()]
            for name in texts:
                place = target.get_field_index(name)
                batch = batch.set_column(place, name, batch.column(name).dictionary_encode())
        yield batch


def made(stored: list[Trade], rows: int = 3, /, *, dictionaries: bool = False, **spec: Any) -> list[dict[str, Any]]:
    """The bars of ticks, times as UTC epoch ms."""
    found = []
    for batch in bars(batches(stored, rows, dictionaries=dictionaries), BarSpec(**spec)):
        assert batch.num_rows
        times = [field.with_type(pa.int64()) if field.type == MS_UTC else field for field in batch.schema]
        found += batch.cast(pa.schema(times)).to_pylist()
    return found


def expected(stored: list[Trade], /, **spec: Any) -> list[dict[str, Any]]:
    """The same by the slow reference."""
    if "every" in spec:
        spec["every_ms"] = length_ms(spec.pop("every"))
    return reference_bars(stored, **spec)


@st.composite
def days(draw: st.DrawFn) -> list[Trade]:
    """Ticks of a few symbols over two days: around the edges of sessions, with equal times and late reports."""
    ticks = []
    for day in (DAY, DAY + 1):
        for symbol in draw(st.sets(st.sampled_from(("HK.00001", "HK.00005", "HK.00700")), min_size=1)):
            times = draw(
                st.lists(
                    st.builds(
                        lambda edge, near: min(max(edge * 60_000 + near, 0), DAY_MS - 1),
                        st.sampled_from(EDGES),
                        st.one_of(st.integers(-1, 1), st.integers(-90_000, 90_000)),
                    ),
                    max_size=12,
                )
            )
            if draw(st.booleans()):
                times.sort()  # otherwise every tick may be a late report
            for seq, since_midnight_ms in enumerate(times):
                ticks.append(
                    Trade(
                        day,
                        symbol,
                        seq,
                        market.day_start_ms(day) + since_midnight_ms,
                        draw(st.sampled_from((0.01, 1.1, 388.2, 388.4))),
                        draw(st.sampled_from((0, 1, 100, -100, 2**53 + 1))),
                        draw(st.sampled_from((0.0, 0.1, 0.2, 38_820.7, 1e15))),
                        draw(st.sampled_from(DIRECTIONS)),
                        draw(st.sampled_from(TYPES)),
                    )
                )
    return ticks


SPECS: Final = st.one_of(
    st.sampled_from(LENGTHS).map(lambda length: {"every": length}),
    st.integers(1, 5).map(lambda count: {"ticks": count}),
    st.sampled_from((1, 100, 101, 250, 2**53)).map(lambda shares: {"volume": shares}),
    st.sampled_from((0.1, 0.3, 38_821, 1e15)).map(lambda money: {"turnover": money}),
)


@settings(max_examples=150)
@given(ticks=days(), spec=SPECS, prices=st.sampled_from(("forming", "all")), rows=st.integers(1, 9), data=st.data())
def test_bars_are_those_of_the_slow_reference(
    ticks: list[Trade], spec: dict[str, Any], prices: str, rows: int, data: st.DataObject
) -> None:
    """Every value to the last bit, whatever the batches, the size of chunks and parts and the encoding of texts."""
    dictionaries, chunk_rows = data.draw(st.booleans()), data.draw(st.sampled_from((1, 4, 1000)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ROWS", chunk_rows)
        patch.setattr(cutting, "PART_ROWS", data.draw(st.sampled_from((1, 3, 1000))))
        found = made(ticks, rows, dictionaries=dictionaries, prices=prices, **spec)
    assert found == expected(ticks, prices=prices, **spec)


def test_many_ticks_are_those_of_the_slow_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """11,000 ticks of 20 symbols, some late, in chunks of several symbols and of part of one."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 1000)
    rng = random.Random(1)
    ticks = []
    for symbol in range(20):
        second = 34_200
        for seq in range(600 if symbol % 7 else 100):
            second += rng.randrange(0, 30)
            late_s = rng.randrange(0, 300) if rng.random() < 0.01 else 0
            volume, price = rng.randrange(1, 50) * 100, round(rng.uniform(1, 400), 3)
            ts_ms = MIDNIGHT_MS + (second - late_s) * 1000 + rng.randrange(1000)
            direction, tick_type = rng.choice(DIRECTIONS), rng.choice(TYPES)
            ticks.append(
                Trade(DAY, f"HK.{symbol:05d}", seq, ts_ms, price, volume, price * volume, direction, tick_type)
            )
    for spec in ({"every": "1m"}, {"every": "90m"}, {"ticks": 100}, {"volume": 50_000}, {"turnover": 1e7}):
        assert made(ticks, 256, **spec) == expected(ticks, **spec)


def test_only_ticks_that_form_prices_are_in_prices_and_all_are_in_volume() -> None:
    """An odd lot at the highest price of the day changes neither high nor close; LATE has its own column."""
    ticks = trades(
        ("09:30:01", 10.0, 100, "AUTO_MATCH"),
        ("09:30:02", 99.0, 1, "ODD_LOT"),
        ("09:30:03", 12.0, 200, "INTER_AUTO_MATCH"),
        ("09:30:04", 1.0, 5000, "LATE"),
        ("09:30:05", 77.0, 300, "TYPE_99"),
    )
    (bar,) = made(ticks, every="1m")
    assert [bar[name] for name in ("open", "high", "low", "close")] == [10.0, 12.0, 10.0, 12.0]
    assert (bar["volume"], bar["late_volume"], bar["trades"]) == (5601, 5000, 5)
    assert bar["vwap"] == (1000 + 2400) / 300
    (bar,) = made(ticks, every="1m", prices="all")
    assert [bar[name] for name in ("open", "high", "low", "close")] == [10.0, 99.0, 10.0, 12.0]


def test_a_bar_without_a_price_has_none() -> None:
    """It is null, not the last price and not 0; and there is no bar where there was no tick."""
    found = made(trades(("10:00:00", 10.0, 100, "AUTO_MATCH"), ("10:02:00", 9.0, 7, "ODD_LOT")), every="1m")
    assert [bar["time"] for bar in found] == [at("10:00:00"), at("10:02:00")]
    assert [found[1][name] for name in ("open", "high", "low", "close", "vwap")] == [None] * 5
    assert (found[1]["volume"], found[1]["turnover"]) == (7, 63.0)


def test_an_auction_has_its_own_bar_and_no_bar_spans_lunch() -> None:
    """Bars of an hour, 90 minutes and twelve hours are cut where a session begins; a cut bar's time is that moment."""
    ticks = trades(
        ("09:20:30", 10.0, 100, "AUCTION"),
        ("09:30:00", 11.0, 100, "AUTO_MATCH"),
        ("11:59:59.999", 12.0, 100, "AUTO_MATCH"),
        ("13:00:00", 13.0, 100, "AUTO_MATCH"),
        ("15:59:59", 14.0, 100, "AUTO_MATCH"),
        ("16:08:20", 15.0, 100, "AUCTION"),
    )
    hours = [(bar["time"], bar["session"], bar["open"], bar["close"]) for bar in made(ticks, every="1h")]
    assert hours == [
        (at("09:00:00"), "opening_auction", 10.0, 10.0),
        (at("09:30:00"), "morning", 11.0, 11.0),
        (at("11:00:00"), "morning", 12.0, 12.0),
        (at("13:00:00"), "afternoon", 13.0, 13.0),
        (at("15:00:00"), "afternoon", 14.0, 14.0),
        (at("16:00:00"), "closing_auction", 15.0, 15.0),
    ]
    halves = [(bar["time"], bar["session"]) for bar in made(ticks, every="12h")]
    assert halves == [
        (MIDNIGHT_MS, "opening_auction"),
        (at("09:30:00"), "morning"),
        (at("13:00:00"), "afternoon"),
        (at("16:00:00"), "closing_auction"),
    ]
    assert [bar["trades"] for bar in made(ticks, ticks=100)] == [1, 2, 2, 1]


def test_a_bar_of_a_day_has_both_auctions() -> None:
    """One bar a symbol and day, from Hong Kong's midnight: it opens with the first auction and closes with the last."""
    ticks = trades(("09:20:30", 10.0, 100, "AUCTION"), ("16:08:20", 15.0, 200, "AUCTION"))
    (bar,) = made(ticks, every="1d")
    assert (bar["time"], bar["session"]) == (DAY * DAY_MS - HKT_MS, "day")
    assert (bar["open"], bar["close"], bar["volume"]) == (10.0, 15.0, 300)


def test_the_closing_auction_of_a_half_day_is_its_own() -> None:
    """On the eve of a holiday it is at noon; ticks that OpenD dates into lunch are kept in the same way."""
    found = made(
        trades(("11:59:00", 10.0, 100, "AUTO_MATCH"), ("12:08:20", 11.0, 100, "AUCTION")),
        every="2h",
    )
    assert [(bar["time"], bar["session"]) for bar in found] == [
        (at("10:00:00"), "morning"),
        (at("12:00:00"), "noon"),
    ]


def test_a_late_report_counts_where_it_traded() -> None:
    """Its time decides, not its place in the sequence; of equal times the lower sequence is first."""
    ticks = trades(
        ("10:01:00", 20.0, 100, "AUTO_MATCH"),
        ("10:00:30", 10.0, 100, "AUTO_MATCH"),
        ("10:00:30", 11.0, 100, "AUTO_MATCH"),
        ("10:01:30", 21.0, 100, "AUTO_MATCH"),
    )
    found = [(bar["time"], bar["open"], bar["close"]) for bar in made(ticks, every="1m")]
    assert found == [(at("10:00:00"), 10.0, 11.0), (at("10:01:00"), 20.0, 21.0)]


def test_the_crossing_tick_closes_its_bar() -> None:
    """A bar has at least its size, but for the last one of a session; the tick that crosses is whole in it."""
    ticks = trades(
        ("10:00:00", 1.0, 60, "AUTO_MATCH"),
        ("10:00:01", 1.0, 60, "AUTO_MATCH"),
        ("10:00:02", 1.0, 500, "AUTO_MATCH"),
        ("10:00:03", 1.0, 10, "AUTO_MATCH"),
    )
    found = [(bar["time"], bar["end"], bar["volume"]) for bar in made(ticks, volume=100)]
    assert found == [
        (at("10:00:00"), at("10:00:01"), 120),
        (at("10:00:02"), at("10:00:02"), 500),
        (at("10:00:03"), at("10:00:03"), 10),
    ]
    assert [bar["volume"] for bar in made(ticks, turnover=570)] == [620, 10]


def test_unknown_types_are_reported() -> None:
    """How many ticks of which type, once all bars have been read."""
    ticks = trades(("10:00:00", 1.0, 60, "TYPE_99"), ("10:00:01", 1.0, 60, "UNKNOWN"), ("10:00:02", 1.0, 60, "TYPE_99"))
    stream = bars(batches(ticks, 2), BarSpec(every="1m"))
    assert [batch.num_rows for batch in stream] == [1]
    assert stream.unknown_types == {"TYPE_99": 2, "UNKNOWN": 1}


def test_a_symbol_of_a_million_ticks_needs_little_memory() -> None:
    """At most 100 bytes a tick beside the batches: twice the five columns that all ticks of a symbol are kept in. The
    page makes bars of the busiest symbol within the memory that its unit may use.
    """
    rows, size = 1_000_000, 65_536
    row = {"date": DAY, "symbol": "HK.00700", "price": 1.0, "volume": 1, "turnover": 1.0, "direction": "BUY"}

    def column(field: pa.Field[Any], begin: int, count: int) -> Any:
        if field.name == "ts":
            ts_ms = [at("09:30:00") + 10 * number for number in range(begin, begin + count)]
            ts_ms[-1] -= 60_000  # a late report: the symbol is sorted
            return pa.array(ts_ms, pa.int64()).cast(field.type)
        value: Any = {**row, "tick_type": "AUTO_MATCH"}[field.name]
        return pa.array([value] * count, pa.int32() if field.name == "date" else field.type).cast(field.type)

    def made_batches() -> Iterator[pa.RecordBatch]:
        target = schema(TICK_COLUMNS)
        for begin in range(0, rows, size):
            arrays = [column(field, begin, min(size, rows - begin)) for field in target]
            yield pa.RecordBatch.from_arrays(arrays, schema=target)

    given_batches = list(made_batches())
    list(bars(given_batches[:1], MINUTES))  # imports
    tracemalloc.start()
    try:
        counts: list[Any] = [
            each for batch in bars(given_batches, MINUTES) for each in batch.column("trades").to_pylist()
        ]
        assert tracemalloc.get_traced_memory()[1] < 100 * rows
    finally:
        tracemalloc.stop()
    assert sum(counts) == rows


def test_columns_are_the_same_with_and_without_ticks() -> None:
    """The schema is known before a tick is read; nothing but prices can be null."""
    stream = bars(iter(()), BarSpec(ticks=5))
    assert list(stream) == []
    assert stream.schema.names == [
        "symbol", "time", "end", "open", "high", "low", "close", "volume", "turnover", "vwap", "trades",
        "buy_volume", "sell_volume", "neutral_volume", "late_volume", "session",
    ]  # fmt: skip
    assert [field.name for field in stream.schema if field.nullable] == ["open", "high", "low", "close", "vwap"]
    assert stream.schema.field("time").type == MS_UTC
    assert "end" not in bar_schema(BarSpec(every="1m")).names


def test_ticks_in_another_order_are_refused() -> None:
    """Otherwise bars of a symbol that comes twice would be wrong without an error."""
    ticks = [*batches(trades(("10:00:00", 1.0, 1, "AUTO_MATCH"), symbol="HK.00700"))]
    ticks += batches(trades(("10:00:00", 1.0, 1, "AUTO_MATCH"), symbol="HK.00005"))
    with pytest.raises(CollectorError, match=r"HK\.00005 come after those of HK\.00700"):
        list(bars(ticks, BarSpec(every="1m")))


def test_volumes_beyond_64_bits_are_refused() -> None:
    """A damaged file says so; a sum never wraps around."""
    ticks = trades(("10:00:00", 1.0, 2**62, "AUTO_MATCH"), ("10:00:00", 1.0, 2**62, "AUTO_MATCH"))
    with pytest.raises(CollectorError, match="64 bits"):
        made(ticks, every="1m")

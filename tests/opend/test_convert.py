"""The vendor's Ticker → our tick: exactly one row or one Rejected each, and the row has OpenD's values."""

from __future__ import annotations

import struct
from datetime import datetime
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, Final

import apsw
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector.market import HKT
from hk_tick_collector.model import Rejected, Tick
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.convert import convert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.model import TickRow


def epoch_ms(text: str) -> int:
    """UTC epoch ms of a moment written in Hong Kong time, computed by the standard library."""
    return round(datetime.fromisoformat(text).replace(tzinfo=HKT).timestamp() * 1000)


DAY: Final = "2026-11-20"
TRADED_MS: Final = epoch_ms(f"{DAY} 10:00:01")
RECEIVED_MS: Final = TRADED_MS + 250
SEQ: Final = (TRADED_MS // 1000 << 32) | 17  # above 2^53, as every sequence of the vendor's is
UNPATTERNED_SEQ: Final = 17
HOUR_MS: Final = 3_600_000

_WHOLE: Final = {"time": "10:00:01", "sequence": SEQ, "dir": 1, "price": 402.2, "volume": 100, "turnover": 40_220.0}


def ticker(**fields: Any) -> pb.Ticker:
    """A tick of ten o'clock with every required field; these changed, and left out where None."""
    return pb.Ticker(**{name: value for name, value in {**_WHOLE, **fields}.items() if value is not None})


def convert_all(
    *tickers: pb.Ticker, received_ms: int = RECEIVED_MS, push_type: str | None = None
) -> tuple[list[Tick], list[Rejected]]:
    """Rows and rejected ticks of one message."""
    rows: list[TickRow] = []
    rejected: list[Rejected] = []
    convert("HK.00700", tickers, received_ms, rows, rejected, push_type)
    return [Tick(*row) for row in rows], rejected


def row_of(one: pb.Ticker, received_ms: int = RECEIVED_MS) -> Tick:
    """The row of a tick that must be stored."""
    rows, rejected = convert_all(one, received_ms=received_ms)
    assert rejected == []
    assert len(rows) == 1
    return rows[0]


def cause_of(one: pb.Ticker) -> str:
    """Why a tick that must be rejected was."""
    rows, rejected = convert_all(one)
    assert rows == []
    assert len(rejected) == 1
    assert rejected[0].recv_ts_ms == RECEIVED_MS
    return rejected[0].cause


def non_utf8(one: pb.Ticker) -> pb.Ticker:
    """The same tick with a text that is not UTF-8: proto2 accepts it and returns it as bytes."""
    text = one.time.encode()
    return pb.Ticker.FromString(one.SerializeToString().replace(text, b"\xff" * len(text)))


def test_a_tick_arrives_field_by_field() -> None:
    """Every column, each as OpenD sent it, the receipt as it was stamped."""
    received_s = TRADED_MS / 1000 + 0.2
    sent = ticker(timestamp=TRADED_MS / 1000 + 0.123, type=7, dir=2, pushDataType=1, recvTime=received_s, typeSign=85)
    assert row_of(sent) == Tick(
        *("HK.00700", SEQ, TRADED_MS + 123, 402.2, 100, 40_220.0, "SELL", "AUCTION", "realtime", RECEIVED_MS),
        *(TRADED_MS + 200, "U"),
    )


@pytest.mark.parametrize(
    ("received_s", "ms"),
    [
        *((impossible, None) for impossible in (0.0, -1.0, 1.0, 1e18, float("nan"), float("inf"))),
        (1_795_140_000.0, 1_795_140_000_000),
        (1_795_140_000.1234, 1_795_140_000_123),
    ],
)
def test_opends_own_time_of_receipt_is_kept_where_it_is_one(received_s: float, ms: int | None) -> None:
    """Ticks from its cache and requested ones have 0, which is no time; nor are other impossible values."""
    assert row_of(ticker(recvTime=received_s)).opend_recv_ts_ms == ms
    assert row_of(ticker()).opend_recv_ts_ms is None


def test_the_ticks_of_one_message_may_have_different_times_of_receipt() -> None:
    """Each keeps its own."""
    at_s = (TRADED_MS / 1000, TRADED_MS / 1000, 0.0, 0.0, TRADED_MS / 1000 + 1, float("nan"), TRADED_MS / 1000)
    rows, _ = convert_all(*[ticker(recvTime=each) for each in at_s])
    expected = [TRADED_MS, TRADED_MS, None, None, TRADED_MS + 1000, None, TRADED_MS]
    assert [row.opend_recv_ts_ms for row in rows] == expected


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, None),
        (0, None),
        (32, " "),
        (80, "P"),
        (126, "~"),
        (10, "SIGN_10"),
        (-1, "SIGN_-1"),
        (20_013, "SIGN_20013"),
    ],
)
def test_the_exchanges_letter_is_kept(number: int | None, text: str | None) -> None:
    """A blank is the letter of an automatic match. A number that is no letter is kept as a number."""
    assert row_of(ticker(**({} if number is None else {"typeSign": number}))).type_sign == text


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("10:00:01", 0),
        ("10:00:01.123", 123),
        ("10:00:01:123", 123),
        ("10:00:01.008", 8),
        ("10:00:01.8", 8),  # milliseconds without their leading zeros
        ("10:00:01.80", 80),
        ("10:00:01:8", 8),
        ("10:00:01.123456", 123),
        ("10:00:01.1239", 123),
        (f"{DAY} 10:00:01", 0),
        (f"{DAY} 10:00:01.123", 123),
        (f"{DAY}T10:00:01.123", 123),
        ("20261120 10:00:01:123", 123),
        (" 10:00:01.123 ", 123),
    ],
)
@pytest.mark.parametrize("seq", [SEQ, UNPATTERNED_SEQ], ids=["patterned", "plain"])
@pytest.mark.parametrize("stamp", [None, TRADED_MS / 1000], ids=["text only", "whole seconds"])
def test_every_spelling_of_a_time_means_the_same_moment(text: str, ms: int, seq: int, stamp: float | None) -> None:
    """The text alone gives the moment; with a timestamp of whole seconds it gives the milliseconds."""
    assert row_of(ticker(time=text, sequence=seq, timestamp=stamp)).ts_ms == TRADED_MS + ms


@pytest.mark.parametrize("ms", [1, 8, 123, 499, 500, 501, 999])
def test_a_timestamp_with_milliseconds_is_the_time(ms: int) -> None:
    """A double of this size holds a millisecond exactly enough, and no text overrules it."""
    for text in ("10:00:01", "10:00:01.777", "23:59:59", "99:99:99", ""):
        assert row_of(ticker(time=text, timestamp=(TRADED_MS + ms) / 1000)).ts_ms == TRADED_MS + ms


@pytest.mark.parametrize("text", ["10:00:02.500", "09:00:01.500", "22:00:01.500", "99:99:99", "", "noon", "10:00:01.x"])
def test_a_text_of_another_second_adds_nothing_to_a_timestamp(text: str) -> None:
    """Milliseconds are taken only from a text that means the timestamp's own second."""
    assert row_of(ticker(time=text, timestamp=TRADED_MS / 1000)).ts_ms == TRADED_MS


@pytest.mark.parametrize(
    "text",
    [
        "99:99:99",
        "24:00:00",
        "10:60:00",
        "10:00:60",
        "",
        "10:00",
        "1000:01",
        "10:00:01.",
        "10:00:01.1234567",
        "-1:00:00",
        "٠٩:٠٠:٠٠",
        "2026-13-01 10:00:01",
        "2026-02-30 10:00:01",
        "0000-01-01 10:00:01",
        "10:00:01\x00",
        "10:00:01+08:00",
    ],
)
def test_a_text_that_is_no_time_is_rejected_with_its_cause(text: str) -> None:
    """Without a timestamp there is then no time, and no day for the tick."""
    assert cause_of(ticker(time=text)) == "bad_time"
    assert row_of(ticker(time=text, timestamp=TRADED_MS / 1000)).ts_ms == TRADED_MS


@pytest.mark.parametrize("stamp", [0.0, -1.0, nan, inf, -inf, 1.0, 1e300, TRADED_MS, 946_684_800.0, 4_102_444_800.0])
def test_an_impossible_timestamp_is_replaced_by_the_text(stamp: float) -> None:
    """Zero, NaN, milliseconds in the place of seconds, a year that OpenD cannot know."""
    assert row_of(ticker(time="10:00:01.123", timestamp=stamp)).ts_ms == TRADED_MS + 123
    assert cause_of(ticker(time="99:99:99", timestamp=stamp)) == "bad_time"


@pytest.mark.parametrize("date", ["0001-01-01", "1970-01-01", "1999-12-31", "2100-01-02", "9999-12-31"])
def test_a_date_that_opend_cannot_know_is_no_time(date: str) -> None:
    """The same bounds as for timestamps: a slip of the date must not begin a day file of the year 1."""
    assert cause_of(ticker(time=f"{date} 10:00:01")) == "bad_time"


@pytest.mark.parametrize("moment", ["2000-01-01 08:00:00.001", "2100-01-01 07:59:59.999"])
def test_the_first_and_the_last_moment_that_opend_can_know(moment: str) -> None:
    """The bounds are in UTC and exclusive: one millisecond later is invalid."""
    assert row_of(ticker(time=moment)).ts_ms == epoch_ms(moment)
    for beyond in ("2000-01-01 08:00:00.000", "2100-01-01 08:00:00.000"):
        assert cause_of(ticker(time=beyond)) == "bad_time"


@pytest.mark.parametrize(
    ("moment", "received"),
    [
        ("2026-11-20 23:59:59.900", "2026-11-21 00:00:00.100"),
        ("2026-11-21 00:00:00.100", "2026-11-21 00:00:00.200"),
        ("2026-11-20 16:08:05.000", "2026-11-21 00:30:00.000"),  # requested late
        ("2026-11-20 09:00:00.000", "2026-11-20 09:00:00.300"),
    ],
)
@pytest.mark.parametrize("clock_error_h", [-1, 0, 1])
def test_midnight_and_a_wrong_clock_leave_the_date_right(moment: str, received: str, clock_error_h: int) -> None:
    """A text without a date takes it from the receive time, with the host's clock right or an hour off."""
    received_ms = epoch_ms(received) + clock_error_h * HOUR_MS
    text = moment.split()[1]
    assert row_of(ticker(time=text, sequence=UNPATTERNED_SEQ), received_ms).ts_ms == epoch_ms(moment)


@pytest.mark.parametrize("received", ["2026-11-20 10:00:05", "2026-11-23 09:00:00", "2026-01-01 00:00:00"])
def test_the_sequence_gives_the_date_whatever_the_clock(received: str) -> None:
    """If the upper half is the tick's second, a late request or a host months off does not change the date."""
    assert row_of(ticker(time="10:00:01.123"), epoch_ms(received)).ts_ms == TRADED_MS + 123


def test_the_sequence_gives_the_date_across_midnight() -> None:
    """The second in the sequence may be on the other side of midnight."""
    midnight_s = epoch_ms("2026-11-21 00:00:00") // 1000
    before = ticker(time="23:59:58.500", sequence=(midnight_s + 1) << 32)
    after = ticker(time="00:00:01.500", sequence=(midnight_s - 1) << 32)
    assert row_of(before).ts_ms == midnight_s * 1000 - 1500
    assert row_of(after).ts_ms == midnight_s * 1000 + 1500


def test_a_sequence_far_from_the_text_gives_no_date() -> None:
    """Within ten seconds the sequence is trusted; at a distance of an hour the receive time is used instead."""
    other_day = (epoch_ms("2026-11-18 12:00:00") // 1000) << 32
    assert row_of(ticker(time="10:00:01", sequence=other_day)).ts_ms == TRADED_MS


@pytest.mark.parametrize("day", ["2026-11-19", "2026-11-20", "2026-11-21", "2001-01-01", "2099-12-31"])
def test_yesterday_and_tomorrow_are_kept_as_sent(day: str) -> None:
    """The clock is not used: a tick with a date keeps its date, early or late."""
    moment = epoch_ms(f"{day} 10:00:01.250")
    assert row_of(ticker(timestamp=moment / 1000)).ts_ms == moment
    assert row_of(ticker(time=f"{day} 10:00:01.250")).ts_ms == moment


@pytest.mark.parametrize("field", ["price", "turnover"])
@pytest.mark.parametrize("stamp", [TRADED_MS / 1000, TRADED_MS / 1000 + 0.123], ids=["s", "ms"])
def test_figures_that_are_no_numbers_are_rejected_and_others_kept(field: str, stamp: float) -> None:
    """NaN and infinity cannot be stored; zero, negative and tiny figures are the exchange's business."""
    for value in (nan, inf, -inf):
        assert cause_of(ticker(timestamp=stamp, **{field: value})) == "non_finite"
    for value in (0.0, -0.0, -1.5, 5e-324, 1.7e308):
        assert getattr(row_of(ticker(timestamp=stamp, **{field: value})), field) == value


@pytest.mark.parametrize(
    ("fields", "shares"),
    [
        ({"volume": 0}, 0),
        ({"volume": -100}, -100),
        ({"volume": 2**39}, 2**39),
        ({"volume": 100, "hpVolume": 0.0}, 100),
        ({"volume": 100, "hpVolume": 100.0}, 100),
        ({"volume": 100, "hpVolume": 250.0}, 250),
        ({"volume": 100, "hpVolume": 2.0**40}, 2**40),
        ({"volume": 0, "hpVolume": 250.0}, 250),
        ({"volume": 100, "hpVolume": 100.5}, 100),
        ({"volume": 100, "hpVolume": 0.25}, 100),
        ({"volume": 100, "hpVolume": nan}, 100),
        ({"volume": 100, "hpVolume": inf}, 100),
        ({"volume": 100, "hpVolume": -inf}, 100),
        ({"volume": 100, "hpVolume": -250.0}, -250),
        ({"volume": 100, "hpVolume": 2.0**41}, 100),
        ({"volume": 100, "hpVolume": 2.0**63}, 100),
        ({"volume": 100, "hpVolume": -(2.0**63)}, 100),
        ({"volume": 100, "hpVolume": 1e300}, 100),
    ],
)
@pytest.mark.parametrize("stamp", [TRADED_MS / 1000, TRADED_MS / 1000 + 0.123], ids=["s", "ms"])
def test_the_precise_volume_counts_where_it_is_a_number_of_shares(
    fields: dict[str, float], shares: int, stamp: float
) -> None:
    """hpVolume is preferred when it is whole and possible; otherwise the plain volume stands."""
    row = row_of(ticker(timestamp=stamp, **fields))
    assert row.volume == shares
    assert type(row.volume) is int


@pytest.mark.parametrize("volume", [2**40 + 1, 2**63 - 1, -(2**40) - 1, -(2**63)])
@pytest.mark.parametrize("stamp", [TRADED_MS / 1000, TRADED_MS / 1000 + 0.123], ids=["s", "ms"])
def test_an_impossible_volume_is_rejected(volume: int, stamp: float) -> None:
    """The day's total is an INTEGER column: one absurd volume would overflow it, and the whole batch would fail."""
    assert cause_of(ticker(volume=volume, timestamp=stamp)) == "out_of_range"


@pytest.mark.parametrize("seq", [SEQ, 2**53 + 1, 2**63 - 1, -(2**63), -1, 0, 1])
def test_a_sequence_is_exact(seq: int) -> None:
    """Never through a float: an int64 arrives as that int64, also a negative one and zero."""
    assert row_of(ticker(sequence=seq)).seq == seq
    assert row_of(ticker(sequence=seq, timestamp=TRADED_MS / 1000 + 0.5)).seq == seq


@pytest.mark.parametrize(
    ("number", "name"), [(0, "UNKNOWN"), (1, "BUY"), (2, "SELL"), (3, "NEUTRAL"), (4, "UNKNOWN"), (-1, "UNKNOWN")]
)
def test_directions(number: int, name: str) -> None:
    """The contract has four words; a number that is not known is UNKNOWN."""
    assert row_of(ticker(dir=number, timestamp=TRADED_MS / 1000 + 0.5)).direction == name


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (None, "UNKNOWN"),
        (0, "UNKNOWN"),
        (1, "AUTO_MATCH"),
        (6, "ODD_LOT"),
        (32, "TYPE_32"),
        (-1, "TYPE_-1"),
        (2**31 - 1, "TYPE_2147483647"),
        (-(2**31), "TYPE_-2147483648"),
    ],
)
def test_tick_types_that_are_not_known_keep_their_number(number: int | None, name: str) -> None:
    """An unknown number n is kept as TYPE_n; the known ones are compared with the SDK in test_sdk.py."""
    assert row_of(ticker(type=number)).tick_type == name


@pytest.mark.parametrize(
    ("number", "name"),
    [(None, "realtime"), (0, "realtime"), (1, "realtime"), (2, "disconnect_refill"), (3, "cache"), (9, "realtime")],
)
def test_a_pushed_tick_says_how_it_came_and_a_requested_one_is_a_backfill(number: int | None, name: str) -> None:
    """pushDataType is the way of a push; a requested tick is a backfill in any case."""
    assert row_of(ticker(pushDataType=number)).push_type == name
    rows, _ = convert_all(ticker(pushDataType=number), push_type="backfill")
    assert [row.push_type for row in rows] == ["backfill"]


@pytest.mark.parametrize("missing", ["sequence", "dir", "price", "volume", "turnover"])
@pytest.mark.parametrize("stamp", [TRADED_MS / 1000, TRADED_MS / 1000 + 0.123], ids=["s", "ms"])
def test_an_incomplete_tick_is_rejected_and_its_neighbours_are_kept(missing: str, stamp: float) -> None:
    """A tick without a required field cannot be told from one with zero in it; only that tick is lost."""
    good = [ticker(sequence=SEQ + n, timestamp=stamp) for n in (0, 2)]
    broken = ticker(**{"sequence": SEQ + 1, "timestamp": stamp, missing: None})
    rows, rejected = convert_all(good[0], broken, good[1])
    assert [row.seq for row in rows] == [SEQ, SEQ + 2]
    assert [one.cause for one in rejected] == ["incomplete"]
    assert rejected[0].seq == (0 if missing == "sequence" else SEQ + 1)


@pytest.mark.parametrize("stamp", [TRADED_MS / 1000, TRADED_MS / 1000 + 0.123], ids=["s", "ms"])
def test_a_tick_without_a_text_is_kept_when_it_has_a_timestamp(stamp: float) -> None:
    """A text that no column needs may be missing, with milliseconds or without."""
    assert row_of(ticker(timestamp=stamp, time=None)).ts_ms == round(stamp * 1000)
    assert cause_of(ticker(time=None)) == "bad_time"


@pytest.mark.parametrize("stamp", [TRADED_MS / 1000, TRADED_MS / 1000 + 0.123], ids=["s", "ms"])
def test_a_precise_volume_stands_in_for_a_missing_one(stamp: float) -> None:
    """The column gets its number either way."""
    assert row_of(ticker(timestamp=stamp, hpVolume=300.0, volume=None)).volume == 300


def test_a_text_that_is_no_utf8_is_no_time() -> None:
    """protobuf hands such a string over as bytes: the tick is rejected, or kept by its timestamp."""
    assert cause_of(non_utf8(ticker())) == "bad_time"
    assert row_of(non_utf8(ticker(timestamp=TRADED_MS / 1000))).ts_ms == TRADED_MS


def test_a_rejected_tick_is_described_whole_in_one_line() -> None:
    """The log can show every field of it, and nothing in it can forge a second line."""
    _, [rejected] = convert_all(ticker(time="10:00\nERROR forged", price=nan, type=6))
    assert rejected.symbol == "HK.00700"
    assert rejected.seq == SEQ
    assert "\n" not in rejected.detail
    for part in (f"sequence: {SEQ}", "price: nan", "volume: 100", "turnover: 40220", "dir: 1", "type: 6"):
        assert part in rejected.detail


def test_bad_ticks_never_affect_other_ticks() -> None:
    """Row 15 of the fault list in one message: the good ones are stored in order, each bad one is named."""
    tickers = [
        ticker(sequence=1),
        ticker(sequence=2, time="99:99:99"),
        ticker(sequence=3, price=nan),
        ticker(sequence=4, volume=0),
        ticker(sequence=5, price=None),
        ticker(sequence=6, price=-1.0),
        ticker(sequence=7, volume=2**62),
        non_utf8(ticker(sequence=8)),
        ticker(sequence=9),
    ]
    rows, rejected = convert_all(*tickers)
    assert [row.seq for row in rows] == [1, 4, 6, 9]
    assert [(one.seq, one.cause) for one in rejected] == [
        (2, "bad_time"),
        (3, "non_finite"),
        (5, "incomplete"),
        (7, "out_of_range"),
        (8, "bad_time"),
    ]


INT32: Final = st.integers(-(2**31), 2**31 - 1)
INT64: Final = st.integers(-(2**63), 2**63 - 1)
MOMENTS: Final = st.floats() | st.floats(1.7e9, 1.9e9) | st.integers(1_700_000_000, 1_900_000_000).map(float)
TEXTS: Final = (
    st.text(max_size=30)
    | st.from_regex(r"[0-2]?\d:\d\d:\d\d([.:]\d{1,7})?", fullmatch=True)
    | st.from_regex(r"\d{4}-?\d\d-?\d\d[ T]\d\d:\d\d:\d\d([.:]\d{1,6})?", fullmatch=True)
)
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "time": TEXTS,
    "sequence": INT64 | st.integers(1_700_000_000 << 32, 1_900_000_000 << 32),
    "dir": INT32 | st.integers(0, 4),
    "price": st.floats(),
    "volume": INT64 | st.integers(0, 10_000),
    "turnover": st.floats(),
    "recvTime": st.floats(),
    "type": INT32 | st.integers(0, 40),
    "typeSign": INT32,
    "pushDataType": INT32 | st.integers(0, 4),
    "timestamp": MOMENTS,
    "hpVolume": st.floats() | INT64.map(float),
}
TICKERS: Final = st.fixed_dictionaries({}, optional=FIELDS).map(lambda fields: pb.Ticker(**fields))
TABLE: Final = (
    "CREATE TABLE ticks(symbol TEXT NOT NULL, seq INTEGER NOT NULL, ts_ms INTEGER NOT NULL, price REAL NOT NULL,"
    " volume INTEGER NOT NULL, turnover REAL NOT NULL, direction TEXT NOT NULL, tick_type TEXT NOT NULL,"
    " push_type TEXT NOT NULL, recv_ts_ms INTEGER NOT NULL, opend_recv_ts_ms INTEGER, type_sign TEXT) STRICT"
)


@pytest.fixture(scope="module")
def day() -> Iterator[apsw.Connection]:
    """A table with the columns of the contract, under SQLite's strict types."""
    with apsw.Connection(":memory:") as connection:
        connection.execute(TABLE)
        yield connection


def assert_one_outcome(one: pb.Ticker, day: apsw.Connection) -> None:
    """One row or one Rejected; a row is one that the table takes and gives back unchanged."""
    rows, rejected = convert_all(one)
    assert len(rows) + len(rejected) == 1
    for row in rows:
        assert isfinite(row.price)
        assert isfinite(row.turnover)
        assert epoch_ms("2000-01-01") < row.ts_ms < epoch_ms("2100-01-02")
        assert row.seq == one.sequence
        day.execute("DELETE FROM ticks")
        day.execute(f"INSERT INTO ticks VALUES({','.join('?' * len(row))})", row)
        assert list(day.execute("SELECT * FROM ticks")) == [tuple(row)]


@settings(max_examples=400)
@given(one=TICKERS)
def test_any_ticker_gives_one_row_or_one_rejected(day: apsw.Connection, one: pb.Ticker) -> None:
    """Whatever the fields contain or lack, nothing is lost, doubled or raised."""
    assert_one_outcome(one, day)


@given(one=TICKERS, data=st.data())
def test_a_ticker_damaged_on_its_way_gives_one_row_or_one_rejected(
    day: apsw.Connection, one: pb.Ticker, data: st.DataObject
) -> None:
    """The same for bytes that still parse after a flip: unknown fields, wire types, texts that are not UTF-8."""
    wire = bytearray(one.SerializePartialToString())
    for place in data.draw(st.lists(st.integers(0, max(0, len(wire) - 1)), min_size=1, max_size=3)):
        wire[place : place + 1] = data.draw(st.binary(max_size=2))
    try:
        damaged = pb.Ticker.FromString(bytes(wire))
    except DecodeError:
        return
    assert_one_outcome(damaged, day)


@given(st.integers(epoch_ms("2001-01-01"), epoch_ms("2038-01-01")))
def test_every_moment_survives_the_double_and_the_text(ms: int) -> None:
    """A timestamp gives back each millisecond; so does its text with the sequence of that second."""
    assert row_of(ticker(timestamp=ms / 1000)).ts_ms == ms
    text = datetime.fromtimestamp(ms // 1000, HKT).strftime("%H:%M:%S") + f".{ms % 1000:03}"
    assert row_of(ticker(time=text, timestamp=float(ms // 1000))).ts_ms == ms
    assert row_of(ticker(time=text, sequence=(ms // 1000) << 32)).ts_ms == ms


def test_the_doubles_of_the_wire_are_kept_bit_by_bit() -> None:
    """No rounding of prices and turnovers: the eight bytes that OpenD sent are the eight bytes stored."""
    for price in (402.2, 0.1 + 0.2, 1e-9, 0.01, 99_999.995):
        assert struct.pack("<d", row_of(ticker(price=price)).price) == struct.pack("<d", price)

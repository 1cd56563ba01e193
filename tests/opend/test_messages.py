"""Messages as plain values: what each reader says of a reply, and that no reply raises anything but CollectorError.

That the requests are the vendor's is shown in test_sdk.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError, OpenDError, ProtocolError, UsageError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

HK_00700: Final = pb.Security(market=1, code="00700")
NOT_UTF8: Final = b"\xff\xfe"

GOOD: Final[dict[Callable[[bytes], object], Message]] = {
    messages.read_init_connect: pb.InitConnectResponse(
        retType=0,
        s2c={"serverVer": 1011, "loginUserID": 1, "connID": 2**63 + 1, "connAESKey": "k" * 16, "keepAliveInterval": 10},
    ),
    messages.read_global_state: pb.GetGlobalStateResponse(
        retType=0,
        s2c={
            **dict.fromkeys(("marketUS", "marketSH", "marketSZ", "marketHKFuture", "serverVer", "serverBuildNo"), 0),
            "marketHK": 5,
            "qotLogined": True,
            "trdLogined": False,
            "time": 1_795_140_000,
            "programStatus": {"type": 10, "strExtDesc": "fine"},
        },
    ),
    messages.read_outcome: pb.Outcome(retType=0),
    messages.read_sub_info: pb.GetSubInfoResponse(
        retType=0,
        s2c={
            "totalUsedQuota": 3,
            "remainQuota": 97,
            "connSubInfoList": [
                {
                    "usedQuota": 2,
                    "isOwnConnData": True,
                    "subInfoList": [
                        {"subType": 4, "securityList": [HK_00700, pb.Security(market=1, code="00981")]},
                        {"subType": 1, "securityList": [pb.Security(market=1, code="00005")]},
                    ],
                },
                {
                    "usedQuota": 1,
                    "isOwnConnData": False,
                    "subInfoList": [{"subType": 4, "securityList": [pb.Security(market=1, code="00388")]}],
                },
            ],
        },
    ),
    messages.read_trade_dates: pb.RequestTradeDateResponse(
        retType=0,
        s2c={
            "tradeDateList": [
                {"time": "2026-12-23", "tradeDateType": 0},
                {"time": "2026-12-24 00:00:00", "tradeDateType": 1},
                {"time": "2026-12-28"},
                {"time": "2026-12-29", "tradeDateType": 9},
            ]
        },
    ),
    messages.read_security_snapshot: pb.GetSecuritySnapshotResponse(
        retType=0,
        s2c={
            "snapshotList": [
                {
                    "basic": {
                        "security": HK_00700,
                        "type": 3,
                        "isSuspend": True,
                        "listTime": "2004-06-16",
                        "lotSize": 100,
                        "updateTime": "2026-11-20 16:08:05.123",
                        "volume": 2**53 + 1,
                        "turnover": 1e10,
                        **dict.fromkeys(("priceSpread", "highPrice", "openPrice", "lowPrice", "curPrice"), 1.0),
                        **dict.fromkeys(("lastClosePrice", "turnoverRate"), 1.0),
                    }
                }
            ]
        },
    ),
    messages.read_get_ticker: pb.TickerResponse(retType=0, s2c={"security": HK_00700}),
    messages.read_ticker_push: pb.TickerResponse(retType=0, s2c={"security": HK_00700}),
    messages.read_notify: pb.NotifyResponse(retType=0, s2c={"type": 1, "event": {"eventType": 7, "desc": "elsewhere"}}),
}
READERS: Final = list(GOOD)
ANSWERS: Final = [read for read in READERS if read not in (messages.read_notify, messages.read_ticker_push)]


def name(reader: Callable[[bytes], object]) -> str:
    """The reader's name, for a test's id."""
    return reader.__name__


def read(reader: Callable[[bytes], object]) -> Any:
    """The result of reading a positive reply."""
    return reader(GOOD[reader].SerializeToString())


def notice(**s2c: Any) -> messages.Notice:
    """The result of reading a Notify push."""
    return messages.read_notify(pb.NotifyResponse(retType=0, s2c={"type": 1, **s2c}).SerializeToString())


def test_init_connect_is_read() -> None:
    """Version, connection, key, interval; no iv means none, and so does an empty one."""
    assert read(messages.read_init_connect) == messages.InitReply(1011, 2**63 + 1, b"k" * 16, None, 10)
    reply = pb.InitConnectResponse.FromString(GOOD[messages.read_init_connect].SerializeToString())
    for iv, expected in (("", None), ("i" * 16, b"i" * 16)):
        reply.s2c.aesCBCiv = iv
        assert messages.read_init_connect(reply.SerializeToString()).aes_iv == expected


def test_a_key_that_is_no_text_arrives_as_its_bytes() -> None:
    """The field is a string, but proto2 accepts any bytes, and a random AES key is rarely UTF-8."""
    reply = GOOD[messages.read_init_connect].SerializeToString().replace(b"k" * 16, b"\xff" * 16)
    assert messages.read_init_connect(reply).aes_key == b"\xff" * 16


def test_global_state_is_read() -> None:
    """An unknown program state is named by its number; an OpenD that sends none is running."""
    assert read(messages.read_global_state) == messages.GlobalState(5, True, "ready", "fine", 1_795_140_000)
    reply = pb.GetGlobalStateResponse.FromString(GOOD[messages.read_global_state].SerializeToString())
    for state, word in ((3, "needs_captcha"), (0, "state_0"), (99, "state_99")):
        reply.s2c.programStatus.type = state
        assert messages.read_global_state(reply.SerializeToString()).program == word
    reply.s2c.ClearField("programStatus")
    assert messages.read_global_state(reply.SerializeToString()).program == "ready"


@pytest.mark.parametrize("moment_s", [0, -1, 1, 99_999_999_999, 2**63 - 1])
def test_an_impossible_time_of_opend_is_unknown(moment_s: int) -> None:
    """It has no date, and an error at each use of the date would end the service."""
    reply = pb.GetGlobalStateResponse.FromString(GOOD[messages.read_global_state].SerializeToString())
    reply.s2c.time = moment_s
    assert messages.read_global_state(reply.SerializeToString()).server_time_s == 0


def test_subscriptions_are_this_connections_ticks() -> None:
    """Other types and other connections of the account are not ours; the quota is the account's."""
    assert read(messages.read_sub_info) == messages.SubInfo(frozenset({"HK.00700", "HK.00981"}), 3, 97)


def test_trading_days_are_read() -> None:
    """A time of day behind the date is cut off; a kind that is missing or not known is a whole day."""
    assert read(messages.read_trade_dates) == [
        messages.TradingDay("2026-12-23", "whole"),
        messages.TradingDay("2026-12-24", "morning"),
        messages.TradingDay("2026-12-28", "whole"),
        messages.TradingDay("2026-12-29", "whole"),
    ]


def test_day_totals_are_read_exactly() -> None:
    """Shares are an int64 and stay one."""
    assert read(messages.read_security_snapshot) == [
        messages.DayTotals("HK.00700", 2**53 + 1, 1e10, True, "2026-11-20")
    ]


def test_ticks_are_handed_over_as_they_came() -> None:
    """A symbol that has not traded yet is an empty list, not a failure."""
    assert len(read(messages.read_get_ticker).tickerList) == 0
    assert len(read(messages.read_ticker_push).tickerList) == 0


@pytest.mark.parametrize(
    ("s2c", "expected"),
    [
        ({"event": {"eventType": 7, "desc": "elsewhere"}}, ("kicked_out", False, "elsewhere")),
        ({"event": {"eventType": 99, "desc": "new"}}, ("gateway_event_99", True, "new")),
        ({"programStatus": {"programStatus": {"type": 10}}}, ("program_ready", True, "")),
        ({"programStatus": {"programStatus": {"type": 11, "strExtDesc": "x"}}}, ("program_forced_logout", False, "x")),
        ({"programStatus": {"programStatus": {"type": 99}}}, ("program_state_99", False, "")),
        ({"connectStatus": {"qotLogined": False, "trdLogined": True}}, ("quote_link_lost", False, "")),
        ({"connectStatus": {"qotLogined": True, "trdLogined": False}}, ("quote_link_up", True, "")),
        ({"qotRight": {"hkQotRight": 1, "usQotRight": 3, "cnQotRight": 3}}, ("quote_right_bmp", False, "")),
        ({"qotRight": {"hkQotRight": 3, "usQotRight": 5, "cnQotRight": 5}}, ("quote_right_level2", True, "")),
        ({"qotRight": {"hkQotRight": 42, "usQotRight": 0, "cnQotRight": 0}}, ("quote_right_right_42", True, "")),
        ({"apiQuota": {"subQuota": 300, "historyKLQuota": 1}}, ("quota", True, "subscriptions=300")),
        ({"usedQuota": {"usedSubQuota": 12}}, ("used_quota", True, "subscriptions=12")),
        ({"type": 77}, ("notify_77", True, "")),
    ],
)
def test_every_kind_of_notice_has_its_word(s2c: dict[str, Any], expected: tuple[str, bool, str]) -> None:
    """OpenD's state, and whether data can be expected after it; an unknown notice is reported and harmless."""
    assert notice(**s2c) == expected


@pytest.mark.parametrize("reader", ANSWERS, ids=name)
def test_a_failure_has_opends_own_text(reader: Callable[[bytes], object]) -> None:
    """The reason that OpenD gives is the error; without one its number is."""
    with pytest.raises(OpenDError, match="quota exceeded"):
        reader(pb.Outcome(retType=-1, retMsg="quota exceeded").SerializeToString())
    with pytest.raises(OpenDError, match="retType -100"):
        reader(pb.Outcome(retType=-100).SerializeToString())


@pytest.mark.parametrize("reader", ANSWERS, ids=name)
def test_a_reply_without_an_outcome_is_a_failure(reader: Callable[[bytes], object]) -> None:
    """An empty body is a valid message whose retType is the vendor's default, unknown."""
    with pytest.raises(OpenDError, match="-400"):
        reader(b"")


@pytest.mark.parametrize("reader", [read for read in ANSWERS if read is not messages.read_outcome], ids=name)
def test_a_success_without_content_has_its_own_error(reader: Callable[[bytes], object]) -> None:
    """`succ` is not a reason for a failure: the error says that the content is missing."""
    with pytest.raises(OpenDError, match="without its content"):
        reader(pb.Outcome(retType=0, retMsg="succ").SerializeToString())


@pytest.mark.parametrize("reader", READERS, ids=name)
@pytest.mark.parametrize("body", [b"\x08", b"\xff" * 20, b"\x22\x7f", b"\x0b" * 5000, b"HTTP/1.1 200 OK"])
def test_bytes_that_are_no_message_are_a_protocol_error(reader: Callable[[bytes], object], body: bytes) -> None:
    """Truncated, nested without end, something else: one error, that names the message."""
    with pytest.raises(ProtocolError):
        reader(body)


def test_texts_that_are_no_utf8_are_still_texts() -> None:
    """proto2 returns such strings as bytes; the reader returns text, because it is used in a log line."""
    outcome = pb.Outcome(retType=-1, retMsg="??").SerializeToString().replace(b"??", NOT_UTF8)
    with pytest.raises(OpenDError, match=r"^\\xff\\xfe$"):
        messages.read_outcome(outcome)
    for s2c in (
        {"event": {"eventType": 7, "desc": "??"}},
        {"programStatus": {"programStatus": {"type": 11, "strExtDesc": "??"}}},
    ):
        push = pb.NotifyResponse(retType=0, s2c={"type": 1, **s2c}).SerializeToString()
        assert messages.read_notify(push.replace(b"??", NOT_UTF8)).detail == r"\xff\xfe"


@pytest.mark.parametrize("code", [b"", NOT_UTF8, b"00700\n", b"007\x0000", b"0" * 33])
def test_a_security_that_cannot_be_named_is_a_protocol_error(code: bytes) -> None:
    """No row is filed under a code that is empty, not text, not printable or longer than any code."""
    text = "x" * max(1, len(code))
    wire = pb.Security(market=1, code=text).SerializeToString()
    security = pb.Security.FromString(wire.replace(text.encode(), code) if code else b"\x08\x01\x12\x00")
    with pytest.raises(ProtocolError, match="security"):
        messages.symbol_of(security)


def test_symbols_name_market_and_code() -> None:
    """Hong Kong by its letters, another market by its number, and back for Hong Kong."""
    assert messages.symbol_of(HK_00700) == "HK.00700"
    assert messages.symbol_of(pb.Security(market=21, code="600519")) == "21.600519"
    assert messages.security_of("HK.00700") == HK_00700


@pytest.mark.parametrize("symbol", ["", "HK.", "00700", "US.AAPL", "hk.00700", "HK00700"])
def test_a_symbol_of_another_market_is_a_usage_error(symbol: str) -> None:
    """The operator is told how to write it."""
    with pytest.raises(UsageError) as caught:
        messages.security_of(symbol)
    assert str(caught.value) == f"{symbol!r} is not a Hong Kong symbol"
    assert caught.value.hint == "write it like HK.00700"


def test_ticks_are_subscribed_with_pushes_and_a_first_push() -> None:
    """The cached tick that comes first shows every gap after a reconnect."""
    asked = messages.subscribe(["HK.00700"]).c2s
    assert (list(asked.subTypeList), asked.isSubOrUnSub, asked.isRegOrUnRegPush, asked.isFirstPush) == (
        [4],
        True,
        True,
        True,
    )


@settings(max_examples=300)
@given(reader=st.sampled_from(READERS), data=st.data())
def test_a_damaged_reply_raises_nothing_but_our_errors(reader: Callable[[bytes], object], data: st.DataObject) -> None:
    """Bytes cut, flipped and put in anywhere in a good reply of each kind."""
    body = bytearray(GOOD[reader].SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(body)), min_size=1, max_size=4)):
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    with suppress(CollectorError):
        reader(bytes(body))


@given(reader=st.sampled_from(READERS), body=st.binary(max_size=60))
def test_noise_raises_nothing_but_our_errors(reader: Callable[[bytes], object], body: bytes) -> None:
    """For any body."""
    with suppress(CollectorError):
        reader(body)


@pytest.mark.parametrize(
    ("words", "begin", "end"),
    [
        ("額" * 5_000_000, "額額額", "… (5,000,000 characters in all)"),
        ("n" * 501, "nnn", "… (501 characters in all)"),
        (b"\xff" * 5_000_000, r"\xff\xff", "… (5,000,000 characters in all)"),
        (b"\xff" * 400, r"\xff\xff", "…"),
    ],
)
def test_texts_are_cut_when_they_are_read(words: str | bytes, begin: str, end: str) -> None:
    """For any length and any bytes: 500 characters are kept, with a mark if there were more."""
    text = words if isinstance(words, bytes) else words.encode()
    size = len(text)
    varint = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])
    refusal = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12" + varint + text
    with pytest.raises(OpenDError) as told:
        messages.read_outcome(refusal)
    kept = str(told.value)
    assert len(kept) <= messages.WORDS_MOST
    assert kept.startswith(begin)
    assert kept.endswith(end)


def test_texts_of_common_length_are_complete() -> None:
    """Up to 500 characters."""
    with pytest.raises(OpenDError, match=r"^n{500}$"):
        messages.read_outcome(pb.Outcome(retType=-1, retMsg="n" * 500).SerializeToString())


def test_two_weeks_of_the_calendar_are_asked_for() -> None:
    """From a day on, as dates; over the end of a year."""
    assert messages.calendar_bounds(market.parse_day("20261120")) == ("2026-11-20", "2026-12-04")
    assert messages.calendar_bounds(market.parse_day("20261225")) == ("2026-12-25", "2027-01-08")


def test_the_drift_is_computed_from_the_middle_of_opends_second() -> None:
    """Between the question and the answer; none where OpenD tells no time."""
    state = messages.GlobalState(3, True, "ready", "", 1_795_140_000)
    asked_ms = 1_795_140_000_000
    assert state.drift_s(asked_ms, asked_ms + 1_000) == 0.0
    assert state.drift_s(asked_ms + 60_000, asked_ms + 60_400) == 59.7
    assert state.drift_s(asked_ms - 3_000, asked_ms - 3_000) == -3.5
    assert state._replace(server_time_s=0).drift_s(asked_ms, asked_ms) is None

"""Protocol numbers, and the messages of `opend.proto` as plain Python values.

Except for Ticker, only this module uses the vendor's field names. It has one function for each request and each reply.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from hk_tick_collector import market, text
from hk_tick_collector.errors import OpenDError, ProtocolError, UsageError
from hk_tick_collector.model import WINDOW_ROWS, Instrument

from . import opend_pb2 as pb
from .part_count import UNCHECKED_BYTES, check_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

_M = TypeVar("_M", bound=Message)

INIT_CONNECT: Final = 1001
GET_GLOBAL_STATE: Final = 1002
NOTIFY: Final = 1003
KEEP_ALIVE: Final = 1004
SUB: Final = 3001
GET_SUB_INFO: Final = 3003
GET_BASIC_QOT: Final = 3004
GET_TICKER: Final = 3010
UPDATE_TICKER: Final = 3011
GET_STATIC_INFO: Final = 3202
GET_SECURITY_SNAPSHOT: Final = 3203
REQUEST_TRADE_DATE: Final = 3219

RET_OK: Final = 0
MARKET_HK: Final = 1
SUB_TYPE_TICKER: Final = 4
SNAPSHOT_MAX: Final = 400  # symbols of one request; 60 requests in 30 s at most (the vendor's documentation)
STATIC_MAX: Final = 200  # symbols of one request of ours; the vendor documents no limit
TICKER_WINDOW_ROWS: Final = WINDOW_ROWS  # most ticks in an answer to GetTicker
CALENDAR_DAYS: Final = 14  # days of the calendar that are requested
_LONGEST_CODE: Final = 32  # option codes are the longest, about 20 characters
_LONGEST_SECURITY: Final = 256  # bytes; it has 12 now, and a later OpenD may add fields
WORDS_MOST: Final = 500  # most characters of a text from OpenD; longer texts are cut here
_EARLIEST_S: Final = 946_684_800  # 2000-01-01; a time before it or after _LATEST_S is invalid
_LATEST_S: Final = 4_102_444_800  # 2100-01-01

NAME_MOST: Final = 64  # most characters of a name; longer ones are cut
# The constants of the official SDK's `SecurityType`, in its spelling, by the numbers of `Qot_Common.SecurityType`.
SECURITY_TYPES: Final = {
    1: "BOND",
    2: "BWRT",
    3: "STOCK",
    4: "ETF",
    5: "WARRANT",
    6: "IDX",
    7: "PLATE",
    8: "DRVT",
    9: "PLATESET",
    10: "FUTURE",
    11: "FOREX",
    12: "CRYPTO",
}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

PROGRAM_READY: Final = 10
_PROGRAM_STATES: Final = {
    1: "loaded",
    2: "logging_in",
    3: "needs_captcha",
    4: "needs_sms_code",
    5: "login_failed",
    6: "needs_update",
    7: "preparing",
    8: "data_missing",
    9: "disclaimer_not_agreed",
    PROGRAM_READY: "ready",
    11: "forced_logout",
    12: "disclaimer_unavailable",
}
_GATEWAY_EVENTS: Final = {
    1: "config_load_failed",
    2: "api_server_failed",
    3: "needs_update",
    4: "login_failed",
    5: "disclaimer_not_agreed",
    6: "network_config_missing",
    7: "kicked_out",
    8: "password_changed",
    9: "login_banned",
    10: "needs_captcha",
    11: "needs_sms_code",
    12: "app_data_missing",
    13: "data_missing",
    14: "trade_password_changed",
    15: "device_lock_enabled",
}
_QUOTE_RIGHTS: Final = {0: "unknown", 1: "bmp", 2: "level1", 3: "level2", 4: "sf", 5: "none", 6: "level3"}
QUOTE_RIGHTS_WITHOUT_TICKS: Final = frozenset({"bmp", "none"})


class InitReply(NamedTuple):
    """OpenD's reply to InitConnect."""

    server_ver: int
    conn_id: int
    aes_key: bytes
    aes_iv: bytes | None
    keep_alive_s: int


class GlobalState(NamedTuple):
    """OpenD's state and the state of the Hong Kong market."""

    market_hk: int  # QotMarketState
    quote_logged_in: bool
    program: str  # "ready", or the reason why it is not
    program_detail: str
    server_time_s: int  # UTC epoch s; 0 if OpenD sent an invalid time

    def drift_s(self, asked_ms: float, answered_ms: float) -> float | None:
        """This host's clock minus OpenD's clock, in seconds (± 0.5 s). None if OpenD sent no time.

        `asked_ms` and `answered_ms` are the times of the request and the answer, UTC epoch ms. OpenD sends whole
        seconds, so the middle of the second is used.
        """
        if not self.server_time_s:
            return None
        return ((asked_ms + answered_ms) / 2 - self.server_time_s * 1000 - 500) / 1000


class SubInfo(NamedTuple):
    """The symbols that this connection has subscribed, and the quota of the account."""

    symbols: frozenset[str]
    used_quota: int
    remaining_quota: int


class Notice(NamedTuple):
    """One Notify push. `kind` is our name for it; `healthy` says whether data can be expected after it."""

    kind: str
    healthy: bool
    detail: str


class TradingDay(NamedTuple):
    """One trading day of the exchange's calendar, which does not include unplanned closures."""

    date: str  # "2026-11-20"
    kind: str  # whole, morning, afternoon


class DayTotals(NamedTuple):
    """OpenD's own day totals of one symbol."""

    symbol: str
    volume: int  # shares
    turnover: float  # HKD
    suspended: bool
    updated: str = ""  # "2026-11-20": the day of its latest quote and of these totals; empty if not sent


def symbol_of(security: pb.Security) -> str:
    """`HK.00700` for the vendor's pair of market and code. Raises ProtocolError for an invalid code."""
    code = _text(security.code)
    if not 0 < len(code) <= _LONGEST_CODE or not code.isprintable() or "\\" in code:
        raise ProtocolError(f"a security has the code {code[:_LONGEST_CODE]!r}")
    return f"HK.{code}" if security.market == MARKET_HK else f"{security.market}.{code}"


def read_security(security: bytes) -> pb.Security:
    """The security of a push. Raises ProtocolError when it cannot be decoded."""
    if len(security) > _LONGEST_SECURITY:
        raise ProtocolError(f"the security of a push has {len(security):,} bytes")
    try:
        return pb.Security.FromString(security)
    except DecodeError:
        raise ProtocolError("the security of a push cannot be decoded") from None


def security_of(symbol: str) -> pb.Security:
    """The vendor's pair of market and code for `HK.00700`. Raises UsageError for another market."""
    market, _, code = symbol.partition(".")
    if market != "HK" or not code:
        raise UsageError(f"{symbol!r} is not a Hong Kong symbol", hint="write it like HK.00700")
    return pb.Security(market=MARKET_HK, code=code)


def init_connect(client_id: str, encryption: int) -> pb.InitConnectRequest:
    """The first message of every connection; `encryption` is one of crypto's ENC_ALGO numbers."""
    return pb.InitConnectRequest(
        c2s=pb.InitConnectRequest.C2S(
            clientVer=1011,  # 10.11, the version of the vendor's SDK whose behaviour we follow
            clientID=client_id,
            recvNotify=True,
            packetEncAlgo=encryption,
            pushProtoFmt=0,
            programmingLanguage="Python",
        )
    )


def get_global_state() -> pb.GetGlobalStateRequest:
    """Asks for the state of OpenD and of the markets."""
    return pb.GetGlobalStateRequest(c2s=pb.GetGlobalStateRequest.C2S(userID=0))


def keep_alive(epoch_s: int) -> pb.KeepAliveRequest:
    """Keeps the connection alive; the reply shows that the peer is alive."""
    return pb.KeepAliveRequest(c2s=pb.KeepAliveRequest.C2S(time=epoch_s))


def subscribe(symbols: Iterable[str]) -> pb.SubRequest:
    """Subscribes to pushed ticks. OpenD first pushes its latest cached tick, which shows if ticks were missed."""
    return pb.SubRequest(
        c2s=pb.SubRequest.C2S(
            securityList=[security_of(symbol) for symbol in symbols],
            subTypeList=[SUB_TYPE_TICKER],
            isSubOrUnSub=True,
            isRegOrUnRegPush=True,
            isFirstPush=True,
        )
    )


def get_sub_info() -> pb.GetSubInfoRequest:
    """Asks what this connection is subscribed to."""
    return pb.GetSubInfoRequest(c2s=pb.GetSubInfoRequest.C2S(isReqAllConn=False))


def get_ticker(symbol: str, rows: int = TICKER_WINDOW_ROWS) -> pb.GetTickerRequest:
    """Asks for the latest `rows` ticks of a subscribed symbol."""
    return pb.GetTickerRequest(c2s=pb.GetTickerRequest.C2S(security=security_of(symbol), maxRetNum=rows))


def get_basic_qot(symbols: Iterable[str]) -> pb.GetBasicQotRequest:
    """Asks for the day's totals of subscribed symbols."""
    return pb.GetBasicQotRequest(
        c2s=pb.GetBasicQotRequest.C2S(securityList=[security_of(symbol) for symbol in symbols])
    )


def get_security_snapshot(symbols: Iterable[str]) -> pb.GetSecuritySnapshotRequest:
    """Asks for the day's totals of at most SNAPSHOT_MAX symbols; none needs to be subscribed."""
    return pb.GetSecuritySnapshotRequest(
        c2s=pb.GetSecuritySnapshotRequest.C2S(securityList=[security_of(symbol) for symbol in symbols])
    )


def get_static_info(symbols: Iterable[str]) -> pb.GetStaticInfoRequest:
    """Asks what at most STATIC_MAX symbols are; none needs to be subscribed."""
    return pb.GetStaticInfoRequest(
        c2s=pb.GetStaticInfoRequest.C2S(securityList=[security_of(symbol) for symbol in symbols])
    )


def calendar_bounds(today: int) -> tuple[str, str]:
    """The first and last date of a calendar request, like `2026-11-20`. The first is day number `today`."""
    return market.day_date(today).isoformat(), market.day_date(today + CALENDAR_DAYS).isoformat()


def request_trade_date(first: str, last: str) -> pb.RequestTradeDateRequest:
    """Asks for the trading days from `first` to `last`, both `YYYY-MM-DD`."""
    return pb.RequestTradeDateRequest(
        c2s=pb.RequestTradeDateRequest.C2S(market=MARKET_HK, beginTime=first, endTime=last)
    )


def read_init_connect(body: bytes) -> InitReply:
    """The reply to `init_connect`. Raises OpenDError with OpenD's text when it refuses."""
    s2c = _succeeded(_parse(pb.InitConnectResponse, body)).s2c
    return InitReply(
        server_ver=s2c.serverVer,
        conn_id=s2c.connID,
        aes_key=_octets(s2c.connAESKey),
        aes_iv=_octets(s2c.aesCBCiv) or None,
        keep_alive_s=s2c.keepAliveInterval,
    )


def read_global_state(body: bytes) -> GlobalState:
    """The reply to `get_global_state`. Raises OpenDError when the request failed."""
    s2c = _succeeded(_parse(pb.GetGlobalStateResponse, body)).s2c
    # An old OpenD does not send programStatus. It answered, so it is running.
    known = s2c.HasField("programStatus")
    return GlobalState(
        market_hk=s2c.marketHK,
        quote_logged_in=s2c.qotLogined,
        program=_program_name(s2c.programStatus.type) if known else "ready",
        program_detail=_text(s2c.programStatus.strExtDesc),
        server_time_s=s2c.time if _EARLIEST_S < s2c.time < _LATEST_S else 0,
    )


def read_outcome(body: bytes) -> None:
    """Checks a reply without content. Raises OpenDError when the request failed."""
    _succeeded(_parse(pb.Outcome, body), needs_s2c=False)


def read_sub_info(body: bytes) -> SubInfo:
    """The reply to `get_sub_info`. Raises OpenDError when the request failed."""
    s2c = _succeeded(_parse(pb.GetSubInfoResponse, body)).s2c
    symbols = frozenset(
        symbol_of(security)
        for connection in s2c.connSubInfoList
        if connection.isOwnConnData
        for info in connection.subInfoList
        if info.subType == SUB_TYPE_TICKER
        for security in info.securityList
    )
    return SubInfo(symbols, s2c.totalUsedQuota, s2c.remainQuota)


def read_trade_dates(body: bytes) -> list[TradingDay]:
    """The reply to `request_trade_date`. Raises OpenDError when the request failed."""
    s2c = _succeeded(_parse(pb.RequestTradeDateResponse, body)).s2c
    kinds = {0: "whole", 1: "morning", 2: "afternoon"}
    return [TradingDay(_text(day.time)[:10], kinds.get(day.tradeDateType, "whole")) for day in s2c.tradeDateList]


def read_security_snapshot(body: bytes) -> list[DayTotals]:
    """The reply to `get_security_snapshot`. Raises OpenDError when the request failed."""
    s2c = _succeeded(_parse(pb.GetSecuritySnapshotResponse, body)).s2c
    return [
        DayTotals(
            symbol_of(each.basic.security),
            each.basic.volume,
            each.basic.turnover,
            each.basic.isSuspend,
            _text(each.basic.updateTime)[:10],
        )
        for each in s2c.snapshotList
    ]


def read_instruments(body: bytes) -> list[Instrument]:
    """What the reply to `get_security_snapshot` says of instruments; `updated_ms` is 0. Raises OpenDError when the
    request failed.
    """
    s2c = _succeeded(_parse(pb.GetSecuritySnapshotResponse, body)).s2c
    return [
        Instrument(
            symbol_of(each.security),
            _name(each.name),
            each.lotSize if each.lotSize > 0 else None,
            _security_type(each.type),
            each.isSuspend,
            _date(each.listTime),
            each.lastClosePrice if isfinite(each.lastClosePrice) and each.lastClosePrice > 0 else None,
            0,
        )
        for each in (snapshot.basic for snapshot in s2c.snapshotList)
    ]


def read_static_info(body: bytes) -> list[Instrument]:
    """The reply to `get_static_info`, without suspension and previous close; `updated_ms` is 0. Raises OpenDError when
    the request failed.
    """
    s2c = _succeeded(_parse(pb.GetStaticInfoResponse, body)).s2c
    return [
        Instrument(
            symbol_of(each.security),
            _name(each.name),
            each.lotSize if each.lotSize > 0 else None,
            _security_type(each.secType),
            None,
            _date(each.listTime),
            None,
            0,
        )
        for each in (static.basic for static in s2c.staticInfoList)
    ]


def _name(value: str | bytes) -> str | None:
    """A name as one line without control characters, cut; None if it is empty."""
    return text.plain(_text(value)).strip()[:NAME_MOST] or None


def _security_type(number: int) -> str | None:
    return SECURITY_TYPES.get(number, f"TYPE_{number}") if number else None


def _date(value: str | bytes) -> str | None:
    """The date of a text like `2004-06-16` or `2004-06-16 00:00:00`; None if it has none."""
    found = _DATE.match(_text(value))
    return found[0] if found else None


def read_get_ticker(body: bytes) -> pb.TickerResponse.S2C:
    """The reply to `get_ticker`. Raises OpenDError when the request failed."""
    return _succeeded(_parse(pb.TickerResponse, body)).s2c


def read_ticker_push(body: bytes) -> pb.TickerPush.S2C:
    """Decodes one push of ticks. Raises ProtocolError when that fails. Must be fast: every pushed tick passes here."""
    if len(body) > UNCHECKED_BYTES:
        check_parts(pb.TickerPush, body)
    try:
        return pb.TickerPush.FromString(body).s2c
    except DecodeError:
        raise ProtocolError(f"a push of {len(body)} bytes cannot be decoded") from None


def read_notify(body: bytes) -> Notice:
    """Decodes a Notify push. An unknown kind is named `notify_n` and counts as healthy."""
    s2c = _parse(pb.NotifyResponse, body).s2c
    if s2c.HasField("event"):
        kind = _GATEWAY_EVENTS.get(s2c.event.eventType, f"gateway_event_{s2c.event.eventType}")
        return Notice(kind, s2c.event.eventType not in _GATEWAY_EVENTS, _text(s2c.event.desc))
    if s2c.HasField("programStatus"):
        status = s2c.programStatus.programStatus
        return Notice(f"program_{_program_name(status.type)}", status.type == PROGRAM_READY, _text(status.strExtDesc))
    if s2c.HasField("connectStatus"):
        logged_in = s2c.connectStatus.qotLogined
        return Notice("quote_link_up" if logged_in else "quote_link_lost", logged_in, "")
    if s2c.HasField("qotRight"):
        right = _QUOTE_RIGHTS.get(s2c.qotRight.hkQotRight, f"right_{s2c.qotRight.hkQotRight}")
        return Notice(f"quote_right_{right}", right not in QUOTE_RIGHTS_WITHOUT_TICKS, "")
    if s2c.HasField("apiQuota"):
        return Notice("quota", True, f"subscriptions={s2c.apiQuota.subQuota}")
    if s2c.HasField("usedQuota"):
        return Notice("used_quota", True, f"subscriptions={s2c.usedQuota.usedSubQuota}")
    return Notice(f"notify_{s2c.type}", True, "")


def _program_name(state: int) -> str:
    return _PROGRAM_STATES.get(state, f"state_{state}")


def _parse(kind: type[_M], body: bytes) -> _M:
    check_parts(kind, body)
    try:
        return kind.FromString(body)
    except DecodeError:
        raise ProtocolError(f"a body of {len(body)} bytes is not a valid {kind.DESCRIPTOR.name}") from None


def _succeeded(reply: _M, *, needs_s2c: bool = True) -> _M:
    """Returns the reply if it is a success; otherwise raises OpenDError with OpenD's text."""
    ret_type: int = reply.retType  # type: ignore[attr-defined]
    if ret_type != RET_OK:
        words = _text(reply.retMsg)  # type: ignore[attr-defined]
        raise OpenDError(words or f"OpenD answered retType {ret_type} without a message")
    if needs_s2c and not reply.HasField("s2c"):
        raise OpenDError(f"OpenD answered {reply.DESCRIPTOR.name} without its content")
    return reply


# In proto2 a string may have any bytes. protobuf returns it as `bytes` if it is not valid UTF-8.


def _text(value: str | bytes) -> str:
    """A text from OpenD, at most WORDS_MOST characters. If it is cut, its full length is added."""
    if len(value) <= WORDS_MOST:
        text = value if isinstance(value, str) else value.decode(errors="backslashreplace")
        if len(text) <= WORDS_MOST:
            return text
        return f"{text[: WORDS_MOST - 1]}…"
    end = f"… ({len(value):,} characters in all)"
    begin = value[:WORDS_MOST]
    text = begin if isinstance(begin, str) else begin.decode(errors="backslashreplace")
    return text[: WORDS_MOST - len(end)] + end


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()

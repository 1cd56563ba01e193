"""OpenD's answers: one function for each request, from the request's body to the reply's.

Input: the body of a request and its session. Output: the body of the reply, and the pushes that follow it. A request
that OpenD would refuse raises OpenDError with a text like OpenD's; `answer` makes a reply of retType -1 from it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from google.protobuf.message import DecodeError, Message

from hk_tick_collector import market
from hk_tick_collector.errors import OpenDError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.simulator.encoding.encode import as_pulled
from hk_tick_collector.simulator.exchange.prices import spread_at

from .account import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hk_tick_collector.simulator.encoding.encode import BodyEncoder
    from hk_tick_collector.simulator.exchange.clock import Clock
    from hk_tick_collector.simulator.exchange.listing import Security
    from hk_tick_collector.simulator.exchange.timetable import Calendar

    from .account import Account
    from .conditions import Conditions, ReplyFault
    from .recent_ticks import Tape

SERVER_VER: Final = 1011
_BUILD: Final = 7108
_LISTED: Final = "2004-06-16"
_STOCK: Final = 3  # Qot_Common.SecurityType
_MAIN_BOARD: Final = 1  # Qot_Common.ExchType
_NORMAL: Final = 1  # Qot_Common.SecurityStatus
_CLOSED: Final = 6  # Qot_Common.QotMarketState, for markets that are not simulated
_WHOLE, _MORNING_ONLY = 0, 1  # Qot_Common.TradeDateType
_SUB_TYPE_BASIC: Final = 1
_SUB_TYPES: Final = range(1, 23)
_SNAPSHOT_MAX: Final = 400
_HK_TRADE_DATES: Final = frozenset({0, 1})  # Qot_Common.TradeDateMarket: not given, Hong Kong


@dataclass(slots=True)
class Client:
    """What OpenD knows about one connection."""

    conn_id: int
    pushed: set[int] = field(default_factory=set)  # positions in the listing whose ticks are pushed to it
    asked: set[int] = field(default_factory=set)  # positions about whose latest ticks it was answered


class Answer(NamedTuple):
    """The body of a reply, and the bodies of the UpdateTicker pushes that follow it."""

    body: bytes
    pushes: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that an answer may use."""

    securities: Sequence[Security]
    places: dict[str, int]
    conditions: Conditions
    calendar: Calendar
    clock: Clock
    tape: Tape
    account: Account
    bodies: BodyEncoder

    def place(self, security: pb.Security) -> int:
        """The position of a security in the listing; OpenDError if it is not listed or is refused by a fault."""
        symbol = messages.symbol_of(security)
        place = self.places.get(symbol)
        if place is None or symbol in self.conditions.refused:
            raise OpenDError(f"Unknown stock. {symbol}")
        return place

    def told_ms(self) -> int:
        """The time that OpenD reports, UTC epoch ms."""
        return self.clock.now_ms() + self.conditions.clock_offset_ms

    def market_state(self) -> int:
        """The QotMarketState that OpenD reports."""
        told = self.conditions.market_state
        return self.calendar.state(self.clock.now_ms()) if told is None else told

    def needs_login(self) -> None:
        """Raises OpenDError while OpenD has no connection to the quote servers."""
        if not self.conditions.logged_in:
            raise OpenDError("Not logged in to the quote server")


def fate(desk: Desk, proto_id: int, body: bytes) -> ReplyFault | None:
    """The fault that affects a request; None for a normal answer. Counts it."""
    fault = desk.conditions.fate_of(proto_id)
    if fault is None and proto_id == messages.GET_TICKER and desk.conditions.ticker_fates:
        try:
            return desk.conditions.ticker_fate(desk.place(pb.GetTickerRequest.FromString(body).c2s.security))
        except (OpenDError, DecodeError):
            return None  # the request itself is refused
    return fault


def answer(desk: Desk, client: Client, proto_id: int, body: bytes) -> Answer:
    """The answer to any request; a failure if it is refused, damaged or unknown."""
    handler = _HANDLERS.get(proto_id)
    if handler is None:
        return Answer(refused(f"Unknown protocol ID: {proto_id}"))
    try:
        reply = handler(desk, client, body)
    except OpenDError as refusal:
        return Answer(refused(str(refusal)))
    except DecodeError:
        return Answer(refused(f"The body of request {proto_id} cannot be parsed"))
    return reply if isinstance(reply, Answer) else Answer(reply.SerializeToString())


def refused(words: str) -> bytes:
    """The body of any reply that refuses a request."""
    return pb.Outcome(retType=-1, retMsg=words, errCode=0).SerializeToString()


def _global_state(desk: Desk, client: Client, body: bytes) -> Message:
    pb.GetGlobalStateRequest.FromString(body)
    told_ms, conditions = desk.told_ms(), desk.conditions
    state = pb.GetGlobalStateResponse.S2C(
        marketHK=desk.market_state(),
        marketUS=_CLOSED,
        marketSH=_CLOSED,
        marketSZ=_CLOSED,
        marketHKFuture=_CLOSED,
        qotLogined=conditions.logged_in,
        trdLogined=True,
        serverVer=SERVER_VER,
        serverBuildNo=_BUILD,
        time=told_ms // 1000,
        localTime=time.time(),
        programStatus=pb.ProgramStatus(type=conditions.program),
        marketUSFuture=_CLOSED,
        connID=client.conn_id,
    )
    return pb.GetGlobalStateResponse(retType=0, s2c=state)


def _keep_alive(desk: Desk, client: Client, body: bytes) -> Message:
    del client
    pb.KeepAliveRequest.FromString(body)
    return pb.KeepAliveResponse(retType=0, s2c=pb.KeepAliveResponse.S2C(time=desk.told_ms() // 1000))


def _sub(desk: Desk, client: Client, body: bytes) -> Answer:
    c2s = pb.SubRequest.FromString(body).c2s
    if c2s.isUnsubAll:
        desk.account.unsubscribe(client.conn_id, list(desk.account.held(client.conn_id)), time.monotonic())
        client.pushed.clear()
        return Answer(_OK)
    desk.needs_login()
    places = [desk.place(security) for security in c2s.securityList]
    if not places or not c2s.subTypeList or any(sub_type not in _SUB_TYPES for sub_type in c2s.subTypeList):
        raise OpenDError("A subscription needs securities and known types of data")
    named = [Subscription(place, sub_type) for place in places for sub_type in c2s.subTypeList]
    if not c2s.isSubOrUnSub:
        desk.account.unsubscribe(client.conn_id, named, time.monotonic())
        if messages.SUB_TYPE_TICKER in c2s.subTypeList:
            client.pushed.difference_update(places)
        return Answer(_OK)
    desk.account.subscribe(client.conn_id, named, time.monotonic())
    if messages.SUB_TYPE_TICKER not in c2s.subTypeList or not c2s.isRegOrUnRegPush:
        return Answer(_OK)
    client.pushed.update(places)
    first_push = c2s.isFirstPush and desk.conditions.first_push and not desk.conditions.pushes_stop
    return Answer(_OK, _first_pushes(desk, places) if first_push else ())


def _first_pushes(desk: Desk, places: Iterable[int]) -> list[bytes]:
    """The latest cached tick of each security that has one."""
    return [desk.bodies.body(place, entry) for place in places if (entry := desk.tape.cached(place))]


def _sub_info(desk: Desk, client: Client, body: bytes) -> Message:
    everyone = pb.GetSubInfoRequest.FromString(body).c2s.isReqAllConn
    account = desk.account
    used = account.used(time.monotonic())
    s2c = pb.GetSubInfoResponse.S2C(totalUsedQuota=used, remainQuota=account.quota - used)
    connections = dict.fromkeys([client.conn_id, *(account.connections() if everyone else ())])
    for connection in connections:
        held = account.held(connection)
        info = s2c.connSubInfoList.add(usedQuota=len(held), isOwnConnData=connection == client.conn_id)
        for sub_type in sorted({subscription.sub_type for subscription in held}):
            info.subInfoList.add(
                subType=sub_type,
                securityList=[
                    messages.security_of(desk.securities[place].symbol) for place, kind in held if kind == sub_type
                ],
            )
    return pb.GetSubInfoResponse(retType=0, s2c=s2c)


def _ticker(desk: Desk, client: Client, body: bytes) -> Answer:
    c2s = pb.GetTickerRequest.FromString(body).c2s
    desk.needs_login()
    place = desk.place(c2s.security)
    _needs_subscription(desk, client, place, messages.SUB_TYPE_TICKER)
    if not 0 <= c2s.maxRetNum <= messages.TICKER_WINDOW_ROWS:
        raise OpenDError(f"maxRetNum is {c2s.maxRetNum}, allowed are at most {messages.TICKER_WINDOW_ROWS}")
    changes = desk.conditions.ticker_changes(place)
    entries = desk.tape.latest(place, desk.conditions.window_rows)
    for fault in changes:
        if fault.in_window:
            place, entries = fault.change(place, entries)
    entries = entries[max(0, len(entries) - c2s.maxRetNum) :]
    for fault in changes:
        if not fault.in_window:
            place, entries = fault.change(place, entries)
    client.asked.add(place)
    return Answer(desk.bodies.body(place, b"".join(map(as_pulled, entries))))


def _basic_qot(desk: Desk, client: Client, body: bytes) -> Message:
    desk.needs_login()
    reply = pb.GetBasicQotResponse(retType=0, s2c=pb.GetBasicQotResponse.S2C())
    for asked in pb.GetBasicQotRequest.FromString(body).c2s.securityList:
        place = desk.place(asked)
        _needs_subscription(desk, client, place, _SUB_TYPE_BASIC)
        security, totals = desk.securities[place], desk.tape.totals(place)
        last = totals.last or security.last_close
        swing = (totals.high - totals.low) / security.last_close * 100
        reply.s2c.basicQotList.add(
            security=asked,
            isSuspended=security.symbol in desk.conditions.suspended,
            listTime=_LISTED,
            priceSpread=spread_at(last),
            updateTime=_time_text(totals.updated_ms),
            highPrice=totals.high,
            openPrice=totals.open,
            lowPrice=totals.low,
            curPrice=last,
            lastClosePrice=security.last_close,
            volume=totals.volume,
            turnover=totals.turnover,
            turnoverRate=0.0,
            amplitude=swing,
            updateTimestamp=totals.updated_ms / 1000,
            secStatus=_NORMAL,
            name=security.name,
        )
    return reply


def _snapshot(desk: Desk, client: Client, body: bytes) -> Message:
    del client  # a snapshot needs no subscription
    wanted = pb.GetSecuritySnapshotRequest.FromString(body).c2s.securityList
    if len(wanted) > _SNAPSHOT_MAX:
        raise OpenDError(f"A snapshot takes {_SNAPSHOT_MAX} securities at most, not {len(wanted)}")
    reply = pb.GetSecuritySnapshotResponse(retType=0, s2c=pb.GetSecuritySnapshotResponse.S2C())
    for asked in wanted:
        place = desk.place(asked)
        security, totals = desk.securities[place], desk.tape.totals(place)
        last = totals.last or security.last_close
        reply.s2c.snapshotList.add(
            basic=pb.GetSecuritySnapshotResponse.SnapshotBasicData(
                security=asked,
                type=_STOCK,
                isSuspend=security.symbol in desk.conditions.suspended,
                listTime=_LISTED,
                lotSize=security.lot,
                priceSpread=spread_at(last),
                updateTime=_time_text(totals.updated_ms),
                highPrice=totals.high,
                openPrice=totals.open,
                lowPrice=totals.low,
                lastClosePrice=security.last_close,
                curPrice=last,
                volume=totals.volume,
                turnover=totals.turnover,
                turnoverRate=0.0,
                updateTimestamp=totals.updated_ms / 1000,
                secStatus=_NORMAL,
                name=security.name,
            )
        )
    return reply


def _static_info(desk: Desk, client: Client, body: bytes) -> Message:
    del client
    c2s = pb.GetStaticInfoRequest.FromString(body).c2s
    if c2s.securityList:
        places = [desk.place(security) for security in c2s.securityList]
    else:
        listed_here = c2s.market == messages.MARKET_HK and c2s.secType in {0, _STOCK}
        places = list(range(len(desk.securities))) if listed_here else []
    reply = pb.GetStaticInfoResponse(retType=0, s2c=pb.GetStaticInfoResponse.S2C())
    for place in places:
        security = desk.securities[place]
        reply.s2c.staticInfoList.add(
            basic=pb.GetStaticInfoResponse.SecurityStaticBasic(
                security=messages.security_of(security.symbol),
                id=10_000_000 + int(security.code),
                lotSize=security.lot,
                secType=_STOCK,
                name=security.name,
                listTime=_LISTED,
                delisting=False,
                exchType=_MAIN_BOARD,
            )
        )
    return reply


def _trade_date(desk: Desk, client: Client, body: bytes) -> Message:
    del client
    c2s = pb.RequestTradeDateRequest.FromString(body).c2s
    if c2s.market not in _HK_TRADE_DATES:
        raise OpenDError("Only the Hong Kong market is simulated")
    try:
        # The official SDK adds a time of day to both dates.
        first, last = market.parse_day(c2s.beginTime[:10]), market.parse_day(c2s.endTime[:10])
    except ValueError:
        raise OpenDError("beginTime and endTime must be dates like 2026-11-20") from None
    reply = pb.RequestTradeDateResponse(retType=0, s2c=pb.RequestTradeDateResponse.S2C())
    for day in range(first, min(last, first + 3660) + 1):
        if desk.calendar.is_trading(day):
            reply.s2c.tradeDateList.add(
                time=market.day_date(day).isoformat(),
                timestamp=market.day_start_ms(day) / 1000,
                tradeDateType=_MORNING_ONLY if desk.calendar.is_half(day) else _WHOLE,
            )
    return reply


def _needs_subscription(desk: Desk, client: Client, place: int, sub_type: int) -> None:
    if Subscription(place, sub_type) not in desk.account.held(client.conn_id):
        kind = "Ticker" if sub_type == messages.SUB_TYPE_TICKER else "Basic"
        raise OpenDError(f"{desk.securities[place].symbol} is not subscribed to {kind}; please subscribe first")


def _time_text(ts_ms: int) -> str:
    return market.hkt(ts_ms).strftime("%Y-%m-%d %H:%M:%S") if ts_ms else ""


_OK: Final = pb.SubResponse(retType=0, s2c=pb.SubResponse.S2C()).SerializeToString()

_HANDLERS: Final[dict[int, Callable[[Desk, Client, bytes], Answer | Message]]] = {
    messages.GET_GLOBAL_STATE: _global_state,
    messages.KEEP_ALIVE: _keep_alive,
    messages.SUB: _sub,
    messages.GET_SUB_INFO: _sub_info,
    messages.GET_TICKER: _ticker,
    messages.GET_BASIC_QOT: _basic_qot,
    messages.GET_SECURITY_SNAPSHOT: _snapshot,
    messages.GET_STATIC_INFO: _static_info,
    messages.REQUEST_TRADE_DATE: _trade_date,
}

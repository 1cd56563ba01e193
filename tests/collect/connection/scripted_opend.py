"""The feed on an OpenD that does what a script says."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from tests.scripted_opend import accepted, frame, ticks_of

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.connection.backfill import Backfiller
from hk_tick_collector.collect.connection.compare_totals import Reconciler
from hk_tick_collector.collect.connection.feed import Feed
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.options import FeedOptions, Waits
from hk_tick_collector.gaps.backfill_plan import BackfillPlan
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from google.protobuf.message import Message
    from tests.collect.conftest import Journal

CAP_S: Final = 300.0  # ends only a test that would wait for ever
SYMBOLS: Final = ("HK.00700", "HK.09988")
TRADED_S: Final = market.day_start_ms(market.parse_day("20261120")) // 1000 + 36_000
TICK_EVERY_S: Final = 0.01
QUICK: Final = Waits(
    answer_s=0.5,
    first_state_s=0.2,
    state_every_s=0.05,
    subscribe_again_s=0.05,
    compare_every_s=0.1,
    instruments_after_s=0.0,
    instruments_spacing_s=0.0,
)  # in place of 12, 3, 3, 3, 60, 5 and 2 s


LATE_S: Final = 0.7  # as 14 s are beside the 12 s of an answer


REFUSED, LATE, MUTE, WRONG, EMPTY = HOWS = ("refused", "late", "mute", "wrong", "empty")


KINDS: Final = {
    messages.GET_GLOBAL_STATE: "GetGlobalState",
    messages.SUB: "Sub",
    messages.GET_SUB_INFO: "GetSubInfo",
    messages.REQUEST_TRADE_DATE: "RequestTradeDate",
}


TIMES: Final = 3  # so often a question goes wrong at least, before a story ends


class OpenD:
    """A server that answers as the script says: `wrong[proto_id]` is how; `until[proto_id]` how many times."""

    def __init__(self, wrong: dict[int, str] | None = None) -> None:
        self.wrong = wrong or {}
        self.asked: dict[int, int] = {}
        self.connections = 0
        self.sent = 0
        self.subscribed: list[str] = []
        self.pushing = True
        self.market_state = 3  # QotMarketState: the morning session
        self.clock_s = TRADED_S  # its own clock
        self.ending: Callable[[int], bool] = lambda _: False  # whether to end the connection after this message
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        pushing: asyncio.Task[None] | None = None
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                _, proto_id, _, _, serial, length, _, _ = HEADER.unpack(await reader.readexactly(HEADER_BYTES))
                body = await reader.readexactly(length)
                self.asked[proto_id] = self.asked.get(proto_id, 0) + 1
                await self._answer(writer, proto_id, serial, body)
                if proto_id == messages.SUB and pushing is None and self._hears_sub():
                    pushing = asyncio.create_task(self._push(writer))
                    self._tasks.add(pushing)
                if self.ending(proto_id):
                    break
        if pushing is not None:
            pushing.cancel()
        writer.close()

    def _hears_sub(self) -> bool:
        return self.pushing and self.wrong.get(messages.SUB) != REFUSED

    async def _answer(self, writer: asyncio.StreamWriter, proto_id: int, serial: int, body: bytes) -> None:
        how = self.wrong.get(proto_id, "")
        reply: Message = self._reply(proto_id, body)
        if how == MUTE:
            return
        if how == REFUSED:
            reply = pb.Outcome(retType=-1, retMsg="too frequent, at most 10 times in 30 s")
        elif how == EMPTY:
            reply = pb.Outcome(retType=0)
        data = frame(proto_id, serial, reply)
        if how == WRONG:
            data = frame(proto_id, serial, _Raw(b"\xff\xff\xff"))  # type: ignore[arg-type]
        if how == LATE:
            asyncio.get_running_loop().call_later(LATE_S, writer.write, data)
        else:
            writer.write(data)

    def _reply(self, proto_id: int, body: bytes) -> Message:
        match proto_id:
            case messages.INIT_CONNECT:
                return accepted()
            case messages.GET_GLOBAL_STATE:
                state: dict[str, Any] = dict.fromkeys(("marketUS", "marketSH", "marketSZ", "marketHKFuture"), 0)
                state |= {
                    "marketHK": self.market_state,
                    "qotLogined": True,
                    "trdLogined": True,
                    "serverVer": 1,
                    "serverBuildNo": 1,
                }
                return pb.GetGlobalStateResponse(retType=0, s2c={**state, "time": self.clock_s})
            case messages.SUB:
                symbols = pb.SubRequest.FromString(body).c2s.securityList
                self.subscribed += map(messages.symbol_of, symbols)
                return pb.Outcome(retType=0)
            case messages.GET_SUB_INFO:
                held = [messages.security_of(symbol) for symbol in dict.fromkeys(self.subscribed)]
                info = {"subInfoList": [{"subType": 4, "securityList": held}], "isOwnConnData": True, "usedQuota": 1}
                s2c = {"connSubInfoList": [info], "totalUsedQuota": len(held), "remainQuota": 100}
                return pb.GetSubInfoResponse(retType=0, s2c=s2c)
            case messages.GET_TICKER:
                asked = pb.GetTickerRequest.FromString(body).c2s.security
                return pb.TickerResponse(retType=0, s2c={"security": asked, "tickerList": []})
            case messages.REQUEST_TRADE_DATE:
                first = pb.RequestTradeDateRequest.FromString(body).c2s.beginTime
                return pb.RequestTradeDateResponse(
                    retType=0, s2c={"tradeDateList": [{"time": first, "tradeDateType": 0}]}
                )
            case _:
                return pb.Outcome(retType=0)

    async def _push(self, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            self.sent += 1
            tick = ticks_of(TRADED_S << 32 | self.sent, time="10:00:00", timestamp=TRADED_S)
            writer.write(frame(messages.UPDATE_TICKER, 0, tick))
            await asyncio.sleep(TICK_EVERY_S)


class _Raw:
    """A body of bytes that is not a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializePartialToString(self) -> bytes:  # noqa: N802 - protobuf's name
        return self._data


class Service:
    """The feed with what it needs, on an OpenD of a script."""

    def __init__(self, opend: OpenD, data_root: Path, **options: Any) -> None:
        self.opend = opend
        self.stats = Stats()
        self.state = OpenDState()
        self.queue = TickQueue(1_000_000)
        tracker = GapTracker(Day, now_ms)
        intake = Intake(self.queue, tracker, self.state, self.stats, time.monotonic)
        backfiller = Backfiller(BackfillPlan(tracker), tracker, intake, self.state, self.stats)
        reconciler = Reconciler(data_root, SYMBOLS, self.state, self.queue.storing, lambda *_: None)
        self._parts: tuple[Any, ...] = intake, backfiller, (reconciler,), self.state, self.stats
        self._options = {"reconnect_min_delay_s": 0.01, "reconnect_max_delay_s": 0.02, **options}
        self.feed: Feed

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Service]:
        """The feed at work."""
        server = await asyncio.start_server(self.opend.serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.feed = Feed(self._feed_options(host, port), *self._parts)
        working = asyncio.create_task(self.feed.run())
        try:
            yield self
            assert not working.done()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            server.close()

    def _feed_options(self, host: str, port: int) -> FeedOptions:
        settings: dict[str, Any] = {
            "host": host, "port": port, "symbols": SYMBOLS, "client_id": "test", "max_wait_ms": 4, "waits": QUICK
        }  # fmt: skip
        return FeedOptions(**{**settings, **self._options})

    def counters(self) -> list[int]:
        """The feed's counters of the ticks that have reached the queue."""
        return [row[1] & 0xFFFFFFFF for chunk in self.queue.held_in_memory() for row in chunk.rows]

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns when the condition is true; each test has a cap."""
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)

    async def until_ticks(self, more: int) -> None:
        """Returns when this many more ticks have come."""
        wanted = self.stats.received + more
        await self.until(lambda: self.stats.received >= wanted)

    def assert_nothing_lost(self) -> None:
        """One connection, on which each pushed tick has arrived once."""
        counters = self.counters()
        assert self.opend.connections == 1
        assert counters == list(range(1, len(counters) + 1))


def run(story: Coroutine[Any, Any, None]) -> None:
    """Runs the coroutine of one test, with a time limit against a hang."""
    asyncio.run(asyncio.wait_for(story, CAP_S))


def named(journal: Journal, kind: str) -> int:
    """How often it was logged that such a request has no answer. On a busy machine others may be late as well."""
    return sum(line.fields["kind"] == kind for line in journal.events("question_failed"))

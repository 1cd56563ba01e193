"""An OpenD that answers correctly until it floods the client."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tests.scripted_opend import accepted, frame, ticks_of

from hk_tick_collector import market
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from google.protobuf.message import Message

_TRADING: Final = 3


class FloodingOpenD:
    """Listens on a port of its own, in a thread of its own; use it in a `with` block.

    `answer` may give the body of a reply in place of the right one. `flood` is sent, frame after frame, once to each
    connection that has subscribed; `flooded` is set when the first time is over, `ticks` then are sent behind it.
    """

    def __init__(
        self,
        flood: Callable[[], Iterable[bytes]] = tuple,
        answer: Callable[[int, bytes], Message | None] = lambda *_: None,
    ) -> None:
        self.flooded = threading.Event()
        self.asked: dict[int, int] = {}
        self.connections = 0
        self.made: dict[str, list[pb.Ticker]] = {}
        self._flood, self._answer = flood, answer
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flooding-opend")
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> FloodingOpenD:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def send_ticks(self, code: str, count: int) -> None:
        """Makes ticks of a security and pushes each to every subscribed connection."""
        for _ in range(count):
            made = self.made.setdefault(code, [])
            now_s = int(time.time())
            push = ticks_of(
                now_s << 32 | len(made) + 1,
                code=code,
                time=f"{datetime.fromtimestamp(now_s, market.HKT):%H:%M:%S}",
                timestamp=float(now_s),
            )
            made.append(push.s2c.tickerList[0])
            self.send(frame(messages.UPDATE_TICKER, 0, push))

    def send(self, data: bytes) -> None:
        """Sends these bytes to every subscribed connection."""

        def write() -> None:
            for writer in self._writers:
                writer.write(data)

        self._loop.call_soon_threadsafe(write)

    def _run(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                _, proto_id, _, _, serial, length, _, _ = HEADER.unpack(await reader.readexactly(HEADER_BYTES))
                body = await reader.readexactly(length)
                self.asked[proto_id] = self.asked.get(proto_id, 0) + 1
                writer.write(frame(proto_id, serial, self._answer(proto_id, body) or self._right(proto_id, body)))
                if proto_id == messages.SUB and writer not in self._writers:
                    self._writers.add(writer)
                    task = asyncio.create_task(self._send_flood(writer))
                    self._tasks.add(task)
        self._writers.discard(writer)
        writer.close()

    async def _send_flood(self, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            for data in self._flood():
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0)
            self.flooded.set()

    def _right(self, proto_id: int, body: bytes) -> Message:
        match proto_id:
            case messages.INIT_CONNECT:
                return accepted()
            case messages.GET_GLOBAL_STATE:
                state: dict[str, Any] = dict.fromkeys(("marketUS", "marketSH", "marketSZ", "marketHKFuture"), 0)
                state |= {"marketHK": _TRADING, "qotLogined": True, "trdLogined": True}
                state |= {"serverVer": 1, "serverBuildNo": 1, "time": int(time.time())}
                return pb.GetGlobalStateResponse(retType=0, s2c=state)
            case messages.GET_TICKER:
                c2s = pb.GetTickerRequest.FromString(body).c2s
                made = self.made.get(c2s.security.code, [])[-c2s.maxRetNum :]
                return pb.TickerResponse(retType=0, s2c={"security": c2s.security, "tickerList": made})
            case messages.REQUEST_TRADE_DATE:
                first = pb.RequestTradeDateRequest.FromString(body).c2s.beginTime
                return pb.RequestTradeDateResponse(retType=0, s2c={"tradeDateList": [{"time": first}]})
            case messages.GET_SUB_INFO:
                return pb.Outcome(retType=-1, retMsg="not told")
            case _:
                return pb.Outcome(retType=0)

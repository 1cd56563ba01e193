"""Simulators in this process and as processes, and a client that uses plain frames."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.crypto import ENC_ALGO_NONE
from hk_tick_collector.opend.frame import FrameReader, encode_frame
from hk_tick_collector.simulator.plan import Gateway, Plan
from hk_tick_collector.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    from google.protobuf.message import Message

T = TypeVar("T")
DEADLINE_S = 300


class Peer:
    """A client of the simulator that returns every frame unchanged."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.pushes: list[pb.TickerResponse] = []
        self._frames = FrameReader()
        self._arrived: list[tuple[int, int, bytes]] = []
        self._serial = 0

    async def receive(self) -> tuple[int, int, bytes]:
        """The next frame; ConnectionError if the simulator ended the connection."""
        while not self._arrived:
            data = await self.reader.read(1 << 16)
            if not data:
                raise ConnectionError("the simulator closed the connection")
            self._arrived.extend(self._frames.feed(data))
        return self._arrived.pop(0)

    async def next_push(self) -> pb.TickerResponse:
        """The next push of ticks."""
        proto_id, _, body = await self.receive()
        assert proto_id == messages.UPDATE_TICKER
        return pb.TickerResponse.FromString(body)

    async def ask(self, proto_id: int, request: Message | bytes) -> bytes:
        """The body of the reply to a request; pushes that come before it are kept."""
        self._serial += 1
        body = request if isinstance(request, bytes) else request.SerializeToString()
        self.writer.write(encode_frame(proto_id, self._serial, body))
        while True:
            got_id, serial, reply = await self.receive()
            if got_id == messages.UPDATE_TICKER:
                self.pushes.append(pb.TickerResponse.FromString(reply))
                continue
            assert (got_id, serial) == (proto_id, self._serial)
            return reply

    async def refusal(self, proto_id: int, request: Message | bytes) -> str:
        """The text with which a request is refused."""
        outcome = pb.Outcome.FromString(await self.ask(proto_id, request))
        assert outcome.retType == -1
        return outcome.retMsg

    async def subscribe(self, *symbols: str) -> None:
        """Subscribes to ticks with pushes and a first push."""
        messages.read_outcome(await self.ask(messages.SUB, messages.subscribe(symbols)))

    async def tickers(self, symbol: str, rows: int = 1000) -> list[pb.Ticker]:
        """The ticks that GetTicker returns."""
        reply = pb.TickerResponse.FromString(await self.ask(messages.GET_TICKER, messages.get_ticker(symbol, rows)))
        assert reply.retType == 0, reply.retMsg
        return list(reply.s2c.tickerList)


@asynccontextmanager
async def peer_of(port: int) -> AsyncIterator[Peer]:
    """An initialised connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = Peer(reader, writer)
    try:
        body = await peer.ask(messages.INIT_CONNECT, messages.init_connect("test", ENC_ALGO_NONE))
        assert messages.read_init_connect(body).keep_alive_s == 10
        yield peer
    finally:
        writer.close()


@asynccontextmanager
async def simulating(
    gateway: dict[str, Any] | None = None, sleep: Callable[[float], Any] = asyncio.sleep, **plan: Any
) -> AsyncIterator[Simulator]:
    """A simulator in this process, on a free port; Plan's fields as keywords, three symbols by default."""
    plan.setdefault("symbols", ["HK.00700", "HK.00981", "HK.09988"])
    async with Simulator(Plan(**plan), Gateway(**{"port": 0, **(gateway or {})}), sleep) as simulator:
        yield simulator


def read_basic_quotes(body: bytes) -> list[messages.DayTotals]:
    """The day's totals in a reply to GetBasicQot, which the collector does not use; it must have succeeded."""
    reply = pb.GetBasicQotResponse.FromString(body)
    assert reply.retType == 0, reply.retMsg
    return [
        messages.DayTotals(f"HK.{quote.security.code}", quote.volume, quote.turnover, quote.isSuspended)
        for quote in reply.s2c.basicQotList
    ]


@pytest.fixture
def tools() -> Any:
    """The helpers of this module: `tools.simulating(…)`, `tools.peer_of(port)`, `tools.run(coroutine)`."""

    class Tools:
        simulating = staticmethod(simulating)
        peer_of = staticmethod(peer_of)
        read_basic_quotes = staticmethod(read_basic_quotes)

        @staticmethod
        def run(main: Coroutine[Any, Any, T]) -> T:
            async def bounded() -> T:
                return await asyncio.wait_for(main, DEADLINE_S)

            return asyncio.run(bounded(), debug=True)

    return Tools


class SimulateProcess:
    """`hk-tick-collector simulate` as a process."""

    def __init__(self, directory: Path, arguments: tuple[str, ...]) -> None:
        self._log = directory / f"simulate-{time.monotonic_ns()}.log"
        with self._log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hk_tick_collector", "simulate", "--port", "0", *arguments],
                cwd=directory,
                stderr=stderr,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "HOME": str(directory)},
            )
        self.port = int(self.wait_for(r"simulator_listening .*port=(\d+)")[1])

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return self._log.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in its log; waits for it."""
        give_up_s = time.monotonic() + DEADLINE_S
        while not (match := re.search(pattern, self.log)):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up_s, self.log
            time.sleep(0.01)
        return match

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def start_simulate(workdir: Path) -> Iterator[Callable[..., SimulateProcess]]:
    """Starts `simulate ARGUMENTS` on a free port and waits until it listens."""
    started: list[SimulateProcess] = []

    def start(*arguments: str) -> SimulateProcess:
        started.append(SimulateProcess(workdir, arguments))
        return started[-1]

    yield start
    for simulate in started:
        if simulate.process.poll() is None:
            simulate.process.kill()
            simulate.process.wait()


@pytest.fixture(scope="session")
def rsa_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key as operators of OpenD make it: RSA, 1,024 bits, PKCS#1, PEM."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # the size the vendor asks for
    path = tmp_path_factory.mktemp("keys") / "opend.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return path

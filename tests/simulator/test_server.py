"""The simulator answers as OpenD does, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import HEADER, encode_frame
from hk_tick_collector.simulator.truth.truth import read_truth

if TYPE_CHECKING:
    from pathlib import Path

START_MS = market.day_start_ms(market.parse_day("20261120")) + 10 * 3_600_000  # 10:00
GET_ORDER_BOOK = 3012


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """The bytes that still arrive before the simulator closes the connection."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_only_the_truth_is_pushed_and_all_of_it(tools: Any, tmp_path: Path) -> None:
    """Every tick of the truth file reaches a client that is connected from the start, each in its own push."""

    async def main() -> None:
        plan = {"start_ms": START_MS, "rate": 20_000, "total": 3_000, "wait": True, "truth": tmp_path / "truth"}
        async with tools.simulating(**plan) as simulator, tools.peer_of(simulator.port) as peer:
            await peer.subscribe("HK.00700", "HK.00981", "HK.09988")
            pushes = [await peer.next_push() for _ in range(3_000)]
            await simulator.finished()
        truth = list(read_truth(tmp_path / "truth"))
        assert [len(push.s2c.tickerList) for push in pushes] == [1] * 3_000
        assert [(messages.symbol_of(push.s2c.security), push.s2c.tickerList[0].sequence) for push in pushes] == [
            (tick.symbol, tick.seq) for tick in truth
        ]
        assert {push.s2c.tickerList[0].pushDataType for push in pushes} == {1}
        assert simulator.pushes == simulator.ticks == 3_000

    tools.run(main())


def test_equal_seed_day_and_time_give_equal_bytes(tools: Any) -> None:
    """Two runs send the same pushes, their own receive time included."""

    async def collect(seed: int) -> list[bytes]:
        plan = {"start_ms": START_MS, "rate": 20_000, "total": 500, "wait": True, "seed": seed, "speed": 20}
        async with tools.simulating(**plan) as simulator, tools.peer_of(simulator.port) as peer:
            await peer.subscribe("HK.00700", "HK.00981", "HK.09988")
            return [(await peer.next_push()).SerializeToString() for _ in range(500)]

    async def main() -> None:
        first = await collect(1)
        assert await collect(1) == first
        assert await collect(2) != first

    tools.run(main())


def test_a_push_carries_the_ticks_of_one_trade(tools: Any) -> None:
    """As many as configured, of one security."""

    async def main() -> None:
        plan = {"start_ms": START_MS, "rate": 20_000, "total": 1_000, "wait": True, "fills": 10}
        async with tools.simulating(**plan) as simulator, tools.peer_of(simulator.port) as peer:
            await peer.subscribe("HK.00700", "HK.00981", "HK.09988")
            pushes = [await peer.next_push() for _ in range(100)]
        assert {len(push.s2c.tickerList) for push in pushes} == {10}

    tools.run(main())


def test_the_window_holds_the_latest_thousand_made_while_nobody_was_there(tools: Any, tmp_path: Path) -> None:
    """GetTicker gives the newest 1,000, oldest first, without the fields of a push; fewer if fewer are asked for."""

    async def main() -> None:
        plan = {"symbols": ["HK.00700"], "rate": 100_000, "total": 2_500, "truth": tmp_path / "truth"}
        async with tools.simulating(**plan) as simulator:
            await simulator.finished()
            async with tools.peer_of(simulator.port) as peer:
                await peer.subscribe("HK.00700")
                whole, few = await peer.tickers("HK.00700"), await peer.tickers("HK.00700", 10)
        seqs = [tick.seq for tick in read_truth(tmp_path / "truth")]
        assert [ticker.sequence for ticker in whole] == seqs[-1000:]
        assert [ticker.sequence for ticker in few] == seqs[-10:]
        assert all(ticker.recvTime == 0 and not ticker.HasField("pushDataType") for ticker in whole)

    tools.run(main())


def test_a_first_push_carries_the_latest_cached_tick(tools: Any, tmp_path: Path) -> None:
    """One for each symbol that traded, marked as cached, directly after the reply to the subscription."""

    async def main() -> None:
        async with tools.simulating(rate=100_000, total=500, truth=tmp_path / "truth") as simulator:
            await simulator.finished()
            async with tools.peer_of(simulator.port) as peer:
                await peer.subscribe("HK.00700", "HK.00981")
                pushes = [await peer.next_push() for _ in range(2)]
        latest = {tick.symbol: tick.seq for tick in read_truth(tmp_path / "truth")}
        got = {messages.symbol_of(push.s2c.security): push.s2c.tickerList[0] for push in pushes}
        assert {symbol: ticker.sequence for symbol, ticker in got.items()} == {
            symbol: latest[symbol] for symbol in ("HK.00700", "HK.00981")
        }
        assert all(ticker.pushDataType == 3 and ticker.recvTime == 0 for ticker in got.values())

    tools.run(main())


def test_each_connection_gets_what_it_subscribed_to(tools: Any) -> None:
    """Two clients, two symbols; a client that wants no pushes gets none but can request ticks."""

    async def main() -> None:
        async with (
            tools.simulating(rate=0) as simulator,
            tools.peer_of(simulator.port) as one,
            tools.peer_of(simulator.port) as other,
            tools.peer_of(simulator.port) as puller,
        ):
            await one.subscribe("HK.00700")
            await other.subscribe("HK.00981")
            quiet = messages.subscribe(["HK.00700"])
            quiet.c2s.isRegOrUnRegPush = False
            messages.read_outcome(await puller.ask(messages.SUB, quiet))
            await simulator.started()
            await simulator.perform("burst 600")
            assert {(await one.next_push()).s2c.security.code for _ in range(20)} == {"00700"}
            assert {(await other.next_push()).s2c.security.code for _ in range(20)} == {"00981"}
            assert await puller.tickers("HK.00700")
            assert puller.pushes == []

    tools.run(main())


def test_subscriptions_are_counted_and_refused_by_the_batch(tools: Any) -> None:
    """Beyond the quota, or with a refused or unknown symbol: no symbol is subscribed, and the message says why."""

    async def main() -> None:
        gateway = {"quota": 2, "refused": frozenset({"HK.09988"})}
        async with tools.simulating(gateway, rate=0) as simulator, tools.peer_of(simulator.port) as peer:
            for unknown in ("HK.09988", "HK.99998"):
                words = await peer.refusal(messages.SUB, messages.subscribe(["HK.00700", unknown]))
                assert words == f"Unknown stock. {unknown}"
            await peer.subscribe("HK.00700")
            both_types = messages.subscribe(["HK.00700", "HK.00981"])
            both_types.c2s.subTypeList.append(1)
            assert "quota" in await peer.refusal(messages.SUB, both_types)
            info = messages.read_sub_info(await peer.ask(messages.GET_SUB_INFO, messages.get_sub_info()))
            assert (info.symbols, info.used_quota, info.remaining_quota) == (frozenset({"HK.00700"}), 1, 1)
            off = messages.subscribe(["HK.00700"])
            off.c2s.isSubOrUnSub = False
            assert "60 s" in await peer.refusal(messages.SUB, off)

    tools.run(main())


def test_unsubscribing_stops_pushes_and_answers(tools: Any) -> None:
    """After the minimum time, one symbol or all of them."""

    async def main() -> None:
        async with (
            tools.simulating({"min_hold_s": 0.0}, rate=1_000) as simulator,
            tools.peer_of(simulator.port) as peer,
        ):
            await peer.subscribe("HK.00700", "HK.00981")
            off = messages.subscribe(["HK.00700"])
            off.c2s.isSubOrUnSub = False
            messages.read_outcome(await peer.ask(messages.SUB, off))
            assert {(await peer.next_push()).s2c.security.code for _ in range(20)} == {"00981"}
            assert "subscribe first" in await peer.refusal(messages.GET_TICKER, messages.get_ticker("HK.00700"))
            everything = pb.SubRequest(c2s=pb.SubRequest.C2S(isSubOrUnSub=False, isUnsubAll=True))
            messages.read_outcome(await peer.ask(messages.SUB, everything))
            info = messages.read_sub_info(await peer.ask(messages.GET_SUB_INFO, messages.get_sub_info()))
            assert info.symbols == frozenset()

    tools.run(main())


def test_what_opend_would_refuse_is_refused_with_a_text(tools: Any) -> None:
    """Not subscribed, too many rows, an unknown protocol, a body that cannot be decoded: retType -1; it goes on."""

    async def main() -> None:
        async with tools.simulating(rate=0) as simulator, tools.peer_of(simulator.port) as peer:
            ask = messages.get_ticker("HK.00700")
            assert "subscribe first" in await peer.refusal(messages.GET_TICKER, ask)
            assert "subscribe first" in await peer.refusal(messages.GET_BASIC_QOT, messages.get_basic_qot(["HK.00700"]))
            await peer.subscribe("HK.00700")
            assert "at most 1000" in await peer.refusal(messages.GET_TICKER, messages.get_ticker("HK.00700", 1001))
            assert "3012" in await peer.refusal(GET_ORDER_BOOK, b"")
            assert "cannot be parsed" in await peer.refusal(messages.SUB, b"\xff\xff")
            assert await peer.tickers("HK.00700") == []

    tools.run(main())


def test_nothing_is_answered_before_init_connect(tools: Any) -> None:
    """The first request must be InitConnect."""

    async def main() -> None:
        async with tools.simulating(rate=0) as simulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            writer.write(encode_frame(messages.KEEP_ALIVE, 1, messages.keep_alive(1).SerializeToString()))
            reply = await reader.read(1 << 16)
            assert b"InitConnect" in reply
            writer.close()

    tools.run(main())


def test_the_simulated_clock_is_returned(tools: Any) -> None:
    """GetGlobalState and KeepAlive return exchange time, at the configured speed, and the market's state."""

    async def main() -> None:
        noon_ms = START_MS + 2 * 3_600_000
        async with (
            tools.simulating(start_ms=noon_ms, rate=0, speed=100) as simulator,
            tools.peer_of(simulator.port) as peer,
        ):
            body = await peer.ask(messages.GET_GLOBAL_STATE, messages.get_global_state())
            state = messages.read_global_state(body)
            assert market.state_name(state.market_hk) == "rest"
            assert noon_ms // 1000 <= state.server_time_s < noon_ms // 1000 + 100 * 30
            assert state.quote_logged_in
            assert state.program == "ready"
            alive = pb.KeepAliveResponse.FromString(await peer.ask(messages.KEEP_ALIVE, messages.keep_alive(1)))
            assert alive.s2c.time >= state.server_time_s

    tools.run(main())


@pytest.mark.usefixtures("one_day")
def test_without_a_day_the_market_trades_at_any_hour(tools: Any) -> None:
    """On the wall clock, today is a trading day and the market is open, also at night and on Sundays."""

    async def main() -> None:
        async with tools.simulating(rate=500) as simulator, tools.peer_of(simulator.port) as peer:
            state = messages.read_global_state(await peer.ask(messages.GET_GLOBAL_STATE, messages.get_global_state()))
            assert market.is_trading(state.market_hk)
            today = market.day_date(market.day_number(state.server_time_s * 1000)).isoformat()
            days = messages.read_trade_dates(
                await peer.ask(messages.REQUEST_TRADE_DATE, messages.request_trade_date(today, today))
            )
            assert [(day.date, day.kind) for day in days] == [(today, "whole")]
            await peer.subscribe("HK.00700")
            assert await peer.next_push()

    tools.run(main())


def test_the_calendar_knows_weekends_and_half_days(tools: Any) -> None:
    """RequestTradeDate leaves out weekends and marks half days."""

    async def main() -> None:
        async with tools.simulating(start_ms=START_MS, rate=0) as simulator, tools.peer_of(simulator.port) as peer:
            request = messages.request_trade_date("2026-12-23", "2026-12-28")
            days = messages.read_trade_dates(await peer.ask(messages.REQUEST_TRADE_DATE, request))
            assert [(day.date, day.kind) for day in days] == [
                ("2026-12-23", "whole"),
                ("2026-12-24", "morning"),
                ("2026-12-25", "whole"),
                ("2026-12-28", "whole"),
            ]

    tools.run(main())


def test_day_totals_are_those_of_the_truth(tools: Any, tmp_path: Path) -> None:
    """BasicQot and the snapshot count every tick's volume and turnover."""

    async def main() -> None:
        async with tools.simulating(rate=100_000, total=3_000, truth=tmp_path / "truth") as simulator:
            await simulator.finished()
            async with tools.peer_of(simulator.port) as peer:
                subscription = messages.subscribe(["HK.00700", "HK.00981"])
                subscription.c2s.subTypeList.append(1)
                await peer.ask(messages.SUB, subscription)
                totals = tools.read_basic_quotes(
                    await peer.ask(messages.GET_BASIC_QOT, messages.get_basic_qot(["HK.00700", "HK.00981"]))
                )
        truth = list(read_truth(tmp_path / "truth"))
        for day in totals:
            own = [tick for tick in truth if tick.symbol == day.symbol]
            assert day.volume == sum(tick.volume for tick in own)
            assert day.turnover == pytest.approx(sum(tick.turnover for tick in own))

    tools.run(main())


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b" " * 44,
        HEADER.pack(b"FT", messages.KEEP_ALIVE, 0, 0, 1, 1 << 32 - 1, bytes(20), bytes(8)),
        HEADER.pack(b"FT", messages.KEEP_ALIVE, 0, 0, 1, 3, bytes(20), bytes(8)) + b"abc",
        HEADER.pack(b"FT", messages.KEEP_ALIVE, 1, 0, 1, 2, bytes(20), bytes(8)) + b"{}",
        encode_frame(messages.INIT_CONNECT, 1, b"\xff\xff\xff"),
    ],
    ids=["http", "length of 2 GB", "wrong SHA-1", "JSON", "no InitConnect"],
)
def test_invalid_bytes_end_that_connection_only(tools: Any, garbage: bytes) -> None:
    """The client is disconnected; the others go on."""

    async def main() -> None:
        async with tools.simulating(rate=0) as simulator, tools.peer_of(simulator.port) as other:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            writer.write(garbage)
            assert not await until_closed(reader)
            writer.close()
            await other.ask(messages.KEEP_ALIVE, messages.keep_alive(1))

    tools.run(main())


def test_a_client_that_does_not_read_is_disconnected_and_delays_no_other(tools: Any) -> None:
    """The client that reads gets every tick; the other is disconnected once its buffer is full."""

    async def main() -> None:
        symbols = ["HK.00700"]
        plan = {"symbols": symbols, "rate": 200_000, "total": 60_000, "wait": True}
        async with tools.simulating({"buffer_bytes": 100_000}, **plan) as simulator:
            sleeper = socket.create_connection(("127.0.0.1", simulator.port))
            sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            async with tools.peer_of(simulator.port) as peer:
                reader_task = asyncio.create_task(_read(peer, 60_000))
                for serial, (proto_id, request) in enumerate(
                    [
                        (messages.INIT_CONNECT, messages.init_connect("sleeper", -1)),
                        (messages.SUB, messages.subscribe(symbols)),
                    ]
                ):
                    sleeper.sendall(encode_frame(proto_id, serial, request.SerializeToString()))
                await simulator.finished()
                assert len(simulator.sessions) == 1
                assert await reader_task == 60_000
            sleeper.close()

    async def _read(peer: Any, number: int) -> int:
        await peer.subscribe("HK.00700")
        return len([await peer.next_push() for _ in range(number)])

    tools.run(main())


def test_the_129th_connection_is_refused(tools: Any) -> None:
    """128 are served; when one disconnects, another can connect."""

    async def main() -> None:
        async with tools.simulating(rate=0) as simulator:
            streams = [await asyncio.open_connection("127.0.0.1", simulator.port) for _ in range(128)]
            for serial, (reader, writer) in enumerate(streams):
                writer.write(encode_frame(messages.KEEP_ALIVE, serial, b""))
                assert await reader.read(1 << 16)
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            assert not await until_closed(reader)
            writer.close()
            for _, writer in streams:
                writer.close()

    tools.run(main())


def test_an_encrypting_opend_refuses_plain_clients(tools: Any, rsa_key: Path) -> None:
    """A plain InitConnect to an OpenD with a key ends the connection."""
    pem = rsa_key.read_bytes()

    async def main() -> None:
        async with tools.simulating({"rsa_pem": pem}, rate=0) as simulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            plain = messages.init_connect("test", -1).SerializeToString()
            writer.write(encode_frame(messages.INIT_CONNECT, 1, plain))
            assert not await until_closed(reader)
            writer.close()

    tools.run(main())


def test_waiting_ends_when_everything_that_can_be_is_subscribed(tools: Any) -> None:
    """Not after the first batch; it does not wait for refused symbols."""

    async def main() -> None:
        gateway = {"refused": frozenset({"HK.09988"})}
        async with (
            tools.simulating(gateway, rate=1_000, wait=True) as simulator,
            tools.peer_of(simulator.port) as peer,
        ):
            await peer.subscribe("HK.00700")
            await peer.ask(messages.KEEP_ALIVE, messages.keep_alive(1))
            assert simulator.ticks == 0
            await peer.subscribe("HK.00981")
            assert await peer.next_push()

    tools.run(main())


def test_a_taken_port_says_what_to_do(tools: Any) -> None:
    """One line with the cause and the remedy."""

    async def main() -> None:
        async with tools.simulating(rate=0) as first:
            with pytest.raises(UsageError, match=f"127.0.0.1:{first.port} is in use") as error:
                async with tools.simulating({"port": first.port}, rate=0):
                    pass
            assert "another port" in error.value.hint

    tools.run(main())

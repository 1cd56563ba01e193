"""Each fault as a client sees it: the collector's own protocol core over real sockets."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError, ProtocolError
from hk_tick_collector.opend import messages, protocol
from hk_tick_collector.opend.crypto import RsaCipher
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES
from hk_tick_collector.simulator.faults.scenario import parse_scenario
from hk_tick_collector.simulator.truth.truth import read_rejects, read_truth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from google.protobuf.message import Message

    from hk_tick_collector.model import TickRow

E = TypeVar("E")
SYMBOLS = ("HK.00700", "HK.00981", "HK.09988")
START_MS = market.day_start_ms(market.parse_day("20261120")) + 10 * 3_600_000
STILL: dict[str, Any] = {"rate": 0, "start_ms": START_MS}  # no tick but those that a step makes


class Client:
    """The collector's protocol core on a stream; events are kept until a test asks for them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rsa: RsaCipher | None) -> None:
        self.core = protocol.Connection("test", rsa)
        self.reader, self.writer = reader, writer
        self.events: list[protocol.Event] = []
        self.rows: list[TickRow] = []
        self.skipped = 0
        self.core.start(time.monotonic())
        self._flush()

    async def until(self, kind: type[E]) -> E:
        """The next event of a kind; ticks on the way are kept in `rows`."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if isinstance(event, protocol.Ticks) and event.requested_by is None:
                    self.rows += event.rows
                if isinstance(event, kind):
                    return event
                assert not isinstance(event, protocol.Closed), event.error
            await self._read()

    async def ask(self, proto_id: int, message: Message) -> Any:
        """Replied, Failed or Ticks: whatever answers this request."""
        serial = self.core.request(proto_id, message, time.monotonic())
        self._flush()
        while True:
            event: Any = await self.until(object)
            if serial in (getattr(event, "serial", None), getattr(event, "requested_by", None)):
                return event

    async def subscribe(self, *symbols: str) -> None:
        """Subscribes, which must succeed."""
        messages.read_outcome((await self.ask(messages.SUB, messages.subscribe(symbols or SYMBOLS))).body)

    async def got(self, rows: int) -> list[TickRow]:
        """The next pushed ticks, exactly so many."""
        while len(self.rows) < rows:
            await self.until(protocol.Ticks)
        taken, self.rows = self.rows[:rows], self.rows[rows:]
        assert self.rows == []
        return taken

    async def realtime(self, rows: int) -> None:
        """Reads until so many ticks were pushed as they were made; cached ones may come between."""
        while sum(row[8] == "realtime" for row in self.rows) < rows:
            await self.until(protocol.Ticks)

    async def state(self) -> messages.GlobalState:
        """What OpenD says of itself."""
        reply = await self.ask(messages.GET_GLOBAL_STATE, messages.get_global_state())
        return messages.read_global_state(reply.body)

    async def kinds(self, number: int) -> list[str]:
        """The kinds of the next notices."""
        return [(await self.until(protocol.Notified)).notice.kind for _ in range(number)]

    async def rest(self) -> bytes:
        """The bytes that still come before the end."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""

    async def _read(self) -> None:
        try:
            data = await self.reader.read(1 << 16)
        except ConnectionResetError:
            data = b""
        now_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        events = self.core.receive(data, now_s, now_ms) if data else self.core.receive_eof()
        self.skipped += sum(isinstance(event, protocol.Skipped) for event in events)
        self.events += events
        self._flush()

    def _flush(self) -> None:
        if data := self.core.data_to_send():
            self.writer.write(data)


@asynccontextmanager
async def client_of(simulator: Any, *symbols: str, rsa: RsaCipher | None = None) -> AsyncIterator[Client]:
    """A connected client, subscribed to the given symbols."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    client = Client(reader, writer, rsa)
    try:
        await client.until(protocol.Ready)
        if symbols:
            await client.subscribe(*symbols)
        yield client
    finally:
        writer.close()


@asynccontextmanager
async def pair(tools: Any, **plan: Any) -> AsyncIterator[tuple[Any, Client]]:
    """A simulator that makes no ticks by itself, and a client that is subscribed to everything."""
    async with (
        tools.simulating(**{**STILL, **plan}) as simulator,
        client_of(simulator, *plan.get("symbols", SYMBOLS)) as client,
    ):
        await simulator.started()
        yield simulator, client


async def quiet(simulator: Any) -> None:
    """Returns when no step lasts any more."""
    while simulator.stats()["lasting"] != "none":  # noqa: ASYNC110 - the simulator tells nobody
        await asyncio.sleep(0)


class Sleeper:
    """A sleep that lasts until it is told to end."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._wakes: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._wakes.get()

    def wake(self) -> None:
        """Ends one sleep."""
        self._wakes.put_nowait(None)


def frames_in(data: bytes) -> tuple[int, bytes]:
    """The number of complete frames in bytes, and the rest."""
    number = 0
    while len(data) >= HEADER_BYTES and len(data) >= (size := HEADER_BYTES + HEADER.unpack_from(data)[5]):
        data = data[size:]
        number += 1
    return number, data


def test_cut_ends_every_connection(tools: Any) -> None:
    """The next connection has another number."""

    async def main() -> None:
        async with pair(tools) as (simulator, client), client_of(simulator) as other:
            await simulator.perform("cut")
            assert await client.rest() == await other.rest() == b""
            async with client_of(simulator) as later:
                assert (await later.state()).program == "ready"

    tools.run(main())


def test_cut_mid_frame_leaves_half_a_frame(tools: Any) -> None:
    """The received bytes end within a frame."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("cut-mid-frame")
            await simulator.perform("burst 100")
            number, rest = frames_in(await client.rest())
            assert number == 0
            assert len(rest) > HEADER_BYTES

    tools.run(main())


def test_cut_mid_burst_loses_the_rest_of_it(tools: Any) -> None:
    """Whole frames, half of the burst; the truth has all, and GetTicker returns the others."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("cut-mid-burst")
            await simulator.perform("burst 1")
            assert len(await client.got(1)) == 1
            await simulator.perform("burst 100")
            number, rest = frames_in(await client.rest())
            assert (45 <= number <= 55, rest) == (True, b"")
            assert simulator.ticks == 101

    tools.run(main())


def test_cut_during_backfill_affects_only_the_next_request(tools: Any) -> None:
    """Half a reply and the end; the next connection gets a complete reply."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("burst 100")
            await client.got(100)
            await simulator.perform("cut-during-backfill")
            assert (await client.state()).program == "ready"
            failed = await client.ask(messages.GET_TICKER, messages.get_ticker("HK.00700"))
            assert "closed the connection" in str(failed.error)
            async with client_of(simulator, *SYMBOLS) as later:
                assert (await later.ask(messages.GET_TICKER, messages.get_ticker("HK.00700"))).rows

    tools.run(main())


def test_away_refuses_until_it_is_back_with_other_numbers(tools: Any) -> None:
    """The port stays reserved; ticks made meanwhile can be requested."""

    async def main() -> None:
        sleeper = Sleeper()
        async with pair(tools, sleep=sleeper) as (simulator, client):
            number = next(iter(simulator.sessions))
            await simulator.perform("away for 3s")
            assert await client.rest() == b""
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", simulator.port)
            await simulator.perform("burst 50")
            assert sleeper.asked == [3.0]
            sleeper.wake()
            await quiet(simulator)
            async with client_of(simulator, *SYMBOLS) as later:
                pulled = [await later.ask(messages.GET_TICKER, messages.get_ticker(symbol)) for symbol in SYMBOLS]
                assert sum(len(event.rows) for event in pulled) == 50
                assert next(iter(simulator.sessions)) > number + 1_000

    tools.run(main())


def test_away_may_be_repeated_and_ended(tools: Any) -> None:
    """Performed again while it lasts, it restarts; `end` of a step that does not last does nothing."""

    async def main() -> None:
        async with tools.simulating(**STILL) as simulator:
            for step in ("away", "away", "end away", "end away", "away", "end all"):
                await simulator.perform(step)
            async with client_of(simulator) as client:
                assert (await client.state()).program == "ready"

    tools.run(main())


def test_mute_sends_nothing(tools: Any) -> None:
    """No push and no reply, on old and new connections; the requests were read."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("mute")
            await simulator.perform("burst 100")
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            client.core.request(messages.GET_GLOBAL_STATE, messages.get_global_state(), time.monotonic())
            for one in (client, Client(reader, writer, None)):
                one.writer.write(one.core.data_to_send())
                one.writer.write_eof()  # the simulator ends what has ended, having read what came before
                assert await one.rest() == b""
            writer.close()

    tools.run(main())


def test_a_connection_survives_being_muted(tools: Any) -> None:
    """Later pushes arrive; the gap is exactly the ticks made meanwhile."""

    async def main() -> None:
        async with pair(tools, symbols=["HK.00700"]) as (simulator, client):
            for step in ("burst 10", "mute", "burst 10", "end mute", "burst 10"):
                await simulator.perform(step)
            counters = [row[1] & 0xFFFFFFFF for row in await client.got(20)]
            assert counters == [*range(1, 11), *range(21, 31)]

    tools.run(main())


def test_half_open_sends_nothing_and_stays_open(tools: Any) -> None:
    """The dead connection sends nothing and stays open; a new one works beside it."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("half-open")
            await simulator.perform("burst 10")
            client.writer.write_eof()
            async with client_of(simulator, *SYMBOLS) as other:
                await simulator.perform("burst 10")
                await other.realtime(10)
                assert simulator.stats()["clients"] == 2
        assert await client.rest() == b""

    tools.run(main())


def test_trickle_sends_a_few_bytes_at_a_time(tools: Any) -> None:
    """One byte, one byte, then everything that waits when it ends."""

    async def main() -> None:
        sleeper = Sleeper()
        async with pair(tools, sleep=sleeper) as (simulator, client):
            await simulator.perform("trickle 1")
            await simulator.perform("burst 2")
            waiting = simulator.stats()["waiting_bytes"]
            for letter in (b"F", b"T"):
                sleeper.wake()
                assert await client.reader.readexactly(1) == letter
            assert simulator.stats()["waiting_bytes"] == waiting - 2
            await simulator.perform("end trickle")
            number, rest = frames_in(b"FT" + await client.reader.readexactly(waiting - 2))
            assert (number, rest) == (2, b"")

    tools.run(main())


def test_a_trickle_that_ends_while_muted_keeps_the_order(tools: Any) -> None:
    """Waiting bytes come first, then new ones."""

    async def main() -> None:
        async with pair(tools, symbols=["HK.00700"]) as (simulator, client):
            for step in ("trickle 1", "burst 5", "mute", "end trickle", "end mute", "burst 5"):
                await simulator.perform(step)
            assert [row[1] & 0xFFFFFFFF for row in await client.got(10)] == list(range(1, 11))

    tools.run(main())


def test_a_trickle_is_limited_in_time(tools: Any) -> None:
    """A client that leaves too much unread is disconnected: memory stays bounded."""

    async def main() -> None:
        gateway = {"buffer_bytes": 10_000}
        async with tools.simulating(gateway, **STILL) as simulator, client_of(simulator, *SYMBOLS) as client:
            await simulator.started()
            await simulator.perform("trickle 1")
            await simulator.perform("burst 1000")
            assert len(await client.rest()) <= 1
            assert simulator.stats()["waiting_bytes"] == 0

    tools.run(main())


@pytest.mark.parametrize(("step", "shown"), [("stop-pushes", True), ("lose-subscriptions", False)])
def test_pushes_stop_for_some_symbols_until_they_are_subscribed_again(tools: Any, step: str, shown: bool) -> None:
    """The others continue; GetSubInfo shows it or not."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform(f"{step} HK.00700,HK.09988")
            await simulator.perform("burst 200")
            reply = await client.ask(messages.GET_SUB_INFO, messages.get_sub_info())
            held = messages.read_sub_info(reply.body).symbols
            assert held == (frozenset(SYMBOLS) if shown else {"HK.00981"})
            assert {row[0] for row in client.rows} == {"HK.00981"}
            pull = await client.ask(messages.GET_TICKER, messages.get_ticker("HK.00700"))
            assert isinstance(pull, protocol.Ticks if shown else protocol.Failed)
            client.rows.clear()
            await client.subscribe("HK.00700")
            await simulator.perform("burst 200")
            await client.state()
            assert {row[0] for row in client.rows} == {"HK.00700", "HK.00981"}

    tools.run(main())


def test_stopped_pushes_may_come_back_by_themselves(tools: Any) -> None:
    """When the step ends, for symbols that are still subscribed."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("stop-pushes all")
            await simulator.perform("burst 50")
            await simulator.perform("end stop-pushes")
            await simulator.perform("burst 50")
            await client.got(50)
            with pytest.raises(CollectorError, match=r"HK\.00001 is not simulated"):
                await simulator.perform("stop-pushes HK.00001")

    tools.run(main())


def test_refused_symbols_and_a_small_quota(tools: Any) -> None:
    """Named in the text while they last, and normal afterwards."""

    async def main() -> None:
        async with tools.simulating(**STILL) as simulator, client_of(simulator) as client:
            for step, words in (("refuse HK.00981", "Unknown stock. HK.00981"), ("quota 2", "Insufficient")):
                await simulator.perform(step)
                reply = await client.ask(messages.SUB, messages.subscribe(SYMBOLS))
                with pytest.raises(CollectorError, match=words):
                    messages.read_outcome(reply.body)
                await simulator.perform(f"end {step.split(maxsplit=1)[0]}")
            await client.subscribe(*SYMBOLS)

    tools.run(main())


def test_suspended_symbols(tools: Any) -> None:
    """A snapshot says so while it lasts; the others trade."""

    async def main() -> None:
        async with tools.simulating(**STILL) as simulator, client_of(simulator) as client:
            told = []
            for step in ("suspend HK.00981", "end suspend"):
                await simulator.perform(step)
                reply = await client.ask(messages.GET_SECURITY_SNAPSHOT, messages.get_security_snapshot(SYMBOLS))
                told.append({each.symbol for each in messages.read_instruments(reply.body) if each.suspended})
            assert told == [{"HK.00981"}, set()]

    tools.run(main())


def test_no_first_push_and_a_short_window(tools: Any) -> None:
    """Subscribing sends nothing, and GetTicker returns no more than that."""

    async def main() -> None:
        async with tools.simulating(**STILL, symbols=["HK.00700"]) as simulator, client_of(simulator) as client:
            await simulator.started()
            await simulator.perform("burst 300")
            await simulator.perform("no-first-push")
            await simulator.perform("window 200")
            await client.subscribe("HK.00700")
            pulled = await client.ask(messages.GET_TICKER, messages.get_ticker("HK.00700"))
            assert [row[1] & 0xFFFFFFFF for row in pulled.rows] == list(range(101, 301))
            assert client.rows == []
            await simulator.perform("end no-first-push")
            await client.subscribe("HK.00700")
            assert [row[8] for row in await client.got(1)] == ["cache"]

    tools.run(main())


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("garbage 200", "FT"),
        ("bad-magic", "begins with FT"),
        ("bad-sha1", "SHA-1"),
        ("huge-length", "body length of 4294967295 bytes"),
        ("json-body", "format 1"),
    ],
)
def test_invalid_bytes_close_the_connection(tools: Any, step: str, words: str) -> None:
    """With a ProtocolError that describes them."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("burst 10")
            await simulator.perform(step)
            closed = await client.until(protocol.Closed)
            assert isinstance(closed.error, ProtocolError)
            assert words in str(closed.error)
            assert len(client.rows) == 10

    tools.run(main())


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(("step", "skipped"), [("truncated-protobuf", 1), ("unknown-ids", 2)])
def test_unknown_messages_are_skipped(tools: Any, rsa_key: Path, step: str, skipped: int, encrypted: bool) -> None:
    """Only they are skipped: the ticks around them arrive, on an unencrypted and on an encrypted connection."""
    pem = rsa_key.read_bytes() if encrypted else None

    async def main() -> None:
        async with tools.simulating({"rsa_pem": pem}, **STILL) as simulator:
            await simulator.started()
            async with client_of(simulator, *SYMBOLS, rsa=RsaCipher(pem) if pem else None) as client:
                for what in ("burst 10", step, "burst 10"):
                    await simulator.perform(what)
                await client.got(20)
                assert client.skipped == skipped

    tools.run(main())


def test_replies_that_never_come_come_late_or_refuse(tools: Any) -> None:
    """This many of them, then normal again; other messages are not affected."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            ask = messages.get_ticker("HK.00700")
            await simulator.perform("no-reply GetTicker 1")
            lost = client.core.request(messages.GET_TICKER, ask, time.monotonic())
            assert (await client.state()).program == "ready"
            assert isinstance(await client.ask(messages.GET_TICKER, ask), protocol.Ticks)
            late = client.core.advance(time.monotonic() + 20, 0)
            assert [event.serial for event in late if isinstance(event, protocol.Failed)] == [lost]

            await simulator.perform("slow-reply GetTicker 1ms 1")
            slow = client.core.request(messages.GET_TICKER, ask, time.monotonic())
            assert (await client.state()).program == "ready"
            assert (await client.until(protocol.Ticks)).requested_by == slow

            await simulator.perform("fail-reply any")
            failed = await client.ask(messages.GET_TICKER, ask)
            assert "Refused by the scenario" in str(failed.error)
            with pytest.raises(CollectorError, match="Refused by the scenario"):
                await client.state()
            await simulator.perform("end fail-reply")
            assert (await client.state()).program == "ready"

    tools.run(main())


def test_a_refused_init_connect_ends_the_attempt(tools: Any) -> None:
    """Like an OpenD that refuses us."""

    async def main() -> None:
        async with tools.simulating(**STILL) as simulator:
            await simulator.perform("fail-reply InitConnect 1")
            with pytest.raises(AssertionError, match="OpenD refused the connection"):
                async with client_of(simulator):
                    pass
            async with client_of(simulator) as client:
                assert (await client.state()).program == "ready"

    tools.run(main())


def test_a_notice_changes_nothing_else(tools: Any) -> None:
    """Pushes continue."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("notify kicked-out")
            assert await client.kinds(1) == ["kicked_out"]
            await simulator.perform("burst 10")
            await client.got(10)

    tools.run(main())


@pytest.mark.parametrize(
    ("step", "first", "last"),
    [
        ("kicked-out", ["kicked_out"], ["quote_link_up"]),
        ("quote-link-lost", ["quote_link_lost"], ["quote_link_up"]),
        ("program needs_sms_code", ["program_needs_sms_code"], ["program_ready"]),
        ("not-logged-in", [], []),
    ],
)
def test_without_its_servers_opend_has_no_quotes(tools: Any, step: str, first: list[str], last: list[str]) -> None:
    """No pushes, refusals, a state that says so; afterwards the latest 50 of each symbol come as a refill."""

    async def main() -> None:
        async with pair(tools, symbols=["HK.00700"]) as (simulator, client):
            await simulator.perform(step)
            assert await client.kinds(len(first)) == first
            await simulator.perform("burst 60")
            state = await client.state()
            assert (state.quote_logged_in, state.program) == (False, step.partition(" ")[2] or "ready")
            failed = await client.ask(messages.GET_TICKER, messages.get_ticker("HK.00700"))
            assert "Not logged in" in str(failed.error)
            assert client.rows == []
            await simulator.perform(f"end {step.split(maxsplit=1)[0]}")
            assert await client.kinds(len(last)) == last
            refill = await client.got(50)
            assert {row[8] for row in refill} == {"disconnect_refill"}
            assert [row[1] & 0xFFFFFFFF for row in refill] == list(range(11, 61))
            state = await client.state()
            assert (state.quote_logged_in, state.program) == (True, "ready")

    tools.run(main())


def test_without_the_right_there_are_no_pushes(tools: Any) -> None:
    """Until it is restored."""

    async def main() -> None:
        async with pair(tools) as (simulator, client):
            await simulator.perform("quote-right none")
            await simulator.perform("burst 10")
            assert await client.kinds(1) == ["quote_right_none"]
            assert (await client.state()).quote_logged_in
            assert client.rows == []
            await simulator.perform("end quote-right")
            assert await client.kinds(1) == ["quote_right_level2"]
            await client.got(10)

    tools.run(main())


def test_the_reported_clock_may_be_wrong_and_the_market_closed(tools: Any) -> None:
    """GetGlobalState reports it; an unexpectedly closed market makes no ticks."""

    async def main() -> None:
        async with pair(tools, rate=1_000) as (simulator, client):
            await simulator.perform("clock +3600s")
            assert (await client.state()).server_time_s >= START_MS // 1000 + 3600
            await simulator.perform("end clock")
            assert (await client.state()).server_time_s < START_MS // 1000 + 3600
            await simulator.perform("market-state closed")
            made = simulator.ticks
            assert market.state_name((await client.state()).market_hk) == "closed"
            assert simulator.ticks == made
            await simulator.perform("end market-state")
            assert market.state_name((await client.state()).market_hk) == "morning"
            await client.until(protocol.Ticks)

    tools.run(main())


def test_a_pause_makes_no_ticks_and_no_gap(tools: Any) -> None:
    """The next ticks have the next counters."""

    async def main() -> None:
        async with pair(tools, symbols=["HK.00700"], rate=2_000) as (simulator, client):
            for _ in range(3):
                await simulator.perform("pause")
                made = simulator.ticks
                await client.state()
                assert simulator.ticks == made
                await simulator.perform("end pause")
                await client.until(protocol.Ticks)
            counters = [row[1] & 0xFFFFFFFF for row in client.rows if row[8] == "realtime"]
            assert counters == list(range(counters[0], counters[0] + len(counters)))

    tools.run(main())


def test_a_burst_is_complete(tools: Any, tmp_path: Path) -> None:
    """Each tick once, in the order of its counter, and in the truth; the market continues after it."""

    async def main() -> None:
        async with pair(tools, rate=500, fills=3, wait=True, truth=tmp_path / "truth") as (simulator, client):
            await simulator.perform("burst 20000")
            await simulator.perform("pause")
            rows = await client.got(simulator.ticks)
        truth = list(read_truth(tmp_path / "truth"))
        assert [row[:8] for row in rows] == truth
        for symbol in SYMBOLS:
            own = [tick for tick in truth if tick.symbol == symbol]
            assert [tick.seq & 0xFFFFFFFF for tick in own] == list(range(1, len(own) + 1))
            assert own == sorted(own, key=lambda tick: tick.seq)

    tools.run(main())


def test_duplicates_and_ticks_out_of_order(tools: Any) -> None:
    """The same ticks again; the same ticks backwards."""

    async def main() -> None:
        async with pair(tools, symbols=["HK.00700"]) as (simulator, client):
            await simulator.perform("burst 30")
            first = await client.got(30)
            await simulator.perform("duplicate 10")
            assert [row[:8] for row in await client.got(10)] == [row[:8] for row in first[-10:]]
            await simulator.perform("out-of-order 20")
            assert [row[1] & 0xFFFFFFFF for row in await client.got(20)] == list(range(50, 30, -1))
            assert simulator.ticks == 50

    tools.run(main())


def test_late_ticks_are_of_the_day_before(tools: Any, tmp_path: Path) -> None:
    """Real ticks, counted from 1, in the truth; today's totals do not include them."""

    async def main() -> None:
        async with pair(tools, truth=tmp_path / "truth") as (simulator, client):
            await simulator.perform("late 6")
            rows = await client.got(6)
            assert {market.day_name(market.day_number(row[2])) for row in rows} == {"20261119"}
            assert {(row[0], row[1] & 0xFFFFFFFF) for row in rows} == {(s, n) for s in SYMBOLS for n in (1, 2)}
            assert [row[:8] for row in rows] == list(read_truth(tmp_path / "truth"))
            request = messages.subscribe(SYMBOLS)
            request.c2s.subTypeList.append(1)
            await client.ask(messages.SUB, request)
            reply = await client.ask(messages.GET_BASIC_QOT, messages.get_basic_qot(SYMBOLS))
            assert {total.volume for total in tools.read_basic_quotes(reply.body)} == {0}

    tools.run(main())


def test_bad_ticks_are_stored_faithfully_or_rejected_alone(tools: Any, tmp_path: Path) -> None:
    """What can be stored is in the truth as it was sent, what cannot is in another file; others are not affected."""
    stored = ("negative", "zero-volume", "odd-time", "unknown-type", "tomorrow", "yesterday")
    rejected = ("nan", "infinite", "bad-time")

    async def main() -> None:
        async with pair(tools, symbols=["HK.00700"], truth=tmp_path / "truth") as (simulator, client):
            await simulator.perform("burst 5")
            await simulator.perform(f"bad-ticks {','.join(stored)}")
            rows = await client.got(5 + len(stored))
            await simulator.perform(f"bad-ticks {','.join(rejected)}")
            await simulator.perform("burst 5")
            causes: list[tuple[str, int]] = []
            while len(client.rows) < 5:
                event = await client.until(protocol.Ticks)
                causes += [(tick.symbol, tick.seq) for tick in event.rejected]
            rows += await client.got(5)
            assert [row[:8] for row in rows] == list(read_truth(tmp_path / "truth"))
            assert causes == read_rejects(tmp_path / "truth")
            assert len(causes) == len(rejected)
            today = [row[1] & 0xFFFFFFFF for row in rows if market.day_number(row[2]) == market.day_number(START_MS)]
            assert sorted(today + [seq & 0xFFFFFFFF for _, seq in causes]) == list(range(1, 18))

    tools.run(main())


def test_an_impossible_step_is_refused_with_its_reason(tools: Any) -> None:
    """Without clients, and before the market began."""

    async def main() -> None:
        async with tools.simulating(**STILL, wait=True) as simulator:
            for step in ("cut", "cut-mid-frame", "half-open", "garbage 9", "notify kicked-out", "stop-pushes all"):
                with pytest.raises(CollectorError, match="no client is connected"):
                    await simulator.perform(step)
            with pytest.raises(CollectorError, match="no client is subscribed"):
                await simulator.perform("duplicate 5")
            with pytest.raises(CollectorError, match="the market has not begun"):
                await simulator.perform("burst 5")

    tools.run(main())


def test_a_scenario_is_played_in_order(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    """From the first tick on; a step that is impossible does not end it; each is logged."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)

    async def main() -> None:
        lines = parse_scenario("at 2h burst 7\nat 1h cut\nat 3h quota 5\nat 4h end quota", "name")
        async with tools.simulating(**STILL, sleep=sleep) as simulator:
            await simulator.play(lines)
            assert simulator.ticks == 7

    tools.run(main())
    assert [round(seconds / 3600) for seconds in asked] == [1, 2, 3, 4]
    logged = [record.getMessage() for record in caplog.records]
    assert [line for line in logged if line.startswith("scenario_step")] == [
        "scenario_step step=cut",
        'scenario_step_failed step=cut reason="no client is connected"',
        'scenario_step step="burst 7"',
        'scenario_step step="quota 5"',
        'scenario_step step="end quota"',
    ]

"""Hostile answers to GetTicker, late reports and wrong dates, as a client meets them; the truth has every tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import encode_frame
from hk_tick_collector.simulator.truth.truth import read_outliers, read_truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYMBOLS = ("HK.00700", "HK.00981", "HK.09988")
START_MS = market.day_start_ms(market.parse_day("20261120")) + 10 * 3_600_000
STILL: dict[str, Any] = {"rate": 0, "start_ms": START_MS}


async def begin(simulator: Any, peer: Any) -> dict[str, list[int]]:
    """The sequences of each symbol after a burst, oldest first."""
    await simulator.started()
    await peer.subscribe(*SYMBOLS)
    await simulator.perform("burst 300")
    return {symbol: [tick.sequence for tick in await peer.tickers(symbol)] for symbol in SYMBOLS}


@pytest.mark.parametrize(
    ("step", "holds"),
    [
        ("ticker-partial HK.00700 5", lambda got, all_: got == all_[-5:]),
        ("ticker-sample HK.00700", lambda got, all_: 0 < len(got) < len(all_) and got == sorted(set(got) & set(all_))),
        ("ticker-unordered HK.00700", lambda got, all_: got != all_ and sorted(got) == all_),
        ("ticker-doubled HK.00700", lambda got, all_: got == sorted(all_ * 2)),
        ("ticker-empty HK.00700", lambda got, all_: got == [] != all_),
        ("ticker-without-latest HK.00700 1h", lambda got, all_: got == [] != all_),
    ],
)
def test_an_answer_is_changed_for_one_symbol_until_it_ends(
    tools: Any, step: str, holds: Callable[[list[int], list[int]], bool]
) -> None:
    """Other symbols get correct answers meanwhile, and so does this one afterwards; a number limits the answers."""

    async def main() -> None:
        async with tools.simulating(**STILL) as simulator, tools.peer_of(simulator.port) as peer:
            made = await begin(simulator, peer)

            async def got(symbol: str = "HK.00700") -> list[int]:
                return [tick.sequence for tick in await peer.tickers(symbol)]

            await simulator.perform(step)
            assert holds(await got(), made["HK.00700"])
            assert await got("HK.00981") == made["HK.00981"]
            assert holds(await got(), made["HK.00700"])
            await simulator.perform(f"end {step.split(maxsplit=1)[0]}")
            assert await got() == made["HK.00700"]
            await simulator.perform(f"{step} 2")
            assert [holds(await got(), made["HK.00700"]) for _ in range(3)][:2] == [True, True]
            assert await got() == made["HK.00700"]

    tools.run(main())


def test_a_request_returns_the_newest_ticks_that_opend_shows(tools: Any) -> None:
    """Without the ticks of the last seconds, the newest are older ones: also if only a few are requested."""

    async def main() -> None:
        plan = {"start_ms": START_MS, "rate": 2000, "speed": 10, "total": 1500, "wait": True}
        async with tools.simulating(**plan) as simulator, tools.peer_of(simulator.port) as peer:
            await peer.subscribe(*SYMBOLS)
            await simulator.finished()
            whole = await peer.tickers("HK.00700")
            await simulator.perform("ticker-without-latest all 4s")
            few = await peer.tickers("HK.00700", 3)
            assert len(few) == 3
            older = [tick.sequence for tick in whole if tick.timestamp <= few[-1].timestamp]
            assert [tick.sequence for tick in few] == older[-3:]
            assert few[-1].timestamp < whole[-1].timestamp

    tools.run(main())


def test_an_answer_may_be_that_of_another_symbol(tools: Any) -> None:
    """Security, name and ticks are the other's."""

    async def main() -> None:
        async with tools.simulating(**STILL) as simulator, tools.peer_of(simulator.port) as peer:
            made = await begin(simulator, peer)
            await simulator.perform("ticker-other-symbol HK.00700")
            body = await peer.ask(messages.GET_TICKER, messages.get_ticker("HK.00700", 10))
            reply = pb.TickerResponse.FromString(body)
            assert messages.symbol_of(reply.s2c.security) == "HK.00981"
            assert [tick.sequence for tick in reply.s2c.tickerList] == made["HK.00981"][-10:]
        async with tools.simulating(symbols=["HK.00700"], **STILL) as simulator:
            with pytest.raises(CollectorError, match="there is no other symbol"):
                await simulator.perform("ticker-other-symbol all")

    tools.run(main())


def test_requests_are_refused_late_or_never_answered(tools: Any) -> None:
    """Each for the symbols that are named, and for so many answers."""

    async def main() -> None:
        async with tools.simulating(**STILL) as simulator, tools.peer_of(simulator.port) as peer:
            made = await begin(simulator, peer)
            await simulator.perform("ticker-refused HK.00700 1")
            request = messages.get_ticker("HK.00700", 10)
            assert "Refused by the scenario" in await peer.refusal(messages.GET_TICKER, request)
            assert len(await peer.tickers("HK.00700")) == len(made["HK.00700"])

            await simulator.perform("ticker-never HK.00700 1")
            await simulator.perform("ticker-late HK.00981 50ms 1")
            for symbol in SYMBOLS:
                body = messages.get_ticker(symbol, 1).SerializeToString()
                peer.writer.write(encode_frame(messages.GET_TICKER, len(symbol), body))
            order = [await peer.receive() for _ in range(2)]
            replies = [pb.TickerResponse.FromString(body) for _, _, body in order]
            assert [messages.symbol_of(reply.s2c.security) for reply in replies] == ["HK.09988", "HK.00981"]

    tools.run(main())


def test_late_reports_and_wrong_dates_have_the_next_sequence(tools: Any, tmp_path: Path) -> None:
    """Their counter is the next one; a wrong date belongs to the truth of its own day; both are listed beside it."""

    async def main() -> None:
        async with (
            tools.simulating(truth=tmp_path / "truth", **STILL) as simulator,
            tools.peer_of(simulator.port) as peer,
        ):
            await begin(simulator, peer)
            for step in ("late-report HK.00700 300s", "wrong-date HK.00700 -1", "wrong-date HK.00700 +30"):
                await simulator.perform(step)
            made = [tick for tick in read_truth(tmp_path / "truth") if tick.symbol == "HK.00700"]
            told = await peer.tickers("HK.00700")
            assert [tick.seq for tick in made] == [tick.sequence for tick in told]
            assert [tick.seq & 0xFFFFFFFF for tick in made] == list(range(1, len(made) + 1))
            assert all((tick.seq >> 32) * 1000 - START_MS in range(-999, 60_000) for tick in made)
            outliers = read_outliers(tmp_path / "truth")
            off = [tick.ts_ms - tick.made_ms for tick in outliers]
            assert off == [-300_000, -market.DAY_MS, 30 * market.DAY_MS]
            assert [round(tick.timestamp * 1000) for tick in told[-3:]] == [tick.ts_ms for tick in made[-3:]]
            assert [(tick.seq, tick.ts_ms) for tick in outliers] == [(tick.seq, tick.ts_ms) for tick in made[-3:]]
            assert {tick.symbol for tick in outliers} == {"HK.00700"}

    tools.run(main())


def test_a_sequence_that_the_other_day_has_is_refused(tools: Any) -> None:
    """A symbol whose numbers are the same on each day cannot give two ticks of one day the same."""

    async def main() -> None:
        async with (
            tools.simulating(sequence={"": "small"}, **STILL) as simulator,
            tools.peer_of(simulator.port) as peer,
        ):
            await simulator.started()
            await peer.subscribe(*SYMBOLS)
            await simulator.perform("late 9")
            with pytest.raises(CollectorError, match="already has a tick with this sequence"):
                await simulator.perform("wrong-date HK.00700 -1")
            await simulator.perform("burst 300")
            await simulator.perform("wrong-date HK.00700 -1")

    tools.run(main())

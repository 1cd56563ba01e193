"""An exchange that waits for its clients makes no tick that they must lose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hk_tick_collector.opend.messages import TICKER_WINDOW_ROWS
from hk_tick_collector.simulator.truth.truth import read_truth

if TYPE_CHECKING:
    from pathlib import Path

RATE = 20_000.0
TOTAL = 20_000


async def made(simulator: Any, most: int) -> int:
    """The number of ticks made when it has stopped growing; `most` if it grows beyond that."""
    count = -1
    while count < simulator.ticks <= most:
        count = simulator.ticks
        for _ in range(20):  # twenty slots or more: on a slow machine it is behind, and makes many at once
            await asyncio.sleep(0.02)
    return min(count, most)


def test_the_exchange_waits_for_a_client_that_is_away(tools: Any, tmp_path: Path) -> None:
    """Nobody is there, then one client comes, goes, and comes back: OpenD's window has each tick that it missed."""

    async def come(simulator: Any) -> set[int]:
        async with tools.peer_of(simulator.port) as peer:
            await peer.subscribe("HK.00700")
            got = {tick.sequence for tick in await peer.tickers("HK.00700")}
            enough = simulator.ticks + 3_000
            while simulator.ticks < enough:
                got |= {tick.sequence for tick in (await peer.next_push()).s2c.tickerList}
            await simulator.perform("pause")
            await peer.tickers("HK.00700", 1)  # its reply comes after every push that is on its way
            return got | {tick.sequence for push in peer.pushes for tick in push.s2c.tickerList}

    async def main() -> None:
        truth = tmp_path / "truth"
        plan = {"symbols": ["HK.00700"], "rate": RATE, "total": TOTAL, "within_window": True, "truth": truth}
        async with tools.simulating(**plan) as simulator:
            got = set[int]()
            for _ in range(2):
                before = simulator.ticks
                assert 0 < await made(simulator, TOTAL) - before < TICKER_WINDOW_ROWS
                got |= await come(simulator)
                while simulator.stats()["clients"]:  # noqa: ASYNC110 - it has no event for a noticed end
                    await asyncio.sleep(0.01)
                await simulator.perform("end pause")
        seqs = [tick.seq for tick in read_truth(truth)]
        assert set(seqs[: seqs.index(max(got)) + 1]) == got

    tools.run(main())

"""A simulator that was killed continues as the same exchange."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError
from hk_tick_collector.opend import messages
from hk_tick_collector.simulator.plan import Plan
from hk_tick_collector.simulator.truth.truth import read_rejects, read_truth, rejects_path

if TYPE_CHECKING:
    from pathlib import Path

START_MS = market.day_start_ms(market.parse_day("20261120")) + 10 * 3_600_000
SYMBOLS = ("HK.00700", "HK.00981", "HK.09988")


async def totals(tools: Any, peer: Any) -> list[messages.DayTotals]:
    subscription = messages.subscribe(SYMBOLS)
    subscription.c2s.subTypeList.append(1)
    subscription.c2s.isRegOrUnRegPush = False  # nobody gets pushes yet: the market waits
    await peer.ask(messages.SUB, subscription)
    found: list[messages.DayTotals] = tools.read_basic_quotes(
        await peer.ask(messages.GET_BASIC_QOT, messages.get_basic_qot(SYMBOLS))
    )
    return found


@pytest.mark.parametrize("torn", [b"", b"HK.00700\t77", b"HK.00700\t1\t2\t3.0\t4\t5.0\tBUY\tAUTO_M"])
def test_windows_totals_and_counters_continue(tools: Any, tmp_path: Path, torn: bytes) -> None:
    """As if it had not been killed: the incomplete last line is removed, clock and counters only go forward."""
    truth = tmp_path / "truth"

    async def main() -> None:
        plan = {"start_ms": START_MS, "rate": 50_000, "total": 5_000, "truth": truth}
        async with tools.simulating(**plan) as simulator:
            await simulator.finished()
            async with tools.peer_of(simulator.port) as peer:
                before = await totals(tools, peer)
                windows = [await peer.tickers(symbol) for symbol in SYMBOLS]
        with truth.open("ab") as file:
            file.write(torn)
        old = list(read_truth(truth))
        async with tools.simulating(**plan, resume=True, wait=True) as simulator:
            async with tools.peer_of(simulator.port) as peer:
                assert await totals(tools, peer) == before
                assert [await peer.tickers(symbol) for symbol in SYMBOLS] == windows
            async with tools.peer_of(simulator.port) as peer:
                await peer.subscribe(*SYMBOLS)
                await simulator.finished()
        whole = list(read_truth(truth))
        assert whole[:5_000] == old
        assert len(whole) == 10_000
        assert [tick.ts_ms for tick in whole] == sorted(tick.ts_ms for tick in whole)
        for symbol in SYMBOLS:
            own = [tick for tick in whole if tick.symbol == symbol]
            assert [tick.seq & 0xFFFFFFFF for tick in own] == list(range(1, len(own) + 1))
            steps = [abs(after.price / first.price - 1) for first, after in pairwise(own)]
            assert max(steps) < 0.05

    tools.run(main())


def test_odd_ticks_and_other_days_are_remembered(tools: Any, tmp_path: Path) -> None:
    """Ticks that a collector may still request stay in the window; the counters of other days continue too."""
    truth = tmp_path / "truth"

    async def main() -> None:
        for number in (1, 2):
            plan = {"start_ms": START_MS, "rate": 0, "symbols": ["HK.00700"], "truth": truth, "resume": number == 2}
            async with tools.simulating(**plan) as simulator, tools.peer_of(simulator.port) as peer:
                await simulator.started()
                await peer.subscribe("HK.00700")
                for step in ("burst 5", "late 2", "bad-ticks tomorrow,negative"):
                    await simulator.perform(step)
                assert len(await peer.tickers("HK.00700")) == 9 * number
        counters = [
            (market.day_name(market.day_number(tick.ts_ms)), tick.seq & 0xFFFFFFFF) for tick in read_truth(truth)
        ]
        today = [("20261120", counter) for counter in range(1, 13)]
        late = [("20261119", counter) for counter in range(1, 5)]
        assert sorted(counters) == sorted([*today, *late, ("20261121", 1), ("20261121", 2)])

    tools.run(main())


def test_a_new_truth_removes_the_old_rejected_ticks(tools: Any, tmp_path: Path) -> None:
    """And a resumed one keeps them."""
    truth = tmp_path / "truth"

    async def main() -> None:
        for resume, rejects in ((False, 1), (True, 2), (False, 1)):
            plan = {"rate": 0, "symbols": ["HK.00700"], "truth": truth, "resume": resume}
            async with tools.simulating(**plan) as simulator, tools.peer_of(simulator.port) as peer:
                await simulator.started()
                await peer.subscribe("HK.00700")
                await simulator.perform("bad-ticks nan")
            assert len(read_rejects(truth)) == rejects
        async with tools.simulating(rate=0, truth=truth):
            assert not rejects_path(truth).exists()

    tools.run(main())


def test_what_cannot_be_resumed_is_refused(tmp_path: Path, tools: Any) -> None:
    """No truth, no file, or a recording."""
    with pytest.raises(UsageError, match="resumed"):
        Plan(symbols=["HK.00700"], resume=True)
    with pytest.raises(UsageError, match="resumed"):
        Plan(symbols=["HK.00700"], resume=True, truth=tmp_path / "truth", recorded=[])

    async def main() -> None:
        with pytest.raises(UsageError, match="cannot be written"):
            async with tools.simulating(resume=True, truth=tmp_path / "missing"):
                pass

    tools.run(main())

"""Each model of the sequence: unique for a symbol and day, the same for the same seed, and as described."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError, UsageError
from hk_tick_collector.opend import messages
from hk_tick_collector.simulator.exchange.listing import default_symbols, listing
from hk_tick_collector.simulator.exchange.market import SyntheticMarket
from hk_tick_collector.simulator.exchange.sequences import MODELS, Sequences, parse_sequence
from hk_tick_collector.simulator.exchange.timetable import Calendar
from hk_tick_collector.simulator.plan import Plan
from hk_tick_collector.simulator.truth.truth import TruthTick, read_outliers, read_truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.simulator.exchange.made import MadeRow

DAY = market.parse_day("20261120")
START_MS = market.day_start_ms(DAY) + 10 * 3_600_000
SYMBOLS = default_symbols(5)


def market_of(model: str, seed: int = 1) -> SyntheticMarket:
    sequences = Sequences(SYMBOLS, {"": model}, seed)
    return SyntheticMarket(
        listing(SYMBOLS, seed), Calendar(DAY, seed), seed=seed, ticks_per_ms=0.02, sequences=sequences
    )


def make(model: str, seed: int = 1, minutes: int = 10) -> list[MadeRow]:
    """About 20 ticks a second."""
    made, width_ms = market_of(model, seed), 700
    return [
        row for ms in range(START_MS, START_MS + minutes * 60_000, width_ms) for row in made.slot(ms, ms + width_ms)
    ]


def by_symbol(rows: list[MadeRow]) -> dict[int, list[tuple[int, int]]]:
    """Sequences and times by symbol."""
    own = defaultdict(list)
    for row in rows:
        own[row[0]].append((row[1], row[2]))
    return own


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_unique_repeatable_and_changes_only_the_sequence(model: str) -> None:
    """The same seed gives the same ticks; only the sequence differs from that of `counter`; it fits OpenD's int64."""
    rows = make(model)
    assert rows == make(model)
    assert [row[:1] + row[2:] for row in rows] == [row[:1] + row[2:] for row in make("counter")]
    for own in by_symbol(rows).values():
        assert len({seq for seq, _ in own}) == len(own)
        assert all(-(2**63) <= seq < 2**63 and seq for seq, _ in own)
    if model in ("steps", "jumps", "random", "negative", "time"):
        assert [row[1] for row in rows] != [row[1] for row in make(model, seed=2)]


def counters(own: list[tuple[int, int]]) -> list[int]:
    assert all(seq >> 32 == ts_ms // 1000 for seq, ts_ms in own)
    return [seq & 0xFFFFFFFF for seq, _ in own]


def test_steps_are_one_to_three_and_jumps_are_rare_and_large() -> None:
    """Both keep the second and rise."""
    for own in by_symbol(make("steps")).values():
        assert {after - before for before, after in pairwise([0, *counters(own)])} == {1, 2, 3}
    for own in by_symbol(make("jumps")).values():
        steps = Counter(after - before for before, after in pairwise(counters(own)))
        jumps = [step for step in steps.elements() if step > 1]
        assert len(own) / 60 < len(jumps) < len(own) / 40
        assert min(jumps) >= 11
        assert 4000 < max(jumps) <= 5001


def test_restarts_begin_at_one_in_a_new_second() -> None:
    """A few times an hour; sequences still rise."""
    for own in by_symbol(make("restarts", minutes=60)).values():
        falls = [after for before, after in pairwise(counters(own)) if after != before + 1]
        assert 1 <= len(falls) <= 20
        assert set(falls) == {1}
        assert all(before < after for (before, _), (after, _) in pairwise(own))


def test_a_shared_counter_steps_by_one_over_all_symbols() -> None:
    """So each symbol has jumps without missing ticks."""
    rows = make("shared")
    assert [row[1] & 0xFFFFFFFF for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    ("model", "holds"),
    [
        ("small", lambda own: [seq for seq, _ in own] == list(range(1, len(own) + 1))),
        ("falling", lambda own: all(before - 1 == after for (before, _), (after, _) in pairwise(own))),
        ("random", lambda own: min(own)[0] > 0 and max(own)[0] > 2**62 and sorted(own) != own),
        ("negative", lambda own: max(own)[0] < 0 and min(own)[0] < -(2**62) and sorted(own) != own),
        ("time", lambda own: sorted(own) == own and all(0 <= seq // 1000 - ts_ms <= 1 for seq, ts_ms in own)),
        ("time-ms-shared", lambda own: sorted(own) == own and all(0 <= seq - ts_ms < 50 for seq, ts_ms in own)),
    ],
)
def test_models_without_the_second(model: str, holds: Callable[[list[tuple[int, int]]], bool]) -> None:
    """Each is as its line in MODELS says."""
    assert all(holds(own) for own in by_symbol(make(model)).values())


def test_model_names_are_read_and_wrong_ones_reported() -> None:
    """One model for all, some by symbol, or both."""
    assert parse_sequence("steps") == {"": "steps"}
    assert parse_sequence("HK.00005=random, HK.00700=steps") == {"HK.00005": "random", "HK.00700": "steps"}
    assert parse_sequence("small,HK.00700=counter") == {"": "small", "HK.00700": "counter"}
    for text in ("stepz", "HK.00700=", "=steps", "HK.00700"):
        with pytest.raises(UsageError, match="there is no sequence model") as wrong:
            parse_sequence(text)
        assert "allowed are counter, steps, jumps" in wrong.value.one_line()
    with pytest.raises(UsageError, match=r"HK\.00005 has a sequence model but is not simulated"):
        Sequences(["HK.00700"], {"HK.00005": "random"}, 1)
    with pytest.raises(UsageError, match="a recorded day has its own sequences"):
        Plan(symbols=["HK.00700"], recorded=[], sequence={"": "random"})


STEPS = ("burst 40", "out-of-order 7", "late 3", "bad-ticks nan,negative,tomorrow", "burst 5", "wrong-date all -2")


def keys(truth: Path) -> list[tuple[str, int, int]]:
    return [(tick.symbol, market.day_number(tick.ts_ms), tick.seq) for tick in read_truth(truth)]


@pytest.mark.parametrize("model", MODELS)
def test_a_resumed_exchange_repeats_no_sequence(tools: Any, tmp_path: Path, model: str) -> None:
    """Killed and started again twice, with odd ticks in between: still unique, and GetTicker's window is complete."""
    truth, symbols = tmp_path / "truth", SYMBOLS[:2]

    async def main() -> None:
        for number in range(3):
            plan = {"start_ms": START_MS, "rate": 0, "symbols": symbols, "truth": truth, "resume": number > 0}
            async with tools.simulating(sequence={"": model}, **plan) as simulator:
                await simulator.started()
                async with tools.peer_of(simulator.port) as peer:
                    await peer.subscribe(*symbols)
                    for step in STEPS:
                        await simulator.perform(step)
                    for symbol in symbols:
                        made = [tick for tick in read_truth(truth) if tick.symbol == symbol]
                        told = {ticker.sequence for ticker in await peer.tickers(symbol)}
                        assert {tick.seq for tick in made} <= told
        unique = keys(truth)
        assert len(set(unique)) == len(unique) == 3 * (40 + 7 + 3 + 2 + 5 + 2)
        assert len(read_outliers(truth)) == 6

    tools.run(main())


async def ticks_of(
    tools: Any, truth: Path, *, resume: bool, steps: tuple[str, ...] = (), **plan: Any
) -> list[TruthTick]:
    """The ticks that one process makes in three seconds of exchange time, after these steps."""
    before = len(list(read_truth(truth))) if resume else 0
    plan = {"start_ms": START_MS, "speed": 100, "rate": 20_000, "symbols": SYMBOLS, **plan}
    async with (
        tools.simulating(truth=truth, resume=resume, total=6_000, wait=True, **plan) as simulator,
        tools.peer_of(simulator.port) as peer,
    ):
        await peer.subscribe(*SYMBOLS)
        await simulator.started()
        for step in steps:
            await simulator.perform(step)
        await simulator.finished()
    return list(read_truth(truth))[before:]


def test_a_counter_restarts_by_a_step_and_when_opend_restarts(tools: Any, tmp_path: Path) -> None:
    """At 1, only for the named symbol; after a start for every symbol of the model `restarts`, and no other."""
    truth = tmp_path / "truth"
    models = {"": "counter", SYMBOLS[1]: "restarts"}

    async def main() -> None:
        first = await ticks_of(tools, truth, resume=False, steps=(f"restart-sequence {SYMBOLS[0]}",), sequence=models)
        second = await ticks_of(tools, truth, resume=True, sequence=models)
        for place, symbol in enumerate(SYMBOLS):
            before = [tick.seq for tick in first if tick.symbol == symbol]
            after = [tick.seq for tick in second if tick.symbol == symbol]
            told = before if place == 0 else after  # the life in which this one begins anew
            for own in (before, after):
                falls = [
                    (one >> 32 < other >> 32, other & 0xFFFFFFFF)
                    for one, other in pairwise([*(before[-1:] if own is after else ()), *own])
                    if other & 0xFFFFFFFF != (one & 0xFFFFFFFF) + 1
                ]
                assert falls == ([(True, 1)] if place < 2 and own is told else [])

    tools.run(main())


@pytest.mark.parametrize("model", [model for model in MODELS if model not in ("counter", "steps", "jumps", "restarts")])
def test_a_restart_that_would_repeat_sequences_is_refused(model: str) -> None:
    """A counter without the second cannot restart within a day."""
    made = market_of(model)
    if model == "shared":
        made.restart_counters([0], START_MS)
        return
    with pytest.raises(CollectorError, match="would not be unique"):
        made.restart_counters([0], START_MS)


def test_hostile_sequences_arrive_unchanged(tools: Any) -> None:
    """Negative, small and huge: as OpenD's int64, in pushes and in answers."""

    async def main() -> None:
        models = dict(zip(SYMBOLS, ("negative", "small", "random", "time", "falling"), strict=True))
        async with tools.simulating(start_ms=START_MS, rate=0, symbols=SYMBOLS, sequence=models) as simulator:
            await simulator.started()
            async with tools.peer_of(simulator.port) as peer:
                await peer.subscribe(*SYMBOLS)
                await simulator.perform("burst 200")
                pulled = {symbol: [tick.sequence for tick in await peer.tickers(symbol)] for symbol in SYMBOLS}
                pushed: defaultdict[str, list[int]] = defaultdict(list)
                for push in peer.pushes:
                    symbol = messages.symbol_of(push.s2c.security)
                    pushed[symbol] += [tick.sequence for tick in push.s2c.tickerList]
                assert pushed == pulled
                assert all(seq < 0 for seq in pulled[SYMBOLS[0]])
                assert pulled[SYMBOLS[1]] == list(range(1, len(pulled[SYMBOLS[1]]) + 1))

    tools.run(main())

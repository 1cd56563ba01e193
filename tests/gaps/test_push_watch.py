"""Which symbols OpenD has stopped pushing: a simulated OpenD in simulated time, no test waits."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector.gaps.push_watch import (
    BATCH_SYMBOLS,
    QUIET_S,
    SUB_BURST,
    SUB_EVERY_S,
    Comparison,
    Known,
    PushWatch,
)
from hk_tick_collector.model import WINDOW_ROWS, Rejected, Tick

from .table import row

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_S: Final = 0.05
LOOK_ROWS: Final = 10
FEW_A_SECOND: Final = 4.5  # requests for symbols that are only quiet
WITHIN_S: Final = 20.0
RATES: Final = (0.5, 1.0, 2.0, 5.0, 12.0, 33.0, 50.0, 150.0, 500.0)


class World:
    """An exchange, an OpenD that pushes subscribed symbols, and a collector that does what the push watch says."""

    def __init__(self, rates: dict[str, float], *, ordered: bool = True, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.now_s = 1000.0
        self.watch = PushWatch()
        self.rates = rates
        self.ordered = ordered
        self.tapes: dict[str, list[int]] = {symbol: [] for symbol in rates}
        self.known: dict[str, set[int]] = {symbol: set() for symbol in rates}
        self.pushed = set(rates)
        self.revives = True  # subscribing again brings pushes back
        self.first_push = True
        self.answers = True
        self.refuses: Callable[[list[str]], bool] = lambda _: False
        self.trading = True
        self.found: list[tuple[float, list[str]]] = []
        self.subs: list[tuple[float, list[str]]] = []
        self.questions: list[tuple[float, str, int | None]] = []
        self.watch.begin(rates, self.now_s)
        if not ordered:
            self.watch.unordered = frozenset(rates)
        self.delay_s = 0.0
        self.ahead = 0  # answers with ticks whose push was under way
        self._under_way: list[tuple[float, str, list[int]]] = []
        self._owed = dict.fromkeys(rates, 0.0)

    def trade(self, symbol: str, ticks: int = 1) -> list[int]:
        """The exchange makes ticks."""
        tape = self.tapes[symbol]
        made = [
            len(tape) + n if self.ordered else self.random.randrange(-(1 << 62), 1 << 62) for n in range(1, ticks + 1)
        ]
        tape += made
        return made

    def push(self, symbol: str, seqs: list[int]) -> None:
        """OpenD pushes ticks."""
        self.known[symbol] |= set(seqs)
        rows = [Tick(symbol, seq, 0, 1.0, 1, 1.0, "BUY", "AUTO_MATCH", "realtime", 0) for seq in seqs]
        self.watch.note(list(rows), [])

    def run(self, seconds: float) -> None:
        """So much time passes."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += STEP_S
            for symbol, rate in self.rates.items():
                self._owed[symbol] += rate * STEP_S
                count, self._owed[symbol] = int(self._owed[symbol]), self._owed[symbol] % 1
                made = self.trade(symbol, count)
                if made and symbol in self.pushed:
                    self._under_way.append((self.now_s + self.delay_s, symbol, made))
            while self._under_way and self._under_way[0][0] <= self.now_s:
                _, symbol, made = self._under_way.pop(0)
                self.push(symbol, made)
            self._collect()

    def missing(self, symbol: str) -> int:
        """Ticks that the collector has not got."""
        return len(set(self.tapes[symbol]) - self.known[symbol])

    def stop(self, *symbols: str) -> float:
        """Pushes of these stop now."""
        self.pushed -= set(symbols)
        return self.now_s

    def _collect(self) -> None:
        watch, now_s = self.watch, self.now_s
        watch.measure(now_s)
        found = watch.stopped(now_s)
        if found:
            self.found.append((now_s, found))
        for symbol, rows in watch.due(now_s, 2, lambda _: True, trading=self.trading):
            self.questions.append((now_s, symbol, rows))
            if self.answers:
                self._answer(symbol, rows or (LOOK_ROWS if self.ordered else WINDOW_ROWS))
        batch = watch.to_subscribe(now_s)
        if batch:
            self.subs.append((now_s, batch))
            self._subscribe(batch)

    def _answer(self, symbol: str, rows: int) -> None:
        tape, known = self.tapes[symbol], self.known[symbol]
        answer = tape[-min(rows, WINDOW_ROWS) :]
        before = Known(ordered=True, last_seq=max(known, default=0)) if self.ordered else Known()
        known |= set(answer)
        comparison = self.watch.answered(symbol, answer, before, self.now_s)
        self.ahead += bool(comparison.new and symbol in self.pushed)
        if self.ordered and (gap := set(tape[-WINDOW_ROWS:]) - known):
            known |= gap  # the jump shows a gap, which is backfilled

    def _subscribe(self, batch: list[str]) -> None:
        if self.refuses(batch):
            self.watch.refused(batch, self.now_s)
            return
        self.watch.subscribed()
        for symbol in batch:
            if self.first_push and self.tapes[symbol]:
                self.push(symbol, self.tapes[symbol][-1:])
            if self.revives:
                self.pushed.add(symbol)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("rate", RATES)
def test_a_stopped_symbol_is_subscribed_again_within_20_s_at_any_rate(rate: float, ordered: bool) -> None:
    """No tick is lost: it is requested often enough for OpenD's window, also while pushes do not return."""
    world = World({"HK.00001": rate, "HK.00002": 1.0}, ordered=ordered)
    world.run(8.0 if rate >= 1 else 20.0)
    since_s = world.stop("HK.00001")
    world.run(WITHIN_S)
    assert [symbols for _, symbols in world.found] == [["HK.00001"]]
    ((sub_s, batch), *more) = world.subs
    assert (batch, more) == (["HK.00001"], [])
    assert sub_s - since_s <= WITHIN_S
    world.run(30.0)
    assert world.missing("HK.00001") <= rate * STEP_S
    assert (world.watch.still_stopped(), len(world.found), len(world.subs)) == ([], 1, 1)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("rate", [1.0, 50.0, 500.0])
def test_pushes_that_do_not_return_lose_no_tick(rate: float, ordered: bool) -> None:
    """Subscribed again with growing delay, logged once, backfilled all the time; the finding lasts until they return.

    The cached tick that OpenD sends after each subscription is not taken for a push.
    """
    world = World({"HK.00001": rate, "HK.00002": 1.0}, ordered=ordered)
    world.revives = False
    world.run(10.0)
    world.stop("HK.00001")
    world.run(300.0)
    assert len(world.found) == 1
    times = [moment_s for moment_s, _ in world.subs]
    waits = [after - before for before, after in pairwise(times)]
    assert 4 <= len(times) <= 8
    assert waits == sorted(waits)
    assert world.missing("HK.00001") <= 6 * rate
    assert world.missing("HK.00001") < WINDOW_ROWS
    assert world.watch.still_stopped() == ["HK.00001"]
    world.pushed.add("HK.00001")
    world.run(10.0)
    assert world.missing("HK.00001") <= rate * STEP_S
    assert world.watch.still_stopped() == []


@pytest.mark.parametrize("ordered", [True, False])
def test_a_quiet_symbol_is_not_subscribed_again(ordered: bool) -> None:
    """OpenD has no newer tick: requested at last once in half a minute, never subscribed again."""
    world = World({"HK.00001": 12.0, "HK.00002": 1.0}, ordered=ordered)
    world.run(10.0)
    world.rates["HK.00001"] = 0.0
    world.run(300.0)
    asked = [moment_s for moment_s, symbol, _ in world.questions if symbol == "HK.00001"]
    assert 8 <= len(asked) <= 16
    assert asked[-1] - asked[-2] >= QUIET_S
    assert (world.found, world.subs) == ([], [])


def test_a_push_that_arrives_after_the_answer_is_no_finding() -> None:
    """OpenD's answers have ticks two seconds before its pushes, for an hour."""
    world = World({f"HK.{n:05d}": 1 / (29 + n) for n in range(1, 20)})
    world.delay_s = 2.0
    world.run(3600.0)
    assert world.ahead > 10
    assert (world.found, world.subs) == ([], [])


def test_a_rejected_push_counts_as_a_push() -> None:
    """A tick that cannot be stored shows that OpenD still pushes the symbol."""
    watch = PushWatch()
    watch.begin(["HK.00001"], 0.0)
    now_s = 0.0
    while now_s < 60.0:
        now_s += STEP_S
        watch.note([], [Rejected("HK.00001", 0, "incomplete", "", 1)])
        watch.measure(now_s)
        assert not watch.due(now_s, 2, lambda _: True, trading=True)


def test_no_symbol_is_checked_while_the_market_is_closed() -> None:
    """At lunch no request is sent."""
    world = World({"HK.00001": 12.0})
    world.run(10.0)
    world.rates["HK.00001"], world.trading = 0.0, False
    world.run(3600.0)
    assert world.questions == []


@pytest.mark.parametrize("quiet_s", [0.0, 300.0])
@pytest.mark.parametrize("rate", [1.0, 12.0, 150.0])
@pytest.mark.parametrize("break_s", [3600.0, 61_000.0])
def test_a_symbol_that_stops_soon_after_a_break_is_found_within_20_s(
    break_s: float, rate: float, quiet_s: float
) -> None:
    """Lunch or the night is no interval between pushes, also if the market trades for minutes before the first tick."""
    world = World({"HK.00001": rate})
    world.run(120.0)
    world.rates["HK.00001"], world.trading = 0.0, False
    world.run(10.0)
    world.now_s += break_s
    world.run(10.0)
    world.trading = True
    world.run(quiet_s)
    world.rates["HK.00001"] = rate
    world.run(20.0 if quiet_s else 5.0)
    since_s = world.stop("HK.00001")
    world.run(WITHIN_S)
    assert [batch for _, batch in world.subs] == [["HK.00001"]]
    assert world.subs[0][0] - since_s <= WITHIN_S


def test_a_request_without_an_answer_is_repeated() -> None:
    """The symbol counts neither as quiet nor as stopped: the request is repeated after some seconds."""
    world = World({"HK.00001": 12.0})
    world.run(10.0)
    world.stop("HK.00001")
    world.answers = False
    world.run(20.0)
    assert 2 <= len(world.questions) <= 4
    world.answers = True
    world.run(15.0)
    assert len(world.subs) == 1


def test_hundreds_of_slow_symbols_are_checked_a_few_per_second() -> None:
    """A busy symbol among them that stops is found within 20 s: the symbol silent for the most ticks comes first."""
    rates = {f"HK.{n:05d}": 0.01 for n in range(2, 601)} | {"HK.00001": 5.0}
    world = World(rates)
    world.run(40.0)
    since_s = world.stop("HK.00001")
    asked = len(world.questions)
    world.run(WITHIN_S)
    assert len(world.questions) - asked <= FEW_A_SECOND * WITHIN_S
    assert world.subs[0][1] == ["HK.00001"]
    assert world.subs[0][0] - since_s <= WITHIN_S


def test_when_all_stop_together_all_are_subscribed_again_within_20_s() -> None:
    """A few are requested, then all silent ones are subscribed again in batches of 100, with few log lines."""
    world = World({f"HK.{n:05d}": 3.0 for n in range(500)})
    world.run(5.0)
    since_s = world.stop(*world.rates)
    world.run(WITHIN_S)
    again = {symbol for moment_s, batch in world.subs for symbol in batch if moment_s - since_s <= WITHIN_S}
    assert again == set(world.rates)
    assert max(len(batch) for _, batch in world.subs) <= BATCH_SYMBOLS
    assert len(world.subs) <= 10
    assert len(world.found) <= 5
    assert sum(len(symbols) for _, symbols in world.found) > 450
    world.run(60.0)
    assert sum(world.missing(symbol) for symbol in world.rates) <= 500
    assert world.watch.still_stopped() == []


def test_slow_symbols_are_subscribed_again_with_the_busy_ones() -> None:
    """If most busy symbols have stopped, the slow ones are not checked one by one, and get no finding."""
    busy = {f"HK.{n:05d}": 5.0 for n in range(100)}
    slow = {f"HK.{n:05d}": 0.02 for n in range(100, 400)}
    world = World(busy | slow)
    world.run(20.0)
    since_s = world.stop(*world.rates)
    world.run(60.0)
    again = {symbol for moment_s, batch in world.subs for symbol in batch if moment_s - since_s <= 60.0}
    assert again == set(world.rates)
    for begin_s, _ in world.subs:
        within = sum(begin_s <= moment_s <= begin_s + 30.0 for moment_s, _ in world.subs)
        assert within <= SUB_BURST + 30.0 / SUB_EVERY_S + 1


def test_a_refused_symbol_does_not_prevent_other_subscriptions() -> None:
    """A refused batch is halved until the refused symbol is alone; the pushes of the others return."""
    world = World({f"HK.{n:05d}": 3.0 for n in range(100)})
    world.run(10.0)
    world.refuses = lambda batch: "HK.00007" in batch
    world.stop(*world.rates)
    world.run(120.0)
    assert world.pushed == set(world.rates) - {"HK.00007"}
    assert world.watch.still_stopped() == ["HK.00007"]


def test_a_blocked_event_loop_causes_no_finding() -> None:
    """For half a minute nothing was read: waiting bytes in the socket are read before a request is sent."""
    world = World({f"HK.{n:05d}": 12.0 for n in range(20)})
    world.run(10.0)
    world.now_s += 30.0
    world.run(20.0)
    assert (world.questions, world.found, world.subs) == ([], [], [])


def test_a_new_connection_starts_without_findings() -> None:
    """Findings of the old connection end; the rates of the symbols are kept."""
    world = World({"HK.00001": 12.0})
    world.run(10.0)
    world.stop("HK.00001")
    world.revives = False
    world.run(20.0)
    assert world.watch.still_stopped() == ["HK.00001"]
    world.watch.begin(world.rates, world.now_s)
    assert world.watch.still_stopped() == []
    since_s, found = world.now_s, len(world.found)
    world.run(10.0)
    assert len(world.found) == found + 1
    assert world.found[-1][0] - since_s < 10.0


def test_few_rows_are_requested_where_few_ticks_are_new() -> None:
    """For a symbol in doubt about as many rows are requested as are new, not the whole window each time."""
    world = World({"HK.00001": 12.0, "HK.00002": 1.0})
    world.revives = False
    world.run(10.0)
    world.stop("HK.00001")
    world.run(120.0)
    rows = [rows for _, _, rows in world.questions[3:] if rows is not None]
    assert rows
    assert max(rows) < WINDOW_ROWS / 2


def test_reversed_bursts_are_not_taken_for_new_ticks() -> None:
    """Without an order of sequences: a burst that arrives in reverse, then silence."""
    world = World({"HK.00001": 2.0}, ordered=False)
    world.run(20.0)
    world.rates["HK.00001"] = 0.0
    world.push("HK.00001", world.trade("HK.00001", 30)[::-1])
    world.run(120.0)
    assert world.questions
    assert (world.found, world.subs) == ([], [])


def test_symbols_that_opend_does_not_know_are_never_subscribed_again() -> None:
    """Many symbols have stopped: a symbol that was refused from the beginning is in none of the batches."""
    world = World({f"HK.{n:05d}": 3.0 for n in range(50)} | {"HK.99999": 0.0})
    world.watch.forget(["HK.99999"])
    world.run(10.0)
    world.stop(*world.rates)
    world.run(WITHIN_S)
    assert {symbol for _, batch in world.subs for symbol in batch} == set(world.rates) - {"HK.99999"}


def test_a_refused_batch_is_tried_again_by_halves_and_a_single_symbol_waits() -> None:
    """The symbols of a refused batch of two are subscribed one by one at once; a symbol that is refused alone is tried
    again with a growing delay.
    """
    watch = PushWatch()
    watch.begin(["HK.00001", "HK.00002"], 0.0)
    for now_s in (10.0, 20.0, 30.0):
        watch.note([row(int(now_s), symbol=symbol) for symbol in ("HK.00001", "HK.00002")], [])
        watch.measure(now_s)
    for symbol in ("HK.00001", "HK.00002"):
        watch.answered(symbol, [500, 501], Known(ordered=True, last_seq=30), 80.0)
    assert sorted(watch.stopped(84.0)) == ["HK.00001", "HK.00002"]
    batch = watch.to_subscribe(84.0)
    assert sorted(batch) == ["HK.00001", "HK.00002"]
    watch.refused(batch, 84.5)
    first = watch.to_subscribe(84.5)
    second = watch.to_subscribe(84.5)
    assert sorted(first + second) == ["HK.00001", "HK.00002"]
    assert (len(first), watch.to_subscribe(84.5)) == (1, [])
    watch.refused(first, 85.0)
    assert watch.to_subscribe(85.0) == []
    assert sorted(watch.still_stopped()) == ["HK.00001", "HK.00002"]


def test_symbols_that_stopped_with_others_are_subscribed_again_at_once() -> None:
    """Three stopped busy symbols are found by OpenD's answers. The fourth is silent too: it is subscribed again without
    a request before. The slow one was not pushed since: it is subscribed again with them and gets no finding.
    """
    watch, busy = PushWatch(), ["HK.00001", "HK.00002", "HK.00003", "HK.00004"]
    watch.begin([*busy, "HK.00005", "HK.00006"], 0.0)
    for second in range(1, 21):
        watch.note([row(second, symbol=symbol) for symbol in busy], [])
        if second == 10:
            watch.note([row(second, symbol="HK.00005")], [])
        watch.measure(float(second))
    watch.note([row(21, symbol="HK.00006")], [])
    watch.measure(28.0)
    watch.measure(29.0)
    for symbol in busy[:3]:
        assert watch.answered(symbol, [20, 21, 22], Known(ordered=True, last_seq=20), 29.5).new == 2
    assert watch.stopped(32.4) == []
    assert sorted(watch.stopped(32.9)) == busy
    assert sorted(watch.to_subscribe(32.9)) == [*busy, "HK.00005"]
    assert sorted(watch.still_stopped()) == busy
    watch.refused(["HK.00001", "HK.00005"], 33.0)
    assert sorted([*watch.to_subscribe(33.0), *watch.to_subscribe(33.0)]) == ["HK.00001", "HK.00005"]


def test_without_an_order_only_ticks_after_a_known_tick_are_new() -> None:
    """If no tick was known, none is new. If the answer has no known tick, all are new, and it does not reach back. An
    answer without a tick reaches back.
    """
    watch = PushWatch()
    watch.unordered = frozenset(["HK.00001"])
    watch.begin(["HK.00001"], 0.0)
    assert watch.answered("HK.00001", [7, 3, 9], Known(), 1.0) == Comparison(0, reaches=False, passed=0)
    assert watch.answered("HK.00001", [3, 9, 4, 1], Known(), 2.0) == Comparison(2, reaches=True, passed=2)
    assert watch.answered("HK.00001", [8, 5], Known(), 3.0) == Comparison(2, reaches=False, passed=2)
    assert watch.answered("HK.00001", [], Known(), 4.0) == Comparison(0, reaches=True, passed=0)

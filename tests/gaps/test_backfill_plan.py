"""Which symbol is requested next: the most urgent first, none twice at once, and none without end."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.gaps.backfill_plan import BackfillPlan, TickRequest
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import WINDOW_ROWS, Tick

if TYPE_CHECKING:
    from hk_tick_collector.model import TickRow

DAY: Final = market.parse_day("20261120")
TEN_S: Final = market.day_start_ms(DAY) // 1000 + 36_000
A, B, C = "HK.00005", "HK.00700", "HK.09988"


class OpenD:
    """An exchange and its gateway: makes ticks, pushes them or not, answers with the latest 1,000 of a symbol."""

    def __init__(self, *, patterned: bool = True) -> None:
        self.tracker = GapTracker(Day, lambda: TEN_S * 1000)
        self.plan = BackfillPlan(self.tracker)
        self.tapes: dict[str, list[TickRow]] = {}
        self.skipped: dict[str, int] = {}
        self.patterned = patterned
        self.now_s = 100.0
        self.asked: list[TickRequest] = []
        self.missing_for_ever: set[int] = set()  # counters that no answer holds

    def make(self, symbol: str, ticks: int, *, pushed: bool = True) -> None:
        """The symbol trades."""
        tape = self.tapes.setdefault(symbol, [])
        made: list[TickRow] = []
        for _ in range(ticks):
            counter = len(tape) + 1 + self.skipped.get(symbol, 0)
            second = TEN_S + (len(tape) + 1) // 100
            seq = second << 32 | counter if self.patterned else counter * 10
            made.append(Tick(symbol, seq, second * 1000, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", 0))
            tape.append(made[-1])
        if pushed:
            self.tracker.see(made)

    def skip(self, symbol: str, numbers: int) -> None:
        """The symbol's counter skips numbers: no tick has them."""
        self.skipped[symbol] = self.skipped.get(symbol, 0) + numbers

    def reply(self, ask: TickRequest) -> list[TickRow]:
        """What OpenD would answer now."""
        tape = self.tapes.get(ask.symbol, [])[-min(ask.rows, WINDOW_ROWS) :]
        return [tick for tick in tape if tick[1] & 0xFFFF_FFFF not in self.missing_for_ever]

    def answer(self, ask: TickRequest, reply: list[TickRow] | None = None) -> int:
        """The answer arrives; returns how many missing ticks are lost because of it."""
        rows = self.reply(ask) if reply is None else reply
        self.tracker.see(rows)
        lost = self.plan.answered(ask, [(row[1], row[2]) for row in rows], self.now_s)
        return sum(gap.missing or 1 for gap in lost)

    def backfill(self, requests: int = 50) -> int:
        """Requests and answers until nothing is due any more, while time passes; returns how many ticks were lost."""
        lost = 0
        for _ in range(requests):
            asks = self.plan.due(self.now_s, 4)
            self.asked += asks
            lost += sum(self.answer(ask) for ask in asks)
            if not asks:
                if not any(self.tracker.known.missing(symbol) for symbol in self.tapes):
                    return lost
                self.now_s += 0.5
        pytest.fail(f"{requests} rounds were not enough: {self.asked}")


def names(asks: list[TickRequest]) -> list[str]:
    """The symbols that are requested."""
    return [ask.symbol for ask in asks]


def test_a_gap_is_filled_with_one_request_of_its_size() -> None:
    """The request reaches back to the oldest missing tick, with a reserve for ticks that are traded meanwhile."""
    opend = OpenD()
    opend.make(A, 50)
    opend.make(A, 5, pushed=False)
    opend.make(A, 30)
    (ask,) = opend.plan.due(opend.now_s, 4)
    assert ask.symbol == A
    assert 35 <= ask.rows <= 60
    opend.make(A, 10)
    assert opend.answer(ask) == 0
    assert opend.tracker.known.missing(A) == 0
    assert opend.plan.due(opend.now_s, 4) == []


@pytest.mark.parametrize("trades_meanwhile", [0, 1, 500])
def test_a_gap_larger_than_the_window_is_filled_in_part(trades_meanwhile: int) -> None:
    """Of 5,000 missed ticks exactly 4,000 are lost, and one more for each tick that is traded before the answer."""
    opend = OpenD()
    opend.make(A, 100)
    opend.make(A, 5000, pushed=False)
    opend.plan.request_checks([A])
    (check,) = opend.plan.due(opend.now_s, 4)
    assert check.rows < 100
    opend.answer(check)
    (ask,) = opend.plan.due(opend.now_s, 4)
    assert ask == (A, WINDOW_ROWS)
    opend.make(A, trades_meanwhile)
    lost = opend.answer(ask)
    assert lost == 4000 + trades_meanwhile
    assert opend.tracker.known.missing(A) == 0
    assert opend.plan.due(opend.now_s + 100, 4) == []
    opend.make(A, 1)
    assert [(gap.missing, gap.final) for _, gap in opend.tracker.known.lost_gaps()] == [(lost, True)]


def test_the_gap_that_leaves_the_window_first_is_requested_first() -> None:
    """Of two gaps of one age that of the busier symbol; of two equal rates the older gap."""
    opend = OpenD()
    for _ in range(3):
        opend.make(A, 10)
        opend.make(B, 1000)
        opend.make(C, 300)
        opend.now_s += 10
        opend.plan.measure(opend.now_s)
    for symbol in (A, B, C):
        opend.make(symbol, 2, pushed=False)
        opend.make(symbol, 1)
    assert opend.plan.busiest() == (B, 100.0)
    assert names(opend.plan.due(opend.now_s, 2)) == [B, C]
    assert names(opend.plan.due(opend.now_s, 9)) == [A]


def test_no_more_requests_than_allowed_and_no_symbol_twice_at_once() -> None:
    """However many symbols are to be checked and backfilled, and however often the plan is asked for more requests."""
    opend = OpenD()
    everybody = [f"HK.{n:05d}" for n in range(1, 31)]
    for symbol in everybody[:20]:
        opend.make(symbol, 1)
        opend.make(symbol, 1, pushed=False)
        opend.make(symbol, 1)
    opend.plan.request_checks(everybody)
    flying: list[TickRequest] = []
    served: list[str] = []
    rng = random.Random(7)
    while opend.plan.checking or flying or any(map(opend.tracker.known.missing, everybody)):
        asks = opend.plan.due(opend.now_s, 4 - len(flying))
        flying += asks
        served += names(asks)
        assert len(flying) <= 4
        assert len(set(names(flying))) == len(flying)
        assert [name for name in everybody if opend.plan.is_asked(name)] == sorted(names(flying))
        opend.answer(flying.pop(rng.randrange(len(flying))))
        assert len(served) < 200
    assert set(served) == set(everybody)
    assert opend.plan.due(opend.now_s, 0) == []
    assert opend.plan.due(opend.now_s, -1) == []


@settings(max_examples=60, deadline=None)
@given(
    story=st.lists(
        st.tuples(st.sampled_from([A, B]), st.integers(0, 1500), st.integers(1, 40), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    busy=st.integers(0, 60),
)
def test_missed_ticks_are_filled_or_lost_after_a_few_requests(
    story: list[tuple[str, int, int, bool]], busy: int
) -> None:
    """Every tick that OpenD still had is stored, every other one is in a lost gap; then nothing more is requested."""
    opend = OpenD()
    for symbol, missed, seen, reconnects in story:
        opend.make(symbol, missed, pushed=False)
        opend.make(symbol, seen)
        if reconnects:
            opend.plan.reset()
            opend.plan.request_checks([A, B])
    requests = 0
    for _ in range(40):
        asks = opend.plan.due(opend.now_s, 4)
        requests += len(asks)
        for ask in asks:
            opend.make(ask.symbol, busy)  # between question and answer
            reach = len(opend.tapes[ask.symbol]) - WINDOW_ROWS
            opend.answer(ask)
            assert opend.tracker.known.missing(ask.symbol) == 0 or ask.rows < WINDOW_ROWS, "still in the window"
            if ask.rows == WINDOW_ROWS:
                assert [gap for track, gap in opend.tracker.known.open_gaps() if track.symbol == ask.symbol] == []
                lost = [gap for track, gap in opend.tracker.known.lost_gaps() if track.symbol == ask.symbol]
                assert all(gap.last <= reach for gap in lost)
        opend.now_s += 0.1
    assert requests <= 3 * len(story) + 4
    assert not any(opend.tracker.known.missing(symbol) for symbol in opend.tapes)


def test_a_request_that_did_not_reach_the_gap_is_followed_by_one_for_the_window() -> None:
    """A symbol trades faster than its known rate: the same request is not repeated without end."""
    opend = OpenD()
    opend.make(A, 10)
    opend.make(A, 1, pushed=False)
    opend.make(A, 1)
    (ask,) = opend.plan.due(opend.now_s, 4)
    opend.make(A, 300)
    opend.answer(ask)
    assert opend.tracker.known.missing(A) == 1
    (ask,) = opend.plan.due(opend.now_s, 4)
    assert ask.rows == WINDOW_ROWS
    opend.answer(ask)
    assert opend.tracker.known.missing(A) == 0


def test_a_gap_of_yesterday_is_not_requested_without_end() -> None:
    """Its counters do not show how many ticks of today follow it: the whole window is requested, a few times."""
    opend = OpenD()
    opend.make(A, 5)
    opend.make(A, 1, pushed=False)
    opend.make(A, 1)
    tomorrow_s = TEN_S + 86_400
    today = [
        Tick(A, tomorrow_s << 32 | n, tomorrow_s * 1000, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", 0)
        for n in range(1, 1201)
    ]
    opend.tracker.see(list(today))
    opend.tapes[A] += today
    opend.backfill(20)
    assert len(opend.asked) <= 2
    assert [(gap.first, gap.last, gap.final) for _, gap in opend.tracker.known.lost_gaps()] == [(6, 6, True)]


@pytest.mark.parametrize("kind", ["empty", "older"])
def test_after_useless_answers_requests_become_less_frequent(kind: str) -> None:
    """An answer without ticks, or with older ones only: OpenD may have them a minute later, so the gap is not lost."""
    opend = OpenD()
    opend.make(A, 10)
    opend.make(A, 1, pushed=False)
    opend.make(A, 5)
    replies = {
        "empty": [],
        "older": opend.tapes[A][:10],
    }
    moments: list[float] = []
    for _ in range(4000):
        for ask in opend.plan.due(opend.now_s, 4):
            moments.append(opend.now_s)
            opend.answer(ask, replies[kind])
        opend.now_s += 0.25
    waits = [round(after - before, 1) for before, after in pairwise(moments)]
    assert waits == [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 300.0]
    assert [gap.final for _, gap in opend.tracker.known.open_gaps()] == [False]
    opend.now_s += 300
    opend.backfill()
    assert opend.tracker.known.missing(A) == 0


def test_a_gap_that_stays_open_does_not_delay_other_gaps() -> None:
    """OpenD's answers leave out one number; ticks that are missed meanwhile are requested at once."""
    opend = OpenD()
    opend.make(A, 10)
    opend.missing_for_ever = {11}
    opend.make(A, 1, pushed=False)
    opend.make(A, 5)
    for _ in range(8):
        for ask in opend.plan.due(opend.now_s, 4):
            opend.answer(ask)
        opend.now_s += 0.5
    opend.make(A, 1, pushed=False)
    opend.make(A, 1)
    (ask,) = opend.plan.due(opend.now_s, 4)
    opend.answer(ask)
    assert [(gap.first, gap.last) for _, gap in opend.tracker.known.open_gaps()] == [(11, 11)]
    for _ in range(40):
        for ask in opend.plan.due(opend.now_s, 4):
            opend.answer(ask)
        opend.now_s += 0.5
    assert list(opend.tracker.known.open_gaps()) == [], "two answers have shown its neighbours as adjacent"


def test_after_failures_requests_back_off_until_an_answer_arrives() -> None:
    """Delays of 0.5, 1, 2, 5, 10, 30, 60, 120 s, then 300 s; separately for each symbol."""
    opend = OpenD()
    for symbol in (A, B):
        opend.make(symbol, 1)
        opend.make(symbol, 1, pushed=False)
        opend.make(symbol, 1)
    waits = []
    first = opend.plan.due(opend.now_s, 1)
    assert names(opend.plan.due(opend.now_s, 1)) == [B]  # is answered much later
    for _ in range(8):
        opend.plan.failed(first[0], opend.now_s)
        failed_s = opend.now_s
        while not (first := opend.plan.due(opend.now_s, 4)):
            opend.now_s += 0.1
        waits.append(round(opend.now_s - failed_s, 1))
    assert waits == pytest.approx([0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0], abs=0.11)
    opend.answer(first[0])
    opend.make(A, 1, pushed=False)
    opend.make(A, 1)
    assert names(opend.plan.due(opend.now_s, 4)) == [A]


def test_a_failed_check_is_repeated_three_times_at_most() -> None:
    """A symbol that OpenD answers with an error is checked three times; then its check no longer delays others."""
    opend = OpenD()
    opend.plan.request_checks([A])
    checks = 0
    for _ in range(1000):
        for ask in opend.plan.due(opend.now_s, 4):
            checks += 1
            opend.plan.failed(ask, opend.now_s)
        opend.now_s += 0.1
    assert checks == 3
    assert not opend.plan.checking


def test_a_new_connection_repeats_all_requests_at_once() -> None:
    """Unanswered and delayed requests are due at once; lost gaps within OpenD's window are requested again."""
    opend = OpenD()
    opend.make(A, 10)
    opend.make(A, 1, pushed=False)
    opend.make(A, 5)
    for _ in range(3):
        (ask,) = opend.plan.due(opend.now_s, 4)
        opend.answer(ask, [])
        opend.now_s += 60
    (ask,) = opend.plan.due(opend.now_s, 4)
    opend.answer(ask, [])
    assert opend.plan.due(opend.now_s, 4) == []
    opend.plan.reset()
    opend.plan.request_checks([A])
    opend.backfill()
    assert list(opend.tracker.known.open_gaps()) == []
    opend.make(A, 1, pushed=False)
    opend.make(A, 1)
    assert names(opend.plan.due(opend.now_s, 4)) == [A]  # never answered
    opend.plan.reset()
    assert names(opend.plan.due(opend.now_s, 4)) == [A]


def test_a_check_finds_missing_ticks_that_no_push_has_shown() -> None:
    """A quiet symbol trades without pushes: the check shows the jump, the next request fills the gap."""
    opend = OpenD()
    opend.tracker.end_interruption()
    opend.make(A, 10)
    opend.make(A, 40, pushed=False)
    opend.plan.request_checks([A])
    assert opend.backfill() == 0
    assert [ask.rows for ask in opend.asked] == [10, pytest.approx(60, abs=20)]
    assert list(opend.tracker.known.open_gaps()) == []


def test_without_the_rule_the_whole_window_is_requested() -> None:
    """No request during the interruption; then the doubt ends if the answer reaches back, and is lost if it cannot."""
    for missed, left in ((900, 0), (1200, 1)):
        opend = OpenD(patterned=False)
        opend.tracker.end_interruption()
        opend.make(A, 10)
        opend.tracker.interrupt("quote_link_lost")
        assert opend.plan.due(opend.now_s, 4) == []
        opend.make(A, missed, pushed=False)
        opend.tracker.resume_receiving()
        opend.plan.request_checks([A])
        assert opend.backfill() == left
        assert opend.asked == [(A, WINDOW_ROWS)]
        assert len(list(opend.tracker.known.open_gaps())) == left


def test_the_rate_rises_at_once_and_falls_slowly() -> None:
    """The outage budget uses a symbol's recent highest rate, not that of a quiet moment."""
    opend = OpenD()
    assert opend.plan.busiest() is None
    opend.make(A, 1)
    opend.plan.measure(opend.now_s)
    for ticks in (500, 0, 0):
        opend.make(A, ticks)
        opend.now_s += 10
        opend.plan.measure(opend.now_s)
        opend.plan.measure(opend.now_s + 1)  # too early: changes nothing
    symbol, rate = opend.plan.busiest() or ("", 0.0)
    assert symbol == A
    assert round(rate, 3) == 40.5


@pytest.mark.parametrize("patterned", [True, False])
def test_an_import_of_many_ticks_does_not_raise_the_rate(patterned: bool) -> None:
    """A predecessor's file is imported within seconds: the outage budget still uses the rate of the market."""
    opend = OpenD(patterned=patterned)
    opend.make(A, 5)
    opend.plan.measure(opend.now_s)
    opend.now_s += 10
    opend.make(A, 100_000)  # 1,000 s of trading
    opend.plan.measure(opend.now_s)
    symbol, rate = opend.plan.busiest() or ("", 0.0)
    assert symbol == A
    assert round(rate) <= 101


def test_a_window_smaller_than_documented_is_recognised() -> None:
    """Answers always have the same length and newer ticks: after some seconds older missing ticks are lost."""
    opend = OpenD()
    opend.make(A, 50)
    opend.make(A, 400, pushed=False)
    opend.make(A, 30)
    opend.asked.clear()
    lost = 0
    for _ in range(200):
        for ask in opend.plan.due(opend.now_s, 4):
            opend.asked.append(ask)
            lost += opend.answer(ask, opend.tapes[A][-min(ask.rows, 200) :])
        opend.make(A, 1)
        opend.now_s += 0.25
        if lost:
            break
    assert 400 - (200 - 30) <= lost <= 400 - (200 - 31) + 1
    assert opend.tracker.known.missing(A) == 0
    assert opend.now_s - 100.0 >= 15.0


@pytest.mark.parametrize(
    ("window", "rate"),
    [(1000, 20), (1000, 150), (1000, 300), (1000, 600), (150, 60)],
    ids=["20/s", "150/s", "300/s", "600/s", "60/s and a small window"],
)
def test_a_counter_that_skips_numbers_ends_the_rule_at_any_rate(window: int, rate: int) -> None:
    """Two answers show that no tick lies between two counters, before both have left the busy symbol's window."""
    opend = OpenD()
    opend.make(A, 2000)
    for tenth in range(200):
        if tenth % 20 == 7:
            opend.skip(A, 500)
        opend.make(A, rate // 10)
        opend.now_s += 0.1
        opend.plan.measure(opend.now_s)
        for ask in opend.plan.due(opend.now_s, 1):
            opend.answer(ask, opend.tapes[A][-min(ask.rows, window) :])
    assert opend.tracker.known.symbols_without_rule() == [A]
    assert list(opend.tracker.known.lost_gaps()) == []


def test_after_a_counter_restart_earlier_gaps_are_requested_with_the_whole_window() -> None:
    """The counter restarted while ticks were missing: the earlier counters do not show how many ticks to request."""
    opend = OpenD()
    opend.make(A, 300)
    opend.tracker.interrupt("disconnected")
    opend.plan.reset()
    opend.make(A, 5, pushed=False)
    opend.tracker.resume_receiving()
    opend.plan.request_checks([A])
    (check,) = opend.plan.due(opend.now_s, 4)
    opend.plan.failed(check, opend.now_s)
    opend.make(A, 94)
    opend.skip(A, -399)  # with the next second
    opend.make(A, 10)
    opend.now_s += 2.0
    for _ in range(10):
        for ask in opend.plan.due(opend.now_s, 4):
            assert 0 < ask.rows <= WINDOW_ROWS
            opend.answer(ask, opend.tapes[A][-min(ask.rows, 150) :])
        opend.now_s += 1.0
        opend.make(A, 1)
    assert opend.tracker.known.missing(A) == 0

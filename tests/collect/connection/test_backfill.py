"""Backfill and audits, against a transport whose OpenD is scripted; no test waits for its time to pass."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from tests.virtual_time import run_at_once

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.connection.backfill import Backfiller
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.errors import OpenDError, ProtocolError
from hk_tick_collector.gaps.backfill_plan import BackfillPlan
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import WINDOW_ROWS, Rejected, Tick
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.protocol import Ticks
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message
    from tests.collect.conftest import Journal

    from hk_tick_collector.collect.connection.transport import Transport
    from hk_tick_collector.model import TickRow

CAP_S: Final = 300.0  # a quiet symbol is looked at every 30 s
A, B = "HK.00700", "HK.09988"
MORNING: Final = 3
REST: Final = 4
IN_FLIGHT: Final = 4


class Clock:
    """Both clocks of the host; `pass_s` advances time for everybody, including the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead_s = 0.0
        real, real_ns = time.monotonic, time.time_ns
        monkeypatch.setattr(time, "monotonic", lambda: real() + self._ahead_s)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(self._ahead_s * 1e9))

    def pass_s(self, seconds: float) -> None:
        """So many seconds later."""
        self._ahead_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that can jump."""
    return Clock(monkeypatch)


class ScriptedWire:
    """Answers as an OpenD that has `tapes`; what a test sets decides how."""

    def __init__(self, intake: Intake) -> None:
        self.tapes: dict[str, list[TickRow]] = {}
        self.rejects: list[Rejected] = []  # come with every answer
        self.delay_s = 0.0
        self.error: Exception | None = None
        self.sub_error: Exception | None = None
        self.pulls: list[tuple[str, int]] = []
        self.subscribed: list[str] = []
        self.under_way: list[str] = []
        self.most_under_way = 0
        self._intake = intake

    async def request_ticks(self, symbol: str, rows: int) -> list[tuple[int, int]]:
        """The latest ticks of a symbol, through the intake."""
        assert symbol not in self.under_way, "asked twice at once"
        self.pulls.append((symbol, rows))
        self.under_way.append(symbol)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.under_way.remove(symbol)
        if self.error:
            raise self.error
        reply = self.tapes.get(symbol, [])[-min(rows, WINDOW_ROWS) :]
        self._intake.ticks(Ticks(rows=list(reply), rejected=list(self.rejects), requested_by=1), 1)
        return [(row[1], row[2]) for row in reply] + [(tick.seq, 0) for tick in self.rejects]

    async def request(self, proto_id: int, message: Message) -> bytes:
        """A subscription."""
        assert proto_id == messages.SUB
        if self.sub_error:
            raise self.sub_error
        asked = cast("pb.SubRequest", message)
        self.subscribed += [f"HK.{security.code}" for security in asked.c2s.securityList]
        return pb.Outcome(retType=0).SerializeToString()


class BackfillRig:
    """A backfiller with its queue, tracker and transport, on one connection."""

    def __init__(self, max_queue_rows: int = 100_000) -> None:
        self.stats = Stats()
        self.opend = OpenDState(market_state=MORNING, drift_s=0.0)
        self.queue = TickQueue(max_queue_rows)
        self.tracker = GapTracker(Day, lambda: time.time_ns() // 1_000_000)
        self.intake = Intake(self.queue, self.tracker, self.opend, self.stats, time.monotonic)
        self.plan = BackfillPlan(self.tracker)
        self.backfiller = Backfiller(self.plan, self.tracker, self.intake, self.opend, self.stats)
        self.transport = ScriptedWire(self.intake)
        self.subscribed = asyncio.Event()

    def make(self, symbol: str, ticks: int, *, pushed: bool, age_s: float = 60.0, patterned: bool = True) -> None:
        """The symbol traded this long ago, with or without a push to us."""
        tape = self.transport.tapes.setdefault(symbol, [])
        moment_s = time.time_ns() // 10**9 - int(age_s)
        made: list[TickRow] = []
        for _ in range(ticks):
            counter = len(tape) + 1
            seq = moment_s << 32 | counter if patterned else counter * 10
            made.append(Tick(symbol, seq, moment_s * 1000, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", 0))
            tape.append(made[-1])
        if pushed:
            self.intake.ticks(Ticks(rows=made), moment_s * 1000)

    def run(self) -> asyncio.Task[Any]:
        """One connection begins; subscriptions are the test's business."""
        return asyncio.create_task(self.backfiller.run(cast("Transport", self.transport), self.subscribed))

    def begin(self, *symbols: str) -> asyncio.Task[Any]:
        """A connection with its subscriptions made."""
        task = self.run()

        async def subscribe() -> None:
            self.subscribed.set()
            self.backfiller.request_checks(symbols)

        self.subscribing = asyncio.create_task(subscribe())
        return task

    async def begin_quiet(self, clock: Clock, *symbols: str, patterned: bool = True) -> asyncio.Task[Any]:
        """A connection whose symbols have all been checked; none has traded for a minute and a half."""
        for symbol in symbols:
            self.make(symbol, 5, pushed=True, age_s=90, patterned=patterned)
        task = self.begin(*symbols)
        await until(lambda: len(self.transport.pulls) >= len(symbols), "checked")
        await asyncio.sleep(0.1)
        clock.pass_s(31)
        return task

    def stored(self, symbol: str) -> int:
        """Number of different ticks of a symbol on their way to the day file."""
        return len({row[1] for chunk in self.queue.held_in_memory() for row in chunk.rows if row[0] == symbol})

    def whole(self, *symbols: str) -> bool:
        """Whether every tick is on its way to the day file, and no tick is known to be missing."""
        complete = all(self.stored(symbol) == len(self.transport.tapes[symbol]) for symbol in symbols)
        return complete and not list(self.tracker.known.open_gaps())


async def until(condition: Callable[[], object], what: str) -> None:
    """Returns when `condition()` is true."""
    for _ in range(int(CAP_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"not within {CAP_S:.0f} s: {what}")


async def end(task: asyncio.Task[Any]) -> None:
    """Ends the connection; any error is raised here."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_backfill_that_fails_is_counted_until_an_answer_comes(journal: Journal) -> None:
    """For each symbol: the first and the last failure, and OpenD's text; an answer or another connection ends it."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 5, pushed=True)
        rig.transport.error = OpenDError("GetTicker is refused")
        task = rig.begin(A)
        await until(lambda: A in rig.stats.backfill_failing_ms, "the failure")
        first_ms = rig.stats.backfill_failing_ms[A]
        await until(lambda: rig.stats.backfill_failed_ms[A] > first_ms, "the next one")
        assert rig.stats.backfill_failing_ms[A] == first_ms
        assert "GetTicker is refused" in rig.stats.backfill_reason
        rig.transport.error = None
        await until(lambda: not rig.stats.backfill_failing_ms, "the answer")
        assert not rig.stats.backfill_failed_ms
        await end(task)
        rig.stats.backfill_failing_ms[A] = rig.stats.backfill_failed_ms[A] = 1
        task = rig.begin(A)
        await until(lambda: not rig.stats.backfill_failing_ms, "another connection")
        await end(task)

    run_at_once(story())


# --- backfilling ---


def test_after_an_outage_everything_is_backfilled(journal: Journal) -> None:
    """Each symbol is checked once, gaps are filled, and one line reports the result."""

    async def story() -> None:
        rig = BackfillRig()
        rig.opend.market_state = REST  # no audits
        symbols = [f"HK.{n:05d}" for n in range(1, 31)]
        for symbol in symbols:
            rig.make(symbol, 5, pushed=True)
        rig.backfiller.interrupt("disconnected")
        for symbol in symbols[:10]:
            rig.make(symbol, 300, pushed=False, age_s=0)
        task = rig.begin(*symbols)
        await until(lambda: rig.whole(*symbols), "filled")
        await until(lambda: len(rig.transport.pulls) == 40, "every symbol checked")
        await until(lambda: len(journal.events("backfill")) == 2, "the second line, a second later")
        await end(task)
        assert {symbol for symbol, _ in rig.transport.pulls} == set(symbols)
        assert {gap.cause for chunk in rig.queue.held_in_memory() for _, gap in chunk.gaps} == {"disconnected"}

    run_at_once(story())
    assert sum(int(event.fields["found"]) for event in journal.events("backfill")) == 10 * 290
    assert journal.events("gaps_beyond_reach") == []


def test_ticks_outside_the_window_are_logged_with_their_number(journal: Journal) -> None:
    """One ERROR line with how many ticks, why, and the worst symbol; what could be backfilled is."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 5, pushed=True)
        rig.make(A, 1500, pushed=False)
        task = rig.begin(A)
        await until(lambda: journal.events("gaps_beyond_reach"), "a line")
        await end(task)
        assert rig.stored(A) == 1005

    run_at_once(story())
    (event,) = journal.events("gaps_beyond_reach")
    assert event.level == "ERROR"
    assert event.fields == {"gaps": "1", "missing": "500", "causes": "push_lost", "worst": f"{A}:500"}


def test_nothing_is_requested_before_the_subscriptions_are_made() -> None:
    """OpenD answers only for subscribed symbols; refused ones are never requested."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 1, pushed=False)
        task = rig.run()
        await asyncio.sleep(0.1)
        rig.opend.refused = {B: "unknown stock"}
        rig.backfiller.request_checks([A, B])
        await asyncio.sleep(0.1)
        assert rig.transport.pulls == []
        rig.subscribed.set()
        await until(lambda: rig.transport.pulls, "asked")
        await asyncio.sleep(0.8)  # an audit would come in this time
        await end(task)
        assert {symbol for symbol, _ in rig.transport.pulls} == {A}

    run_at_once(story())


def test_few_requests_are_under_way_at_a_time() -> None:
    """However many symbols wait; none of them twice, including audits."""

    async def story() -> None:
        rig = BackfillRig()
        symbols = [f"HK.{n:05d}" for n in range(1, 41)]
        for symbol in symbols:
            rig.make(symbol, 2, pushed=True)
            rig.make(symbol, 20, pushed=False)
        rig.transport.delay_s = 0.03
        task = rig.begin(*symbols)
        await until(lambda: rig.whole(*symbols), "filled")
        await asyncio.sleep(1.2)  # for audits
        await end(task)
        assert rig.transport.most_under_way == IN_FLIGHT

    run_at_once(story())


def test_a_request_that_fails_is_made_again(journal: Journal) -> None:
    """Each failure is a line; the gap is filled when OpenD answers."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 1, pushed=True)
        rig.make(A, 2, pushed=False)
        rig.make(A, 1, pushed=True)
        rig.transport.error = OpenDError("OpenD is busy")
        task = rig.begin(A)
        await until(lambda: len(journal.events("backfill_failed")) >= 2, "two failures")
        rig.transport.error = None
        await until(lambda: rig.whole(A), "filled")
        await end(task)

    run_at_once(story())
    first = journal.events("backfill_failed")[0].fields
    assert first == {"symbol": A, "rows": "23", "reason": "OpenD is busy", "repeats": "0"}


def test_a_symbol_that_is_not_subscribed_is_requested_once(journal: Journal) -> None:
    """A gap of a symbol that is no longer in FUTU_SYMBOLS, or that OpenD refuses: it is lost and logged, not requested
    every half minute and shown as being backfilled all day. It is filled if the symbol is subscribed later.
    """

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 1, pushed=True)
        rig.make(A, 2, pushed=False)
        rig.make(A, 1, pushed=True)
        rig.transport.error = OpenDError(f"{A} is not subscribed to Ticker; please subscribe first")
        task = rig.begin()
        await until(lambda: journal.events("gaps_beyond_reach"), "the gap is given up")
        assert (rig.tracker.known.missing(A), len(rig.transport.pulls)) == (0, 1)
        assert [open_gap.missing for _, open_gap in rig.tracker.known.open_gaps()] == [2]
        rig.transport.error = None
        rig.backfiller.request_checks([A])
        await until(lambda: rig.whole(A), "filled")
        await end(task)

    run_at_once(story())
    assert not journal.events("backfill_failed")
    assert [event.fields["missing"] for event in journal.events("gaps_beyond_reach")] == ["2"]


def test_a_full_queue_gives_up_no_gap() -> None:
    """Ticks without room do not count as OpenD's answer: they are requested again when there is room."""

    async def story() -> None:
        rig = BackfillRig(max_queue_rows=8)
        rig.make(A, 5, pushed=True)
        rig.make(A, 30, pushed=False)
        rig.make(A, 1, pushed=True)
        task = rig.begin()
        await until(lambda: len(rig.transport.pulls) >= 3, "asked, in vain")
        assert rig.stats.dropped >= 2 * 30
        assert [open_gap.final for _, open_gap in rig.tracker.known.open_gaps()] == [False]
        rig.queue.max_rows = 1000
        await until(lambda: rig.whole(A), "filled")
        await end(task)

    run_at_once(story())


def test_a_tick_without_a_sequence_is_not_the_oldest() -> None:
    """A rejected tick of an answer may have no sequence: the other ticks show how far back the answer reaches."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 5, pushed=True)
        rig.make(A, 1500, pushed=False)
        rig.make(A, 1, pushed=True)
        rig.transport.rejects = [Rejected(A, 0, "incomplete", "", 1)]
        task = rig.begin()
        await until(lambda: rig.stored(A) > 900, "answered")
        await end(task)
        assert [(open_gap.missing, open_gap.final) for _, open_gap in rig.tracker.known.lost_gaps()] == [(501, True)]

    run_at_once(story())


def test_cancelling_ends_every_request() -> None:
    """Also those that OpenD never answers; nothing is left running."""

    async def story() -> None:
        rig = BackfillRig()
        for symbol in (A, B):
            rig.make(symbol, 1, pushed=False)
        rig.transport.delay_s = 3600
        task = rig.begin(A, B)
        await until(lambda: len(rig.transport.under_way) == 2, "asked")
        await end(task)
        assert rig.transport.under_way == []

    run_at_once(story())


def test_a_bug_in_a_request_ends_the_run() -> None:
    """It ends the run with its own exception, whatever else fails at the same moment."""

    async def story() -> None:
        rig = BackfillRig()
        for symbol in (A, B):
            rig.make(symbol, 1, pushed=False)
        rig.transport.error = ZeroDivisionError("a bug")
        unhandled: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        task = rig.begin(A, B)
        with pytest.raises(ZeroDivisionError):
            await task
        assert unhandled == []

    run_at_once(story())


def test_a_new_connection_repeats_unanswered_requests() -> None:
    """Requests that the old one did not answer are repeated at once."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 1, pushed=True)
        rig.make(A, 2, pushed=False)
        rig.make(A, 1, pushed=True)
        rig.transport.delay_s = 3600
        task = rig.begin(A)
        await until(lambda: rig.transport.under_way, "asked")
        await end(task)
        rig.backfiller.interrupt("disconnected")
        rig.subscribed.clear()
        rig.transport.delay_s = 0
        task = rig.begin(A)
        await until(lambda: rig.whole(A), "filled")
        await end(task)

    run_at_once(story())


def test_an_interruption_is_the_cause_until_every_symbol_was_checked(clock: Clock) -> None:
    """And for some seconds more, because of late pushes; after that a jump is a lost push."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 1, pushed=True)
        rig.backfiller.interrupt("disconnected")
        task = rig.begin(A)
        await until(lambda: rig.transport.pulls, "checked")
        clock.pass_s(10)
        await asyncio.sleep(0.6)
        rig.transport.error = OpenDError("no answer")
        rig.make(A, 1, pushed=False)
        rig.make(A, 1, pushed=True)
        assert [open_gap.cause for _, open_gap in rig.tracker.known.open_gaps()] == ["push_lost"]
        await end(task)

    run_at_once(story())


# --- audits ---


def test_stopped_pushes_are_found_and_subscribed_again(journal: Journal, clock: Clock) -> None:
    """OpenD has newer ticks of a silent symbol: named, subscribed again, backfilled; the other one is not."""

    async def story() -> None:
        rig = BackfillRig()
        task = await rig.begin_quiet(clock, A, B)
        rig.make(A, 200, pushed=False, age_s=20)
        await until(lambda: rig.whole(A, B), "filled")
        await until(lambda: rig.transport.subscribed, "subscribed again")
        await end(task)
        assert rig.transport.subscribed == [A]

    run_at_once(story())
    assert [event.fields["symbol"] for event in journal.events("pushes_stopped")] == [A]


def test_a_finished_day_stays_in_memory_for_a_minute() -> None:
    """OpenD's answers for quiet symbols have ticks of it: each would read its file again."""

    async def story() -> None:
        rig = BackfillRig()
        today = market.day_number(time.time_ns() // 10**6)
        rig.opend.opend_time_ms = market.day_start_ms(today + 2) + 12 * 3_600_000  # past the hour when days are sealed
        finished = today - 5
        rig.tracker.open(finished)
        task = rig.begin()
        await asyncio.sleep(50)
        assert finished in rig.tracker.known.days
        rig.tracker.open(finished)
        await asyncio.sleep(50)
        assert finished in rig.tracker.known.days
        await until(lambda: finished not in rig.tracker.known.days, "forgotten")
        await end(task)

    run_at_once(story())


def test_a_quiet_symbol_is_checked_and_causes_no_finding(journal: Journal, clock: Clock) -> None:
    """With ticks, without any, with ticks of yesterday only: checked, and not subscribed again."""

    async def story() -> None:
        rig = BackfillRig()
        rig.make(A, 5, pushed=True, age_s=90)
        rig.make("HK.00005", 5, pushed=False, age_s=86_400 + 90)
        task = rig.begin(A, B, "HK.00005")
        await until(lambda: len(rig.transport.pulls) >= 3, "checked")
        await asyncio.sleep(0.1)
        clock.pass_s(31)
        await until(lambda: len(rig.transport.pulls) >= 6, "audited")
        await asyncio.sleep(0.1)
        clock.pass_s(5)
        await asyncio.sleep(1.5)
        await end(task)
        assert rig.transport.subscribed == []

    run_at_once(story())
    assert journal.events("pushes_stopped") == []


def test_a_push_that_follows_its_answer_causes_no_finding(journal: Journal, clock: Clock) -> None:
    """The push arrives a moment after the answer."""

    async def story() -> None:
        rig = BackfillRig()
        task = await rig.begin_quiet(clock, A)
        rig.make(A, 1, pushed=False, age_s=1)
        await until(lambda: len(rig.transport.pulls) > 1, "audited")
        rig.intake.ticks(Ticks(rows=rig.transport.tapes[A][-1:]), 1)
        await asyncio.sleep(0.3)
        clock.pass_s(5)
        await asyncio.sleep(1.5)
        await end(task)
        assert rig.transport.subscribed == []

    run_at_once(story())
    assert journal.events("pushes_stopped") == []


def test_audits_do_not_wait_for_an_unknown_state(clock: Clock) -> None:
    """OpenD does not report the market's state: symbols are checked as during trading."""

    async def story() -> None:
        rig = BackfillRig()
        rig.opend.market_state = None
        task = await rig.begin_quiet(clock, A)
        await until(lambda: len(rig.transport.pulls) == 2, "audited")
        await end(task)

    run_at_once(story())


@pytest.mark.parametrize("state", [0, 2, 4, 6])
def test_audits_wait_for_the_market(state: int | None, clock: Clock) -> None:
    """Silence at lunch and at night needs no explanation."""

    async def story() -> None:
        rig = BackfillRig()
        rig.opend.market_state = state
        task = await rig.begin_quiet(clock, A)
        clock.pass_s(120)
        await asyncio.sleep(1.5)
        assert len(rig.transport.pulls) == 1
        rig.opend.market_state = MORNING
        await until(lambda: len(rig.transport.pulls) == 2, "audited")
        await end(task)

    run_at_once(story())


def test_one_symbol_is_not_audited_again_and_again(clock: Clock) -> None:
    """Once in half a minute, the one that waited longest first."""

    async def story() -> None:
        rig = BackfillRig()
        task = await rig.begin_quiet(clock, A, B)
        await until(lambda: len(rig.transport.pulls) == 4, "audited")
        await asyncio.sleep(0.7)
        assert len(rig.transport.pulls) == 4
        clock.pass_s(31)
        await until(lambda: len(rig.transport.pulls) == 6, "audited again")
        await end(task)
        assert sorted(symbol for symbol, _ in rig.transport.pulls) == [A] * 3 + [B] * 3

    run_at_once(story())


def test_a_clock_that_is_wrong_by_an_hour_changes_nothing(journal: Journal, clock: Clock) -> None:
    """Only the monotonic clock is used: no missed and no false alarm."""

    async def story() -> None:
        for drift_s in (3600.0, -3600.0):
            await one(BackfillRig(), drift_s)

    async def one(rig: BackfillRig, drift_s: float) -> None:
        rig.opend.drift_s = drift_s
        for symbol in (A, B):
            rig.make(symbol, 5, pushed=True, age_s=drift_s)  # now, by the exchange's clock
        task = rig.begin(A, B)
        await until(lambda: len(rig.transport.pulls) == 2, "checked")
        await asyncio.sleep(0.1)
        clock.pass_s(29)
        rig.make(A, 1, pushed=True, age_s=drift_s)
        rig.make(B, 1, pushed=False, age_s=drift_s)
        await until(lambda: len(rig.transport.pulls) > 2, "audited")
        clock.pass_s(4)
        await until(lambda: rig.transport.subscribed, "subscribed again")
        await end(task)
        assert rig.transport.subscribed == [B]

    run_at_once(story())
    assert [event.fields["symbol"] for event in journal.events("pushes_stopped")] == [B, B]


def test_without_the_rule_stopped_pushes_are_subscribed_again_too(journal: Journal, clock: Clock) -> None:
    """The answer does not reach known ticks: a doubt, closed or final by what OpenD still has."""

    async def story() -> None:
        for missed, doubts in ((900, 0), (1500, 1)):
            await one(BackfillRig(), missed, doubts)

    async def one(rig: BackfillRig, missed: int, doubts: int) -> None:
        rig.tracker.end_interruption()
        task = await rig.begin_quiet(clock, A, patterned=False)
        rig.make(A, missed, pushed=False, age_s=20, patterned=False)
        await until(lambda: rig.transport.subscribed, "subscribed again")
        await asyncio.sleep(0.3)
        await end(task)
        changes = [gap for chunk in rig.queue.held_in_memory() for _, gap in chunk.gaps]
        still_open = {gap.id for gap in changes if gap.status == "open"} - {
            gap.id for gap in changes if gap.status != "open"
        }
        assert len(still_open) == doubts
        assert not any(open_gap for _, open_gap in rig.tracker.known.open_gaps() if not open_gap.final)

    run_at_once(story())
    assert len(journal.events("pushes_stopped")) == 2


@pytest.mark.parametrize("error", [OpenDError("quota"), ProtocolError("no outcome")])
def test_a_refused_subscription_is_logged_and_affects_nothing_else(
    error: Exception, journal: Journal, clock: Clock
) -> None:
    """Backfilling continues."""

    async def story() -> None:
        rig = BackfillRig()
        rig.transport.sub_error = error
        task = await rig.begin_quiet(clock, A)
        rig.make(A, 50, pushed=False, age_s=20)
        await until(lambda: journal.events("resubscribe_failed"), "told")
        await until(lambda: rig.whole(A), "filled")
        await end(task)

    run_at_once(story())
    assert journal.events("resubscribe_failed")[0].fields == {"symbol": A, "count": "1", "reason": str(error)}

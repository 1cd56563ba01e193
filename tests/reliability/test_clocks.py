"""Row 18: a wall clock that jumps, another time zone, midnight, a half day, an unscheduled close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.e2e.conftest import Start
from tests.preloaded.wrong_clock import Clock

from hk_tick_collector import market
from hk_tick_collector.ops.findings.health import check
from hk_tick_collector.ops.live.status import STATUS_NAME, read_status
from hk_tick_collector.store.dayfile import DayFile, StoreOptions

from .trial import LIMITS, Market, Trial, now_ms, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Collector
    from tests.nursery import Nursery

    from .conftest import Begin

HOUR_S: Final = 3600
CLOSES: Final = (("20261224", "12:05", True), ("20261118", "16:05", True), ("20261118", "10:00", False))
FALSE_ALARMS: Final = {"lag", "writer_stuck", "queue", "gaps_lost", "dropped"}


@pytest.fixture
def clock(workdir: Path, build_library: Callable[[str], Path]) -> Clock:
    """A clock that can be set for single processes."""
    return Clock(build_library("wrong_clock"), workdir / "wrong_clock")


@pytest.fixture
def start(workdir: Path, nursery: Nursery) -> Iterator[Start]:
    """Starts the verbs as processes of their own: a preloaded library needs a new program, not a fork."""
    processes = Start(workdir, nursery)
    yield processes
    processes.end()


class Clocked(Trial):
    """A trial whose collector is a program of its own, so that it can have a clock, or a time zone, of its own."""

    def __init__(self, nursery: Nursery, directory: Path, market: Market, start: Start) -> None:
        super().__init__(nursery, directory, market)
        self._programs = start

    def start(self, environ: dict[str, str]) -> Collector:
        """Starts it in this environment."""
        settings = {"FUTU_SYMBOLS": f"@{self.market.symbols_path}", "RECONNECT_MAX_DELAY": "0.2", **environ}
        self.program = self._programs.run(self.market.port, settings, data_root=self.data_root)
        return self.program

    def end(self) -> None:
        """Waits until rows are settled, stops, checks: nothing may be missing, and no false report."""
        self.market.tell("pause")
        made = self.market.made()
        wait_until(lambda: self.stored.rows() >= made, lambda: f"{made} ticks stored\n{self.program.output}")
        wait_until(lambda: self.stored.gaps_open() == 0, "no gap is open")
        assert self.program.stop() == 0
        assert "Traceback" not in self.program.output
        assert "WATCHDOG" not in self.program.output
        assert self.program.shutdown()["left_rows"] == "0"
        truth_days = self.verdict_of_program()
        assert sum(day.missing for day in truth_days) == 0

    def verdict_of_program(self) -> list[DayCount]:
        """The common verdict."""
        self.collectors.clear()
        return self.verdict().days

    def codes(self) -> set[str]:
        """The findings of `status` on that host."""
        status = read_status(self.data_root / STATUS_NAME)
        return {finding.code for finding in check(status, status.written_ms, LIMITS)} if status else set()

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.program.output.splitlines()[-60:])


if TYPE_CHECKING:
    from hk_tick_collector.simulator.truth.verdict import DayCount

    Clocking = Callable[..., Clocked]


@pytest.fixture
def clocking(nursery: Nursery, workdir: Path, start: Start) -> Iterator[Clocking]:
    """Begins trials whose collector has a clock of its own."""
    begun: list[Clocked] = []

    def make(
        *args: str,
        rate: float = 100.0,  # little enough that nothing leaves OpenD's window while the machine is slow
        environ: dict[str, str] | None = None,
    ) -> Clocked:
        begun.append(Clocked(nursery, workdir, Market(nursery, workdir, *args, rate=rate, environ=environ), start))
        return begun[-1]

    yield make
    for trial in begun:
        trial.market.close()


@pytest.mark.parametrize("offset_s", [HOUR_S, -HOUR_S])
def test_a_clock_that_jumps_an_hour_changes_nothing_that_is_stored(
    clocking: Clocking, clock: Clock, offset_s: int
) -> None:
    """Row 18: the host's wall clock is set an hour ahead or back during collection, and the connection breaks too:
    ticks are in the right file, there is no gap and no watchdog action; `clock_drift` reports the difference.
    """
    trial = clocking()
    program = trial.start(clock.environ)
    trial.wait_stored(300)
    clock.set(offset_s)
    trial.wait_more(300)
    trial.market.tell("cut")
    program.wait_for("subscribed", count=2)
    wait_until(lambda: "clock_drift" in trial.codes(), lambda: f"clock_drift in {trial.codes()}")
    assert not FALSE_ALARMS & trial.codes()
    trial.wait_more(300)
    clock.set(0)
    trial.wait_more(300)
    trial.end()


def test_a_clock_that_is_set_back_does_not_disable_the_watchdog(clocking: Clocking, clock: Clock) -> None:
    """Rows 18 and 22: the clock goes back an hour while nothing can be committed: the stall is still noticed.

    The clock stays within the day: ticks of another day would wait for their own file, which is no stall.
    """
    trial = clocking()
    stall = {"WATCHDOG_STALL_SEC": "3", "WATCHDOG_QUEUE_THRESHOLD_ROWS": "300", "SQLITE_BUSY_TIMEOUT_MS": "50"}
    program = trial.start({**stall, **clock.environ})
    trial.wait_stored(300)
    with trial.locked():
        since_midnight_s = (now_ms() - market.day_start_ms(market.day_number(now_ms()))) // 1000
        clock.set(-min(HOUR_S, since_midnight_s - 1))
        wait_until(lambda: "WATCHDOG persistent_stall" in program.output, lambda: program.output)
    clock.set(0)
    trial.market.tell("pause")
    trial.wait_stored(trial.market.made())
    assert program.stop() == 0
    assert sum(day.missing for day in trial.verdict_of_program()) == 0


def test_an_opend_a_day_ahead_does_not_seal_the_current_day(
    clocking: Clocking, clock: Clock, workdir: Path, build_library: Callable[[str], Path]
) -> None:
    """Row 18: the clock of OpenD's host jumps more than a day ahead, to 06:30: yesterday is sealed, today is not, and
    today's ticks are stored when that clock is right again.
    """
    theirs = Clock(build_library("wrong_clock"), workdir / "their_clock")
    today = market.day_number(now_ms())
    at_five_s = (market.day_start_ms(today) - now_ms()) // 1000 + 5 * HOUR_S
    clock.set(at_five_s)
    theirs.set(at_five_s)
    trial = clocking(environ=theirs.environ)
    yesterday = trial.data_root / f"{market.day_name(today - 1)}.db"
    assert DayFile(yesterday, yesterday.stem, "before", 0, "test", StoreOptions()).close()
    program = trial.start(clock.environ)
    trial.wait_stored(300)
    theirs.set(at_five_s + 25 * HOUR_S + HOUR_S // 2)
    wait_until(lambda: " day_sealed " in program.output, trial.tail)
    theirs.set(at_five_s)
    trial.wait_more(300)
    trial.market.tell("pause")
    made = trial.market.made()
    wait_until(lambda: trial.stored.rows() >= made, trial.tail)
    assert program.stop() == 0
    sealed = {event.fields["day"] for event in program.events("day_sealed")}
    assert sealed == {yesterday.stem}
    assert program.shutdown()["rejected"] == "0"


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_the_hosts_time_zone_does_not_matter(clocking: Clocking, zone: str) -> None:
    """Row 18: twelve hours behind or six hours ahead, the day is that of Hong Kong."""
    trial = clocking()
    trial.start({"TZ": zone})
    trial.wait_stored(500)
    trial.end()
    days = {market.day_name(market.day_number(tick.ts_ms)) for tick in trial.market.process.truth()}
    assert {path.stem for path in trial.data_root.glob("*.db")} == days


def test_trading_over_midnight_goes_to_two_files(clocking: Clocking, clock: Clock) -> None:
    """Row 18: ticks on both sides of Hong Kong's midnight, without a pause: each in the file of its own day."""
    now = now_ms()
    midnight_ms = market.day_start_ms(market.day_number(now) + 1)
    clock.set((midnight_ms - now) // 1000 - 3600)
    trial = clocking(environ=clock.environ)
    trial.start(clock.environ)
    trial.wait_stored(100)  # however long both take to start
    clock.set((midnight_ms - now_ms()) // 1000 - 5)
    names = {market.day_name(market.day_number(midnight_ms) - 1), market.day_name(market.day_number(midnight_ms))}
    wait_until(lambda: {path.stem for path in trial.data_root.glob("*.db")} == names, "two files")
    trial.wait_more(600)
    trial.end()


@pytest.mark.early
@pytest.mark.parametrize("close", CLOSES)
def test_a_close_causes_no_finding(begin: Begin, close: tuple[str, str, bool]) -> None:
    """Row 18: a half day, a whole day, an unscheduled close: no gap, no stall, no lag; the service continues."""
    day, at, announced = close
    begun_ms = now_ms()
    trial = begin("--wait", "--day", day, "--at", at, "--speed", "60", symbols="20", rate=300)
    collector = trial.run()
    trial.wait_stored(200)
    if not announced:
        trial.market.tell("market-state closed")
    trial.live(trading=False, market_state="closed")
    lines = len(collector.events("health"))
    collector.wait_for("health", count=lines + 4)  # four minutes of the exchange
    assert not FALSE_ALARMS & trial.findings().keys()
    assert "WATCHDOG" not in collector.output
    trial.finish()
    of_this_host = market.day_name(market.day_number(begun_ms))  # begun before OpenD's date was known
    assert {path.stem for path in trial.data_root.glob("*.db")} - {of_this_host} == {day}

"""Log lines for gaps: each event once, many in one line, and warnings that end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from hk_tick_collector import market
from hk_tick_collector.collect.reporting.gap_log import GapLog
from hk_tick_collector.gaps.answer import Answer
from hk_tick_collector.gaps.backfill_plan import BackfillPlan
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, Tick

if TYPE_CHECKING:
    from tests.collect.conftest import Journal

    from hk_tick_collector.collect.writing.current_writer import CurrentWriter
    from hk_tick_collector.model import TickRow

DAY: Final = market.parse_day("20261120")
TEN_S: Final = market.day_start_ms(DAY) // 1000 + 36_000
MINUTE_MS: Final = 60_000


def at(symbol: str, counter: int) -> TickRow:
    """A tick of the pattern."""
    return Tick(symbol, TEN_S << 32 | counter, TEN_S * 1000, 1.0, 1, 1.0, "BUY", "AUTO_MATCH", "realtime", 0)


def gap(symbol: str, missing: int | None, status: str = GAP_OPEN, cause: str = "disconnected") -> Gap:
    """A row of `gaps` as it was committed."""
    return Gap(symbol, 7, 9, 0, 0, missing, cause, status, 0, None if status == GAP_OPEN else 1, 1)


class Office:
    """Stands for the writer thread: passes the events of commits."""

    def __init__(self) -> None:
        self.events: list[Gap] = []
        self.writer = SimpleNamespace(pop_gap_events=self._pop)

    def _pop(self) -> list[Gap]:
        events, self.events = self.events, []
        return events


class Desk:
    """Gaps with all that they read."""

    def __init__(self) -> None:
        self.now_ms = TEN_S * 1000
        self.office = Office()
        self.tracker = GapTracker(Day, lambda: self.now_ms)
        self.plan = BackfillPlan(self.tracker)
        self.gaps = GapLog(self.tracker, self.plan, cast("CurrentWriter", self.office), lambda: self.now_ms)


def test_a_few_events_are_a_line_each(journal: Journal) -> None:
    """An opened gap is a warning with bounds, size and cause, a closed one is information; each logged once."""
    desk = Desk()
    desk.office.events = [gap("HK.00700", 3), gap("HK.00005", None), gap("HK.00700", 0, GAP_HEALED)]
    desk.gaps.log_due()
    desk.gaps.log_due()
    told = [(event.level, event.name, event.fields["symbol"], event.fields["missing"]) for event in journal.events()]
    assert told == [
        ("WARNING", "gap_opened", "HK.00700", "3"),
        ("WARNING", "gap_opened", "HK.00005", "unknown"),
        ("INFO", "gap_closed", "HK.00700", "0"),
    ]
    assert journal.events()[0].fields == {
        "symbol": "HK.00700",
        "from_seq": "7",
        "to_seq": "9",
        "missing": "3",
        "cause": "disconnected",
    }


def test_an_unknown_end_is_logged_as_unknown(journal: Journal) -> None:
    """The file has the largest sequence as its end, which the log does not show."""
    desk = Desk()
    desk.office.events = [gap("HK.00700", None)._replace(to_seq=2**63 - 1)]
    desk.gaps.log_due()
    assert journal.events()[0].fields["to_seq"] == "unknown"


def test_many_events_are_one_line(journal: Journal) -> None:
    """A reconnect with 2,000 symbols does not flood the journal: how many, why, and the worst."""
    desk = Desk()
    desk.office.events = [gap(f"HK.{n:05d}", n, cause="restart" if n % 2 else "disconnected") for n in range(2000)]
    desk.office.events += [gap(f"HK.{n:05d}", 0, GAP_HEALED) for n in range(6)]
    desk.gaps.log_due()
    opened, closed = journal.events()
    assert (opened.level, opened.name) == ("WARNING", "gap_opened")
    assert opened.fields == {
        "gaps": "2000",
        "symbols": "2000",
        "missing": "1999000",
        "causes": "disconnected,restart",
        "worst": "HK.01999:1999",
    }
    assert (closed.level, closed.name, closed.fields["gaps"]) == ("INFO", "gap_closed", "6")


def test_gaps_of_unknown_size_are_not_counted_as_zero_ticks(journal: Journal) -> None:
    """The line says so when no size is known at all."""
    desk = Desk()
    desk.office.events = [gap(f"HK.{n:05d}", None) for n in range(6)]
    desk.gaps.log_due()
    (event,) = journal.events("gap_opened")
    assert event.fields["worst"] == "HK.00000:unknown"


def test_a_lost_gap_warns_for_a_quarter_of_an_hour() -> None:
    """While it can be backfilled it is `healing`; then it is a recent loss, and later only listed."""
    desk = Desk()
    desk.tracker.end_interruption()
    desk.tracker.see([at("HK.00700", 1), at("HK.00700", 3), at("HK.00005", 1), at("HK.00005", 4)])
    assert desk.gaps.summary() == {
        "gaps_healing": 2,
        "ticks_healing": 3,
        "gaps_lost_lately": 0,
        "ticks_lost_lately": 0,
        "ticks_lost": 0,
        "unknown_gaps_lost_lately": 0,
        "unknown_gaps_lost": 0,
        "lost_found_ms": None,
        "lost_from_ms": None,
        "lost_to_ms": None,
        "busiest_symbol": "",
        "outage_budget_s": None,
    }
    desk.now_ms += 60 * MINUTE_MS  # OpenD did not answer for so long
    answer = Answer([(TEN_S << 32 | 3, TEN_S * 1000)], 1000, full=True, newest_ms=0, now_s=1.0)
    desk.tracker.answered("HK.00700", answer)
    summary = desk.gaps.summary()
    assert (summary["gaps_healing"], summary["gaps_lost_lately"]) == (1, 1)
    assert (summary["ticks_lost"], summary["lost_found_ms"]) == (1, desk.now_ms)
    assert summary["lost_from_ms"] == TEN_S * 1000
    desk.now_ms += 15 * MINUTE_MS
    desk.tracker.reopen_gaps("HK.00700", 1000)
    desk.tracker.answered("HK.00700", answer)
    summary = desk.gaps.summary()
    assert (summary["gaps_healing"], summary["gaps_lost_lately"], summary["ticks_lost"]) == (1, 0, 1)
    desk.tracker.see([at("HK.00005", 2), at("HK.00005", 3)])
    assert desk.gaps.summary()["gaps_healing"] == 0


def test_a_lost_gap_of_unknown_size_is_no_lost_tick(journal: Journal) -> None:
    """It is counted as a gap of unknown size, in the figures and in the line of many gaps."""
    desk = Desk()
    desk.tracker.end_interruption()
    odd: list[TickRow] = [
        Tick("HK.00700", n, TEN_S * 1000 + n, 1.0, 1, 1.0, "BUY", "AUTO_MATCH", "realtime", 0) for n in (7, 90, 3)
    ]
    desk.tracker.see(odd)
    desk.tracker.interrupt("disconnected")
    desk.tracker.resume_receiving()
    assert (desk.gaps.summary()["gaps_healing"], desk.gaps.summary()["ticks_healing"]) == (1, 0)
    later = [(n, TEN_S * 1000 + 60_000 + n) for n in (500, 400, 600)]
    desk.tracker.answered("HK.00700", Answer(later, 3, full=True, newest_ms=0, now_s=1.0))
    summary = desk.gaps.summary()
    assert (summary["gaps_lost_lately"], summary["unknown_gaps_lost_lately"], summary["ticks_lost_lately"]) == (1, 1, 0)
    assert (summary["unknown_gaps_lost"], summary["ticks_lost"]) == (1, 0)
    desk.office.events = [gap(f"HK.{n:05d}", None if n < 4 else 7) for n in range(6)]
    desk.gaps.log_due()
    (event,) = journal.events("gap_opened")
    assert (event.fields["missing"], event.fields["unknown"]) == ("14", "4")


def test_the_outage_budget_is_the_busiest_symbols() -> None:
    """How long the connection may be down before 1,000 ticks have passed."""
    desk = Desk()
    for second, (busy, calm) in enumerate([(1, 1), (501, 20)]):
        desk.tracker.see([at("HK.00700", n) for n in range(1, busy + 1)])
        desk.tracker.see([at("HK.00005", n) for n in range(1, calm + 1)])
        desk.plan.measure(100.0 + 10 * second)
    summary = desk.gaps.summary()
    assert (summary["busiest_symbol"], summary["outage_budget_s"]) == ("HK.00700", 20.0)

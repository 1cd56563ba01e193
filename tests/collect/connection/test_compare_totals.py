"""Reconciliation: the name of a difference, the request to OpenD, and when a session is compared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector import market, model
from hk_tick_collector.collect.connection.compare_totals import Reconciler, ask_totals, compare
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.storing_state import StoringState
from hk_tick_collector.errors import OpenDError
from hk_tick_collector.model import Gap, Tick
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.messages import DayTotals
from hk_tick_collector.store.day_sums import DaySums
from hk_tick_collector.store.query import SymbolCount

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from google.protobuf.message import Message
    from tests.collect.conftest import Journal

    from hk_tick_collector.model import Reconciled, TickRow

DAY: Final = "2026-11-20"
DAY_NUMBER: Final = market.parse_day("20261120")
NOON_MS: Final = market.day_start_ms(DAY_NUMBER) + 12 * 3_600_000
AUCTION, MORNING, REST, CLOSED = 1, 3, 4, 6  # QotMarketState


def sums(volume: int = 1000, *, gap: bool = False, rejected: bool = False) -> DaySums:
    """One symbol with 1,000 shares for 2,000 HKD, of these 30 odd and 200 late; no ticks if `volume` is 0."""
    count = SymbolCount("HK.00700", 5, 1, 2, 3, volume, volume * 2.0, 5)
    return DaySums(
        counts={"HK.00700": count} if volume else {},
        odd_lots={"HK.00700": (30, 60.0)} if volume else {},
        late={"HK.00700": (200, 400.0)} if volume else {},
        with_gaps=frozenset({"HK.00700"} if gap else ()),
        with_rejected=frozenset({"HK.00700"} if rejected else ()),
    )


def word(ours: DaySums, official: DayTotals | None) -> str:
    """The result of this comparison."""
    totals = {official.symbol: official} if official else {}
    (row,) = compare("close", ["HK.00700"], ours, totals, DAY, NOON_MS)
    return row.explained


@pytest.mark.parametrize(
    ("volume", "turnover", "expected"),
    [
        (1000, 2000.0, model.MATCH),
        (1000, 2000.9, model.MATCH),
        (970, 1940.0, model.WITHOUT_ODD_LOTS),
        (800, 1600.0, model.WITHOUT_LATE),
        (770, 1540.0, model.WITHOUT_BOTH),
        (1000, 2005.0, model.TURNOVER),
        (970, 2000.0, model.TURNOVER),
        (1001, 2002.0, model.UNEXPLAINED),
        (999, 1998.0, model.UNEXPLAINED),
        (0, 0.0, model.UNEXPLAINED),
    ],
)
def test_the_kinds_of_trades_that_opend_counts_are_recognised(volume: int, turnover: float, expected: str) -> None:
    """Totals equal with all ticks, or without odd lots, late reports or both, are a match that says which."""
    assert word(sums(), DayTotals("HK.00700", volume, turnover, False, DAY)) == expected


def test_large_turnovers_may_differ_by_their_rounding() -> None:
    """Up to a millionth: a difference of 10 HKD in 20 million is accepted, 100 HKD are not."""
    official = DayTotals("HK.00700", 10_000_000, 20_000_000.0, False, DAY)
    assert word(sums(10_000_000), official._replace(turnover=20_000_010.0)) == model.MATCH
    assert word(sums(10_000_000), official._replace(turnover=20_000_100.0)) == model.TURNOVER


def test_missing_ticks_explain_only_a_smaller_total() -> None:
    """An open gap or a rejected tick explains why OpenD has more, never why it has less; the gap comes first."""
    more, less = DayTotals("HK.00700", 1500, 3000.0, False, DAY), DayTotals("HK.00700", 500, 1000.0, False, DAY)
    assert word(sums(gap=True), more) == model.BY_GAP
    assert word(sums(rejected=True), more) == model.BY_REJECTED
    assert word(sums(gap=True, rejected=True), more) == model.BY_GAP
    assert word(sums(gap=True, rejected=True), less) == model.UNEXPLAINED
    without_odd_lots = more._replace(volume=990)  # odd lots do not count there, and 20 shares are missing
    assert word(sums(gap=True), without_odd_lots) == model.BY_GAP


@pytest.mark.parametrize(
    ("official", "expected"),
    [
        (DayTotals("HK.00700", 0, 0.0, False, "2026-11-19"), model.MATCH),
        (DayTotals("HK.00700", 500, 9.0, False, "2026-11-19"), model.NOT_TRADED),
        (DayTotals("HK.00700", 500, 9.0, True, ""), model.NOT_TRADED),
        (DayTotals("HK.00700", 500, 9.0, False, DAY), model.UNEXPLAINED),
        (DayTotals("HK.00700", 500, 9.0, False, ""), model.UNEXPLAINED),
        (None, model.NO_ANSWER),
    ],
)
def test_a_symbol_without_ticks(official: DayTotals | None, expected: str) -> None:
    """Nothing traded is a match; totals of an earlier day, or of a suspended symbol, are not today's."""
    assert word(sums(0), official) == expected


def test_the_row_keeps_every_figure() -> None:
    """Ours, of which odd lots and late ones, theirs; without an answer theirs are unknown, not 0."""
    official = {"HK.00700": DayTotals("HK.00700", 970, 1940.0, False, DAY)}
    answered, silent = compare("lunch", ["HK.00700", "HK.00005"], sums(), official, DAY, NOON_MS)
    assert tuple(answered)[:-1] == ("lunch", "HK.00700", NOON_MS, 1000, 2000.0, 30, 60.0, 200, 400.0, 970, 1940.0)
    assert (silent.symbol, silent.volume, silent.official_volume, silent.official_turnover) == (
        "HK.00005",
        0,
        None,
        None,
    )


class Snapshots:
    """An OpenD that answers snapshots with the same totals for all, and refuses batches with an unknown symbol."""

    def __init__(self, unknown: Sequence[str] = (), volume: int = 100, fails: int = 0) -> None:
        self.asked: list[list[str]] = []
        self.volume = volume
        self.fails = fails  # so many requests find the connection closed
        self._unknown = set(unknown)

    async def __call__(self, proto_id: int, request: Message) -> bytes:
        assert proto_id == messages.GET_SECURITY_SNAPSHOT
        assert isinstance(request, pb.GetSecuritySnapshotRequest)
        symbols = [messages.symbol_of(security) for security in request.c2s.securityList]
        self.asked.append(symbols)
        if self.fails:
            self.fails -= 1
            raise OpenDError("the connection broke")
        if self._unknown & set(symbols):
            return pb.Outcome(retType=-1, retMsg="Unknown stock").SerializeToString()
        prices = ("priceSpread", "highPrice", "openPrice", "lowPrice", "lastClosePrice", "curPrice", "turnoverRate")
        reply = pb.GetSecuritySnapshotResponse(retType=0, s2c={})
        for symbol in symbols:
            basic: dict[str, Any] = {"security": messages.security_of(symbol), "type": 3, "isSuspend": False}
            basic |= {"listTime": "", "lotSize": 100, "updateTime": f"{DAY} 12:00:00", **dict.fromkeys(prices, 1.0)}
            reply.s2c.snapshotList.add(basic={**basic, "volume": self.volume, "turnover": self.volume * 388.2})
        return reply.SerializeToString()


@pytest.fixture
def no_spacing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pause(delay_s: float) -> None:
        pauses.append(delay_s)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return pauses


def test_snapshots_keep_to_opends_limits(no_spacing: list[float]) -> None:
    """400 symbols a request, less than 60 requests in 30 s."""
    opend, symbols = Snapshots(), [f"HK.{number:05}" for number in range(1000)]
    assert set(asyncio.run(ask_totals(opend, symbols))) == set(symbols)
    assert list(map(len, opend.asked)) == [400, 400, 200]
    assert all(30 / pause < 60 for pause in no_spacing)
    assert len(no_spacing) == 2


def test_a_refused_symbol_does_not_affect_the_others(no_spacing: list[float]) -> None:
    """Batches are halved until the refused symbols are alone; if OpenD refuses everything, requests still end."""
    symbols = [f"HK.{number:05}" for number in range(64)]
    assert set(asyncio.run(ask_totals(Snapshots(symbols[7:9]), symbols))) == {*symbols[:7], *symbols[9:]}
    opend = Snapshots(symbols)
    assert asyncio.run(ask_totals(opend, symbols)) == {}
    assert len(opend.asked) <= 100


class Rig:
    """A reconciler with a day file of its own, whose time the test sets."""

    def __init__(self, data_root: Path, symbols: Sequence[str] = ("HK.00700",)) -> None:
        self.opend = OpenDState(market_state=MORNING, opend_time_ms=NOON_MS - 1000)
        self.storing = StoringState()
        self.kept: list[tuple[int, list[Reconciled]]] = []
        self.reconciler = Reconciler(
            data_root, symbols, self.opend, self.storing, lambda day, rows: self.kept.append((day, rows))
        )

    def at(self, state: int, ms: int) -> tuple[int, str] | None:
        """The session that is due in this state at this time of OpenD."""
        self.opend.market_state, self.opend.opend_time_ms = state, ms
        return self.reconciler.due()

    def attempt(self, opend: Snapshots, session: str = "lunch") -> str:
        """Compares once; the result of the first symbol, empty if nothing was stored."""
        before = len(self.kept)
        asyncio.run(self.reconciler.attempt(opend, DAY_NUMBER, session))
        return self.kept[-1][1][0].explained if len(self.kept) > before else ""


@pytest.fixture
def day(make_day: Callable[..., Any], tick: Callable[..., TickRow]) -> Any:
    """The day file of DAY, with one tick of 100 shares."""
    day = make_day("20261120")
    day.add([tick("HK.00700", 1, NOON_MS - 5000)])
    return day


def test_a_session_is_due_a_minute_after_its_end(tmp_path: Path) -> None:
    """At lunch and after the close, after late ticks; never while the market trades, nor with an unknown state."""
    rig = Rig(tmp_path)
    assert rig.at(REST, NOON_MS) is None
    assert rig.at(REST, NOON_MS + 59_000) is None
    assert rig.at(REST, NOON_MS + 60_000) == (DAY_NUMBER, "lunch")
    assert rig.at(5, NOON_MS + 3_600_000) is None
    assert rig.at(CLOSED, NOON_MS + 15_000_000) is None
    assert rig.at(CLOSED, NOON_MS + 15_060_000) == (DAY_NUMBER, "close")
    rig.storing.writer_trouble = "disk_full"
    assert rig.reconciler.due() is None
    assert Reconciler(tmp_path, (), OpenDState(), StoringState(), lambda *_: None).due() is None


def test_on_a_half_day_the_close_is_at_noon(tmp_path: Path) -> None:
    """The close is when OpenD reports closed, at any hour."""
    rig = Rig(tmp_path)
    rig.at(19, NOON_MS)
    rig.at(CLOSED, NOON_MS + 600_000)
    assert rig.at(CLOSED, NOON_MS + 660_000) == (DAY_NUMBER, "close")


def test_what_matches_is_compared_once(tmp_path: Path, day: Any, journal: Journal) -> None:
    """However often the connection is restored in the same session; the log says so in one line."""
    rig, opend = Rig(tmp_path), Snapshots()
    rig.at(REST, NOON_MS)
    rig.at(REST, NOON_MS + 60_000)
    assert rig.attempt(opend) == model.MATCH
    assert all(rig.at(REST, NOON_MS + later) is None for later in range(60_000, 3_600_000, 1000))
    (line,) = journal.events("reconciled")
    assert line.level == "INFO"
    assert line.fields == {
        "session": "lunch", "symbols": "1", "matching": "1", "differing": "0", "unexplained": "0", "worst": "none"
    }  # fmt: skip


def test_a_difference_is_checked_again(tmp_path: Path, day: Any, journal: Journal) -> None:
    """Ticks may be late: it is compared three times, then logged as a warning with the worst symbol's difference."""
    rig, opend = Rig(tmp_path), Snapshots(volume=130)
    looks = []
    for later in range(0, 3_600_000, 1000):
        if rig.at(REST, NOON_MS + later) is not None:
            assert rig.attempt(opend) == model.UNEXPLAINED
            looks.append(later // 1000)
    assert looks == [60, 120, 240]
    assert [line.level for line in journal.events("reconciled")] == ["WARNING"] * 3
    assert journal.events("reconciled")[-1].fields["worst"] == "HK.00700:30:unexplained"


def test_failures_are_logged_and_tried_again(tmp_path: Path, day: Any, journal: Journal) -> None:
    """With a connection that breaks each time there are five requests in half an hour, not at every reconnect."""
    rig, opend = Rig(tmp_path), Snapshots(fails=99)
    for later in range(0, 7_200_000, 1000):
        if rig.at(REST, NOON_MS + later) is not None:
            assert rig.attempt(opend) == ""
    lines = journal.events("reconcile_failed")
    assert [line.fields["attempt"] for line in lines] == ["1", "2", "3", "4", "5"]
    assert lines[0].fields["reason"] == "the connection broke"
    assert len(opend.asked) == 5


def test_nothing_is_compared_before_the_open(tmp_path: Path, make_day: Callable[..., Any]) -> None:
    """Without a file, or without a tick in it, OpenD's totals are those of an earlier day: no request."""
    opend = Snapshots()
    for exists in (False, True):
        if exists:
            make_day("20261120")
        rig = Rig(tmp_path)
        rig.at(CLOSED, NOON_MS)
        assert rig.at(CLOSED, NOON_MS + 60_000) is not None
        looks = []
        for later in range(61_000, 7_200_000, 1000):
            if rig.at(CLOSED, NOON_MS + later) is not None:
                assert rig.attempt(opend, "close") == ""
                looks.append(later // 1000)
        assert looks == list(range(61, 7_200, 900)), "at the file, in case OpenD was away while the market traded"
    assert opend.asked == []
    rig.at(AUCTION, NOON_MS + 7_300_000)  # but the day's own close is due, whatever was not before the open
    rig.at(CLOSED, NOON_MS + 9_000_000)
    assert rig.at(CLOSED, NOON_MS + 9_060_000) == (DAY_NUMBER, "close")


def test_the_close_is_compared_although_opend_was_away_since_before_the_open(
    tmp_path: Path, make_day: Callable[..., Any], tick: Callable[..., TickRow]
) -> None:
    """The state is the same before the open and after the close. Once the day has ticks, it is compared, once."""
    day, rig, opend = make_day("20261120"), Rig(tmp_path), Snapshots()
    rig.at(CLOSED, NOON_MS - 14_400_000)
    assert rig.at(CLOSED, NOON_MS - 14_340_000) == (DAY_NUMBER, "close")
    assert rig.attempt(opend, "close") == ""
    day.add([tick("HK.00700", 1, NOON_MS - 5000)])
    assert rig.at(CLOSED, NOON_MS + 16_200_000) == (DAY_NUMBER, "close")
    assert rig.attempt(opend, "close") == model.MATCH
    assert len(opend.asked) == 1
    assert all(rig.at(CLOSED, NOON_MS + later) is None for later in range(16_200_000, 20_000_000, 1000))


@pytest.mark.parametrize(("kept", "asks"), [("match", 0), ("rejected", 0), ("gap", 1), ("unexplained", 1)])
def test_a_restart_does_not_repeat_settled_comparisons(tmp_path: Path, day: Any, kept: str, asks: int) -> None:
    """The results of an earlier run are kept, unless some were missing."""
    values = "0, 100, 1.5, 0, 0.0, 0, 0.0, 100, 1.5"
    day.execute(f"INSERT INTO reconciliation VALUES ('lunch', 'HK.00700', {values}, '{kept}')")
    opend = Snapshots()
    Rig(tmp_path).attempt(opend)
    assert len(opend.asked) == asks


def test_gaps_and_kinds_of_trades_are_read_from_the_file(
    tmp_path: Path, day: Any, tick: Callable[..., TickRow]
) -> None:
    """The explanation of a difference is read with the sums: open gaps, rejected ticks, odd lots, late reports."""
    day.add([Tick(*tick("HK.00700", 2))._replace(tick_type=kind, volume=7) for kind in ("ODD_LOT",)])
    day.add([Tick(*tick("HK.00700", 3))._replace(tick_type="LATE", volume=9)])
    marks = ", ".join("?" * len(Gap._fields))
    for number, (symbol, cause, status) in enumerate(
        [("HK.00001", "restart", "open"), ("HK.00002", "restart", "healed"), ("HK.00003", "rejected", "healed")]
    ):
        day.execute(f"INSERT INTO gaps VALUES ({marks})", (symbol, 1, 1, 1, 1, 1, cause, status, 1, None, number))
    ours = DaySums.read(day.path)
    assert ours.counts["HK.00700"].volume == 116
    assert (ours.odd_lots["HK.00700"][0], ours.late["HK.00700"][0]) == (7, 9)
    assert ours.with_gaps == frozenset({"HK.00001"})
    assert ours.with_rejected == frozenset({"HK.00003"})


def test_refused_symbols_are_not_asked_for(tmp_path: Path, day: Any) -> None:
    """Symbols that OpenD does not know are not a difference."""
    rig, opend = Rig(tmp_path, ("HK.00700", "HK.09999")), Snapshots()
    rig.opend.refused["HK.09999"] = "Unknown stock"
    assert rig.attempt(opend) == model.MATCH
    assert opend.asked == [["HK.00700"]]


def test_an_answer_that_cannot_be_read_does_not_affect_the_others(no_spacing: list[float]) -> None:
    """A symbol with an invalid answer has no totals; the connection and the other symbols are not affected."""
    opend = Snapshots()

    async def request(proto_id: int, message: Message) -> bytes:
        reply = await opend(proto_id, message)
        return b"\xff\xff" if "HK.00005" in opend.asked[-1] else reply

    totals = asyncio.run(ask_totals(request, ["HK.00001", "HK.00005", "HK.00700", "HK.09988"]))
    assert set(totals) == {"HK.00001", "HK.00700", "HK.09988"}

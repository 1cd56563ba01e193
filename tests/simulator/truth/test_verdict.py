"""The checker: a correct day passes, and every error in a day is named."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.model import UNSTORED_CAUSES, Gap, Tick
from hk_tick_collector.simulator.truth.truth import Outlier, TruthTick
from hk_tick_collector.simulator.truth.truth_arrays import Truth
from hk_tick_collector.simulator.truth.verdict import StoredDay, Verdict, judge
from hk_tick_collector.store.query import Run, SymbolCount

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = "20261120"
OPEN_MS = market.day_start_ms(market.parse_day(DAY)) + 10 * 3_600_000
SYMBOLS = ("HK.00005", "HK.00700", "HK.00981")
TICKS = 30  # of each symbol


def made(symbol: str, counter: int) -> TruthTick:
    ts_ms = OPEN_MS + counter * 250
    turnover = 100 * (60.0 + counter / 20)
    return TruthTick(
        symbol, ts_ms // 1000 << 32 | counter, ts_ms, 60.0 + counter / 20, 100, turnover, "BUY", "AUTO_MATCH"
    )


@dataclass
class Case:
    """A truth and a day file as lists, in which a test makes errors."""

    truth: list[TruthTick] = field(
        default_factory=lambda: [made(symbol, n + 1) for n in range(TICKS) for symbol in SYMBOLS]
    )
    stored: list[Tick] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    rejects: list[tuple[str, int]] = field(default_factory=list)
    outliers: list[Outlier] = field(default_factory=list)
    acked: list[tuple[str, int]] = field(default_factory=list)
    runs: list[Run] | None = None
    counts: list[SymbolCount] | None = None
    integrity: str = "ok"

    def store(self, tick: TruthTick) -> None:
        self.stored.append(Tick(*tick, "realtime", tick.ts_ms + 3))
        self.stored.sort()

    def lose(self, symbol: str, first: int, last: int, **changes: Any) -> None:
        """Removes the ticks with these counters from the file, and records them as one open gap."""
        lost = [tick for tick in self.stored if tick.symbol == symbol and first <= tick.seq & 0xFFFFFFFF <= last]
        self.stored = [tick for tick in self.stored if tick not in lost]
        gap = Gap(
            symbol, lost[0].seq, lost[-1].seq, lost[0].ts_ms, lost[-1].ts_ms, len(lost), "disconnected", "open", 1,
            None, len(self.gaps) + 1,
        )  # fmt: skip
        self.gaps.append(gap._replace(**changes))

    def judge(self) -> Verdict:
        counts = [self.count(symbol) for symbol in sorted({tick.symbol for tick in self.stored})]
        rows = len(self.stored)
        day = StoredDay(
            name=DAY,
            ticks=self.stored,
            gaps=self.gaps,
            runs=[Run("a", 1, 2, 1, rows, rows, 0, 0, 0, 0)] if self.runs is None else self.runs,
            counts=counts if self.counts is None else self.counts,
            integrity=self.integrity,
        )
        return judge(Truth(self.truth, self.rejects, outliers=self.outliers), [day], self.acked)

    def count(self, symbol: str) -> SymbolCount:
        own = [tick for tick in self.stored if tick.symbol == symbol]
        return SymbolCount(
            symbol, len(own), min(tick.ts_ms for tick in own), max(tick.ts_ms for tick in own),
            max(tick.seq for tick in own), sum(tick.volume for tick in own), sum(tick.turnover for tick in own),
            len(own) + sum(_told_of(gap) for gap in self.gaps if gap.symbol == symbol),
        )  # fmt: skip


def _told_of(gap: Gap) -> int:
    """The number of ticks of a gap: those that are missing, and those that arrived and are not in the file."""
    return (gap.missing or 0) if gap.status == "open" else gap.cause in UNSTORED_CAUSES


@pytest.fixture
def case() -> Case:
    """A correct day: two gaps, one between ticks of a symbol, the other before its first tick."""
    return correct()


def correct() -> Case:
    case = Case()
    for tick in case.truth:
        case.store(tick)
    case.lose("HK.00700", 10, 14)
    case.lose("HK.00981", 1, 3, cause="before_start", from_seq=1)
    case.acked = [(tick.symbol, tick.seq) for tick in case.stored]
    return case


def test_a_correct_day_passes(case: Case) -> None:
    """Also with ticks that were made out of order; the line shows the counts."""
    random.Random(1).shuffle(case.truth)
    verdict = case.judge()
    assert verdict.ok
    assert verdict.line() == (
        "verdict: ok days=1 truth=90 stored=82 missing=8 in_gaps=8 rejected=0 unstorable=0 gaps_open=2 gaps_unknown=0"
    )
    assert verdict.document()["ok"] is True


def _drop(case: Case, rng: random.Random) -> str:
    case.acked = []
    case.stored.remove(rng.choice(case.stored))
    return "missing_outside_gaps"


def _drop_acked(case: Case, rng: random.Random) -> str:
    case.stored.remove(rng.choice(case.stored))
    return "acked_lost"


def _drop_everything(case: Case, rng: random.Random) -> str:
    del rng
    case.stored, case.acked, case.gaps = [], [], []
    return "missing_outside_gaps"


def _double(case: Case, rng: random.Random) -> str:
    case.stored.append(rng.choice(case.stored))
    case.stored.sort()
    return "duplicate_key"


def _invent(case: Case, rng: random.Random) -> str:
    case.store(made(rng.choice(SYMBOLS), TICKS + 1 + rng.randrange(100)))
    return "not_in_truth"


def _invent_a_symbol(case: Case, rng: random.Random) -> str:
    case.store(made("HK.00001", 1 + rng.randrange(100)))
    return "not_in_truth"


def _alter(name: str, change: Callable[[Any], Any]) -> Callable[[Case, random.Random], str]:
    def alter(case: Case, rng: random.Random) -> str:
        place = rng.randrange(len(case.stored))
        tick = case.stored[place]
        case.stored[place] = tick._replace(**{name: change(getattr(tick, name))})
        return f"wrong_{name}"

    return alter


def _shift_gap(case: Case, rng: random.Random) -> str:
    gap = case.gaps[0]
    assert gap.from_seq is not None
    assert gap.to_seq is not None
    second = 1 << 32
    shift = rng.choice([-second, second])
    case.gaps[0] = gap._replace(from_seq=gap.from_seq + shift, to_seq=gap.to_seq + shift)
    return "missing_outside_gaps"


def _shorten_gap(case: Case, rng: random.Random) -> str:
    gap = case.gaps[0]
    assert gap.from_seq is not None
    case.gaps[0] = gap._replace(from_seq=gap.from_seq + 1, missing=rng.choice([4, 5]))
    return "missing_outside_gaps"


def _drop_gap(case: Case, rng: random.Random) -> str:
    del case.gaps[rng.randrange(2)]
    return "missing_outside_gaps"


def _miscount_gap(case: Case, rng: random.Random) -> str:
    gap = case.gaps[0]
    assert gap.missing is not None
    case.gaps[0] = gap._replace(missing=gap.missing + rng.choice([-1, 1, 100]))
    return "gap_count"


def _heal_gap(case: Case, rng: random.Random) -> str:
    case.gaps[0] = case.gaps[0]._replace(status="healed", missing=rng.choice([0, None]), closed_ms=2)
    return "missing_outside_gaps"


def _half_heal_gap(case: Case, rng: random.Random) -> str:
    del rng
    case.gaps.append(case.gaps[0]._replace(status="healed", closed_ms=2))
    return "healed_gap_misses"


def _double_gap(case: Case, rng: random.Random) -> str:
    case.gaps.append(case.gaps[rng.randrange(2)])
    return "gaps_overlap"


def _phantom_gap(case: Case, rng: random.Random) -> str:
    place = rng.randrange(len(case.stored))
    tick = case.stored[place]
    case.gaps.append(Gap(tick.symbol, tick.seq, tick.seq, None, None, 1, "push_lost", "open", 1, None, 9))
    return "empty_gap"


def _phantom_gap_of_another(case: Case, rng: random.Random) -> str:
    case.gaps.append(Gap("HK.00001", 1, rng.randrange(1, 1 << 62), None, None, 1, "push_lost", "open", 1, None, 9))
    return "empty_gap"


def _unbalance(case: Case, rng: random.Random) -> str:
    rows = len(case.stored)
    values = [rows, rows, 0, 0, 0, 0]
    values[rng.choice([0, 2, 3, 4, 5])] += 1
    case.runs = [Run("a", 1, 2, 1, *values)]
    return "ledger"


def _understate(case: Case, rng: random.Random) -> str:
    rows = len(case.stored) - rng.randrange(1, 5)
    case.runs = [Run("a", 1, 2, 1, rows, rows, 0, 0, 0, 0)]
    return "ledger"


def _miscount(case: Case, rng: random.Random) -> str:
    counts = [case.count(symbol) for symbol in SYMBOLS]
    place, name = rng.randrange(3), rng.choice([name for name in SymbolCount._fields if name != "symbol"])
    counts[place] = counts[place]._replace(**{name: getattr(counts[place], name) + 1})
    case.counts = counts
    return "symbols"


def _forget_counter(case: Case, rng: random.Random) -> str:
    counts = [case.count(symbol) for symbol in SYMBOLS]
    del counts[rng.randrange(3)]
    case.counts = counts
    return "symbols"


def _damage(case: Case, rng: random.Random) -> str:
    case.integrity = f"row {rng.randrange(9)} missing from index"
    return "integrity"


SPOILERS = {
    function.__name__: function
    for function in (
        _drop, _drop_acked, _drop_everything, _double, _invent, _invent_a_symbol, _shift_gap, _shorten_gap, _drop_gap,
        _miscount_gap, _heal_gap, _half_heal_gap, _double_gap, _phantom_gap, _phantom_gap_of_another, _unbalance,
        _understate, _miscount, _forget_counter, _damage,
    )
} | {
    "ts_ms": _alter("ts_ms", lambda value: value + 1),
    "price": _alter("price", lambda value: value + 1e-9),
    "volume": _alter("volume", lambda value: value - 1),
    "turnover": _alter("turnover", lambda value: -value),
    "direction": _alter("direction", lambda _: "SELL"),
    "tick_type": _alter("tick_type", lambda _: "TYPE_1"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILERS)
@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_error_is_named(name: str, seed: int) -> None:
    """For each error in a correct day the verdict fails, and its line has the reason with an example."""
    case = correct()
    reason = SPOILERS[name](case, random.Random(seed))
    verdict = case.judge()
    assert not verdict.ok
    assert reason in verdict.findings, verdict.line()
    assert verdict.findings[reason].examples
    assert verdict.line().startswith("verdict: FAILED ")
    assert f"{reason}=" in verdict.line()


@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_loss_that_is_recorded_exactly_passes(seed: int) -> None:
    """For any lost ticks, if there is one gap for each contiguous range."""
    rng = random.Random(seed)
    case = Case()
    for tick in case.truth:
        case.store(tick)
    for symbol in SYMBOLS:
        counter = 1
        while counter < TICKS:
            first = counter + rng.randrange(1, 8)
            last = min(TICKS, first + rng.randrange(6))
            if first <= TICKS:
                case.lose(symbol, first, last)
            counter = last + 2
    assert case.judge().ok


def test_a_rejected_tick_needs_its_gap(case: Case) -> None:
    """A tick of the truth that was rejected lies in a gap of that cause, open or backfilled."""
    case.lose("HK.00005", 5, 5, cause="rejected", status="healed", missing=0, closed_ms=2)
    case.acked = []
    verdict = case.judge()
    assert verdict.ok
    assert verdict.days[0].rejected == 1


def test_what_cannot_be_stored_may_be_part_of_a_gap_or_of_none(case: Case) -> None:
    """A gap's number may count it or not, as it was seen rejected or not; it is never missing, nor in the file."""
    reject = made("HK.00700", 12)
    case.truth.remove(reject)
    case.rejects = [(reject.symbol, reject.seq)]
    for missing in (4, 5):
        case.gaps[0] = case.gaps[0]._replace(missing=missing)
        verdict = case.judge()
        assert verdict.ok, verdict.line()
        assert verdict.days[0].unstorable == 1
    case.gaps[0] = case.gaps[0]._replace(missing=3)
    assert "gap_count" in case.judge().findings
    case.gaps[0] = case.gaps[0]._replace(missing=4)
    case.store(reject)
    assert "not_in_truth" in case.judge().findings


def test_a_gap_without_a_number_explains_what_it_covers(case: Case) -> None:
    """It has time bounds where the sequence is not known; it may cover no tick, because it has no number."""
    gap = case.gaps[0]
    assert gap.from_ts_ms is not None
    case.gaps[0] = gap._replace(from_seq=None, to_seq=None, missing=None)
    assert case.judge().ok
    case.gaps[0] = case.gaps[0]._replace(from_ts_ms=gap.from_ts_ms + 1)
    assert "missing_outside_gaps" in case.judge().findings
    case.gaps[0] = gap
    case.gaps.append(gap._replace(from_seq=gap.to_seq, to_seq=None, to_ts_ms=None, missing=None))
    assert case.judge().ok


def test_a_key_twice_in_the_truth_is_refused(case: Case) -> None:
    """Then the simulator is wrong, not the collector."""
    case.truth.append(case.truth[7])
    with pytest.raises(CollectorError, match="twice"):
        case.judge()


def test_each_day_needs_its_file_unless_it_is_left_out(case: Case) -> None:
    """A tick of another day belongs in that day's file."""
    tomorrow = [tick._replace(ts_ms=tick.ts_ms + market.DAY_MS, seq=tick.seq + (86_400 << 32)) for tick in case.truth]
    verdict = judge(Truth(case.truth + tomorrow), [])
    assert verdict.findings["day_without_file"].examples == ["20261120", "20261121"]
    assert Truth(case.truth + tomorrow, only=frozenset({DAY})).days == [DAY]
    case.store(tomorrow[0])
    case.truth += tomorrow
    assert {"day_without_file", "not_in_truth"} <= case.judge().findings.keys()


def test_the_truth_takes_little_memory() -> None:
    """42 bytes for each tick, apart from the tick object."""
    ticks = (made("HK.00700", n) for n in range(1, 200_001))
    truth = Truth(ticks)
    column = truth.column(DAY, "HK.00700")
    arrays = (column.seqs, column.times, column.prices, column.volumes, column.turnovers, column.kinds)
    assert len(column.seqs) == 200_000
    assert sum(values.itemsize for values in arrays) == 42


def test_the_expected_count_is_that_of_rows_and_gaps_or_none(case: Case) -> None:
    """It is NULL where the sequence does not say what is missing."""
    odd = TruthTick("HK.00005", 12, OPEN_MS + 7, 1.0, 1, 1.0, "SELL", "ODD_LOT")
    case.truth.append(odd)
    case.store(odd)
    counts = [case.count(symbol) for symbol in SYMBOLS]
    case.counts = [counts[0]._replace(expected=(counts[0].expected or 0) + 1), *counts[1:]]
    assert "symbols" in case.judge().findings
    case.counts = [replace_expected(counts[0]), *counts[1:]]
    assert case.judge().ok


def replace_expected(count: SymbolCount) -> SymbolCount:
    return count._replace(expected=None)


def made_within(case: Case, off_ms: int) -> TruthTick:
    """The tick with counter 12 of HK.00700, which is in a gap of the case, has another time."""
    place = next(i for i, tick in enumerate(case.truth) if (tick.symbol, tick.seq & 0xFFFFFFFF) == ("HK.00700", 12))
    tick = case.truth[place]
    case.truth[place] = tick._replace(ts_ms=tick.ts_ms + off_ms)
    case.outliers.append(Outlier("HK.00700", tick.seq, tick.ts_ms + off_ms, tick.ts_ms))
    return tick


@pytest.mark.parametrize("by", ["sequence", "time"])
def test_a_lost_late_report_lies_in_the_gap_of_its_sequence(case: Case, by: str) -> None:
    """By its sequence, or by the time at which it was made; the time in the lost tick is unknown."""
    made_within(case, -300_000)
    if by == "time":
        case.gaps[0] = case.gaps[0]._replace(from_seq=None, to_seq=None, missing=None)
    assert case.judge().ok
    case.gaps[0] = case.gaps[0]._replace(to_seq=None, to_ts_ms=case.gaps[0].from_ts_ms, missing=None)
    assert set(case.judge().findings) == {"missing_outside_gaps"}


def test_a_letter_that_is_not_that_of_the_type_is_named(case: Case) -> None:
    """Where the file has one: files of older schemas have none."""
    case.stored = [tick._replace(type_sign=" " if tick.tick_type == "AUTO_MATCH" else None) for tick in case.stored]
    assert case.judge().ok
    case.stored[3] = case.stored[3]._replace(type_sign="P", tick_type="AUTO_MATCH")
    assert list(case.judge().findings) == ["wrong_type_sign"]


def test_a_lost_tick_of_a_wrong_date_lies_in_the_gap_of_another_day(case: Case) -> None:
    """It belongs to the truth of its date, which needs no file because of it; the gap may count it or not."""
    made_within(case, -5 * 86_400_000)
    verdict = case.judge()
    assert verdict.ok, verdict.line()
    assert sum(day.in_gaps for day in verdict.days) == 8
    case.gaps[0] = case.gaps[0]._replace(missing=4)
    assert case.judge().ok
    del case.gaps[0]
    assert case.judge().findings["missing_outside_gaps"].count == 5


def test_a_day_with_normal_ticks_needs_its_file(case: Case) -> None:
    """Only a day that has nothing but outliers may have none."""
    made_within(case, -5 * 86_400_000)
    case.truth.append(case.truth[0]._replace(ts_ms=case.truth[0].ts_ms - 5 * 86_400_000))
    assert "day_without_file" in case.judge().findings

"""Compares the ticks that the simulator made with those that a collector stored. Pure; the caller reads the files.

Input: the truth, and for each day file its ticks in the order of their key, its gaps, its ledger, its counters.
Output: a Verdict. It lists each of these rules that is broken:

- a stored tick is in the truth, once, in the file of its day, with every field as it was made; its letter, if the file
  has one, is that of its type;
- a tick of the truth that is not stored lies in a recorded gap that is open, or was rejected (a gap of that cause);
- an open gap with a number of missing ticks has the exact number, does not overlap another gap, and is not empty;
- the ledger balances and has as many stored ticks as the file; the counters of `symbols` equal a recount;
- every acknowledged tick is stored; SQLite finds no fault in the file.

Ticks that cannot be stored are not in the truth: their absence proves nothing, and their counter may be part of a gap.
An outlier, a tick whose time is not the time at which it was made, belongs to the day of its time. If it is not stored,
it may also lie in a gap at the time, and of the day, at which it was made.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from hk_tick_collector import market
from hk_tick_collector.model import CAUSE_REJECTED, GAP_OPEN, UNSTORED_CAUSES, Gap
from hk_tick_collector.opend.convert import TICK_TYPES
from hk_tick_collector.simulator.encoding.encode import TYPE_SIGNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hk_tick_collector.model import Tick

    from .truth_arrays import Column, Fields, Truth

# The letter that the simulator sends with each type of trade. A file of schema 1 to 3 has none.
_SIGNS: Final = {TICK_TYPES[number]: sign for number, sign in TYPE_SIGNS.items()}
_FIELDS: Final = ("ts_ms", "price", "volume", "turnover", "direction", "tick_type")
_EXAMPLES: Final = 3
_TURNOVER_TOLERANCE: Final = 1e-9  # a sum of floats depends on the order


class LedgerRow(Protocol):
    """The account of one run, as in the day file."""

    @property
    def run_id(self) -> str: ...  # noqa: D102
    @property
    def received(self) -> int: ...  # noqa: D102
    @property
    def stored(self) -> int: ...  # noqa: D102
    @property
    def duplicate(self) -> int: ...  # noqa: D102
    @property
    def rejected(self) -> int: ...  # noqa: D102
    @property
    def dropped(self) -> int: ...  # noqa: D102
    @property
    def waiting(self) -> int: ...  # noqa: D102


class CountRow(Protocol):
    """The counters of one symbol, as in the day file."""

    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def rows(self) -> int: ...  # noqa: D102
    @property
    def first_ts_ms(self) -> int: ...  # noqa: D102
    @property
    def last_ts_ms(self) -> int: ...  # noqa: D102
    @property
    def max_seq(self) -> int: ...  # noqa: D102
    @property
    def volume(self) -> int: ...  # noqa: D102
    @property
    def turnover(self) -> float: ...  # noqa: D102
    @property
    def expected(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class StoredDay:
    """The content of one day file; `ticks` in the order of (symbol, seq)."""

    name: str  # 20261120
    ticks: Iterable[Tick]
    gaps: Sequence[Gap]
    runs: Sequence[LedgerRow]
    counts: Sequence[CountRow]
    integrity: str = "ok"


@dataclass(slots=True)
class DayCount:
    """The figures of one day."""

    day: str
    truth: int = 0
    stored: int = 0
    missing: int = 0  # of the truth
    in_gaps: int = 0  # of these: inside an open gap
    rejected: int = 0  # of these: received and rejected
    unstorable: int = 0  # made in a form that cannot be stored
    gaps_open: int = 0
    gaps_unknown: int = 0  # of these: gaps of unknown size


@dataclass(slots=True)
class Finding:
    """One kind of failure: how often, and the first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """The result; `findings` is empty if no rule is broken."""

    days: list[DayCount] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no rule is broken."""
        return not self.findings

    def line(self) -> str:
        """The verdict as one line."""
        if self.findings:
            reasons = [f"{why}={found.count} ({'; '.join(found.examples)})" for why, found in self.findings.items()]
            return f"verdict: FAILED {', '.join(reasons)}"
        sums: Counter[str] = Counter()
        for day in self.days:
            sums.update({name: value for name, value in asdict(day).items() if name != "day"})
        return " ".join(["verdict: ok", f"days={len(self.days)}", *(f"{name}={sums[name]}" for name in sums)])

    def document(self) -> dict[str, Any]:
        """The verdict as JSON types."""
        return {"ok": self.ok, **asdict(self)}

    def note(self, reason: str, example: str) -> None:
        """Records one more failure of a kind."""
        finding = self.findings.setdefault(reason, Finding())
        finding.count += 1
        if len(finding.examples) < _EXAMPLES:
            finding.examples.append(example)


def judge(truth: Truth, days: Iterable[StoredDay], acked: Iterable[tuple[str, int]] = ()) -> Verdict:
    """The verdict on these day files; a day of the truth without a file is a failure.

    `acked` are keys that a collector acknowledged, all of the given days.
    """
    verdict = Verdict()
    promised: defaultdict[str, set[int]] = defaultdict(set)
    for symbol, seq in acked:
        promised[symbol].add(seq)
    days = list(days)
    judged = {day.name for day in days}
    for name in truth.days:
        if name not in judged and truth.only_outliers(name):
            days.append(StoredDay(name, (), (), (), ()))
        elif name not in judged:
            verdict.note("day_without_file", name)
    gaps = {day.name: day.gaps for day in days}
    for day in days:
        _JudgeDay(truth, day, gaps, promised, verdict).judge()
    for symbol, seqs in promised.items():
        for seq in sorted(seqs):
            verdict.note("acked_lost", _key(symbol, seq))
    return verdict


class _Missing(NamedTuple):
    """A tick of the truth that is not stored."""

    seq: int
    ts_ms: int  # the time in the tick
    made_ms: int  # the same, except for an outlier


class _Recount:
    """The counters of one symbol, counted again."""

    def __init__(self, tick: Tick) -> None:
        self.rows = self.volume = 0
        self.turnover = 0.0
        self.first_ts_ms = self.last_ts_ms = tick.ts_ms
        self.max_seq = tick.seq

    def add(self, tick: Tick) -> None:
        self.rows += 1
        self.volume += tick.volume
        self.turnover += tick.turnover
        self.first_ts_ms = min(self.first_ts_ms, tick.ts_ms)
        self.last_ts_ms = max(self.last_ts_ms, tick.ts_ms)
        self.max_seq = max(self.max_seq, tick.seq)

    def differs(self, row: CountRow, beside: int) -> str:
        """The first counter that differs, empty if there is none.

        `beside` is the number of ticks in gaps: `expected` is that and the rows, if it is known.
        """
        for name in ("rows", "first_ts_ms", "last_ts_ms", "max_seq", "volume"):
            if getattr(self, name) != getattr(row, name):
                return f"{name} {getattr(row, name)}, counted {getattr(self, name)}"
        if row.expected is not None and row.expected != self.rows + beside:
            return f"expected {row.expected}, counted {self.rows + beside}"
        if not math.isclose(self.turnover, row.turnover, rel_tol=_TURNOVER_TOLERANCE, abs_tol=_TURNOVER_TOLERANCE):
            return f"turnover {row.turnover}, counted {self.turnover}"
        return ""


class _JudgeDay:
    """Judges one day file."""

    def __init__(
        self,
        truth: Truth,
        day: StoredDay,
        all_gaps: Mapping[str, Sequence[Gap]],
        promised: defaultdict[str, set[int]],
        verdict: Verdict,
    ) -> None:
        self._truth = truth
        self._day = day
        self._all_gaps = all_gaps  # by day
        self._promised = promised
        self._verdict = verdict
        self._count = DayCount(day.name)
        self._recounts: dict[str, _Recount] = {}
        self._gaps: defaultdict[str, list[Gap]] = defaultdict(list)
        for gap in day.gaps:
            self._gaps[gap.symbol].append(gap)

    def judge(self) -> None:
        """Records everything that is wrong."""
        verdict, day = self._verdict, self._day
        verdict.days.append(self._count)
        if day.integrity != "ok":
            verdict.note("integrity", f"{day.name} {day.integrity}")
        for symbol, ticks in groupby(day.ticks, key=attrgetter("symbol")):
            if symbol in self._recounts:
                verdict.note("duplicate_key", f"{day.name} {symbol} comes twice")
                continue
            self._judge_symbol(symbol, ticks)
        for symbol in self._truth.symbols(day.name):
            if symbol not in self._recounts:
                self._judge_symbol(symbol, iter(()))
        for symbol in self._gaps.keys() - self._recounts.keys() - set(self._truth.symbols(day.name)):
            self._judge_gaps(symbol, [], self._truth.rejects(symbol))
        self._judge_counts()
        self._judge_ledger()

    def _judge_symbol(self, symbol: str, ticks: Iterator[Tick]) -> None:
        """Merges the stored ticks of a symbol with the truth; both are in the order of the sequence."""
        truth, verdict, promised = self._truth, self._verdict, self._promised[symbol]
        column = truth.column(self._day.name, symbol)
        seqs, place, end, last_seq = column.seqs, 0, len(column.seqs), None
        missing: list[int] = []  # positions in the column
        recount = None
        for tick in ticks:
            seq = tick.seq
            if last_seq is not None and seq <= last_seq:
                verdict.note("duplicate_key", _key(symbol, seq))
                continue
            last_seq = seq
            if recount is None:
                recount = self._recounts[symbol] = _Recount(tick)
            recount.add(tick)
            promised.discard(seq)
            while place < end and seqs[place] < seq:
                missing.append(place)
                place += 1
            if place == end or seqs[place] != seq:
                verdict.note("not_in_truth", f"{self._day.name} {_key(symbol, seq)}")
                continue
            fields = truth.fields(column, place)
            if tick[2:8] != fields:
                self._note_fields(tick, fields)
            if tick.type_sign is not None and tick.type_sign != _SIGNS.get(tick.tick_type, " "):
                verdict.note("wrong_type_sign", f"{_key(symbol, seq)} {tick.type_sign!r} of {tick.tick_type}")
            place += 1
        missing.extend(range(place, end))
        self._count.truth += end
        self._count.stored += recount.rows if recount else 0
        self._judge_missing(symbol, column, missing)

    def _note_fields(self, tick: Tick, fields: Fields) -> None:
        for name, stored, made in zip(_FIELDS, tick[2:8], fields, strict=True):
            if stored != made:
                self._verdict.note(f"wrong_{name}", f"{_key(tick.symbol, tick.seq)} {stored}, made {made}")

    def _judge_missing(self, symbol: str, column: Column, missing: Sequence[int]) -> None:
        """Requires a reason for every tick that is not stored."""
        count, rejects = self._count, self._truth.rejects(symbol)
        count.missing += len(missing)
        gaps = self._gaps.get(symbol, [])
        rejections = [gap for gap in gaps if gap.cause == CAUSE_REJECTED]
        unexplained = []
        for place in missing:
            seq, ts_ms = column.seqs[place], column.times[place]
            made_ms = self._truth.made_ms(symbol, seq, ts_ms)
            if _has(rejects, seq) or any(covers(gap, seq, ts_ms) for gap in rejections):
                count.rejected += 1
            elif self._lies_in_another_day(symbol, seq, made_ms):
                count.in_gaps += 1
            else:
                unexplained.append(_Missing(seq, ts_ms, made_ms))
        in_truth = column.seqs
        count.unstorable += sum(1 for seq in rejects if not _has(in_truth, seq) and self._is_of_day(seq))
        self._judge_gaps(symbol, unexplained, rejects)

    def _lies_in_another_day(self, symbol: str, seq: int, made_ms: int) -> bool:
        """Whether a tick was made on another day than that of its time, within an open gap of that day."""
        day = market.day_name(market.day_number(made_ms))
        return day != self._day.name and any(
            gap.symbol == symbol
            and gap.status == GAP_OPEN
            and gap.cause != CAUSE_REJECTED
            and covers(gap, seq, made_ms)
            for gap in self._all_gaps.get(day, ())
        )

    def _is_of_day(self, seq: int) -> bool:
        return market.day_name(market.day_number((seq >> 32) * 1000)) == self._day.name

    def _judge_gaps(self, symbol: str, missing: Sequence[_Missing], rejects: Sequence[int]) -> None:
        """Compares open gaps with missing ticks: each must explain the other exactly."""
        count, verdict = self._count, self._verdict
        of_other_dates = self._truth.of_other_dates(self._day.name, symbol)
        seqs = [tick.seq for tick in missing]
        explained = bytearray(len(missing))
        sized: list[tuple[int, int]] = []
        for gap in self._gaps.get(symbol, []):
            if gap.cause == CAUSE_REJECTED:
                continue
            if gap.status != GAP_OPEN:
                if gap.missing:
                    verdict.note("healed_gap_misses", _gap(gap))
                continue
            inside = _inside(gap, missing, seqs)
            for place in inside:
                explained[place] = 1
            others = sum(covers(gap, seq, made_ms) for seq, made_ms in of_other_dates)
            self._judge_number(gap, len(inside), _between(rejects, gap) + others)
            if gap.missing is not None and gap.from_seq is not None and gap.to_seq is not None:
                sized.append((gap.from_seq, gap.to_seq))
        for (_, to_seq), (from_seq, _) in pairwise(sorted(sized)):
            if from_seq <= to_seq:
                verdict.note("gaps_overlap", _key(symbol, from_seq))
        count.in_gaps += sum(explained)
        for place, is_explained in enumerate(explained):
            if not is_explained:
                verdict.note("missing_outside_gaps", f"{self._day.name} {_key(symbol, seqs[place])}")

    def _judge_number(self, gap: Gap, inside: int, unstorable: int) -> None:
        """Checks the number of missing ticks of an open gap, if the gap has one.

        `unstorable` ticks may be among them and are not in the truth of this day.
        """
        self._count.gaps_open += 1
        if gap.missing is None:
            self._count.gaps_unknown += 1
        elif not inside and not unstorable:
            self._verdict.note("empty_gap", _gap(gap))
        elif not inside <= gap.missing <= inside + unstorable:
            self._verdict.note("gap_count", f"{_gap(gap)}, counted {inside}")

    def _judge_counts(self) -> None:
        rows = {row.symbol: row for row in self._day.counts}
        for symbol in sorted(rows.keys() | self._recounts.keys()):
            row, recount = rows.get(symbol), self._recounts.get(symbol)
            if row is None or recount is None:
                self._verdict.note("symbols", f"{self._day.name} {symbol} {'without a row' if recount else 'no ticks'}")
            elif difference := recount.differs(row, _told_by(self._gaps.get(symbol, []))):
                self._verdict.note("symbols", f"{self._day.name} {symbol} {difference}")

    def _judge_ledger(self) -> None:
        runs, verdict, day = self._day.runs, self._verdict, self._day.name
        for run in runs:
            if run.received != run.stored + run.duplicate + run.rejected + run.dropped + run.waiting:
                verdict.note("ledger", f"{day} run {run.run_id} does not balance")
        stored = sum(run.stored for run in runs)
        if stored != self._count.stored:
            verdict.note("ledger", f"{day} stored {stored}, counted {self._count.stored}")


def _told_by(gaps: Iterable[Gap]) -> int:
    """The number of ticks in gaps: those that are missing, and those that were received but are not in the file."""
    return sum(gap.missing or 0 if gap.status == GAP_OPEN else gap.cause in UNSTORED_CAUSES for gap in gaps)


def _inside(gap: Gap, missing: Sequence[_Missing], seqs: Sequence[int]) -> list[int]:
    """The positions of the missing ticks that a gap covers."""
    first = 0 if gap.from_seq is None else bisect_left(seqs, gap.from_seq)
    last = len(seqs) if gap.to_seq is None else bisect_right(seqs, gap.to_seq)
    return [
        place
        for place in range(first, last)
        for seq, ts_ms, made_ms in [missing[place]]
        if covers(gap, seq, ts_ms) or (made_ms != ts_ms and covers(gap, seq, made_ms))
    ]


def covers(gap: Gap, seq: int, ts_ms: int) -> bool:
    """Whether a tick lies in a gap: by its sequence, or by its time if the gap has no bound by sequence."""
    begin, of_begin = (gap.from_ts_ms, ts_ms) if gap.from_seq is None else (gap.from_seq, seq)
    end, of_end = (gap.to_ts_ms, ts_ms) if gap.to_seq is None else (gap.to_seq, seq)
    return (begin is None or begin <= of_begin) and (end is None or of_end <= end)


def _between(rejects: Sequence[int], gap: Gap) -> int:
    """How many of the ticks that cannot be stored may be among a gap's missing ticks."""
    first = 0 if gap.from_seq is None else bisect_left(rejects, gap.from_seq)
    last = len(rejects) if gap.to_seq is None else bisect_right(rejects, gap.to_seq)
    return last - first


def _has(seqs: Sequence[int], seq: int) -> bool:
    place = bisect_left(seqs, seq)
    return place < len(seqs) and seqs[place] == seq


def _key(symbol: str, seq: int) -> str:
    return f"{symbol} seq={seq}"


def _gap(gap: Gap) -> str:
    return f"{gap.symbol} {gap.from_seq}..{gap.to_seq} {gap.cause} missing={gap.missing}"

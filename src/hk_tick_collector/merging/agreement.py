"""Checks, while both collect, whether two collectors number the same ticks in the same way. No I/O.

Enters: parts. Leaves: at most one `Disagreement`. The union of two collectors is right only if one trade has one
sequence at both. OpenD does not document that, so it is checked.

Of a symbol that two collectors send, the newest ticks of each are kept for a while and compared:

- With the rule (see `gaps.tracker`) the counters of the ticks of both, in the order of their sequences, must rise: a
  counter with two sequences makes them fall. This holds also where one has gaps or is behind. The same sequence must
  have the same content. If neither has a gap in what they share, both must have the same ticks.
- Without the rule, there must be at least one common tick where both have ticks in the same seconds.

A disagreement counts only when the same two collectors disagree again, and did not agree in between. Memory is bounded:
some symbols are compared at a time, and then others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hk_tick_collector.gaps.symbol_day import COUNTER_MASK, plausible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hk_tick_collector.model import TickRow

    from .parts import Part

_WINDOW_ROWS: Final = 128  # of each collector and symbol
_SYMBOLS_MOST: Final = 128  # compared at a time
_JUDGED_EVERY_ROWS: Final = 128
_AGREED_TIMES: Final = 2  # after that another symbol is compared
_HELD_ROWS: Final = 65_536  # ticks of all symbols, after which a symbol with too few of them makes room for another
_DISAGREED_TIMES: Final = 2
_EDGE_MS: Final = 1000  # the time of one tick may differ by less between a push and an answer
_LEAST_ROWS: Final = 32
_LEAST_SECONDS: Final = 5
_FALLS_LEAST: Final = 8
_SAME_LEAST: Final = 0.9  # a few late reports may be out of order

_Window: TypeAlias = "deque[TickRow]"
_Ticks: TypeAlias = "dict[int, TickRow]"  # by sequence


class Disagreement(NamedTuple):
    """Two collectors number the ticks of a symbol differently."""

    symbol: str
    sources: tuple[str, str]
    compared: int  # ticks of the one with fewer, within the same time
    same: int  # of these, how many the other has with the same sequence and content
    why: str  # counters_clash, ticks_differ, nothing_in_common


@dataclass(slots=True)
class _Compared:
    """The newest ticks of a symbol, by collector."""

    since_rows: int = 0  # how many ticks of all symbols had been seen when this began, or was last judged
    windows: dict[str, _Window] = field(default_factory=dict)
    new_rows: int = 0
    agreed: int = 0
    disagreed: dict[tuple[str, str], int] = field(default_factory=dict)  # pair → how often since it last agreed


class Agreement:
    """Keeps the newest ticks of some symbols that several collectors send, and compares them."""

    def __init__(self) -> None:
        self.agreed = 0  # how often two collectors were found to agree
        self._first: dict[str, str] = {}  # symbol → the collector that sent it first
        self.compared: dict[str, _Compared] = {}  # the symbols that are compared now
        self._shared: set[str] = set()  # symbols that a second collector sends too
        self._done: set[str] = set()  # those of them that had their turn
        self._rows = 0
        self._full_until_rows = 0  # before so many ticks no comparison makes room for another

    def see(self, parts: Iterable[Part]) -> Disagreement | None:
        """Adds ticks in the order of the stream. Returns the disagreement that they show, if any."""
        for part in parts:
            self._rows += len(part.rows)
            for row in part.rows:
                compared = self.compared.get(row[0])
                if compared is None:
                    compared = self._begin(row[0], part.source)
                    if compared is None:
                        continue
                window = compared.windows.get(part.source)
                if window is None:
                    window = compared.windows[part.source] = deque(maxlen=_WINDOW_ROWS)
                window.append(row)
                compared.new_rows += 1
        due = [symbol for symbol, each in self.compared.items() if each.new_rows >= _JUDGED_EVERY_ROWS]
        for symbol in due:
            found = self._judge(symbol, self.compared[symbol])
            if found is not None:
                return found
        return None

    def _begin(self, symbol: str, source: str) -> _Compared | None:
        """The windows of a symbol, if a second collector sends it and there is room."""
        if self._first.setdefault(symbol, source) == source:
            return None
        self._shared.add(symbol)
        if symbol in self._done or (len(self.compared) >= _SYMBOLS_MOST and not self._make_room()):
            return None
        return self.compared.setdefault(symbol, _Compared(self._rows))

    def _make_room(self) -> bool:
        """Ends the comparison of the symbol that has waited longest for ticks. False if none has waited long enough.

        Quiet symbols would otherwise keep all others from being compared.
        """
        if self._rows < self._full_until_rows:  # nearly every tick comes here while all are in use
            return False
        symbol = min(self.compared, key=lambda each: self.compared[each].since_rows)
        self._full_until_rows = self.compared[symbol].since_rows + _HELD_ROWS
        if self._rows < self._full_until_rows:
            return False
        self._finish(symbol)
        return True

    def _finish(self, symbol: str) -> None:
        """The turn of a symbol is over. After all had theirs they are compared again."""
        del self.compared[symbol]
        self._done.add(symbol)
        if self._done >= self._shared:
            self._done.clear()
            self._shared.clear()
            self._first.clear()

    def _judge(self, symbol: str, compared: _Compared) -> Disagreement | None:
        compared.new_rows, compared.since_rows = 0, self._rows
        for one, other in combinations(sorted(compared.windows), 2):
            verdict = judge(compared.windows[one], compared.windows[other])
            if verdict is None:
                continue
            if verdict.why:
                times = compared.disagreed[one, other] = compared.disagreed.get((one, other), 0) + 1
                if times >= _DISAGREED_TIMES:
                    return Disagreement(symbol, (one, other), verdict.compared, verdict.same, verdict.why)
                continue
            compared.disagreed.pop((one, other), None)
            compared.agreed += 1
            self.agreed += 1
        if compared.agreed >= _AGREED_TIMES and not compared.disagreed:
            self._finish(symbol)
        return None


class Verdict(NamedTuple):
    """The result of one comparison. `why` is empty if the two agree."""

    compared: int
    same: int
    why: str = ""


def judge(rows: Iterable[TickRow], others: Iterable[TickRow]) -> Verdict | None:
    """Compares ticks of one symbol from two collectors. None if nothing follows from them."""
    a, b = {row[1]: row for row in rows}, {row[1]: row for row in others}
    if not a or not b:
        return None
    if _follows_rule(a) and _follows_rule(b):
        return _judge_counters(a, b)
    return _judge_seconds(a, b)


def _judge_counters(a: _Ticks, b: _Ticks) -> Verdict | None:
    low, high = max(min(a), min(b)), min(max(a), max(b))
    a = {seq: row for seq, row in a.items() if low <= seq <= high}
    b = {seq: row for seq, row in b.items() if low <= seq <= high}
    compared = min(len(a), len(b))
    if compared < _LEAST_ROWS:
        return None
    same = _same(a, b)
    if same >= _SAME_LEAST * compared:
        return Verdict(compared, same)
    counters = [seq & COUNTER_MASK for seq in sorted({*a, *b})]
    falls = sum(1 for before, after in pairwise(counters) if after <= before)
    falls += sum(1 for seq in a if seq in b) - same
    if falls >= _FALLS_LEAST and falls > (1 - _SAME_LEAST) * compared:
        return Verdict(compared, same, "counters_clash")
    if falls and _is_whole(a) and _is_whole(b):
        return Verdict(compared, same, "ticks_differ")
    return None


def _judge_seconds(a: _Ticks, b: _Ticks) -> Verdict | None:
    from_ms = max(min(row[2] for row in each.values()) for each in (a, b)) + _EDGE_MS
    to_ms = min(max(row[2] for row in each.values()) for each in (a, b)) - _EDGE_MS
    a = {seq: row for seq, row in a.items() if from_ms <= row[2] <= to_ms}
    b = {seq: row for seq, row in b.items() if from_ms <= row[2] <= to_ms}
    compared = min(len(a), len(b))
    if compared < _LEAST_ROWS:
        return None
    if same := _same(a, b):
        return Verdict(compared, same)
    seconds = {row[2] // 1000 for row in a.values()} & {row[2] // 1000 for row in b.values()}
    return Verdict(compared, 0, "nothing_in_common") if len(seconds) >= _LEAST_SECONDS else None


def _same(a: _Ticks, b: _Ticks) -> int:
    """How many ticks both have with the same sequence and content."""
    return sum(1 for seq, row in a.items() if seq in b and _content(row) == _content(b[seq]))


def _content(row: TickRow) -> tuple[float, int, str, str]:
    """What the exchange says of a trade. The times and the turnover may differ in their last digits."""
    return row[3], row[4], row[6], row[7]


def _follows_rule(rows: _Ticks) -> bool:
    """Whether the sequences are counters that rise with the seconds, without a restart among them."""
    counters = [seq & COUNTER_MASK for seq in sorted(rows)]
    return all(low < high for low, high in pairwise(counters)) and all(
        plausible(seq, row[2]) for seq, row in rows.items()
    )


def _is_whole(rows: _Ticks) -> bool:
    return (max(rows) & COUNTER_MASK) - (min(rows) & COUNTER_MASK) + 1 == len(rows)

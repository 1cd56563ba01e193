"""A tracker for tests, and the rows of `gaps` that its changes write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.gaps.answer import Answer
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import GAP_OPEN, Gap, GapChange, Rejected, Tick, TickRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.gaps.gap import OpenGap

DAY: Final = market.parse_day("20261120")
TEN_MS: Final = market.day_start_ms(DAY) + 10 * 3_600_000
SYMBOL: Final = "HK.00700"


INT64: Final = range(-(2**63), 2**63)


COUNTER: Final = 0xFFFF_FFFF


def row(seq: int, ts_ms: int | None = None, symbol: str = SYMBOL) -> TickRow:
    """A tick; its time is that of its sequence."""
    ts_ms = (seq >> 32) * 1000 if ts_ms is None else ts_ms
    return Tick(symbol, seq, ts_ms, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms + 3)


def at(counter: int, second: int = 0, day: int = DAY) -> TickRow:
    """A tick of the pattern, so many seconds after ten o'clock of a day."""
    moment_s = market.day_start_ms(day) // 1000 + 36_000 + second
    return row(moment_s << 32 | counter)


def refused(tick: TickRow) -> Rejected:
    """The same tick as one that cannot be stored."""
    return Rejected(tick[0], tick[1], "non_finite", "a tick", tick[9])


class Table:
    """The tracker, and the rows of `gaps` that its changes write."""

    def __init__(self, load: Callable[[int], Day | None] = Day, now_ms: int = TEN_MS) -> None:
        self.now_ms = now_ms
        self.tracker = GapTracker(load, lambda: self.now_ms)
        self.rows: dict[tuple[int, int], Gap] = {}
        self.now_s = 100.0

    def take(self) -> list[GapChange]:
        """Applies what changed."""
        changes = self.tracker.take_changes()
        self.rows.update({(day, gap.id): gap for day, gap in changes})
        return changes

    def see(self, *ticks: TickRow) -> list[GapChange]:
        """One chunk of ticks that are stored."""
        self.tracker.see(list(ticks))
        return self.take()

    def answer(self, *ticks: TickRow, full: bool = False, asked: int = 1000, after_s: float = 15.0) -> list[OpenGap]:
        """OpenD answers with these ticks, which are seen; so long after the answer before."""
        track = self.tracker.known.track(SYMBOL)
        newest_ms = track.last_ts_ms if track else 0
        self.tracker.see(list(ticks))
        self.now_s += after_s
        pairs = [(tick[1], tick[2]) for tick in ticks]
        lost = self.tracker.answered(SYMBOL, Answer(pairs, asked, full, newest_ms, self.now_s))
        self.take()
        return lost

    def open(self) -> list[tuple[int | None, str]]:
        """How many ticks each open gap misses and why, in the order of their places."""
        self.take()
        found = [gap for gap in self.rows.values() if gap.status == GAP_OPEN]
        return [(gap.missing, gap.cause) for gap in sorted(found, key=lambda gap: gap.from_seq or 0)]

    def counters(self) -> list[tuple[int, int]]:
        """The open gaps as first and last counter."""
        self.take()
        found = [gap for gap in self.rows.values() if gap.status == GAP_OPEN]
        return sorted(((gap.from_seq or 0) & COUNTER, (gap.to_seq or 0) & COUNTER) for gap in found)


def unknown(table: Table) -> list[Gap]:
    """The open gaps of unknown size."""
    table.take()
    return [gap for gap in table.rows.values() if gap.status == GAP_OPEN and gap.missing is None]


def assert_fits(gap: Gap) -> None:
    """SQLite can hold its bounds."""
    assert all(bound is None or bound in INT64 for bound in (gap.from_seq, gap.to_seq))


def odd(number: int, second: int = 0) -> TickRow:
    """A tick whose sequence is a number without the rule."""
    return row(number, TEN_MS + second * 1000)


def heard(table: Table, *numbers: int) -> list[TickRow]:
    """Pushes one tick a second of a symbol without the rule, which has no doubt."""
    table.tracker.end_interruption()
    ticks = [odd(number, second) for second, number in enumerate(numbers)]
    table.see(*ticks)
    return ticks

"""What a day file tells: its rows as values with names."""

from __future__ import annotations

from typing import NamedTuple


class SymbolCount(NamedTuple):
    """What is known of a symbol without counting: a row of `symbols`."""

    symbol: str
    rows: int
    first_ts_ms: int
    last_ts_ms: int
    max_seq: int
    volume: int  # shares
    turnover: float  # HKD
    expected: int | None  # ticks that the feed's counter says there are; None where it does not tell


class Rule(NamedTuple):
    """What was judged of a symbol's sequence."""

    rule: str  # counter, none; empty where nothing was judged yet
    run_seq: int  # the first sequence of the counter's present run, 0 where it never began anew within the day


class Stretch(NamedTuple):
    """A stretch of time with or without OpenD: a row of `connections`."""

    from_ms: int
    to_ms: int | None  # None while it lasts
    connected: bool
    conn_id: int | None
    reason: str


class Run(NamedTuple):
    """The account of one run of the service: a row of `ledger`."""

    run_id: str
    started_ms: int
    updated_ms: int
    commits: int
    received: int  # = stored + duplicate + rejected + dropped + waiting
    stored: int
    duplicate: int
    rejected: int
    dropped: int
    waiting: int


class Completeness(NamedTuple):
    """How much of the day is stored, over the symbols whose sequence tells how many ticks there are."""

    symbols: int
    rows: int
    expected: int
    without_pattern: int  # symbols whose sequence does not tell
    counted: int  # of the rows, for each symbol at most as many as are expected of it

    @property
    def percent(self) -> float | None:
        """The share that is stored, 0 to 100; None where no sequence tells how many ticks there are.

        Cut and not rounded: one tick of ten million shows, 100 is without any missing. More rows than a symbol's
        sequence tells of do not make up for another symbol's missing ones.
        """
        share = self.counted * 10**7 // self.expected / 10**5 if self.expected > 0 else None
        return None if share is None else min(100.0, max(0.0, share))


class Incomplete(NamedTuple):
    """What the day lacks, and what of it nobody could expect."""

    missing: int  # ticks of open gaps, as far as their number is known
    before_start: int  # of these, those traded before the service began to collect their symbol
    above: int  # symbols with more ticks than their sequence tells, which cannot be
    above_first: str  # the first of them by name
    worst: str  # the symbol with the most ticks missing


class Totals(NamedTuple):
    """The whole day in one row."""

    symbols: int
    rows: int
    first_ts_ms: int | None  # None while there is no tick
    last_ts_ms: int | None
    volume: int
    turnover: float
    gaps_open: int
    missing: int  # ticks of open gaps, as far as their number is known

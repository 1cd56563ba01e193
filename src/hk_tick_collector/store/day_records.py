"""The rows of a day file, and results of queries, as named tuples."""

from __future__ import annotations

from typing import NamedTuple


class SymbolCount(NamedTuple):
    """The counters of a symbol: a row of `symbols`."""

    symbol: str
    rows: int
    first_ts_ms: int
    last_ts_ms: int
    max_seq: int
    volume: int  # shares
    turnover: float  # HKD
    expected: int | None  # number of ticks that were traded, from the feed's counter; None if unknown


class Rule(NamedTuple):
    """The rule of a symbol's sequence."""

    rule: str  # counter, none; empty while undecided
    run_seq: int  # the first sequence since the counter last restarted within the day, 0 if it never did


class Stretch(NamedTuple):
    """A period with or without a connection to OpenD: a row of `connections`."""

    from_ms: int
    to_ms: int | None  # None while it lasts
    connected: bool
    conn_id: int | None
    reason: str


class Run(NamedTuple):
    """The counts of one run of the service: a row of `ledger`."""

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
    """How much of the day is stored, for the symbols whose sequence shows how many ticks were traded."""

    symbols: int
    rows: int
    expected: int
    without_pattern: int  # symbols whose sequence does not show it
    counted: int  # the sum over the symbols of their rows, each at most `expected`

    @property
    def percent(self) -> float | None:
        """The stored share, 0 to 100; None if no sequence shows how many ticks were traded.

        It is truncated, not rounded: 100 means that no tick is missing, and one missing tick of ten million shows.
        Surplus rows of one symbol do not compensate for missing rows of another.
        """
        share = self.counted * 10**7 // self.expected / 10**5 if self.expected > 0 else None
        return None if share is None else min(100.0, max(0.0, share))


class Incomplete(NamedTuple):
    """The missing ticks of the day, and how many of them are expected to be missing."""

    missing: int  # ticks missing in open gaps, as far as their number is known
    before_start: int  # how many of them were traded before the service began to collect their symbol
    above: int  # symbols with more ticks than their sequence shows, which is a fault
    above_first: str  # the first of them by name
    worst: str  # the symbol with the most missing ticks


class Totals(NamedTuple):
    """The totals of a day."""

    symbols: int
    rows: int
    first_ts_ms: int | None  # None if there is no tick
    last_ts_ms: int | None
    volume: int
    turnover: float
    gaps_open: int
    missing: int  # ticks missing in open gaps, as far as their number is known

"""The values that travel through the collector.

A tick travels as a plain tuple in the order of the table's columns, because one object for every tick is what a burst
cannot afford; `Tick` is the same tuple with names, for everyone who is not in a hurry.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

TickRow: TypeAlias = tuple[str, int, int, float, int, float, str, str, str, int]

WINDOW_ROWS: Final = 1000  # ticks of a symbol that OpenD gives when it is asked: the only history there is
SEQ_NEAR_S: Final = 10  # from the second in a sequence to the tick's own time, at most; a trigger has it too
LATELY_MS: Final = 15 * 60_000  # for so long what was lost is a warning, afterwards it is only listed

PUSH_REALTIME = "realtime"
PUSH_CACHE = "cache"
PUSH_REFILL = "disconnect_refill"
PUSH_BACKFILL = "backfill"


class Tick(NamedTuple):
    """One trade, in the column order of the table `ticks`."""

    symbol: str  # "HK.00700"
    seq: int  # the feed's own sequence, untouched
    ts_ms: int  # when the trade happened, UTC epoch ms
    price: float  # HKD
    volume: int  # shares
    turnover: float  # HKD
    direction: str  # BUY, SELL, NEUTRAL, UNKNOWN
    tick_type: str  # AUTO_MATCH, ODD_LOT, …; TYPE_n for a number n that is not known
    push_type: str  # realtime, cache, disconnect_refill, backfill
    recv_ts_ms: int  # when it reached our socket, UTC epoch ms


# The same of a plain row; where every row of a burst passes, `row[0]`, `row[1]` and `row[2]` are these first three.
symbol_of: Final = itemgetter(Tick._fields.index("symbol"))
seq_of: Final = itemgetter(Tick._fields.index("seq"))
ts_ms_of: Final = itemgetter(Tick._fields.index("ts_ms"))
push_type_of: Final = itemgetter(Tick._fields.index("push_type"))
recv_ts_ms_of: Final = itemgetter(Tick._fields.index("recv_ts_ms"))


class Rejected(NamedTuple):
    """A received tick that cannot be stored, with all that is known of it."""

    symbol: str
    seq: int
    cause: str  # incomplete, bad_time, non_finite, out_of_range, future_date
    detail: str  # the whole tick, for the log; empty for the later ones of a message that is full of them
    recv_ts_ms: int


GAP_OPEN = "open"
GAP_HEALED = "healed"
# Causes of gaps whose tick came and is not in the file: it was rejected, or is stored in the file of another day.
UNSTORED_CAUSES = frozenset({"rejected", "other_day"})


class Gap(NamedTuple):
    """One contiguous gap: a row of `gaps`. The ticks it misses lie between its bounds, bounds included."""

    symbol: str
    from_seq: int | None
    to_seq: int | None
    from_ts_ms: int | None
    to_ts_ms: int | None
    missing: int | None  # ticks still not stored; None where unknown
    cause: str
    status: str  # open, healed
    opened_ms: int
    closed_ms: int | None
    id: int


class GapChange(NamedTuple):
    """A row of `gaps` as it is to be, written in the transaction of the ticks that changed it."""

    day: int  # number of the Hong Kong day whose file it belongs to
    gap: Gap


class RuleChange(NamedTuple):
    """What was judged of a symbol's sequence, written in the transaction of the ticks that showed it."""

    day: int  # number of the Hong Kong day whose file it belongs to
    symbol: str
    rule: str  # counter: the sequence tells what is missing; none: it does not
    run_seq: int  # the first sequence of this run of the counter, 0 where it never began anew within the day


class Reconciled(NamedTuple):
    """One symbol's day so far, ours beside OpenD's own totals: a row of `reconciliation`.

    Official figures are None where OpenD gave none. `explained` is a word from below or from `collect.reconcile`.
    """

    session: str  # lunch, close
    symbol: str
    at_ms: int  # when both were read, UTC epoch ms
    volume: int  # shares, of all stored ticks
    turnover: float  # HKD
    odd_lot_volume: int  # of which ODD_LOT
    odd_lot_turnover: float
    late_volume: int  # of which LATE: concluded before the open, or the day before
    late_turnover: float
    official_volume: int | None
    official_turnover: float | None
    explained: str

    @property
    def difference(self) -> int:
        """By how many shares ours and OpenD's volume differ; 0 where OpenD gave none."""
        return 0 if self.official_volume is None else abs(self.official_volume - self.volume)


MATCH = "match"
WITHOUT_ODD_LOTS = "match_without_odd_lots"
WITHOUT_LATE = "match_without_late"
WITHOUT_BOTH = "match_without_odd_lots_and_late"
NOT_TRADED = "not_traded"  # we have no tick, and OpenD's totals are of an earlier day
UNEXPLAINED = "unexplained"
MATCHING = frozenset({MATCH, WITHOUT_ODD_LOTS, WITHOUT_LATE, WITHOUT_BOTH, NOT_TRADED})

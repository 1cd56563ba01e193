"""The values that the parts of the collector pass to each other.

A tick is passed as a plain tuple in the order of the table's columns, because an object per tick would be too slow in
a burst. `Tick` is the same tuple with named fields, for code where speed does not matter.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

TickRow: TypeAlias = tuple[str, int, int, float, int, float, str, str, str, int, int | None, str | None]

WINDOW_ROWS: Final = 1000  # OpenD's window: it returns the latest 1,000 ticks of a symbol, and nothing older
SEQ_NEAR_S: Final = 10  # most seconds between the second in a sequence and the tick's time; a trigger uses it too
LATELY_MS: Final = 15 * 60_000  # lost ticks are a warning for this long; after that they are only listed

PUSH_REALTIME = "realtime"
PUSH_CACHE = "cache"
PUSH_REFILL = "disconnect_refill"
PUSH_BACKFILL = "backfill"


class Tick(NamedTuple):
    """One trade, in the column order of the table `ticks`."""

    symbol: str  # "HK.00700"
    seq: int  # the exchange feed's own sequence, unchanged
    ts_ms: int  # when the trade happened, UTC epoch ms
    price: float  # HKD
    volume: int  # shares
    turnover: float  # HKD
    direction: str  # BUY, SELL, NEUTRAL, UNKNOWN
    tick_type: str  # AUTO_MATCH, ODD_LOT, …; TYPE_n for an unknown number n
    push_type: str  # realtime, cache, disconnect_refill, backfill
    recv_ts_ms: int  # when it reached our socket, UTC epoch ms
    opend_recv_ts_ms: int | None = None  # when it reached OpenD, by OpenD's clock, UTC epoch ms; None if not sent
    type_sign: str | None = None  # the exchange's letter for the type of the trade, like "P"; None if not sent


# Getters for a plain row. Code that handles every row of a burst uses `row[0]`, `row[1]` and `row[2]` instead.
symbol_of: Final = itemgetter(Tick._fields.index("symbol"))
seq_of: Final = itemgetter(Tick._fields.index("seq"))
ts_ms_of: Final = itemgetter(Tick._fields.index("ts_ms"))
push_type_of: Final = itemgetter(Tick._fields.index("push_type"))
recv_ts_ms_of: Final = itemgetter(Tick._fields.index("recv_ts_ms"))


class Rejected(NamedTuple):
    """A received tick that cannot be stored, and all that is known about it."""

    symbol: str
    seq: int
    cause: str  # incomplete, bad_time, non_finite, out_of_range, future_date
    detail: str  # the whole tick, for the log; empty after the first ones of a message with many of them
    recv_ts_ms: int


GAP_OPEN = "open"
GAP_HEALED = "healed"
CAUSE_REJECTED: Final = "rejected"
CAUSE_ELSEWHERE: Final = "other_day"  # the tick is stored in another day's file, because of its time
# Causes of gaps whose tick was received but is not in this file.
UNSTORED_CAUSES = frozenset({CAUSE_REJECTED, CAUSE_ELSEWHERE})


class Gap(NamedTuple):
    """One contiguous gap: a row of `gaps`. The missing ticks lie between its bounds, bounds included."""

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
    """A new or changed row of `gaps`. It is written in the same transaction as the ticks that changed it."""

    day: int  # number of the Hong Kong day whose file it belongs to
    gap: Gap


class RuleChange(NamedTuple):
    """Whether a symbol's sequence shows what is missing. Written in the transaction of the ticks that showed it."""

    day: int  # number of the Hong Kong day whose file it belongs to
    symbol: str
    rule: str  # counter: the sequence shows what is missing; none: it does not
    run_seq: int  # the first sequence since the counter last restarted within the day, 0 if it never did


CLOSE: Final = "close"  # the session of the comparison after the close


class Reconciled(NamedTuple):
    """Our totals of one symbol and day compared with OpenD's totals: a row of `reconciliation`.

    The official figures are None where OpenD gave none. `explained` is a word from below.
    """

    session: str  # lunch, or CLOSE
    symbol: str
    at_ms: int  # when both were read, UTC epoch ms
    volume: int  # shares, of all stored ticks
    turnover: float  # HKD
    odd_lot_volume: int  # of which ODD_LOT
    odd_lot_turnover: float
    late_volume: int  # of which LATE: traded before the open, or on the day before
    late_turnover: float
    official_volume: int | None
    official_turnover: float | None
    explained: str

    @property
    def difference(self) -> int:
        """The difference between our volume and OpenD's, in shares; 0 where OpenD gave none."""
        return 0 if self.official_volume is None else abs(self.official_volume - self.volume)


class Instrument(NamedTuple):
    """What OpenD says of one symbol on one day: a row of `instruments`. None where OpenD said nothing."""

    symbol: str
    name: str | None  # outside text: escape it to print it
    lot_size: int | None  # shares
    type: str | None  # STOCK, ETF, WARRANT, …; TYPE_n for an unknown number n
    suspended: bool | None
    listing_date: str | None  # "2004-06-16"
    previous_close: float | None  # HKD
    updated_ms: int  # when OpenD answered, UTC epoch ms


MATCH = "match"
WITHOUT_ODD_LOTS = "match_without_odd_lots"
WITHOUT_LATE = "match_without_late"
WITHOUT_BOTH = "match_without_odd_lots_and_late"
NOT_TRADED = "not_traded"  # we have no tick, and OpenD's totals are those of an earlier day
UNEXPLAINED = "unexplained"
TURNOVER = "turnover"  # the volume is equal, so no tick is missing; the turnover differs
BY_GAP = "gap"  # ticks are missing, and the table `gaps` has an open gap
BY_REJECTED = "rejected"  # a tick was rejected
NO_ANSWER = "no_answer"  # OpenD gave no totals
MATCHING = frozenset({MATCH, WITHOUT_ODD_LOTS, WITHOUT_LATE, WITHOUT_BOTH, NOT_TRADED})

"""The values that travel through the collector.

A tick travels as a plain tuple in the order of the table's columns, because one object for every tick is what a burst
cannot afford; `Tick` is the same tuple with names, for everyone who is not in a hurry.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

TickRow: TypeAlias = tuple[str, int, int, float, int, float, str, str, str, int]

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


class Rejected(NamedTuple):
    """A received tick that cannot be stored, with all that is known of it."""

    symbol: str
    seq: int
    cause: str  # incomplete, bad_time, non_finite, out_of_range, future_date
    detail: str  # the whole tick, for the log; empty for the later ones of a message that is full of them
    recv_ts_ms: int


LATENCY_BOUNDS_MS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 60_000.0)


@dataclass(slots=True)
class Latencies:
    """How long something took, as often as it happened since the start: `counts[i]` times up to `LATENCY_BOUNDS_MS[i]`.

    The last count is of those beyond every bound. One thread adds; others may read at any moment.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_MS) + 1))
    sum_ms: float = 0.0

    def add(self, took_ms: float) -> None:
        """Once more; a clock that was set back makes it 0."""
        took_ms = max(0.0, took_ms)
        self.counts[bisect_left(LATENCY_BOUNDS_MS, took_ms)] += 1
        self.sum_ms += took_ms


@dataclass(slots=True)
class Stats:
    """What the running parts know of themselves. Each field has one writer; health, status and metrics only read.

    Times are UTC epoch ms, None while there is none.
    """

    unplanned_ms: list[int] = field(default_factory=list)  # starts of the last hour that nobody asked for

    # the feed (event loop)
    connected: bool = False
    link_since_ms: int | None = None
    link_reason: str = "starting"  # why not connected
    link_hint: str = ""  # what to do about it, where that is known
    link_breaks: int = 0  # how often a connection that was up has ended
    link_break_ms: int | None = None  # when that last happened, and why
    link_break_reason: str = ""
    protocol_errors: int = 0  # of the breaks, those for bytes that are not OpenD's protocol
    protocol_error: str = ""  # the last one
    conn_id: int | None = None
    server_ver: int | None = None
    connects: int = 0
    program: str = ""  # OpenD's own state, "ready" when it can serve, empty where it is not known
    program_detail: str = ""
    quote_logged_in: bool = False
    questions_failed: dict[str, str] = field(default_factory=dict)  # kinds that OpenD does not answer now → why
    state_told: bool = False  # OpenD has told its state a short time ago
    market_state: int | None = None  # QotMarketState, the last one that was told
    opend_time_ms: int | None = None  # OpenD's clock when it was last asked
    drift_s: float | None = None  # our clock minus OpenD's
    symbols: int = 0
    subscribed: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # symbol → OpenD's words
    bad_symbols: list[str] = field(default_factory=list)  # entries of FUTU_SYMBOLS that are none, in words
    quota_used: int | None = None
    quota_remaining: int | None = None
    trouble: dict[str, str] = field(default_factory=dict)  # what OpenD told by Notify and did not take back
    trouble_since_ms: dict[str, int] = field(default_factory=dict)  # since when, of each
    skipped_messages: int = 0  # whole, and without a meaning to us
    skipped_message: str = ""  # the last one
    pushes_stopped: dict[str, int] = field(default_factory=dict)  # symbol → when it was last found to have stopped
    # Symbols whose missing ticks OpenD was asked for in vain: when that failed first since its last answer, and last
    backfill_failing_ms: dict[str, int] = field(default_factory=dict)
    backfill_failed_ms: dict[str, int] = field(default_factory=dict)
    backfill_reason: str = ""
    looked_around: bool = False  # every symbol was compared with OpenD since ticks may have passed us by

    # the intake (event loop)
    received: int = 0
    rejected: int = 0
    not_subscribed: int = 0  # rejected unread: OpenD pushes a symbol that nobody chose
    not_subscribed_first: str = ""  # the first such symbol
    rejected_pulled_again: int = 0  # rejected as before, and given by OpenD when it was asked
    no_room: int = 0  # dropped: neither memory nor the spool had place
    last_tick_ms: int | None = None  # when OpenD last pushed a tick; what was asked for is old

    # the writer (its thread)
    stored: int = 0
    duplicate: int = 0
    gaps_open: int = 0  # of the newest day, as its file says
    gaps_missing: int = 0
    sealed_day: int = 0  # rejected by the writer: pushed, and their day is finished
    sealed_day_backfill: int = 0  # the same of ticks that OpenD gave when it was asked
    conflicts: int = 0  # rejected by the writer: another tick has their symbol and sequence, and was first
    conflicts_symbols: int = 0  # of how many symbols, and which has the most
    conflicts_most: str = ""
    conflicts_most_ticks: int = 0
    no_sequence: int = 0  # as conflicts, with sequence 0: it is none
    no_sequence_symbols: int = 0
    no_sequence_most: str = ""
    no_sequence_most_ticks: int = 0
    rejected_again: int = 0  # rejected by the writer as one of these before, and given by OpenD when it was asked
    spool_lost: int = 0  # dropped: they went to the spool, and it could not give them back
    commits: int = 0
    commit_times: Latencies = field(
        default_factory=Latencies
    )  # of commits with rows, from BEGIN to the return of COMMIT
    row_ages: Latencies = field(default_factory=Latencies)  # at each of them, of its oldest row, from the socket on
    last_commit_ms: int | None = None
    writer_alive_ms: int | None = None
    newest_ts_ms: int | None = None
    newest_day: str = ""
    wal_bytes: int = 0
    stalls: int = 0  # how often the watchdog has met a stall
    disk_frozen: bool = False  # the writer waits for a file system that somebody has frozen
    disk_wait_ms: int = 0  # for how long the writer has been waiting inside the kernel for the disk, 0 when it is not
    damaged_files: list[str] = field(default_factory=list)  # set aside by this run
    gone_files: list[str] = field(default_factory=list)  # removed, moved or replaced while this run wrote them
    writer_trouble: str = ""  # the named cause the writer waits for: busy, disk_full, read_only, io_error, ...
    writer_detail: str = ""
    writer_day: str = ""  # the day whose file it waits for
    writer_trouble_since_ms: int | None = None
    writer_holder_pid: int | None = None  # whose lock it waits for; 0 or -1 where the kernel does not name it
    writer_holder: str = ""  # the same in words
    copy_path: str = ""  # the copy that somebody makes of a day that is written, and since when it is seen
    copy_since_ms: int | None = None
    copy_held: bool = False  # commits wait for it
    # days whose own file cannot be written, while the others are: rows that wait, the cause, and its words
    held_rows: dict[str, int] = field(default_factory=dict)
    held_causes: dict[str, str] = field(default_factory=dict)
    held_details: dict[str, str] = field(default_factory=dict)
    not_sealed: dict[str, str] = field(default_factory=dict)  # the name of a file that should be sealed → why it is not
    predecessor_days: list[str] = field(default_factory=list)  # earlier days whose file is the predecessor's

    # the takeover (event loop): the predecessor's files that were set aside → why they are not imported yet
    predecessor_files: dict[str, str] = field(default_factory=dict)
    importing: str = ""  # the one of them whose rows are being added now
    importing_rows: int = 0  # how many it has, how many of them are added or were there, and found in our file again
    importing_done: int = 0
    importing_checked: int = 0

    @property
    def rejected_total(self) -> int:
        """Received and refused for good, by the intake or by the writer."""
        by_writer = self.sealed_day + self.sealed_day_backfill + self.conflicts + self.no_sequence
        return self.rejected + self.rejected_pulled_again + self.not_subscribed + by_writer + self.rejected_again

    @property
    def dropped(self) -> int:
        """Received and not kept, for either reason."""
        return self.no_room + self.spool_lost


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

"""Figures of the running parts: written by the parts, read by observers alone."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

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
    """What the running parts count and note of themselves. Each field has one writer; log lines, status and metrics
    read it, and nothing else does: no decision hangs on a figure (see `collect.opend_state`, `collect.storing_state`).

    Times are UTC epoch ms, None while there is none.
    """

    unplanned_ms: list[int] = field(default_factory=list)  # starts of the last hour that nobody asked for

    # the feed (event loop)
    link_breaks: int = 0  # how often a connection that was up has ended
    link_break_ms: int | None = None  # when that last happened, and why
    link_break_reason: str = ""
    protocol_errors: int = 0  # of the breaks, those for bytes that are not OpenD's protocol
    protocol_error: str = ""  # the last one
    server_ver: int | None = None
    connects: int = 0
    questions_failed: dict[str, str] = field(default_factory=dict)  # kinds that OpenD does not answer now → why
    drift_s: float | None = None  # our clock minus OpenD's
    symbols: int = 0
    bad_symbols: list[str] = field(default_factory=list)  # entries of FUTU_SYMBOLS that are none, in words
    quota_used: int | None = None
    quota_remaining: int | None = None
    skipped_messages: int = 0  # whole, and without a meaning to us
    skipped_message: str = ""  # the last one
    pushes_stopped: dict[str, int] = field(default_factory=dict)  # symbol → when it was last found to have stopped
    # Symbols whose missing ticks OpenD was asked for in vain: when that failed first since its last answer, and last
    backfill_failing_ms: dict[str, int] = field(default_factory=dict)
    backfill_failed_ms: dict[str, int] = field(default_factory=dict)
    backfill_reason: str = ""

    # the intake (event loop)
    received: int = 0
    rejected: int = 0
    future_date: int = 0  # of the rejected: dated later than the day after OpenD's own date
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
    newest_ts_ms: int | None = None
    newest_day: str = ""
    wal_bytes: int = 0
    stalls: int = 0  # how often the watchdog has met a stall
    disk_frozen: bool = False  # the writer waits for a file system that somebody has frozen
    disk_wait_ms: int = 0  # for how long the writer has been waiting inside the kernel for the disk, 0 when it is not
    damaged_files: list[str] = field(default_factory=list)  # set aside by this run
    gone_files: list[str] = field(default_factory=list)  # removed, moved or replaced while this run wrote them
    writer_detail: str = ""
    writer_day: str = ""  # the day whose file it waits for
    writer_trouble_since_ms: int | None = None
    writer_holder_pid: int | None = None  # whose lock it waits for; 0 or -1 where the kernel does not name it
    writer_holder: str = ""  # the same in words
    copy_path: str = ""  # the copy that somebody makes of a day that is written, and since when it is seen
    copy_since_ms: int | None = None
    # days whose own file cannot be written, while the others are: ticks that wait, rows of these that OpenD gave again,
    # the cause, and its words
    held_rows: dict[str, int] = field(default_factory=dict)
    held_again: dict[str, int] = field(default_factory=dict)
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

"""Figures of the running service. The parts write them; only log lines, status and metrics read them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LATENCY_BOUNDS_MS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 60_000.0)


def percentile(values: Iterable[float], percent: int) -> float | None:
    """The value below which `percent` percent of the values are, to one decimal; None for no values."""
    ordered = sorted(values)
    return round(float(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]), 1) if ordered else None


@dataclass(slots=True)
class Latencies:
    """A histogram of durations since the start: `counts[i]` durations were in the bin up to `LATENCY_BOUNDS_MS[i]`.

    The last count is for durations above every bound. One thread adds; others may read at any time.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_MS) + 1))
    sum_ms: float = 0.0

    def add(self, took_ms: float) -> None:
        """Adds one duration. A negative one, after the clock was set back, counts as 0."""
        took_ms = max(0.0, took_ms)
        self.counts[bisect_left(LATENCY_BOUNDS_MS, took_ms)] += 1
        self.sum_ms += took_ms


@dataclass(slots=True)
class Stats:
    """Counters and notes of the running parts. One part writes each field. Only log lines, status and metrics read it:
    no decision depends on it. Decisions read `collect.opend_state` and `collect.storing_state`.

    Times are UTC epoch ms, None when there is none yet.
    """

    unplanned_ms: list[int] = field(default_factory=list)  # starts of the last hour after a crash or a kill

    # alerts (their threads)
    alerts_muted: dict[str, int] = field(default_factory=dict)  # code of a finding, or `all` → until when
    alerts_failing: dict[str, int] = field(default_factory=dict)  # destination → since when it accepts no messages
    alerts_error: str = ""  # the last reason
    deadman_failing_ms: int | None = None  # since when the pings to DEADMAN_URL fail, and the last reason
    deadman_error: str = ""

    # the feed (event loop)
    link_breaks: int = 0  # how often an established connection ended
    link_break_ms: int | None = None  # when that last happened, and why
    link_break_reason: str = ""
    protocol_errors: int = 0  # how often a connection was closed because the bytes were not OpenD's protocol
    protocol_error: str = ""  # the last such error
    server_ver: int | None = None
    connects: int = 0
    questions_failed: dict[str, str] = field(default_factory=dict)  # kind of request that OpenD now fails → why
    symbols: int = 0
    bad_symbols: list[str] = field(default_factory=list)  # invalid entries of FUTU_SYMBOLS, each as an error text
    quota_used: int | None = None
    quota_remaining: int | None = None
    skipped_messages: int = 0  # complete messages that we could not decode
    skipped_message: str = ""  # the last one
    pushes_stopped: dict[str, int] = field(
        default_factory=dict
    )  # symbol → when its pushes were last found to be stopped
    # Failed backfill requests, by symbol: the time of the first failure since OpenD's last answer, and of the last one
    backfill_failing_ms: dict[str, int] = field(default_factory=dict)
    backfill_failed_ms: dict[str, int] = field(default_factory=dict)
    backfill_reason: str = ""

    # the intake (event loop)
    received: int = 0
    rejected: int = 0
    future_date: int = 0  # of the rejected: dated later than the day after OpenD's own date
    not_subscribed: int = 0  # rejected without decoding: OpenD pushed a symbol that is not in FUTU_SYMBOLS
    not_subscribed_first: str = ""  # the first such symbol
    rejected_pulled_again: int = 0  # a rejected tick that a backfill brought again
    no_room: int = 0  # dropped: neither memory nor the spool had space
    last_tick_ms: int | None = None  # when OpenD last pushed a tick; backfilled ticks do not count

    # the writer (its thread)
    stored: int = 0
    duplicate: int = 0
    gaps_open: int = 0  # gaps of the newest day, from its file
    gaps_missing: int = 0
    sealed_day: int = 0  # rejected by the writer: pushed ticks of a sealed day
    sealed_day_backfill: int = 0  # rejected by the writer: backfilled ticks of a sealed day
    conflicts: int = 0  # rejected by the writer: another tick with the same symbol and sequence is stored
    conflicts_symbols: int = 0  # of how many symbols, and which has the most
    conflicts_most: str = ""
    conflicts_most_ticks: int = 0
    no_sequence: int = 0  # like conflicts, for ticks with sequence 0, which is not a valid sequence
    no_sequence_symbols: int = 0
    no_sequence_most: str = ""
    no_sequence_most_ticks: int = 0
    rejected_again: int = 0  # a tick that the writer rejected before and a backfill brought again
    spool_lost: int = 0  # dropped: written to the spool, but could not be read back
    commits: int = 0
    commit_times: Latencies = field(
        default_factory=Latencies
    )  # of commits with rows, from BEGIN to the return of COMMIT
    row_ages: Latencies = field(
        default_factory=Latencies
    )  # age of the oldest row at each commit, since it was received
    last_commit_ms: int | None = None
    newest_ts_ms: int | None = None
    newest_day: str = ""
    wal_bytes: int = 0
    stalls: int = 0  # how often the watchdog found a stall
    disk_frozen: bool = False  # the writer waits for a frozen file system
    disk_wait_ms: int = 0  # how long the writer has been waiting for the disk inside the kernel; 0 when it is not
    damaged_files: list[str] = field(default_factory=list)  # damaged files that this run set aside
    gone_files: list[str] = field(default_factory=list)  # removed, moved or replaced while this run wrote to them
    writer_detail: str = ""
    writer_day: str = ""  # the day whose file the writer waits for
    writer_trouble_since_ms: int | None = None
    writer_holder_pid: int | None = None  # process that holds the lock; 0 or -1 where the kernel does not name it
    writer_holder: str = ""  # the same as text
    copy_path: str = ""  # a copy that another program is making of a day being written, and when it was first seen
    copy_since_ms: int | None = None
    # by day, for days whose file alone cannot be written: how many ticks wait, how many further rows repeat one of
    # them, the cause, its text
    held_rows: dict[str, int] = field(default_factory=dict)
    held_again: dict[str, int] = field(default_factory=dict)
    held_causes: dict[str, str] = field(default_factory=dict)
    held_details: dict[str, str] = field(default_factory=dict)
    not_sealed: dict[str, str] = field(default_factory=dict)  # name of a file that should be sealed → why it is not
    predecessor_days: list[str] = field(default_factory=list)  # earlier days whose file is the predecessor's

    # the takeover (event loop): the predecessor's files that were set aside → why they are not imported yet
    predecessor_files: dict[str, str] = field(default_factory=dict)
    predecessor_remedies: dict[str, str] = field(default_factory=dict)
    importing: str = ""  # the one of them that is being imported now
    importing_rows: int = 0  # its rows
    importing_done: int = 0  # rows that were added or already stored
    importing_checked: int = 0  # rows that were then found in our file

    @property
    def rejected_total(self) -> int:
        """Received ticks that were rejected, by the intake or by the writer."""
        by_writer = self.sealed_day + self.sealed_day_backfill + self.conflicts + self.no_sequence
        return self.rejected + self.rejected_pulled_again + self.not_subscribed + by_writer + self.rejected_again

    @property
    def dropped(self) -> int:
        """Received ticks that were dropped: no space, or lost by the spool."""
        return self.no_room + self.spool_lost

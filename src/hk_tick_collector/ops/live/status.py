"""The live state: a small JSON file that the service replaces every second and other processes read.

No process sends the service a request. If the file is old, the service is stuck or has ended.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .atomic_file import replace_file
from .record import read_record, text_of

STATUS_NAME: Final = "status.json"
RUNTIME_DIRECTORY: Final = Path("/run/hk-tick-collector")  # set by systemd, see the unit


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """All data for `status`, the live view and the health line. Times are UTC epoch ms, None if unknown."""

    # the process
    written_ms: int
    started_ms: int
    pid: int
    version: str
    instance: str
    state: str  # running, stopping, stopped
    data_root: str

    # OpenD
    address: str
    connected: bool
    link_since_ms: int | None
    link_reason: str
    program: str
    program_detail: str
    quote_logged_in: bool
    market_state: str
    trading: bool
    trading_since_ms: int | None
    drift_s: float | None  # our clock minus OpenD's
    symbols: int
    subscribed: int
    refused: dict[str, str]
    quota_used: int | None
    quota_remaining: int | None
    trouble: dict[str, str]
    connects: int
    skipped_messages: int  # since the start

    # the flow of data: received = stored + duplicate + rejected + dropped + waiting
    received: int
    stored: int
    duplicate: int
    rejected: int
    dropped: int
    waiting: int
    max_queue_rows: int
    persisted_rows_per_min: int
    rows_per_s: list[int] = field(default_factory=list)  # of the last minute, oldest first

    # the writer
    newest_day: str = ""
    newest_ts_ms: int | None = None
    last_tick_ms: int | None = None  # when OpenD last pushed a tick; None if it has not since the start
    last_commit_ms: int | None = None
    writer_alive_ms: int | None = None
    writer_trouble: str = ""
    writer_detail: str = ""
    writer_day: str = ""  # the day of the file that the writer waits for
    writer_trouble_since_ms: int | None = None
    writer_holder_pid: int | None = None  # the holder of the lock; 0 or -1 if the kernel does not name it
    writer_holder: str = ""  # the same as text
    copy_path: str = ""  # a copy that another process makes of a day being written, and since when
    copy_since_ms: int | None = None
    copy_held: bool = False  # commits wait for the copy
    wal_bytes: int = 0
    wal_autocheckpoint_bytes: int = 0  # at this length it is copied to the day file and reused
    damaged_files: list[str] = field(default_factory=list)  # renamed by this run
    gone_files: list[str] = field(default_factory=list)  # deleted, moved or replaced while this run wrote them
    # by day, for days whose file cannot be written while others can: how many ticks wait, how many further rows repeat
    # one of them, the cause, its text
    held_rows: dict[str, int] = field(default_factory=dict)
    held_again: dict[str, int] = field(default_factory=dict)
    held_causes: dict[str, str] = field(default_factory=dict)
    held_details: dict[str, str] = field(default_factory=dict)
    not_sealed: dict[str, str] = field(default_factory=dict)  # name of a file that should be sealed → why it is not
    predecessor_days: list[str] = field(default_factory=list)  # earlier days whose file was written by the predecessor
    predecessor_files: dict[str, str] = field(default_factory=dict)  # renamed file → why it is not imported yet
    importing: str = ""  # the file being imported: its rows, how many are imported, and how many are checked
    importing_rows: int = 0
    importing_done: int = 0
    importing_checked: int = 0
    spooled: int = 0  # of the waiting rows, those that memory could not hold
    stalls: int = 0  # stalls that the watchdog found
    commit_ms_p50: float | None = None
    commit_ms_p99: float | None = None
    day_kind: str = ""  # by OpenD's calendar: whole, morning, afternoon, holiday; empty if unknown
    day_expected: bool = False  # today is a trading day, so its file must exist
    disk_free_mb: int | None = None

    # what is missing, and what would be lost
    gaps_open: int = 0
    gaps_missing: int = 0
    gaps_healing: int = 0  # open gaps that OpenD can still fill
    ticks_healing: int = 0  # their missing ticks, where the size is known
    gaps_lost_lately: int = 0  # gaps that were found to be lost within the last 15 minutes
    ticks_lost_lately: int = 0  # their missing ticks, where the size is known
    ticks_lost: int = 0  # the same since the start
    unknown_gaps_lost_lately: int = 0  # of gaps_lost_lately, those of unknown size
    unknown_gaps_lost: int = 0  # the same since the start
    lost_found_ms: int | None = None  # when the first one of the last 15 minutes was found to be lost
    lost_from_ms: int | None = None  # the time range in which its ticks were traded
    lost_to_ms: int | None = None
    busiest_symbol: str = ""
    outage_budget_s: float | None = None  # how long OpenD may be unreachable before ticks of that symbol are lost
    exposed_rows: int = 0  # received, and neither committed nor spooled
    exposed_s: float = 0.0  # age of the oldest received row that is not committed
    synchronous: str = ""
    sealed_day: int = 0  # of the rejected ticks: pushed, and their day is finished
    sealed_day_backfill: int = 0  # the same for ticks of backfill answers
    conflicts: int = 0  # of the rejected ticks: another tick with their symbol and sequence came first
    conflicts_symbols: int = 0  # the number of symbols, and the one with the most
    conflicts_most: str = ""
    conflicts_most_ticks: int = 0
    no_sequence: int = 0  # like the conflicts, with sequence 0, that is, without a sequence
    no_sequence_symbols: int = 0
    no_sequence_most: str = ""
    no_sequence_most_ticks: int = 0
    not_subscribed: int = 0  # of the rejected ticks: of a symbol that is not in FUTU_SYMBOLS; and the first such symbol
    not_subscribed_first: str = ""
    not_subscribed_lately: int = 0
    dropped_lately: int = 0  # within the last 15 minutes, as are the next five
    rejected_lately: int = 0  # those that the following fields do not count
    sealed_day_lately: int = 0
    sealed_day_backfill_lately: int = 0
    conflicts_lately: int = 0
    no_sequence_lately: int = 0
    future_date_lately: int = 0  # of rejected_lately: dated later than the day after OpenD's own date
    stalls_lately: int = 0

    # other events of the last 15 minutes, and the text of the last one
    link_hint: str = ""  # without a connection: the remedy, if it is known
    link_breaks_lately: int = 0  # established connections that ended
    link_break_ms: int | None = None  # the last one since the start, at any time
    link_break_reason: str = ""
    protocol_errors_lately: int = 0  # of these, those that ended because of bytes that are not OpenD's protocol
    protocol_error: str = ""
    skipped_messages_lately: int = 0  # complete messages that the collector does not know
    skipped_message: str = ""
    trouble_since_ms: dict[str, int] = field(default_factory=dict)  # for each kind in `trouble`
    questions_failed: dict[str, str] = field(default_factory=dict)  # requests that OpenD does not answer now → why
    backfill_failing_ms: dict[str, int] = field(default_factory=dict)  # symbol → since when its backfill fails
    backfill_failed_ms: dict[str, int] = field(default_factory=dict)  # and when it failed last
    backfill_reason: str = ""  # OpenD's last text for it
    ticks_expected_since_ms: int | None = None  # since then the market trades or may trade; also while disconnected
    pushes_stopped_lately: int = 0  # symbols
    pushes_stopped_first: str = ""

    account: str = ""  # `user:group` of the service, as chown takes it
    bad_symbols: list[str] = field(default_factory=list)  # invalid entries of FUTU_SYMBOLS, as text

    # alerts
    alerts_muted: dict[str, int] = field(default_factory=dict)  # code of a finding, or `all` → until when
    alerts_failing: dict[str, int] = field(default_factory=dict)  # destination → since when it accepts no messages
    alerts_error: str = ""  # the last reason
    deadman_failing_ms: int | None = None  # since when the pings to DEADMAN_URL fail, and the last reason
    deadman_error: str = ""

    # the resources of the process
    unplanned_ms: list[int] = field(default_factory=list)  # unplanned starts
    disk_wait_s: float = 0.0  # how long the writer has been waiting in the kernel for the disk
    disk_wait_max_s: float = 0.0  # the longest such wait seen within the last minute
    disk_frozen: bool = False  # it waits for a frozen file system
    disk_waits: int = 0  # the number of seconds in which a wait was seen
    descriptors: int | None = None  # open descriptors; the limit itself if none is left
    descriptors_limit: int | None = None


class StatusFile:
    """The file of the live state at `path`. It can be written even if every descriptor is in use: it reserves one.

    It exists as long as the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reserve = _open_reserve()

    def write(self, text: str, pid: int) -> None:
        """Replaces the file by a live state's text, like `write_status`."""
        try:
            _replace(self.path, text, pid)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or self._reserve is None:
                raise
            os.close(self._reserve)
            self._reserve = None
            _replace(self.path, text, pid)
        finally:
            if self._reserve is None:
                self._reserve = _open_reserve()


def _open_reserve() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def write_status(path: Path, status: LiveStatus) -> None:
    """Replaces the file in one step: a reader sees the old or the new content, never a part. OSError on failure."""
    _replace(path, text_of(status), status.pid)


def _replace(path: Path, text: str, pid: int) -> None:
    replace_file(path, text, f".{path.name}.{pid}")


def read_status(path: Path) -> LiveStatus | None:
    """The live state, None if there is no file. Raises StoreError if it cannot be read or understood."""
    return read_record(path, LiveStatus, restart="restart the service")

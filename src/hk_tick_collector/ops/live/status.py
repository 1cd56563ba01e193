"""The live state: a small JSON file that the service replaces every second and every other process may read.

Nobody asks the service anything. A file that has grown old says that the service is stuck or gone, which is an answer
too.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Final, cast

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.rights import JOIN_GROUP

from .atomic_file import replace_file

_MOST_BYTES: Final = 16 * 2**20  # thousands of symbols, each refused with words of its own, take less
_DAYS: Final = ("newest_day", "writer_day")  # a day file is read by this name
_DAY: Final = re.compile(r"([0-9]{8})?")
STATUS_NAME: Final = "status.json"
RUNTIME_DIRECTORY: Final = Path("/run/hk-tick-collector")  # systemd's, see the unit
_LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01: no moment that we tell is later


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """Everything `status`, the live view and the health line tell. Times are UTC epoch ms, None while there is none."""

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

    # the data's way: received = stored + duplicate + rejected + dropped + waiting
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
    last_tick_ms: int | None = None  # when OpenD last pushed a tick; None since the start
    last_commit_ms: int | None = None
    writer_alive_ms: int | None = None
    writer_trouble: str = ""
    writer_detail: str = ""
    writer_day: str = ""  # the day whose file it waits for
    writer_trouble_since_ms: int | None = None
    writer_holder_pid: int | None = None  # whose lock it waits for; 0 or -1 where the kernel does not name it
    writer_holder: str = ""  # the same in words
    copy_path: str = ""  # the copy that somebody makes of a day that is written, and since when it is seen
    copy_since_ms: int | None = None
    copy_held: bool = False  # commits wait for it
    wal_bytes: int = 0
    wal_autocheckpoint_bytes: int = 0  # from this length on it is copied to the day file and begun anew
    damaged_files: list[str] = field(default_factory=list)  # set aside by this run
    gone_files: list[str] = field(default_factory=list)  # removed, moved or replaced while this run wrote them
    # days whose own file cannot be written, while the others are: ticks that wait, rows of these that OpenD gave again,
    # the cause, and its words
    held_rows: dict[str, int] = field(default_factory=dict)
    held_again: dict[str, int] = field(default_factory=dict)
    held_causes: dict[str, str] = field(default_factory=dict)
    held_details: dict[str, str] = field(default_factory=dict)
    not_sealed: dict[str, str] = field(default_factory=dict)  # the name of a file that should be sealed → why it is not
    predecessor_days: list[str] = field(default_factory=list)  # earlier days whose file is the predecessor's
    predecessor_files: dict[str, str] = field(default_factory=dict)  # set aside → why they are not imported yet
    importing: str = ""  # the one of them whose rows are being added now, how many it has, added, and found again
    importing_rows: int = 0
    importing_done: int = 0
    importing_checked: int = 0
    spooled: int = 0  # of those waiting, the rows that memory could not hold
    stalls: int = 0  # how often the watchdog has met a stall
    commit_ms_p50: float | None = None
    commit_ms_p99: float | None = None
    day_kind: str = ""  # by OpenD's calendar: whole, morning, afternoon, holiday; empty where it is not known
    day_expected: bool = False  # today is a trading day, so its file must be there
    disk_free_mb: int | None = None

    # what is missing, and what would be
    gaps_open: int = 0
    gaps_missing: int = 0
    gaps_healing: int = 0  # open gaps that OpenD may still fill
    ticks_healing: int = 0  # how many ticks they miss, those of known size
    gaps_lost_lately: int = 0  # gaps that were found to be lost for good within the last 15 minutes
    ticks_lost_lately: int = 0  # how many ticks they miss, those of known size
    ticks_lost: int = 0  # the same since the start
    unknown_gaps_lost_lately: int = 0  # of gaps_lost_lately, those of unknown size
    unknown_gaps_lost: int = 0  # the same since the start
    lost_found_ms: int | None = None  # when the first of the last 15 minutes was found to be lost
    lost_from_ms: int | None = None  # from when to when its ticks were traded
    lost_to_ms: int | None = None
    busiest_symbol: str = ""
    outage_budget_s: float | None = None  # how long OpenD may stay away before that symbol overflows its window
    exposed_rows: int = 0  # received, and neither committed nor spooled
    exposed_s: float = 0.0  # age of the oldest received row that is not committed
    synchronous: str = ""
    sealed_day: int = 0  # of the rejected: pushed, and their day is finished
    sealed_day_backfill: int = 0  # the same of ticks that OpenD gave when it was asked
    conflicts: int = 0  # of the rejected: another tick has their symbol and sequence, and was first
    conflicts_symbols: int = 0  # of how many symbols, and which has the most
    conflicts_most: str = ""
    conflicts_most_ticks: int = 0
    no_sequence: int = 0  # as conflicts, with sequence 0: it is none
    no_sequence_symbols: int = 0
    no_sequence_most: str = ""
    no_sequence_most_ticks: int = 0
    not_subscribed: int = 0  # of the rejected: OpenD pushed a symbol that nobody chose; and the first such symbol
    not_subscribed_first: str = ""
    not_subscribed_lately: int = 0
    dropped_lately: int = 0  # within the last 15 minutes, as the next five
    rejected_lately: int = 0  # those that the following count not counted
    sealed_day_lately: int = 0
    sealed_day_backfill_lately: int = 0
    conflicts_lately: int = 0
    no_sequence_lately: int = 0
    future_date_lately: int = 0  # of rejected_lately: dated later than the day after OpenD's own date
    stalls_lately: int = 0

    # what else happened within the last 15 minutes, and the last one's words
    link_hint: str = ""  # while OpenD is away: what to do, where that is known
    link_breaks_lately: int = 0  # connections that were up and ended
    link_break_ms: int | None = None  # the last one since the start, however long ago
    link_break_reason: str = ""
    protocol_errors_lately: int = 0  # of the breaks, those for bytes that are not OpenD's protocol
    protocol_error: str = ""
    skipped_messages_lately: int = 0  # whole, and without a meaning to us
    skipped_message: str = ""
    trouble_since_ms: dict[str, int] = field(default_factory=dict)  # of each of `trouble`
    questions_failed: dict[str, str] = field(default_factory=dict)  # kinds that OpenD does not answer now → why
    backfill_failing_ms: dict[str, int] = field(default_factory=dict)  # symbol → since when its backfill fails
    backfill_failed_ms: dict[str, int] = field(default_factory=dict)  # and when it failed last
    backfill_reason: str = ""  # OpenD's last words for it
    ticks_expected_since_ms: int | None = None  # the market trades, or nobody knows whether it does; connected or not
    pushes_stopped_lately: int = 0  # symbols
    pushes_stopped_first: str = ""

    account: str = ""  # `user:group` of the service, as chown takes it
    bad_symbols: list[str] = field(default_factory=list)  # entries of FUTU_SYMBOLS that are none, in words

    # the process's means
    unplanned_ms: list[int] = field(default_factory=list)  # when it was started although nobody had stopped it
    disk_wait_s: float = 0.0  # for how long the writer has been waiting inside the kernel for the disk
    disk_wait_max_s: float = 0.0  # the longest such wait that was seen within the last minute
    disk_frozen: bool = False  # it waits for a file system that somebody has frozen
    disk_waits: int = 0  # and in how many of its seconds one was seen
    descriptors: int | None = None  # open ones; the limit itself when there is none left
    descriptors_limit: int | None = None


class StatusFile:
    """The file of the live state at `path`. It can be written also when every descriptor is taken: one is in reserve.

    It lives as long as the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reserve = _open_reserve()

    def write(self, text: str, pid: int) -> None:
        """Replaces the file by a live state's text, as `write_status`."""
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
    """Replaces the file in one step: a reader sees the old one or the new one, never half. OSError when it cannot."""
    _replace(path, text_of(status), status.pid)


def text_of(status: LiveStatus) -> str:
    """The live state as `status.json` has it."""
    return json.dumps(asdict(status), separators=(",", ":"))


def _replace(path: Path, text: str, pid: int) -> None:
    replace_file(path, text, f".{path.name}.{pid}")


def read_status(path: Path) -> LiveStatus | None:
    """The live state, None when there is no file. Raises StoreError for one that cannot be read or understood."""
    try:
        raw = json.loads(_read_small(path))
        known = {spec.name: str(spec.type) for spec in fields(LiveStatus)}
        found = {key: value for key, value in raw.items() if key in known}
        status = LiveStatus(**found) if all(_fits(key, value, known[key]) for key, value in found.items()) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(
            f"cannot read {path} ({error.strerror})", hint=JOIN_GROUP if isinstance(error, PermissionError) else ""
        ) from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        status = None
    if status is None:
        raise StoreError(f"{path} is not the live state of this version", hint="restart the service")
    return status


def _read_small(path: Path) -> bytes:
    """A file's content; ValueError for one that a collector never leaves: a pipe, a device, one without an end."""
    fd = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    )  # opening a pipe would wait for a writer
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("no regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("too long")
    return content


def _is_text(value: object) -> bool:
    """Text that can be printed and be part of a path."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write
        return False
    return True


def _is_number(value: object) -> bool:
    """A whole number that a counter can hold, and a float can stand for."""
    return type(value) is int and abs(value) < 2**63


def _fits(name: str, value: object, declared: str) -> bool:
    """Whether a value can be what a field of this name and type holds: who reads it later relies on that."""
    kind, _, optional = declared.partition(" | ")
    if value is None:
        return optional == "None"
    match kind:
        case "int":
            return _is_number(value) and (not name.endswith("_ms") or 0 <= cast("int", value) < _LATEST_MS)
        case "float":
            return _is_number(value) or (type(value) is float and isfinite(value))
        case "dict[str, str]" | "dict[str, int]":
            is_good = _is_text if "str]" in kind else _is_number
            return isinstance(value, dict) and all(map(_is_text, value)) and all(map(is_good, value.values()))
        case "list[int]":
            return isinstance(value, list) and all(map(_is_number, value))
        case "list[str]":
            return isinstance(value, list) and all(map(_is_text, value))
        case "bool":
            return isinstance(value, bool)
        case _:
            return kind == "str" and _is_text(value) and (name not in _DAYS or _DAY.fullmatch(str(value)) is not None)

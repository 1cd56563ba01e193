"""The live state of `merge`: a small JSON file that it replaces every second and other processes read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .atomic_file import replace_file
from .record import read_record

MERGE_NAME: Final = "merge.json"
MERGE_ALERTS_NAME: Final = ".alerts-merge.json"  # in its directory: which findings are open, and what was sent
MERGE_DIRECTORY: Final = Path("/run/hk-tick-merge")  # set by systemd, see the unit hk-tick-merge


@dataclass(slots=True)
class MergeState:
    """All data for `status`, findings and metrics of a merge. Times are UTC epoch ms, None if unknown.

    The merge changes it as things happen; others get it from the file.
    """

    # the process
    written_ms: int
    started_ms: int
    pid: int
    version: str
    instance: str
    state: str  # running, stopping, stopped
    data_root: str  # the directory of the merged day files

    # the engine
    server: str = ""  # the one it is connected to; empty: none
    server_version: str = ""
    away_since_ms: int | None = None  # since when nothing can be read
    fault: str = ""  # why, in one line, and what to do
    fault_hint: str = ""
    refused: bool = False  # the engine answers and refuses us: an operator has to act
    stream_first_seq: int = 0
    stream_last_seq: int = 0
    stream_bytes: int = 0
    stream_max_bytes: int = -1  # -1: no limit
    stream_max_age_s: float = 0.0
    stream_replicas: int = 0
    stream_servers: int = 0  # servers that hold all of the stream
    stream_differences: list[str] = field(default_factory=list)  # settings of the stream that differ from ours
    unsynced: bool = False  # the server of this host acknowledges messages that are not on its disk yet

    # the flow of data
    position: int = 0  # the last message of the stream whose ticks are committed
    behind: int = 0  # messages of the stream that are not
    behind_since_ms: int | None = None  # since when there are some without a break
    received: int = 0  # ticks; = stored + duplicate + conflicts + late
    stored: int = 0
    duplicate: int = 0  # another collector, or an earlier message, brought the same tick
    conflicts: int = 0  # another tick has the same symbol and sequence: in the table `conflicts`
    conflicts_first: str = ""
    conflicts_day: str = ""  # of the first one
    late: int = 0  # of a sealed day, and not in its file
    persisted_rows_per_min: int = 0
    delay_ms_p50: float | None = None  # from the collector's socket to the commit, of the last minute
    delay_ms_p99: float | None = None
    last_commit_ms: int | None = None
    newest_day: str = ""
    newest_ts_ms: int | None = None
    gaps_open: int = 0  # of that day
    gaps_missing: int = 0
    sources: dict[str, int] = field(default_factory=dict)  # collector → when its last message was merged

    # what is wrong
    trouble: str = ""  # why a day file cannot be written now
    trouble_detail: str = ""
    trouble_day: str = ""
    trouble_since_ms: int | None = None
    files_since_ms: int | None = None  # since when a read or write of files has been under way
    refused_messages: int = 0  # that are not what they should be, and the last one
    refused_message_ms: int | None = None
    refused_message: str = ""
    wrong_name: int = 0  # messages that name another collector than the one that may send them
    wrong_name_ms: int | None = None
    wrong_name_last: str = ""
    losses: int = 0  # how often the engine was found to have lost messages
    loss_ms: int | None = None
    loss_detail: str = ""
    expired: int = 0  # how often the stream dropped messages before they were read
    expired_ms: int | None = None
    asked_again: int = 0  # requests to collectors to send ticks again
    sums_differ: dict[str, int] = field(default_factory=dict)  # "DAY COLLECTOR" → symbols that lack ticks after asking
    disagreement: str = ""  # the collectors number their ticks differently: who, and of which symbol
    disagreement_ms: int | None = None
    damaged_files: list[str] = field(default_factory=list)  # renamed by this run
    not_sealed: dict[str, str] = field(default_factory=dict)  # a past day → why it is not sealed
    disk_free_mb: int | None = None


def write_merge_state(path: Path, text: str, pid: int) -> None:
    """Replaces the file by a live state's text in one step. OSError on failure."""
    replace_file(path, text, f".{path.name}.{pid}")


def read_merge_state(path: Path) -> MergeState | None:
    """The live state of a merge, None if there is no file. Raises StoreError if it cannot be read or understood."""
    return read_record(path, MergeState, restart="sudo systemctl restart hk-tick-merge")

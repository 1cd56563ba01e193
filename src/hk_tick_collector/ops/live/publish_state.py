"""The live state of `publish`: `publish.json`, which it replaces every second and other processes read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .atomic_file import replace_file
from .record import read_record

PUBLISH_NAME: Final = "publish.json"
PUBLISH_DIRECTORY: Final = Path("/run/hk-tick-publish")  # set by systemd, see the unit


@dataclass(frozen=True, slots=True)
class PublishState:
    """What `publish` does and has done since its start. Times are UTC epoch ms, None if unknown."""

    written_ms: int
    started_ms: int
    pid: int
    version: str
    source: str  # INSTANCE_ID
    data_root: str
    state: str  # connecting, publishing, stopping, stopped

    # the engine
    server: str = ""  # the one it is connected to; empty: none
    server_version: str = ""
    away_since_ms: int | None = None  # since when nothing can be published
    fault: str = ""  # why, in one line, and what to do
    fault_hint: str = ""
    refused: bool = False  # the engine answers and refuses us: an operator has to act
    stream_bytes: int = 0
    stream_max_bytes: int = -1  # -1: no limit
    stream_max_age_s: float = 0.0
    stream_replicas: int = 0  # 0: not known yet
    stream_servers: int = 0  # servers that hold the stream and are up to date
    stream_differences: list[str] = field(default_factory=list)  # settings that another program gave it
    unsynced: bool = False  # the server of this host acknowledges messages that are not on its disk yet

    # the flow: rows are ticks
    newest_day: str = ""
    stored_rows: int = 0  # in the day files that are being published
    behind_rows: int = 0  # of them, those that the engine has not acknowledged, when it was last connected
    behind_since_ms: int | None = None  # since when there have always been some
    published_rows: int = 0  # acknowledged since the start, repeated ones included
    published_messages: int = 0
    late_rows: int = 0  # of the published rows, those below the highest sequence of their symbol
    anew_rows: int = 0  # of the published rows, those of symbols and days that were sent again
    last_ack_ms: int | None = None
    ack_ms_p50: float | None = None  # of the last minute
    ack_ms_p99: float | None = None

    # what should not happen
    losses: int = 0  # times that the engine had lost acknowledged messages
    loss_ms: int | None = None  # the last one, and what was missing
    loss_detail: str = ""
    requests: int = 0  # of readers, to send again
    request_ms: int | None = None
    name_taken_by: str = ""  # another publisher with this name: its host and process
    days_unread: dict[str, str] = field(default_factory=dict)  # day → why its file cannot be read
    cursors_unsaved: str = ""  # why its cursor file cannot be written: a restart would send ticks again
    checks_failed: int = 0  # symbols whose rows were not those that had been sent, and were sent again


def write_publish_state(path: Path, text: str, pid: int) -> None:
    """Replaces the file by a live state's text in one step. OSError on failure."""
    replace_file(path, text, f".{path.name}.{pid}")


def read_publish_state(path: Path) -> PublishState | None:
    """The live state, None if there is no file. Raises StoreError if it cannot be read or understood."""
    return read_record(path, PublishState, restart="sudo systemctl restart hk-tick-publish")

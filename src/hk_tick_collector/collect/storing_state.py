"""The state of the writer and the spool that decisions depend on: what the writer waits for, and whether it commits.

The writer and the spool write it; any thread may read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hk_tick_collector.store.dayfile import ConnectionChange


@dataclass(slots=True)
class StoringState:
    """The current state. The counts are only used to see whether they increase."""

    writer_trouble: str = ""  # why the writer waits: busy, disk_full, read_only, io_error, ...; empty when it does not
    writer_alive_ms: int | None = None
    copy_held: bool = False  # commits wait until another program has finished its copy of the day file
    commits: int = 0
    connection: ConnectionChange | None = None  # the last change that is in a day file
    lost_rows: int = 0  # written to the spool, but could not be read back

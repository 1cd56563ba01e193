"""What decisions read of the way to the disk: whether the writer waits, for what, and that it goes on.

Enters: what the writer and the spool meet. Leaves: facts for whoever decides by them; any thread may read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StoringState:
    """As it is now. Of the counts it matters only that they grow."""

    writer_trouble: str = ""  # the named cause the writer waits for: busy, disk_full, read_only, io_error, ...
    writer_alive_ms: int | None = None
    copy_held: bool = False  # commits wait for it
    commits: int = 0
    lost_rows: int = 0  # they went to the spool, and it could not give them back

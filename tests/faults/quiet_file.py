"""A file of a VFS in Python that fails in silence where SQLite's own would.

Closing a WAL database, SQLite tries to lock it exclusively, and does not mind when it cannot. On a file that is open
for reading the system refuses that, and APSW keeps the refusal as an exception, which `Connection.close` then raises:
"disk I/O error", of a reader that has read everything well. A busy file is the one refusal that APSW forgets.
"""

from __future__ import annotations

import apsw


class QuietFile(apsw.VFSFile):
    """One open file on top of the VFS `base`."""

    def __init__(self, base: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(base, name, flags)
        self._read_only = bool(flags[1] & apsw.SQLITE_OPEN_READONLY)

    def xLock(self, level: int) -> None:  # noqa: N802
        """Locks as the system does; a lock that no reader can have is busy."""
        try:
            super().xLock(level)
        except apsw.IOError:
            if self._read_only and level == apsw.SQLITE_LOCK_EXCLUSIVE:
                raise apsw.BusyError("open for reading only") from None
            raise

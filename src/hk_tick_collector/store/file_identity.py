"""Whether a file changed since it was read, from what the kernel says of it, without opening it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_SETTLED_NS: Final = 100_000_000  # the kernel's clock for files has steps of up to 10 ms


class Identity(NamedTuple):
    """A day file or book, and its WAL."""

    inode: int
    size_bytes: int
    mtime_ns: int
    wal_bytes: int
    wal_mtime_ns: int

    def is_settled(self, now_ns: int) -> bool:
        """Whether any later change will show: the last one is long enough ago for the clock of the files.

        `now_ns` is the wall clock, ns since 1970. Taken before the file is read, so that a change meanwhile shows too.
        """
        return now_ns - max(self.mtime_ns, self.wal_mtime_ns) >= _SETTLED_NS


def identity(path: Path) -> Identity | None:
    """The identity of a file; None if there is none. OSError for another reason."""
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        wal = path.with_name(f"{path.name}-wal").stat()
    except FileNotFoundError:
        return Identity(about.st_ino, about.st_size, about.st_mtime_ns, 0, 0)
    return Identity(about.st_ino, about.st_size, about.st_mtime_ns, wal.st_size, wal.st_mtime_ns)

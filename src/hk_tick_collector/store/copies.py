"""Copies of the day that `sqlite3` and its `.backup` are making, seen by the files that SQLite keeps beside them.

Enters: directories. Leaves: each copy with a mark that changes while it is being written. Stats alone: nothing is
opened, so nobody's locks are touched.

How the shell of SQLite 3.40 copies, by strace: 100 pages a step, each step in a read transaction of its own. A commit
between two steps makes it start over. A target that is new, or in rollback mode, has `NAME-journal` from before its
first page until its end. A target that is in WAL mode, as the copy that an earlier `.backup` left, is not written at
first: the pages go to `NAME-wal`. The last step commits the target, so the wait for the disk at the end no longer
needs the day file.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Mark: TypeAlias = tuple[int, ...]  # size and time of change, of the file beside the copy and of the copy

_JOURNAL: Final = "-journal"
_WAL: Final = "-wal"
_BESIDE: Final = (_JOURNAL, _WAL)
_OURS: Final = re.compile(r"\.|\d{8}\.db(?:$|\.damaged-|\.predecessor-)")  # drafts, day files, and what was set aside
_DAY: Final = re.compile(r"(\d{8})(?!\d)")


def find_copies(directories: Iterable[Path], is_written: Callable[[str], bool]) -> dict[str, Mark]:
    """The copies in these directories, by the path of the copy.

    `is_written` tells whether the file of a day (`20261120`) is being written: a name that begins with another day
    is a copy of that day, which nobody disturbs. A directory or file that cannot be looked at is passed over.
    """
    copies: dict[str, Mark] = {}
    for directory in directories:
        try:
            names = [name for name in os.listdir(directory) if name.endswith(_BESIDE)]  # noqa: PTH208 - names alone
        except OSError:
            continue
        for beside in names:
            name = beside.removesuffix(_JOURNAL).removesuffix(_WAL)
            day = _DAY.match(name)
            if _OURS.match(name) or (day and not is_written(day[1])):
                continue
            mark = _mark(directory / beside, directory / name)
            if mark is not None:
                copies[str(directory / name)] = mark
    return copies


def _mark(beside: Path, copy: Path) -> Mark | None:
    """None where there is no copy.

    A WAL that is empty counts: the first pages stay in the shell's cache, 2 MB, and on a busy host a copy that is made
    to start over meanwhile would never be seen. A mere reader of an earlier copy has such a WAL too; it never changes.
    """
    try:
        found, target = beside.stat(), copy.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, target.st_size, target.st_mtime_ns

"""Finds copies of day files that `.backup` of `sqlite3` is making, by the files that SQLite creates beside a copy.

Enters: directories. Leaves: each copy with a mark that changes while it is being written. It only calls `stat` and
opens no file, so it does not affect locks.

How the shell of SQLite 3.40 makes a copy (observed with strace): it copies 100 pages a step, each step in its own read
transaction. A commit between two steps makes it start over. If the target is new or in rollback mode, `NAME-journal`
exists from before the first page until the end. If the target is in WAL mode, for example a copy of an earlier
`.backup`, the pages first go to `NAME-wal`. The last step commits the target; the day file is not needed after that.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Mark: TypeAlias = tuple[int, ...]  # size and time of the last change, of the file beside the copy and of the copy

_JOURNAL: Final = "-journal"
_WAL: Final = "-wal"
_BESIDE: Final = (_JOURNAL, _WAL)
_OURS: Final = re.compile(
    r"\.|\d{8}\.db(?:$|\.damaged-|\.predecessor-|\.mixed-)"
)  # drafts, day files, and files that were set aside
_DAY: Final = re.compile(r"(\d{8})(?!\d)")


def find_copies(directories: Iterable[Path], is_written: Callable[[str], bool]) -> dict[str, Mark]:
    """The copies in these directories: path of the copy → mark.

    `is_written` says whether the file of a day (`20261120`) is being written. A copy whose name begins with another day
    is left out, because no commit disturbs it. Directories and files that cannot be accessed are skipped.
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
    """The mark of a copy; None if there is no copy.

    An empty WAL also counts as a copy. The first pages stay in the shell's cache of 2 MB, and on a busy host a copy
    that starts over again and again would never write more. A reader of an earlier copy has an empty WAL too, but that
    one does not change.
    """
    try:
        found, target = beside.stat(), copy.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, target.st_size, target.st_mtime_ns

"""Decides whether an error affects the file of one day or, because it comes from the disk, every file."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import PredecessorFileError, StoreError
from hk_tick_collector.store.faults import diagnose
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from pathlib import Path

# Causes that affect one file, and causes that affect every file. A missing right of a single file is detected by its
# mode instead. An interrupt comes from the watchdog.
_OF_THE_FILE: Final = ("foreign_file", "predecessor_file", "schema_changed", "sealed_early")
_OF_THE_DISK: Final = {
    "disk_full",
    "read_only",
    "no_permission",
    "no_directory",
    "no_descriptors",
    "no_memory",
    "interrupted",
}
OF_RIGHTS: Final = {"no_permission", "cannot_open", "read_only"}
# Causes that may end when the file is opened again. If they do not, they affect only this file.
_OF_THE_FILE_WHEN_REPEATED: Final = {"damaged", "schema_changed"}


def concerns_one_file(error: Exception, path: Path, *, is_today: bool, attempt: int) -> bool:
    """Whether an error affects only the file of this day. `attempt` counts from 1.

    If the cause may be the file or the disk, and the day is not today, the file is assumed to be the cause. If it is
    the disk, today's file will have the same error.
    """
    cause = diagnose(error)[0]
    if cause in _OF_THE_FILE or _is_read_only(path) or _is_in_the_way(path):
        return True
    if cause in _OF_THE_DISK:
        return False
    return not is_today or (attempt > 1 and cause in _OF_THE_FILE_WHEN_REPEATED)


def refuse_predecessors(path: Path) -> None:
    """Raises PredecessorFileError for a file of the predecessor, also when we may not write it."""
    try:
        with DayReader(path):
            pass
    except PredecessorFileError:
        raise
    except StoreError:
        return


def _is_in_the_way(path: Path) -> bool:
    """Whether the path of a day's file, or of one of SQLite's files beside it, is not a regular file or not writable,
    although we may create files in the directory.
    """
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        return False
    draft = path.with_name(f".{path.name}.new")
    for name in (path, draft, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
        try:
            mode = name.stat().st_mode
        except FileNotFoundError:
            if name.is_symlink():
                return True
            continue
        except OSError:
            return True
        if not stat.S_ISREG(mode) or not os.access(name, os.R_OK | os.W_OK):
            return True
    return False


def _is_read_only(path: Path) -> bool:
    try:
        return not path.stat().st_mode & stat.S_IWUSR
    except OSError:
        return False


def is_finished(path: Path) -> bool:
    """Whether a file is marked as sealed in its own `meta` table."""
    with DayReader(path) as reader:
        return reader.is_sealed()

"""Whose fault an error is: that of one day's file, or of the disk and so of every file."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import PredecessorFileError, StoreError
from hk_tick_collector.store.faults import diagnose
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from pathlib import Path

# What concerns every file, whichever met it first: a right that only one file lacks is seen in the file itself. An
# interrupt is the watchdog's.
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
# What ends when the file is opened anew, if it ends; and then the file is at fault.
_OF_THE_FILE_WHEN_REPEATED: Final = {"damaged", "schema_changed"}


def concerns_one_file(error: Exception, path: Path, *, is_today: bool, attempt: int) -> bool:
    """Whether an error concerns the file of this day and no other. `attempt` counts from 1.

    An error of another day than today that may be the disk's is taken for the file's: if it is the disk's, today's file
    meets it too.
    """
    cause = diagnose(error)[0]
    if cause in _OF_THE_FILE or _is_read_only(path) or _is_in_the_way(path):
        return True
    if cause in _OF_THE_DISK:
        return False
    return not is_today or (attempt > 1 and cause in _OF_THE_FILE_WHEN_REPEATED)


def refuse_predecessors(path: Path) -> None:
    """Raises PredecessorFileError for a file of the predecessor, which need not be ours to write."""
    try:
        with DayReader(path):
            pass
    except PredecessorFileError:
        raise
    except StoreError:
        return


def _is_in_the_way(path: Path) -> bool:
    """Whether something that is no file, or none that we may write, is where a day's file or what SQLite keeps beside
    it belongs, while new files can be made there."""
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
    """Whether a file says itself that its day is over."""
    with DayReader(path) as reader:
        return reader.is_sealed()

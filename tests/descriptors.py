"""The files that a running process keeps open, while it opens and closes others."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import Final

LOOKS: Final = 10
APART_S: Final = 0.05
_OF_DATA: Final = re.compile(r"/\d{8}\.db(-wal|-shm|-journal)?$|\.spool$")  # not those that were deleted


def descriptors(pid: int) -> dict[int, str]:
    """The number of each descriptor that a process keeps, and what it is: a path, `socket:[inode]`, `pipe:[inode]`.

    One look is not enough: a file that is just being written and a listing that the process itself makes are there for
    a moment, and may be gone between our listing and our look at them. What ten looks in a row find is kept.
    """
    kept = _look(pid)
    for _ in range(LOOKS - 1):
        time.sleep(APART_S)
        kept = dict(kept.items() & _look(pid).items())
    return kept


def count_kept(pid: int) -> int:
    """How many descriptors a process keeps; those of one database count once, beside those of its WAL.

    SQLite keeps the descriptor of a reader that has left for as long as the same process writes to that file, because
    closing it would end the writer's lock. Whether there is one depends on what was read since the file was opened,
    and that on the weekday: a file of the day waits for ticks, or is made by the first. A reader that does not leave
    has the WAL open too.
    """
    return len({what if what.endswith(".db") else number for number, what in descriptors(pid).items()})


def count_beside_data(pid: int) -> int:
    """How many descriptors a process keeps beside those of day files and of the spool.

    Those come and go with the days that have ticks and with the faults of disks; how many days are open has its own
    limit and its own tests.
    """
    return sum(_OF_DATA.search(what) is None for what in descriptors(pid).values())


def resident_kib(pid: int) -> int:
    """Resident memory of a process in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:  # noqa: PTH123 - no path of a test's
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def _look(pid: int) -> dict[int, str]:
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - names are enough
        with suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115
    return found

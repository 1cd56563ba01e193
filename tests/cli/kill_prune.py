"""Kills `prune --yes` at random moments, in children of a process that has loaded everything.

    kill_prune.py DATA_ROOT PROVED_DAY UNPROVED_DAY TIMES

One day is archived and right, another is damaged in the archive. After each kill the second is there with all its
bytes, and so is the first unless the archive proves it. Each run begins with both days.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path

from hk_tick_collector.archive import proving, pruning  # loaded before the fork
from hk_tick_collector.cli import main
from hk_tick_collector.cli import prune as verb

LOADED = (proving, pruning, verb)
ARGUMENTS = ("prune", "--yes", "--keep-days", "0")


def begin() -> int:
    """Starts `prune` in a child; its process id."""
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os._exit(main(ARGUMENTS))
    return pid


def kill(root: Path, proved: str, unproved: str, times: int) -> int:
    """Kills so many runs; how many days were freed in all."""
    contents = {day: (root / f"{day}.db").read_bytes() for day in (proved, unproved)}

    def there(day: str) -> bool:
        found = [path for path in (root / f"{day}.db", root / f"{day}.db.pruning") if path.exists()]
        for path in found:
            assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(contents[day]).digest(), path
        return bool(found)

    chance = random.Random(13)
    began_s = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(begin(), 0)[1]) == 1  # the damaged day is a fault
    took_s = time.monotonic() - began_s
    killed = freed = 0
    while killed < times:
        if not there(proved):
            freed += 1
            (root / f"{proved}.db").write_bytes(contents[proved])
            (root / f"{proved}.db").chmod(0o440)
        pid = begin()
        time.sleep(chance.uniform(0, took_s))
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            killed += 1
        assert there(unproved)
    return freed


if __name__ == "__main__":
    print(kill(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])), "freed")

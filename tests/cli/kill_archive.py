"""Kills `archive` at random moments, in children of a process that has loaded everything.

    kill_archive.py ARCHIVE TIMES

After each kill it checks that every certificate has its files and its signature. A complete archive is emptied.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import adbc_driver_sqlite.dbapi
import pyarrow.parquet

from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.check import check_day
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.archive.signers import known_signers
from hk_tick_collector.cli import archive as verb
from hk_tick_collector.cli import main

LOADED = (adbc_driver_sqlite.dbapi, pyarrow.parquet, verb)


def begin(*arguments: str) -> int:
    """Starts `archive` in a child; its process id."""
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os._exit(main(["archive", *arguments]))
    return pid


def demand_no_lie(place: Directory) -> int:
    """Every certificate that is there has its files and its signature. How many there are."""
    chain = read_chain(place)
    assert not chain.damaged, chain.damaged
    for day in chain.by_day:
        faults = check_day(place, chain, day, known_signers(place)).faults
        assert not faults, (day, faults)
    return len(chain.by_day)


def empty(root: Path) -> None:
    """Removes what is in the archive."""
    shutil.rmtree(root)
    root.mkdir()


def kill(root: Path, times: int) -> int:
    """Kills so many runs; how many were still running then. A run that was faster does not count."""
    place, chance = Directory(root), random.Random(13)
    began_s = time.monotonic()
    assert os.waitpid(begin(), 0)[1] == 0
    took_s = time.monotonic() - began_s
    killed = tries = 0
    empty(root)
    while killed < times:
        tries += 1
        pid = begin(*(["--replace"] if tries % 3 == 0 else []))
        time.sleep(chance.uniform(0, took_s))
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            killed += 1
        if demand_no_lie(place) == 3:
            empty(root)
    return killed


if __name__ == "__main__":
    print(kill(Path(sys.argv[1]), int(sys.argv[2])), "killed")

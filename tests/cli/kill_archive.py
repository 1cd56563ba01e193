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


def run(at: int, *arguments: str) -> int:
    """Runs `archive` in a child that kills itself at its call number `at`; how many calls it made if it was not killed.

    Calls of Python and of C count, so that the moment does not depend on how busy the machine is.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        code = main(["archive", *arguments])
        sys.setprofile(None)
        os.write(writing, str(calls).encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said:
        calls_made = int(said.read() or "0")
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return calls_made


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
    """Kills so many runs, at moments that are spread over a run by chance; how many were killed."""
    place, chance = Directory(root), random.Random(13)
    calls = run(0)
    empty(root)
    killed = 0
    for number in range(times):
        arguments = ["--replace"] if number % 3 == 2 else []
        killed += run(chance.randrange(1, calls + 1), *arguments) == 0
        if demand_no_lie(place) == 3:
            empty(root)
    return killed


if __name__ == "__main__":
    print(kill(Path(sys.argv[1]), int(sys.argv[2])), "killed")

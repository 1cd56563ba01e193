"""Kills `prune --yes` at random moments, in children of a process that has loaded everything.

    kill_prune.py DATA_ROOT PROVED_DAY UNPROVED_DAY TIMES

One day is archived and right, another is damaged in the archive. After each kill the second is there with all its
bytes, under its name or aside, and so is the first unless it was freed. Each run begins with both days. Half of the
moments are spread over the whole run, the others over the few calls that free the day.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hk_tick_collector.archive import proving, pruning  # loaded before the fork
from hk_tick_collector.cli import main
from hk_tick_collector.cli import prune as verb

if TYPE_CHECKING:
    from types import FrameType

LOADED = (proving, pruning, verb)
ARGUMENTS = ("prune", "--yes", "--keep-days", "0")
A_FAULT = 1  # the exit code: the damaged day is one


def run(at: int) -> tuple[int, int, int]:
    """Runs `prune` in a child that kills itself at its call number `at`.

    If it was not killed: the numbers of its calls in all, and where the freeing of the proved day began and ended.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        calls, freeing = 0, []

        def count(frame: FrameType, event: str, _: object) -> None:
            nonlocal calls
            calls += 1
            if frame.f_code.co_name == "_free" and event in ("call", "return"):
                freeing.append(calls)
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        code = main(ARGUMENTS)
        sys.setprofile(None)
        os.write(writing, f"{calls} {min(freeing, default=0)} {max(freeing, default=0)}".encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said:
        calls_made, begun, ended = map(int, (said.read() or "0 0 0").split())
    status = os.waitpid(pid, 0)[1]
    assert status == signal.SIGKILL or os.waitstatus_to_exitcode(status) == A_FAULT, status
    return calls_made, begun, ended


def kill(root: Path, proved: str, unproved: str, times: int) -> str:
    """Kills so many runs; in how many the proved day was there, aside, and freed."""
    contents = {day: (root / f"{day}.db").read_bytes() for day in (proved, unproved)}
    places = [".db", ".db.pruning"]

    def where(day: str) -> str:
        found = [suffix for suffix in places if (root / f"{day}{suffix}").exists()]
        for suffix in found:
            assert (root / f"{day}{suffix}").read_bytes() == contents[day], (day, suffix)
        return "".join(found)

    chance, seen = random.Random(13), dict.fromkeys([*places, "".join(places), ""], 0)
    calls, begun, ended = run(0)
    assert begun
    killed = 0
    for number in range(3 * times):  # how many calls a run makes depends on how long it waits: some end before theirs
        if killed == times:
            break
        if not where(proved):
            (root / f"{proved}.db").write_bytes(contents[proved])
            (root / f"{proved}.db").chmod(0o440)
        at = chance.randint(begun, ended) if number % 2 else chance.randint(1, calls)
        if run(at) == (0, 0, 0):
            killed += 1
            seen[where(proved)] += 1
        assert where(unproved) in places
    return f"{killed} killed: there {seen['.db']}, aside {seen['.db.pruning']}, freed {seen['']}"


if __name__ == "__main__":
    print(kill(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))

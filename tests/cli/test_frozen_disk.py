"""Every verb that reads, while the disk is frozen under it: an answer within seconds, and the true cause.

Needs root and loop devices, else it skips. The file system is thawed and unmounted whatever happens.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.collect.conftest import wait_until
from tests.live_state import leave_live_state
from tests.reliability.disks import disk_of_its_own, frozen

from hk_tick_collector import market
from hk_tick_collector.cli._patience import each_in_child, in_child
from hk_tick_collector.errors import DiskHangsError
from hk_tick_collector.ops.live import kernel_wait
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hk_tick_collector.model import TickRow

DAY: Final = "20261120"
OPEN_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 34_200_000
ANSWER_S: Final = 5.0
CAP_S: Final = 300.0
THAW: Final = "sudo fsfreeze --unfreeze $(findmnt -n -o TARGET -T {root})"


@pytest.fixture
def root(workdir: Path, tick: Callable[..., TickRow]) -> Iterator[Path]:
    """DATA_ROOT on a disk that can be frozen, with a day that is being written."""
    with disk_of_its_own(workdir / "disk") as disk:
        root = disk / "HK"
        root.mkdir()
        (workdir / ".env").write_text(f"DATA_ROOT={root}\nDISK_MIN_FREE_MB=1\nFUTU_SYMBOLS=HK.00700\nFUTU_PORT=1\n")
        file = DayFile(root / f"{DAY}.db", DAY, "run", OPEN_MS, "test", StoreOptions())
        file.write(Batch(rows=[tick("HK.00700", 1, OPEN_MS)]), OPEN_MS)
        try:
            yield root
        finally:
            file.abandon()


def ask(workdir: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a verb; its time is printed, and bounded with a margin for a busy machine.

    Its output is read to the end of the pipe: nothing that still hangs may hold it open.
    """
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "hk_tick_collector", *args],
        cwd=workdir, env={**os.environ, **environ}, capture_output=True, text=True, timeout=CAP_S, check=False,
    )  # fmt: skip
    print(f"{args}: {time.monotonic() - began_s:.1f} s")
    return done


def test_each_verb_names_the_frozen_disk(workdir: Path, root: Path) -> None:
    """One line, no traceback, and the command that unfreezes the disk; afterwards everything works as before."""
    with frozen(root.parent):
        for args in (
            ("gaps", "--day", DAY), ("gaps", "--day", DAY, "--json"), ("ticks", "--day", DAY),
            ("ticks", "--day", DAY, "--follow"), ("snapshot", "--day", DAY),
        ):  # fmt: skip
            done = ask(workdir, *args)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), args
            assert f"the disk of {root} is frozen (fsfreeze)" in done.stderr
            assert done.stderr.rstrip().endswith(THAW.format(root=root))
        done = ask(workdir, "quality")
        assert (done.returncode, done.stderr) == (3, "")
        assert f"the disk of {root} is frozen (fsfreeze)" in done.stdout.splitlines()[0]
        for verb in ("report", "doctor"):
            done = ask(workdir, verb)
            assert (done.returncode, done.stderr) == (2, ""), verb
            assert f"the disk of {root} is frozen (fsfreeze)" in done.stdout
    done = ask(workdir, "gaps", "--day", DAY)
    assert (done.returncode, done.stdout) == (0, f"{DAY}: no gap\n")


def test_status_keeps_its_figures_and_says_why_the_day_is_not_among_them(workdir: Path, root: Path) -> None:
    """The live state is still read; the frozen disk is the first finding, in text and in JSON."""
    with subprocess.Popen(
        ["hk-tick-collector", "300"], executable="/usr/bin/sleep"
    ) as process:  # as the kernel lists it
        told = {"connected": True, "written_ms": time.time_ns() // 10**6, "pid": process.pid, "newest_day": DAY}
        leave_live_state(root, **told)
        try:
            _demand_status(workdir, root)
        finally:
            process.kill()


def _demand_status(workdir: Path, root: Path) -> None:
    with frozen(root.parent):
        done = ask(workdir, "status")
        assert (done.returncode, done.stderr) == (2, "")
        assert done.stdout.startswith(f"CRITICAL: the disk of {root} is frozen (fsfreeze)")
        done = ask(workdir, "status", OPERATOR_LANG="zh-Hant")
        assert f"{root} 所在磁碟被凍結（fsfreeze）" in done.stdout.splitlines()[0]
        document = json.loads(ask(workdir, "status", "--json").stdout)
        done = ask(workdir, "top", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert "disk_hangs" in {finding["code"] for finding in json.loads(done.stdout)["findings"]}
    assert document["findings"][0]["code"] == "disk_hangs"
    assert document["findings"][0]["remedy"] == THAW.format(root=root)
    assert (document["day"], document["live"]["newest_day"]) == (None, DAY)


def test_a_disk_that_freezes_in_the_middle_of_an_output_is_named(root: Path) -> None:
    """What was read before is given, then the error is raised; a reader that is closed early leaves no process."""
    path = root / f"{DAY}.db"

    def twice() -> Iterator[str]:
        """More than the pipe holds; then the file is opened again, which writes in its -shm."""
        for _ in range(2):
            with DayReader(path) as reader, reader.snapshot():
                yield from [reader.tick("HK.00700", 1).symbol] * 100_000

    reading = each_in_child(twice, path)
    taken = [next(reading)]
    with frozen(root.parent), pytest.raises(DiskHangsError, match=rf"the disk of {root} is frozen \(fsfreeze\)"):
        taken.extend(reading)
    assert len(taken) == 100_000
    before = working_children()
    reading = each_in_child(twice, path)
    assert next(reading) == "HK.00700"
    assert len(working_children() - before) == 1
    reading.close()
    wait_until(lambda: working_children() <= before, "its child has ended")


def test_a_frozen_disk_under_another_thread_of_the_reader_is_named(root: Path) -> None:
    """As under a thread of Arrow: the first thread only waits for it."""

    def opens() -> None:
        with DayReader(root / f"{DAY}.db") as reader, reader.snapshot():
            reader.meta()

    def work() -> None:
        thread = threading.Thread(target=opens)
        thread.start()
        thread.join()

    with frozen(root.parent), pytest.raises(DiskHangsError, match=rf"the disk of {root} is frozen \(fsfreeze\)"):
        in_child(work, root / f"{DAY}.db")


def working_children() -> set[int]:
    """The processes that this one started and that have not ended."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
    return {int(pid) for pid in pids if kernel_wait.state(Path(f"/proc/{pid}")) not in ("Z", "")}


@contextmanager
def writer(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes in DATA_ROOT and holds the locks of a writer in its first commit."""
    program = (
        "import apsw, sys\n"
        f"db = apsw.Connection({str(root / (DAY + '.db'))!r})\n"
        "db.execute('BEGIN EXCLUSIVE')\n"
        "db.execute(\"UPDATE meta SET value = 'x' WHERE key = 'market'\")\n"
        "print('holds', flush=True)\n"
        "sys.stdin.readline()\n"
        f"open({str(root / 'anything')!r}, 'w')\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holds\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_lock_held_by_a_process_that_waits_for_the_disk_is_a_disk_fault(
    workdir: Path, tick: Callable[..., TickRow]
) -> None:
    """A file stays locked by a writer that waits for a frozen disk: the disk is reported, not a process to end."""
    with disk_of_its_own(workdir / "disk") as root:
        (workdir / ".env").write_text(f"DATA_ROOT={root}\n")
        file = DayFile(root / f"{DAY}.db", DAY, "run", OPEN_MS, "test", StoreOptions())
        file.write(Batch(rows=[tick("HK.00700", 1, OPEN_MS)]), OPEN_MS)
        file.close()  # a plain file: whoever writes it keeps readers out
        with writer(root) as process:
            done = ask(workdir, "gaps", "--day", DAY)
            assert done.returncode == 1
            assert f"{root / DAY}.db stays locked by pid {process.pid} (" in done.stderr
            assert done.stderr.endswith(f": sudo kill -TERM {process.pid}\n")
            with frozen(root):
                assert process.stdin is not None
                process.stdin.write(b"\n")
                process.stdin.flush()
                done = ask(workdir, "gaps", "--day", DAY)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"the disk of {root} is frozen (fsfreeze)" in done.stderr

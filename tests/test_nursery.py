"""A forked verb does what a started one does: exit code, words, streams, environment, directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import wait_until

if TYPE_CHECKING:
    from tests.nursery import Nursery


def started(verb: list[str], directory: Path, environ: dict[str, str]) -> tuple[int, str, str]:
    """What a whole start of Python answers."""
    command = [sys.executable, "-m", "hk_tick_collector", *verb]
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("verb", [["config"], ["status"], ["nonsense"], ["run"], ["logs", "--help"]])
def test_a_fork_behaves_like_a_started_process(nursery: Nursery, workdir: Path, verb: list[str]) -> None:
    """Its settings are those of its own directory and environment; nothing of an earlier fork is left."""
    nursery.run(["config"], workdir, {"BATCH_ROWS": "7"})
    environ = {"DATA_ROOT": str(workdir / "none"), "FUTU_SYMBOLS": "HK.00700"}
    forked = nursery.run(verb, workdir, environ)
    assert (forked.returncode, forked.stdout, forked.stderr) == started(verb, workdir, environ)


def test_variables_that_only_a_start_reads_are_refused(nursery: Nursery, workdir: Path) -> None:
    """A locale or a preloaded library would silently not be in force."""
    for name in ("LC_ALL", "LD_PRELOAD", "PYTHONUTF8"):
        assert not nursery.can_fork({name: "of a test"})
        with pytest.raises(ValueError, match=name):
            nursery.run(["config"], workdir, {name: "of a test"})
    assert nursery.can_fork(dict(os.environ))


def shown_of(pid: int) -> list[bytes]:
    """The command line that the kernel shows."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def test_a_fork_has_its_own_command_line(nursery: Nursery, workdir: Path) -> None:
    """By it `status` knows a collector, and names whoever holds a lock; ours and what is behind it are blank."""
    nothing = os.open(os.devnull, os.O_RDWR)
    forked = nursery.fork(["simulate", "--port", "0", "--wait"], workdir, (nothing, nothing, nothing), {})
    os.close(nothing)
    try:
        wait_until(lambda: shown_of(forked.pid)[-1:] == [b"--wait"], lambda: f"{shown_of(forked.pid)}", 60.0)
        assert shown_of(forked.pid)[1:] == [b"-m", b"hk_tick_collector", b"simulate", b"--port", b"0", b"--wait"]
    finally:
        forked.kill()
        forked.wait(300)

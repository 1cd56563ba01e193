"""A second process that holds locks on a file, as any other program on this host may."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POSIX = """
import fcntl, os, struct, sys
path, kind, start, length, ofd = sys.argv[1], *map(int, sys.argv[2:])
fd = os.open(path, os.O_RDONLY if kind == fcntl.F_RDLCK else os.O_RDWR)
fcntl.fcntl(fd, 38 if ofd else fcntl.F_SETLKW, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path, kind: int, start: int, length: int = 1, *, ofd: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A POSIX lock of `kind` (F_RDLCK, F_WRLCK) on a range of bytes; with `ofd` one of an open file description.

    It waits while another process has the lock: SQLite holds its own for the time of a commit.
    """
    with _holding(
        [sys.executable, "-c", _POSIX, str(path), str(kind), str(start), str(length), str(int(ofd))]
    ) as other:
        yield other


@contextmanager
def in_transaction(path: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """The system's `sqlite3` with an open transaction."""
    command = ["sqlite3", str(path), *statements, ".shell echo held; exec cat >/dev/null"]
    with _holding(command) as other:
        yield other


@contextmanager
def _holding(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        try:
            while (line := other.stdout.readline()) != "held\n":
                assert line, f"{command} has ended"
            yield other
        finally:
            other.kill()

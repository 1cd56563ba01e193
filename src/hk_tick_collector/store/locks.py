"""Finds the process that holds a lock, as far as the kernel shows it. This module takes no lock.

Enters: paths and descriptors. Leaves: processes. There are two sources. The kernel's list /proc/locks has every lock,
but the sandbox of a service may hide it. F_GETLK returns the holder of one POSIX lock, the kind that SQLite uses, and
always works.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from contextlib import suppress
from pathlib import Path
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final, NamedTuple

from .rights import user_name

if TYPE_CHECKING:
    from collections.abc import Iterable

_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
_LINE: Final = re.compile(
    r"\d+: (?P<kind>\w+) +\w+ +(?:(?P<writes>WRITE)|\w+) +(?P<pid>-?\d+)"
    r" (?P<device>[0-9a-f]+:[0-9a-f]+):(?P<inode>\d+) "
)
_OURS: Final = re.compile(r"hk[-_]tick[-_]collector")  # in the command line of every collector
_TABLE: Final = Path("/proc/locks")
_UNIT: Final = "0::/system.slice/hk-tick-collector.service"  # a line of /proc/PID/cgroup
_RESTART: Final = "sudo systemctl restart hk-tick-collector"
_MAX_COMMAND: Final = 400
_SHOWN: Final = 80  # characters of a command


class Holder(NamedTuple):
    """A process that holds a lock. `user` and `command` are empty if they are hidden from us."""

    pid: int  # 0 or -1 if the kernel names none: a process of another container, or no single process
    user: str = ""
    command: str = ""

    @property
    def is_collector(self) -> bool:
        """Whether it runs a collector, as far as its command is visible."""
        return _OURS.search(self.command) is not None

    def end_command(self, path: Path) -> str:
        """The command that ends the process, or that names the processes with `path` open if the kernel names none.

        What runs as our unit is ended by the start of this version in its place: systemd would start it again.
        """
        if self.pid <= 0:
            return f"sudo fuser -v {quote_word(str(path))}*"
        return _RESTART if _is_of_unit(self.pid) else f"sudo kill -TERM {self.pid}"

    def words(self) -> str:
        """`pid 4711 (alice: sqlite3 x.db)`, or the part of it that is known."""
        if self.pid <= 0:
            return "a process that cannot be seen from here"
        command = self.command if len(self.command) <= _SHOWN else self.command[: _SHOWN - 3] + "..."
        who = f"{self.user}: {command}" if command else self.user
        return f"pid {self.pid} ({who})" if who else f"pid {self.pid}"


def _is_of_unit(pid: int) -> bool:
    try:
        return _UNIT in Path(f"/proc/{pid}/cgroup").read_text("ascii", errors="replace").splitlines()
    except OSError:
        return False


def describe(pid: int) -> Holder:
    """The user and command of a process, in printable characters."""
    if pid <= 0:
        return Holder(pid)
    place = Path("/proc") / str(pid)
    try:
        user = user_name(place.stat().st_uid)
        words = (place / "cmdline").read_bytes() or b"[" + (place / "comm").read_bytes().strip() + b"]"
    except OSError:
        return Holder(pid)
    command = words.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    command = "".join(char if char.isprintable() else "?" for char in command)
    return Holder(pid, user, command[:_MAX_COMMAND])


def holders(path: Path, kind: str = "FLOCK") -> list[Holder] | None:
    """The processes that hold locks of this kind on a file, from /proc/locks; None if that cannot be read."""
    try:
        inode, held = path.stat().st_ino, _held()
    except OSError:
        return None
    found = [lock for lock in held if int(lock["inode"]) == inode]
    pids = dict.fromkeys(int(lock["pid"]) for lock in found if lock["kind"] == kind)
    return [describe(pid) for pid in pids]


def pids_holding(paths: Iterable[Path]) -> list[int]:
    """The ids of processes that hold any lock on one of these files, from /proc/locks; none if that is hidden."""
    files = set()
    for path in paths:
        with suppress(OSError):
            found = path.stat()
            files.add((f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}", str(found.st_ino)))
    try:
        held = _held()
    except OSError:
        return []
    return sorted(
        {int(lock["pid"]) for lock in held if (lock["device"], lock["inode"]) in files and int(lock["pid"]) >= 0}
    )


def closed_by(paths: Iterable[Path]) -> tuple[Path, Holder] | None:
    """The first of these files that a process holds exclusively, so that nobody can read it; None if none is known.

    Reads only /proc/locks and the files' own entries. A writer in WAL mode locks the `-shm`, and does not count.
    """
    try:
        held = {int(lock["inode"]): int(lock["pid"]) for lock in _held() if lock["kind"] == "POSIX" and lock["writes"]}
    except OSError:
        return None
    for path in paths:
        with suppress(OSError):
            if (pid := held.get(path.stat().st_ino)) is not None:
                return path, describe(pid)
    return None


def _held() -> list[re.Match[str]]:
    """The lines of /proc/locks that are held locks, without the waiting ones. Raises OSError."""
    return [match for match in map(_LINE.match, _TABLE.read_text("utf-8", errors="replace").splitlines()) if match]


def blocker(fd: int, kind: int, start: int, length: int) -> int | None:
    """The process whose lock conflicts with a lock of this kind; None if there is none. Our own locks do not count.

    Raises OSError.
    """
    answer = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else pid


def descriptor_of(path: Path) -> int | None:
    """A descriptor of this process for a file; None if it has none."""
    try:
        wanted = path.stat()
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - names alone
    except OSError:
        return None
    for number in numbers:
        with suppress(OSError):  # another thread closed it meanwhile
            if os.path.samestat(os.fstat(number), wanted):
                return number
    return None

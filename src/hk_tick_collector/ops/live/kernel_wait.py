"""What the kernel says about a waiting process: a disk that does not answer, a file system that is frozen.

It changes nothing; if this user may not read the information, the results are empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

ONE_WAIT_S: Final = 2.5  # in one uninterrupted wait in the kernel: a working disk never takes so long
_PROC: Final = Path("/proc")
# The kernel function in which a thread waits to write to a frozen file system: include/linux/fs.h, sb_start_write().
_FREEZE: Final = ("percpu_", "sb_start_write")


def is_frozen(task: Path) -> bool:
    """Whether a thread, `/proc/PID/task/TID`, waits for a file system to be unfrozen (fsfreeze, used by VM backups).

    The kernel shows this to the thread's own account and to root.
    """
    try:
        return any(word in (task / "wchan").read_text("ascii") for word in _FREEZE)
    except (OSError, ValueError):
        return False


def state(task: Path) -> str:
    """The state letter of a thread or process, `D` while it waits in the kernel; empty if it does not exist."""
    try:
        return (task / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]  # a name may contain brackets
    except (OSError, IndexError):
        return ""


def threads(pid: int) -> dict[str, tuple[str, str]]:
    """Each thread of a process: id → its state letter, and how often it began to wait. Empty if there is no process.

    While the second does not change, the wait is the same one.
    """
    return {task.name: (state(task), _switches(task)) for task in _tasks(pid)}


class OneWait:
    """How long a thread of a process has been in one uninterrupted wait for the disk, as far as the looks show."""

    def __init__(self) -> None:
        self.seconds = 0.0  # of the present wait
        self._waiting: set[tuple[str, str]] = set()  # the threads that wait, and in which wait each is

    def look(self, threads: dict[str, tuple[str, str]], passed_s: float) -> None:
        """Takes what `threads` returns, `passed_s` after the look before."""
        before = self._waiting
        self._waiting = {(thread, wait) for thread, (state, wait) in threads.items() if state == "D"}
        self.seconds = self.seconds + passed_s if before & self._waiting else 0.0


def _switches(task: Path) -> str:
    try:
        status = (task / "status").read_text(errors="replace")
    except OSError:
        return ""
    return "".join(line for line in status.splitlines() if "ctxt_switches" in line)


def _tasks(pid: int) -> list[Path]:
    try:
        return sorted((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def waits_for_disk(pid: int) -> str:
    """`frozen` or `in_kernel` if a thread of the process waits in the kernel for a disk; otherwise empty."""
    waiting = [task for task in _tasks(pid) if state(task) == "D"]
    return "frozen" if any(map(is_frozen, waiting)) else "in_kernel" if waiting else ""

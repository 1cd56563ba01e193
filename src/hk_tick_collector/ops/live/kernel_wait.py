"""What the kernel says of a process that waits: for a disk that does not answer, for a file system that is frozen.

Leaves: plain words. It changes nothing; where this user may not look, the words are empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
# Where a thread waits that wants to change a frozen file system: include/linux/fs.h, sb_start_write().
_FREEZE: Final = ("percpu_", "sb_start_write")


def is_frozen(task: Path) -> bool:
    """Whether a thread, `/proc/PID/task/TID`, waits for a file system to be thawed (fsfreeze, as VM backups do).

    The kernel tells it to the thread's own account and to root.
    """
    try:
        return any(word in (task / "wchan").read_text("ascii") for word in _FREEZE)
    except (OSError, ValueError):
        return False


def state(task: Path) -> str:
    """The letter of a thread's or process's state, `D` while it waits inside the kernel; empty where there is none."""
    try:
        return (task / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]  # a name may hold brackets
    except (OSError, IndexError):
        return ""


def switches(pid: int) -> str:
    """How often a process's first thread has been set to wait; while it stays equal, it is one and the same wait."""
    try:
        status = (_PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return ""
    return "".join(line for line in status.splitlines() if "ctxt_switches" in line)


def waits_for_disk(pid: int) -> str:
    """`frozen` or `in_kernel` when a thread of the process waits there for a disk; empty when none does."""
    try:
        tasks = sorted((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return ""
    waiting = [task for task in tasks if state(task) == "D"]
    return "frozen" if any(map(is_frozen, waiting)) else "in_kernel" if waiting else ""

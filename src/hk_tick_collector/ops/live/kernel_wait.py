"""What the kernel says about a waiting process: a disk that does not answer, a file system that is frozen.

It changes nothing; if this user may not read the information, the results are empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

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


def switches(pid: int) -> str:
    """How often a process's first thread began to wait. While the number does not change, the wait is the same one."""
    try:
        status = (_PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return ""
    return "".join(line for line in status.splitlines() if "ctxt_switches" in line)


def waits_for_disk(pid: int) -> str:
    """`frozen` or `in_kernel` if a thread of the process waits in the kernel for a disk; otherwise empty."""
    try:
        tasks = sorted((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return ""
    waiting = [task for task in tasks if state(task) == "D"]
    return "frozen" if any(map(is_frozen, waiting)) else "in_kernel" if waiting else ""

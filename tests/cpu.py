"""CPU time of work, independent of other load on the machine."""

from __future__ import annotations

import resource


def cpu_of_children_s() -> float:
    """CPU seconds of the child processes that this process started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

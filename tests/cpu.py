"""What work costs, whatever else the machine does meanwhile."""

from __future__ import annotations

import resource


def cpu_of_children_s() -> float:
    """Seconds of a core that the processes have used which this one started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

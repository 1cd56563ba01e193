"""What passes between the writer's thread and the event loop, beside the queue: outcomes one way, wishes the other.

One side appends, the other pops from the left, each in one step. A writer that replaces another goes on with the same.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import Gap, Reconciled
    from hk_tick_collector.store.predecessor_rows import BesideRow

_Event = TypeVar("_Event")


@dataclass(frozen=True, slots=True)
class Beside:
    """Rows of the predecessor that are no ticks of ours, for the file of one day."""

    day: int
    rows: list[BesideRow]
    meta: dict[str, str]
    on_commit: Callable[[], None]  # called by the thread once they are committed


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, for the summaries."""

    rows: int
    write_ms: float  # from BEGIN to the return of COMMIT
    age_ms: int  # from the socket to the commit, of the batch's oldest row


@dataclass(slots=True)
class Handover:
    """Written and emptied by two threads."""

    commits: deque[Commit] = field(default_factory=deque)
    gap_events: deque[Gap] = field(default_factory=deque)  # gaps that opened or closed with a commit
    reconciled: deque[tuple[int, list[Reconciled]]] = field(default_factory=deque)  # by day, to be stored
    beside: deque[Beside] = field(default_factory=deque)  # the same of the predecessor's rows that are no ticks

    def share(self, other: Handover) -> None:
        """From now on what is in the other's hands."""
        self.commits, self.gap_events = other.commits, other.gap_events
        self.reconciled, self.beside = other.reconciled, other.beside


def popped(events: deque[_Event]) -> list[_Event]:
    """What is in there now, taken out one by one; the other thread may go on appending."""
    return [events.popleft() for _ in range(len(events))]

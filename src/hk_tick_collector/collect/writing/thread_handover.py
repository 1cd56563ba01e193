"""The queues between the writer thread and the event loop, other than the tick queue: results in one direction,
requests in the other.

One thread appends, the other pops from the left; both operations are atomic. A writer that replaces another one uses
the same queues.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import Gap
    from hk_tick_collector.store.dayfile import Batch
    from hk_tick_collector.store.predecessor_rows import BesideRow

_Event = TypeVar("_Event")


@dataclass(frozen=True, slots=True)
class Beside:
    """Rows of the predecessor that are not ticks in our sense, for the file of one day."""

    day: int
    rows: list[BesideRow]
    meta: dict[str, str]
    on_commit: Callable[[], None]  # called by the writer thread after the commit


@dataclass(frozen=True, slots=True)
class Commit:
    """The figures of one commit."""

    rows: int
    write_ms: float  # from BEGIN to the return of COMMIT
    age_ms: int  # from the socket to the commit, of the batch's oldest row


@dataclass(slots=True)
class Handover:
    """The queues. Two threads use them."""

    commits: deque[Commit] = field(default_factory=deque)
    gap_events: deque[Gap] = field(default_factory=deque)  # gaps that opened or closed with a commit
    facts: deque[tuple[int, Batch]] = field(default_factory=deque)  # (day, reconciliation, instruments, drift) to store
    beside: deque[Beside] = field(default_factory=deque)  # rows of the predecessor to store

    def share(self, other: Handover) -> None:
        """Uses the queues of another handover from now on."""
        self.commits, self.gap_events = other.commits, other.gap_events
        self.facts, self.beside = other.facts, other.beside


def popped(events: deque[_Event]) -> list[_Event]:
    """Removes and returns the current items. The other thread may append meanwhile."""
    return [events.popleft() for _ in range(len(events))]

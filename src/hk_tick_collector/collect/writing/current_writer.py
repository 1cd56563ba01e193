"""The writer's seat: whoever writes now sits here. A writer that is stuck beyond help is replaced by a new one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hk_tick_collector import log
from hk_tick_collector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.model import Reconciled

    from .thread_handover import Beside
    from .writer import Writer


class CurrentWriter:
    """Holds the writer in office.

    `appoint(n, on_fresh)` makes the n-th writer of this run, not yet started. `fresh_days` collects the days whose
    damaged file a writer set aside: somebody must look what the fresh one lacks.
    """

    def __init__(self, queue: TickQueue, appoint: Callable[[int, Callable[[int], None]], Writer]) -> None:
        self.fresh_days: deque[int] = deque()
        self._queue = queue
        self._appoint = appoint
        self._count = 1
        self._retired: list[Writer] = []
        self.writer = appoint(1, self.fresh_days.append)

    @property
    def haunted(self) -> bool:
        """Whether a writer that was replaced still hangs on: the lock that the new one meets may be its."""
        return any(writer.alive for writer in self._retired)

    def demand_alive(self) -> None:
        """Raises StoreError when the thread of the writer in office has ended."""
        if not self.writer.alive:
            raise StoreError("the writer thread has ended")

    def replace(self) -> None:
        """A new writer goes on with what the old one had taken.

        The old thread may wake up and finish its last commit: the key of the table keeps each tick once, and each
        writer has a row of its own in the ledger.
        """
        old, self._count = self.writer, self._count + 1
        old.retire()
        self._retired.append(old)
        self._queue.give_back()
        self.writer = self._appoint(self._count, self.fresh_days.append)
        self.writer.take_over(old)
        self.writer.start()
        log.error("writer_replaced", writers=self._count)

    def keep_beside(self, beside: Beside) -> None:
        """Has the writer in office store rows of the predecessor beside the ticks of a day."""
        self.writer.keep_beside(beside)

    def reconcile(self, day: int, rows: list[Reconciled]) -> None:
        """Has the writer in office store the rows of a reconciliation."""
        self.writer.reconcile(day, rows)

"""Holds the current writer, and replaces it by a new one when it is blocked and does not recover."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hk_tick_collector import log
from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.dayfile import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.model import Instrument, Reconciled

    from .thread_handover import Beside
    from .writer import Writer


class CurrentWriter:
    """`writer` is the current writer.

    `create(n, on_fresh)` creates the n-th writer of this run, not yet started. `fresh_days` collects the days whose
    damaged file was replaced by a new one: RecountDays rebuilds them.
    """

    def __init__(self, queue: TickQueue, create: Callable[[int, Callable[[int], None]], Writer]) -> None:
        self.fresh_days: deque[int] = deque()
        self._queue = queue
        self._create = create
        self._count = 1
        self._retired: list[Writer] = []
        self.writer = create(1, self.fresh_days.append)

    @property
    def retired_is_alive(self) -> bool:
        """Whether the thread of a replaced writer still runs: it may hold the lock that the new writer waits for."""
        return any(writer.alive for writer in self._retired)

    def demand_alive(self) -> None:
        """Raises StoreError when the thread of the current writer has ended."""
        if not self.writer.alive:
            raise StoreError("the writer thread has ended")

    def replace(self) -> None:
        """Starts a new writer, which continues with the rows that the old one had taken.

        The old thread may still complete its last commit. The primary key of `ticks` then prevents duplicates, and each
        writer has its own row in the ledger.
        """
        old, self._count = self.writer, self._count + 1
        old.retire()
        self._retired.append(old)
        self._queue.give_back()
        self.writer = self._create(self._count, self.fresh_days.append)
        self.writer.take_over(old)
        self.writer.start()
        log.error("writer_replaced", writers=self._count)

    def keep_beside(self, beside: Beside) -> None:
        """Lets the current writer store rows of the predecessor that are not ticks."""
        self.writer.keep_beside(beside)

    def reconcile(self, day: int, rows: list[Reconciled]) -> None:
        """Lets the current writer store the rows of a reconciliation."""
        self.writer.keep_facts(day, Batch(reconciled=rows))

    def keep_instruments(self, day: int, rows: list[Instrument]) -> None:
        """Lets the current writer store what OpenD says of symbols."""
        self.writer.keep_facts(day, Batch(instruments=rows))

    def keep_drift(self, day: int, drift_s: float) -> None:
        """Lets the current writer store how far our clock is from OpenD's, if it was never further on this day."""
        self.writer.keep_facts(day, Batch(drift_s=drift_s))

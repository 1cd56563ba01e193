"""The order of commits: rows are grouped by day, today's rows first, and no day waits for another day's file.

Enters: chunks, days that wait. Leaves: one commit after the other. Only the writer thread uses this module.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Part
from hk_tick_collector.model import ts_ms_of

if TYPE_CHECKING:
    from hk_tick_collector.collect.buffer.chunk import Chunk
    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.model import Gap, RuleChange, TickRow

    from .committer import Committer, Orders
    from .open_days import OpenDays
    from .waiting_days import WaitingDays

_ROWS = attrgetter("rows")


class Turns:
    """Commits chunks and waiting rows in order. `batch_rows` is the most rows of a waiting day in one commit."""

    def __init__(
        self,
        queue: TickQueue,
        days: OpenDays,
        held: WaitingDays,
        committer: Committer,
        orders: Orders,
        batch_rows: int,
    ) -> None:
        self._queue = queue
        self._days = days
        self._held = held
        self._committer = committer
        self._orders = orders
        self._batch_rows = batch_rows

    def store(self, chunks: list[Chunk]) -> None:
        """Commits chunks, defers rows of other days, and calls `done` of the queue, unless `give_up` is set."""
        unfiled = self._committer.unfiled
        for chunk in chunks:
            unfiled.rejected += chunk.rejected
            unfiled.dropped += chunk.dropped
            unfiled.connections.extend(chunk.connections)
        rows = _by_day(list(chain.from_iterable(map(_ROWS, chunks))))
        gaps: dict[int, list[Gap]] = {}
        rules: dict[int, list[RuleChange]] = {}
        for chunk in chunks:
            for change in chunk.gaps:
                gaps.setdefault(change.day, []).append(change.gap)
            for rule in chunk.rules:
                rules.setdefault(rule.day, []).append(rule)
        # The spool deletes its rows when this batch is done. Before that they must be committed, or written to the
        # spool of their day.
        from_spool = self._queue.taken_from_spool
        on_disk = from_spool and any(chunk.on_disk for chunk in chunks)  # it may be one that could not be spooled
        current = self._days.current()
        later: list[tuple[int, Part]] = []
        days = sorted(rows.keys() | gaps.keys() | rules.keys(), key=lambda day: (day != current, -day))
        for day in days:
            part = Part(rows.get(day, []), gaps.get(day, []), rules.get(day, []))
            if day != current and not on_disk and self._may_wait(day, days, rows):
                later.append((day, part))
            elif not self._store_day(day, part, on_disk=on_disk):
                return
        if not self._store_unfiled() or self._orders.give_up.is_set():
            return
        for day, part in later:
            self._held.defer(day, part)
        if not from_spool and self._held.chunks():
            self._postpone(chunks)
        self._queue.done(chunks)

    def _postpone(self, chunks: list[Chunk]) -> None:
        """Delays `on_commit`, which deletes rows on disk, until no held row is only in memory."""
        for chunk in chunks:
            if chunk.on_commit:
                self._held.when_safe(chunk.on_commit)
                chunk.on_commit = None

    def _may_wait(self, day: int, days: list[int], rows: dict[int, list[TickRow]]) -> bool:
        """Whether rows of a day other than today are deferred, so that today's rows do not wait for many files."""
        many = len(days) > 1 or day in self._held
        of_others = sum(len(rows.get(other, [])) for other in days)
        return many and not self._held.must_wait(day) and self._held.has_room(of_others)

    def _store_day(self, day: int, part: Part, *, on_disk: bool) -> bool:
        """Commits a part of a day now, or holds it if its file cannot be written. Returns False if `give_up` is set."""
        while day in self._held and not self._held.must_wait(day):
            if not self.store_held(day):
                return False
        if self._held.must_wait(day) and self._held.hold(day, part, on_disk=on_disk):
            return True
        return self._committer.commit(day, part, on_disk=on_disk)

    def _store_unfiled(self) -> bool:
        """Stores connections and counts that were not stored with rows, in today's file; they wait while it is held."""
        home = self._days.home()
        waits = self._held.is_bad(self._days.current()) or (home is not None and self._held.is_bad(home))
        if home is None or waits or not self._committer.has_unfiled():
            return True
        return self._committer.commit(home, Part.of([]))

    def store_held(self, day: int | None = None) -> bool:
        """Makes one commit for a deferred or held day, if one is due. Returns whether there was one."""
        day = self._held.next_day(self._days.current()) if day is None else day
        if day is None or self._orders.give_up.is_set():
            return False
        try:
            part = self._held.first(day, self._batch_rows, is_today=day == self._days.current())
        except OSError as error:  # its spool cannot be read now
            self._held.fail(day, error)
            return True
        self._committer.unfiled.dropped += self._held.lost_rows
        self._held.lost_rows = 0
        if self._committer.commit(day, part, was_held=True) and not self._held.is_bad(day):
            self._store_unfiled()
        return True


def _by_day(rows: list[TickRow]) -> dict[int, list[TickRow]]:
    """Rows by the Hong Kong day of their time. Usually that is one day, which the lowest and highest time show."""
    if not rows:
        return {}
    first, last = market.day_number(min(map(ts_ms_of, rows))), market.day_number(max(map(ts_ms_of, rows)))
    if first == last:
        return {first: rows}
    days: dict[int, list[TickRow]] = {}
    for row in rows:
        days.setdefault(market.day_number(ts_ms_of(row)), []).append(row)
    return days

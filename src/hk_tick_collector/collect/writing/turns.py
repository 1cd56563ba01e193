"""Whose turn it is: rows go to their days, today's first, and no day waits for another's file.

Enters: chunks, days that wait. Leaves: one commit after the other. For the writer's thread alone.
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
    """`batch_rows` is how many rows that waited one commit takes at most."""

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
        """Commits chunks, has rows of other days wait for their turn, and tells the queue; not after a giving up."""
        unfiled = self._committer.unfiled
        for chunk in chunks:
            unfiled.rejected += chunk.rejected
            unfiled.dropped += chunk.dropped
            unfiled.links.extend(chunk.links)
        rows = _by_day(list(chain.from_iterable(map(_ROWS, chunks))))
        gaps: dict[int, list[Gap]] = {}
        rules: dict[int, list[RuleChange]] = {}
        for chunk in chunks:
            for change in chunk.gaps:
                gaps.setdefault(change.day, []).append(change.gap)
            for rule in chunk.rules:
                rules.setdefault(rule.day, []).append(rule)
        # Rows of the spool are on disk until this batch is done: by then they must be on one again, or committed.
        on_disk = self._queue.taken_from_spool
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
        if not on_disk and self._held.chunks():
            self._postpone(chunks)
        self._queue.done(chunks)

    def _postpone(self, chunks: list[Chunk]) -> None:
        """Who keeps rows on disk until they are committed is told when those that are held are no longer in memory."""
        for chunk in chunks:
            if chunk.on_commit:
                self._held.when_safe(chunk.on_commit)
                chunk.on_commit = None

    def _may_wait(self, day: int, days: list[int], rows: dict[int, list[TickRow]]) -> bool:
        """Whether rows of another day than today have their turn later, so that today's never wait for many files."""
        many = len(days) > 1 or day in self._held
        of_others = sum(len(rows.get(other, [])) for other in days)
        return many and not self._held.must_wait(day) and self._held.has_room(of_others)

    def _store_day(self, day: int, part: Part, *, on_disk: bool) -> bool:
        """Stores what belongs to a day now, or has it held where its file cannot be written; False when the service
        gives up."""
        while day in self._held and not self._held.must_wait(day):
            if not self.store_held(day):
                return False  # what is in front of them
        if self._held.must_wait(day) and self._held.hold(day, part, on_disk=on_disk):
            return True
        return self._committer.commit(day, part, on_disk=on_disk)

    def _store_unfiled(self) -> bool:
        """Stores links and counts that no rows took along, in today's file; they wait for it when it is held."""
        home = self._days.home()
        waits = self._held.is_bad(self._days.current()) or (home is not None and self._held.is_bad(home))
        if home is None or waits or not self._committer.has_unfiled():
            return True
        return self._committer.commit(home, Part.of([]))

    def store_held(self, day: int | None = None) -> bool:
        """One commit for a day that waits for its turn or for its file, when one is due; whether there was one."""
        day = self._held.next_day(self._days.current()) if day is None else day
        if day is None or self._orders.give_up.is_set():
            return False
        try:
            part = self._held.first(day, self._batch_rows, is_today=day == self._days.current())
        except OSError as error:  # its spool cannot be read now
            self._held.fail(day, error)
            return True
        if self._committer.commit(day, part, was_held=True) and not self._held.is_bad(day):
            self._store_unfiled()
        return True


def _by_day(rows: list[TickRow]) -> dict[int, list[TickRow]]:
    """Rows by the Hong Kong day of their own time; nearly always that is one day, told by two figures."""
    if not rows:
        return {}
    first, last = market.day_number(min(map(ts_ms_of, rows))), market.day_number(max(map(ts_ms_of, rows)))
    if first == last:
        return {first: rows}
    days: dict[int, list[TickRow]] = {}
    for row in rows:
        days.setdefault(market.day_number(ts_ms_of(row)), []).append(row)
    return days

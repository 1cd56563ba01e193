"""Commits one transaction for one day, and repeats it until it succeeds.

Enters: rows and changes of a day. Leaves: they are committed, rejected, or held for their day's file. If a commit
succeeded although it returned an error, this is detected. Only the writer thread uses this module.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Part
from hk_tick_collector.errors import SealedDayError
from hk_tick_collector.store.dayfile import Batch, Written
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose

from .trouble import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.model import TickRow
    from hk_tick_collector.store.dayfile import ConnectionChange, DayFile

    from .account import Account
    from .open_days import OpenDays
    from .trouble import Trouble
    from .waiting_days import WaitingDays

_IN_MEMORY_S: Final = 1.0  # ticks that wait longer than this for a lock are spooled


@dataclass(frozen=True, slots=True)
class Orders:
    """Requests of other threads to the writer thread."""

    closing: Event = field(default_factory=Event)  # commit the remaining rows and end
    give_up: Event = field(default_factory=Event)  # do not start another commit
    reopen: Event = field(default_factory=Event)  # open every file again before the next commit


class Committer:
    """Commits batches. `unfiled` has connections and counts that wait for a file; `took_s` is the duration of the last
    commit of ticks.
    """

    def __init__(
        self,
        queue: TickQueue,
        days: OpenDays,
        held: WaitingDays,
        trouble: Trouble,
        account: Account,
        orders: Orders,
        now_ms: Callable[[], int],
    ) -> None:
        self.unfiled = Batch()
        self.took_s = 0.0
        self._queue = queue
        self._days = days
        self._held = held
        self._trouble = trouble
        self._account = account
        self._orders = orders
        self._now_ms = now_ms
        # day → the result of its last transaction, also if the commit raised, and what it had of `unfiled`
        self._attempted: dict[int, tuple[Written, Batch]] = {}

    def commit(
        self, day: int, part: Part, *, on_disk: bool = False, was_held: bool = False, more: Batch | None = None
    ) -> bool:
        """Commits a part of one day, and repeats that until it succeeds. Returns False only if `give_up` is set.

        If only this day's file cannot be written, the part is held and True is returned, so that other days continue.
        `more` has content of the transaction other than ticks and their gaps.
        """
        attempt = 0
        while not self._orders.give_up.is_set():
            started_s = time.monotonic()
            if self._orders.reopen.is_set():
                self._orders.reopen.clear()
                self._days.abandon(day)
            try:
                file = self._days.file(day)
                is_home = day == self._days.home()
                unfiled = replace(self.unfiled, connections=[*self.unfiled.connections]) if is_home else Batch()
                batch = self._batch(part, more, unfiled, is_home=is_home, was_held=was_held)
                if is_home and day == self._days.current() and not file.has_connections:
                    batch.connections = [*self._lasting(day, batch), *batch.connections]
                written = self._write(day, file, batch, unfiled)
            except SealedDayError:
                duplicate, rejected = self._account.refused(day, part.rows)
                self.unfiled.duplicate += duplicate
                self.unfiled.rejected += rejected
                self._note_held(day, part.rows, was_held=was_held)
                return True
            except DISK_ERRORS as error:
                attempt += 1
                is_alone = self._days.is_alone(day, error, attempt)
                if is_alone and self._hold(day, part, error, on_disk=on_disk, was_held=was_held):
                    return True
                self.note_trouble(day, error, attempt)
                if diagnose(error)[0] == "busy":
                    self._queue.wait_safely(_IN_MEMORY_S)  # another program's lock may last long
                self._orders.give_up.wait(backoff_s(attempt))
            else:
                self._note_held(day, part.rows, was_held=was_held)
                self._queue.storing.commits += 1
                self._queue.storing.writer_alive_ms = self._now_ms()
                self._days.touch(day)
                took_s = time.monotonic() - started_s
                self.took_s = took_s if part.rows else self.took_s
                self._account.committed(day, part.rows, written, took_s)
                self._trouble.over()
                return True
        return False

    def _batch(self, part: Part, more: Batch | None, unfiled: Batch, *, is_home: bool, was_held: bool) -> Batch:
        """The batch of a part. The home day's batch also gets the connections and counts that wait for a file."""
        waiting = self._queue.waiting_rows - was_held * len(part.rows) if is_home else 0
        batch = replace(unfiled, **part._asdict(), waiting=waiting)
        return (
            replace(
                batch,
                reconciled=more.reconciled,
                instruments=more.instruments,
                beside=more.beside,
                meta=more.meta,
                drift_s=more.drift_s,
            )
            if more
            else batch
        )

    def _lasting(self, day: int, batch: Batch) -> list[ConnectionChange]:
        """The connection, or the time without one, that began before this file: the file of today begins with it."""
        last = self._queue.storing.connection
        if last is None:
            return []
        from_ms = max(last.at_ms, market.day_start_ms(day))
        if any(change.at_ms <= from_ms for change in batch.connections):
            return []  # the batch itself has what lasted then
        return [replace(last, at_ms=from_ms)]

    def has_unfiled(self) -> bool:
        """Whether connections or counts wait for a file."""
        return _has_any(self.unfiled)

    def _write(self, day: int, file: DayFile, batch: Batch, unfiled: Batch) -> Written:
        """Writes one transaction. If the last attempt was committed despite its error, returns the result of that.

        What the transaction had of `unfiled` is removed there: more may have come since that attempt.
        """
        known = self._days.known[day]
        if file.ledger.commits == known.commits + 1:
            written, unfiled = self._attempted[day]  # recorded before that commit
        else:
            try:
                written = file.write(batch, self._now_ms())
            finally:
                if file.attempted is not None:
                    self._attempted[day] = file.attempted, unfiled
        self._days.known[day] = file.ledger
        self._filed(unfiled)
        return written

    def _filed(self, filed: Batch) -> None:
        """Removes from `unfiled` what is committed. No earlier attempt for another day removes it again."""
        if not _has_any(filed):
            return
        self._attempted = {day: (written, Batch()) for day, (written, _) in self._attempted.items()}
        unfiled = self.unfiled
        del unfiled.connections[: len(filed.connections)]
        unfiled.rejected -= filed.rejected
        unfiled.duplicate -= filed.duplicate
        unfiled.dropped -= filed.dropped
        if filed.connections:
            self._queue.storing.connection = filed.connections[-1]

    def _hold(self, day: int, part: Part, error: Exception, *, on_disk: bool, was_held: bool) -> bool:
        """Lets rows wait for the file of their day. Returns False when there is no space for them."""
        if not was_held and not self._held.hold(day, part, on_disk=on_disk):
            return False
        self._held.fail(day, error, len(part.rows))
        if was_held:
            self._held.hold(day, Part.of([]), on_disk=False)  # spools the rows of the day that are in memory
        self._days.abandon(day)
        self._trouble.forget_day(day)
        return True

    def _note_held(self, day: int, rows: list[TickRow], *, was_held: bool) -> None:
        """Records that held rows are committed or rejected."""
        if was_held and not self._orders.give_up.is_set() and self._held.done(day, len(rows)):
            self._days.on_fresh(day)

    def note_trouble(self, day: int, error: Exception, attempt: int) -> None:
        """Records an error after which the writer waits and retries. Closes the file if its connection is unusable."""
        if diagnose(error)[1]:
            self._days.abandon(day)
        self._trouble.note(day, error, attempt)


def _has_any(unfiled: Batch) -> bool:
    return bool(unfiled.connections or unfiled.rejected or unfiled.duplicate or unfiled.dropped)

"""One transaction for one day, however often that must be tried.

Enters: what belongs to a day. Leaves: it is committed, refused for good, or held for its day's file. A commit whose
error hid that it had happened is recognised. For the writer's thread alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Final

from hk_tick_collector.collect.buffer.chunk import Part
from hk_tick_collector.errors import SealedDayError
from hk_tick_collector.store.dayfile import Batch, Written
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose

from .trouble import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.model import TickRow
    from hk_tick_collector.store.dayfile import DayFile

    from .account import Account
    from .open_days import OpenDays
    from .trouble import Trouble
    from .waiting_days import WaitingDays

_IN_MEMORY_S: Final = 1.0  # ticks that wait longer for a lock are spooled


@dataclass(frozen=True, slots=True)
class Orders:
    """What other threads ask of the writer's."""

    closing: Event = field(default_factory=Event)  # commit what there is, and end
    give_up: Event = field(default_factory=Event)  # begin no other commit
    reopen: Event = field(default_factory=Event)  # open every file anew before the next


class Committer:
    """`unfiled` has links and counts that wait for a file, `took_s` is how long the last commit of ticks took."""

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
        self._attempted: dict[int, Written] = {}  # by day: what its last transaction did, also when its commit raised

    def commit(
        self, day: int, part: Part, *, on_disk: bool = False, was_held: bool = False, more: Batch | None = None
    ) -> bool:
        """Stores what belongs to one day, however often that must be tried; False when the service gives up instead.

        Where the day's own file is at fault it is held, and other days go on: that is no failure. `more` has what
        goes with it beside ticks and their gaps.
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
                written = self._write(day, file, self._batch(part, more, is_home=is_home, was_held=was_held))
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
                    self._queue.wait_safely(_IN_MEMORY_S)  # somebody else's lock may last: on disk it costs no tick
                self._orders.give_up.wait(backoff_s(attempt))
            else:
                if is_home:
                    self.unfiled = Batch()
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

    def _batch(self, part: Part, more: Batch | None, *, is_home: bool, was_held: bool) -> Batch:
        """With links and counts that wait for a file, where that is the day's to take."""
        waiting = self._queue.waiting_rows - was_held * len(part.rows) if is_home else 0
        batch = replace(self.unfiled if is_home else Batch(), **part._asdict(), waiting=waiting)
        return replace(batch, reconciled=more.reconciled, beside=more.beside, meta=more.meta) if more else batch

    def has_unfiled(self) -> bool:
        """Whether links or counts wait for a file."""
        held = self.unfiled
        return bool(held.links or held.rejected or held.duplicate or held.dropped)

    def _write(self, day: int, file: DayFile, batch: Batch) -> Written:
        """One transaction; recognises a commit whose error hid that it had happened."""
        known = self._days.known[day]
        if file.ledger.commits == known.commits + 1:
            written = self._attempted[day]  # its own words, from before the commit
        else:
            try:
                written = file.write(batch, self._now_ms())
            finally:
                if file.attempted is not None:
                    self._attempted[day] = file.attempted
        self._days.known[day] = file.ledger
        return written

    def _hold(self, day: int, part: Part, error: Exception, *, on_disk: bool, was_held: bool) -> bool:
        """Has rows wait for the file of their day alone; False when there is no place for them."""
        if not was_held and not self._held.hold(day, part, on_disk=on_disk):
            return False
        self._held.fail(day, error, len(part.rows))
        if was_held:
            self._held.hold(day, Part.of([]), on_disk=False)  # what waited in memory for its turn will wait longer
        self._days.abandon(day)
        self._trouble.forget_day(day)
        return True

    def _note_held(self, day: int, rows: list[TickRow], *, was_held: bool) -> None:
        """Rows that were held are committed, or refused for good."""
        if was_held and not self._orders.give_up.is_set() and self._held.done(day, len(rows)):
            self._days.on_fresh(day)

    def note_trouble(self, day: int, error: Exception, attempt: int) -> None:
        """An error that is waited out; the file is opened anew where its connection may not survive it."""
        if diagnose(error)[1]:
            self._days.abandon(day)
        self._trouble.note(day, error, attempt)

"""The writer: the only thread that commits rows from the queue to day files.

Enters: chunks from the queue. Leaves: committed rows, each in the file of its Hong Kong day; Stats. Only the writer
decides what a disk error means: it names the cause, waits, and tries again without limit. A batch is kept until it is
committed or rejected, so no row is lost while the process runs. Today's rows are written first. Rows of other days wait
for their turn, and rows of a day whose file cannot be written wait for that file. Both wait in WaitingDays, so that no
day waits for another day's file.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.collect.buffer.chunk import Part
from hk_tick_collector.collect.options import GATHER_SHARE
from hk_tick_collector.errors import SealedDayError, StoreError
from hk_tick_collector.store.dayfile import Batch
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose

from .account import Account
from .backup_wait import POLL_S, CopyWait
from .committer import Committer, Orders
from .open_days import OpenDays
from .thread_handover import Handover, popped
from .trouble import LONGEST_BACKOFF_S, Trouble
from .turns import Turns
from .waiting_days import WaitingDays

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.buffer.chunk import Chunk
    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.collect.opend_state import ExchangeClock
    from hk_tick_collector.collect.options import WriterOptions
    from hk_tick_collector.model import Gap
    from hk_tick_collector.stats import Stats

    from .thread_handover import Beside, Commit

_IDLE_S: Final = 1.0  # the longest sleep of the thread, so also the interval of its heartbeat
_HELD_IDLE_S: Final = 0.1  # the same while a day's file is tried again, because the first retries come soon
_GRACE_S: Final = 1.0  # part of the stop time reserved for the thread to end after an interrupt
_UPKEEP_EVERY_S: Final = 5.0  # also while ticks keep arriving
# The part of MAX_WAIT_MS for which ticks wait for further ticks, with short commits and with long commits.
_LINGER_MOST: Final = 0.95 - GATHER_SHARE
_LINGER_LEAST: Final = 0.5


class Writer:
    """Commits the rows of the queue in its own thread. Other threads create, start and stop it.

    `on_fresh` is called on the writer thread with a day whose damaged file was replaced by a new one. `held` has the
    rows that wait for their day's file; a writer that replaces another one gets the same object. Set `open_day` to the
    day whose file must exist, and `seal_before` to the day before which finished days may be sealed. The thread handles
    both within seconds.
    """

    def __init__(
        self,
        queue: TickQueue,
        stats: Stats,
        options: WriterOptions,
        clock: ExchangeClock,
        on_fresh: Callable[[int], None] = lambda _: None,
        held: WaitingDays | None = None,
    ) -> None:
        self.open_day: int | None = None
        self.seal_before: int | None = None
        self._queue = queue
        self._options = options
        self._now_ms = now_ms = clock.now_ms
        self._days = OpenDays(options, stats, clock, on_fresh)
        self._held = held if held is not None else WaitingDays(queue, stats, options.data_root, None)
        self._more_to_seal = False
        copied_to = options.data_root, options.snapshot_dir
        self._copy_hold = CopyWait(queue, stats, copied_to, self._days.__contains__, now_ms)
        self._handover = Handover()
        self._orders = Orders()
        self._trouble = Trouble(queue, stats, options.data_root, now_ms)
        account = Account(stats, self._handover, options.data_root, now_ms)
        self._committer = Committer(queue, self._days, self._held, self._trouble, account, self._orders, now_ms)
        self._turns = Turns(queue, self._days, self._held, self._committer, self._orders, options.batch_rows)
        self._upkeep_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def prepare(self, day: int) -> None:
        """Opens the file of a day before the thread starts, so that a start with an unusable directory fails at once.

        If only this day's file cannot be written, the ticks of the day are held and the start continues. Raises
        StoreError or a subclass if the directory cannot be used or the day is sealed.
        """
        try:
            self._days.file(day)
        except SealedDayError:
            raise
        except DISK_ERRORS as error:
            if self._days.is_alone(day, error, 1):
                self._held.fail(day, error)
                return
            if isinstance(error, StoreError):
                raise
            cause, _ = diagnose(error)
            if cause == "busy":
                return  # a lock is temporary: the thread waits for it and logs that
            raise StoreError(f"cannot write {market.day_name(day)}.db ({cause}): {error}") from error

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, deadline_s: float) -> int:
        """Commits the rows of the queue, closes the files and ends the thread. Returns the number of uncommitted rows.

        Returns at `deadline_s` (monotonic) at the latest, also when the disk hangs.
        """
        self._orders.closing.set()
        self._held.hurry()
        self._queue.close()
        rest_s = max(0.0, deadline_s - time.monotonic())
        self._thread.join(rest_s - min(_GRACE_S, rest_s / 4))
        if self._thread.is_alive():
            self._orders.give_up.set()
            self.interrupt()
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        return self._queue.rows

    def interrupt(self) -> None:
        """Interrupts the SQLite call that may block the thread. The thread then opens the file again and retries."""
        self._days.interrupt()

    def reopen(self) -> None:
        """Interrupts the thread and makes it open every file again before it continues."""
        self._orders.reopen.set()
        self.interrupt()

    def retire(self) -> None:
        """Another writer replaces this one: when this thread continues, it must not start another commit."""
        self._orders.give_up.set()
        self.interrupt()

    @property
    def native_id(self) -> int | None:
        """The kernel's id of the thread."""
        return self._thread.native_id

    def pop_commits(self) -> list[Commit]:
        """The commits since the last call."""
        return popped(self._handover.commits)

    def pop_gap_events(self) -> list[Gap]:
        """The gaps that opened or closed since the last call, as committed."""
        return popped(self._handover.gap_events)

    def take_over(self, retired: Writer) -> None:
        """Uses the handover of a retired writer, so that none of its content is lost. Call it before `start`.

        The retired thread may still complete its last commit.
        """
        self._handover.share(retired._handover)

    def keep_facts(self, day: int, facts: Batch) -> None:
        """Lets the thread store what is beside the ticks in a file of a day, between batches: `Batch` without rows."""
        self._handover.facts.append((day, facts))

    def keep_beside(self, beside: Beside) -> None:
        """Lets the thread store rows of the predecessor that are not ticks, and call their `on_commit` afterwards."""
        self._handover.beside.append(beside)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._orders.give_up.is_set():
                if self._waits_for_copy():
                    continue
                chunks = self._take()
                self._queue.storing.writer_alive_ms = self._now_ms()
                if chunks:
                    self._turns.store(chunks)
                moved = self._turns.store_held() or self._store_beside()
                self._held.call_when_safe()
                if not chunks and not moved and self._may_end():
                    self._store_facts()
                    break
                if not (chunks or moved) or time.monotonic() >= self._upkeep_at_s:
                    self._upkeep_at_s = time.monotonic() + _UPKEEP_EVERY_S
                    self._upkeep()
        except Exception:  # noqa: BLE001 - the thread's boundary: the service detects that it has ended, and exits
            log.bug("writer_failed")
        finally:
            self._copy_hold.close()
            self._days.close_all(self._orders.give_up.is_set)

    def _may_end(self) -> bool:
        """Whether a stop was requested and no row is left that can be stored now."""
        return self._orders.closing.is_set() and self._queue.rows == self._queue.held_rows and self._held.all_bad

    def _waits_for_copy(self) -> bool:
        """Whether commits must wait now because a copy of the day file would start over. A stop has priority."""
        if self._orders.closing.is_set():
            self._copy_hold.close()
            return False
        if not self._copy_hold.lasts():
            return False
        self._queue.storing.writer_alive_ms = self._now_ms()
        self._orders.closing.wait(POLL_S)
        return True

    def _take(self) -> list[Chunk]:
        # Waits as long as MAX_WAIT_MS allows, minus twice the time of the last commit: fewer commits need less time
        # and write fewer bytes.
        promised_s = self._options.max_wait_ms / 1000
        linger_s, idle_s = (
            max(promised_s * _LINGER_LEAST, promised_s * _LINGER_MOST - 2 * self._committer.took_s),
            _IDLE_S,
        )
        if not self._held.all_bad:
            linger_s = idle_s = 0.0  # rows of another day are next
        elif self._more_to_seal:
            idle_s = 0.0
        elif self._held.days():
            idle_s = _HELD_IDLE_S
        try:
            return self._queue.take(self._options.batch_rows, linger_s, idle_s)
        except OSError as error:  # the spool cannot be read now; its rows stay there
            self._committer.note_trouble(market.day_number(self._now_ms()), error, 1)
            self._orders.give_up.wait(LONGEST_BACKOFF_S)
            return []

    def _upkeep(self) -> None:
        """Does the work that is not for ticks: today's file, facts beside the ticks, other days, sealing."""
        for gone in self._days.close_gone():
            self._begin_day(gone)
        if self.open_day is not None:
            day, self.open_day = self.open_day, None
            if not self._begin_day(day):
                self.open_day = day
        self._store_facts()
        self._days.close_idle()
        if self.seal_before is not None and not self._queue.spooled_rows:
            self._more_to_seal = self._days.sealing.before(self.seal_before, self._held.days())

    def _begin_day(self, day: int) -> bool:
        """Opens the file of a day if it is not open. Returns False when that must be tried again."""
        if day in self._days or self._held.is_bad(day):
            return True
        try:
            self._days.file(day)
        except SealedDayError:
            pass  # the day is over
        except DISK_ERRORS as error:
            if self._days.is_alone(day, error, 1):
                self._held.fail(day, error)
                return True
            self._committer.note_trouble(day, error, 1)
            return False
        else:
            self._trouble.over()
        return True

    def _store_facts(self) -> None:
        for _ in range(len(self._handover.facts)):
            day, facts = self._handover.facts.popleft()
            if not self._held.is_bad(day):
                self._committer.commit(day, Part.of([]), more=facts)
            if self._held.is_bad(day):
                self._handover.facts.append((day, facts))  # tried again when its file can be written

    def _store_beside(self) -> bool:
        """Stores one batch of the predecessor's rows that are not ticks. Returns whether one was stored."""
        waiting = self._handover.beside
        if not waiting or self._held.is_bad(waiting[0].day):
            return False
        beside = waiting.popleft()
        more = Batch(beside=beside.rows, meta=beside.meta)
        stored = self._committer.commit(beside.day, Part.of([]), more=more) and not self._held.is_bad(beside.day)
        if stored:
            beside.on_commit()
        else:
            waiting.appendleft(beside)
        return stored

"""The writer: the one thread that commits what the queue holds to day files.

Enters: chunks from the queue. Leaves: committed rows, each in the file of its own Hong Kong day; Stats. It alone
decides what an error of the disk means: wait and try again, the cause named, for as long as it takes. A batch is in its
hands until it is committed or refused for good, so nothing is lost while the process lives. Today's rows go first. What
belongs to other days waits for its turn, and what belongs to a day whose file cannot be written waits for that file,
both in HeldDays: no day waits for another's file.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final, TypeVar

from hk_tick_collector import log, market
from hk_tick_collector.collect.buffer.chunk import Part
from hk_tick_collector.collect.buffer.rejections import Refused, Rejections, Tally
from hk_tick_collector.collect.options import GATHER_SHARE
from hk_tick_collector.errors import SealedDayError, StoreError
from hk_tick_collector.model import PUSH_BACKFILL, Tick
from hk_tick_collector.store.blocking import day_holder
from hk_tick_collector.store.dayfile import Batch, Written
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose, in_words
from hk_tick_collector.store.query import DayReader, path_of

from .copy_wait import POLL_S, CopyWait
from .open_days import OpenDays
from .waiting_days import WaitingDays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hk_tick_collector.collect.buffer.chunk import Chunk
    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.collect.options import WriterOptions
    from hk_tick_collector.model import Gap, Reconciled, RuleChange, Stats, TickRow
    from hk_tick_collector.store.beside import BesideRow
    from hk_tick_collector.store.dayfile import DayFile

_IDLE_S: Final = 1.0  # how long the thread sleeps at most: its heartbeat
_HELD_IDLE_S: Final = 0.1  # while a day's file is tried again: its first retries come soon
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_GRACE_S: Final = 1.0  # of the time for a stop, to end after an interrupt
_TEND_EVERY_S: Final = 5.0  # also while ticks keep coming
# Of MAX_WAIT_MS: so long ticks wait for company where commits are short, and where they are long.
_LINGER_MOST: Final = 0.95 - GATHER_SHARE
_LINGER_LEAST: Final = 0.5
_IN_MEMORY_S: Final = 1.0  # ticks that wait longer for a lock are spooled
_LOG_EVERY_S: Final = 10.0  # a fault that repeats is logged so often, with a count

_SYMBOL = itemgetter(0)
_TS_MS = itemgetter(2)
_RECV_TS_MS = itemgetter(9)
_ROWS = attrgetter("rows")
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


class Writer:
    """Commits what the queue holds. Made and stopped by the service; everything else happens on its own thread.

    `now_ms` is the wall clock in UTC epoch ms. `on_fresh` is called, on the thread, with a day whose damaged file was
    set aside for a fresh one. `held` are the rows that wait for their day's file, which outlive a writer that is
    replaced. Set `open_day` to the day whose file must exist, `seal_before` to the day before which finished days may
    be sealed: the thread sees to both within seconds.
    """

    def __init__(
        self,
        queue: TickQueue,
        stats: Stats,
        options: WriterOptions,
        now_ms: Callable[[], int],
        on_fresh: Callable[[int], None] = lambda _: None,
        held: WaitingDays | None = None,
    ) -> None:
        self.open_day: int | None = None
        self.seal_before: int | None = None
        self._queue = queue
        self._stats = stats
        self._options = options
        self._now_ms = now_ms
        self._on_fresh = on_fresh
        self._days = OpenDays(options, stats, now_ms, on_fresh)
        self._held = held if held is not None else WaitingDays(queue, stats, options.data_root, None)
        self._more_to_seal = False
        copied_to = options.data_root, options.snapshot_dir
        self._copy_hold = CopyWait(queue, stats, *copied_to, self._days.__contains__, now_ms)
        self._unfiled = Batch()  # links and counts that wait for a file to be written to
        self._took_s = 0.0  # how long the last commit of ticks took
        # Three that pass from one thread to another: one appends, the other pops from the left, each in one step.
        self._commits: deque[Commit] = deque()
        self._gap_events: deque[Gap] = deque()  # gaps that opened or closed with a commit
        self._reconciled: deque[tuple[int, list[Reconciled]]] = deque()
        self._reconciling: list[Reconciled] = []  # rows of it for the commit that is under way
        self._beside: deque[Beside] = deque()  # the same of the predecessor's rows that are no ticks
        self._keeping: Beside | None = None
        self._attempted: dict[int, Written] = {}  # by day: what its last transaction did, also when its commit raised
        self._rejections = Rejections(time.monotonic)
        self._refused = Refused()
        self._conflicts, self._unnumbered = Tally(), Tally()  # ticks under whose key another one is stored
        self._tend_at_s = 0.0
        self._held_back = log.Repeated(_LOG_EVERY_S)
        self._closing = threading.Event()
        self._give_up = threading.Event()
        self._reopen = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def prepare(self, day: int) -> None:
        """Opens the file of a day before the thread starts, so that a start fails at once where it must.

        Where only this day's file is at fault the ticks of the day are held, and the start goes on. Raises StoreError,
        or a subclass, for a directory that cannot be used and for a day that is sealed.
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
                return  # a lock passes: the thread waits for it, and says so
            raise StoreError(f"cannot write {market.day_name(day)}.db ({cause}): {error}") from error

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, deadline_s: float) -> int:
        """Commits what the queue holds, closes the files and ends the thread; returns the rows left uncommitted.

        Returns at `deadline_s`, of the monotonic clock, at the latest, also when the disk does not answer.
        """
        self._closing.set()
        self._held.hurry()
        self._queue.close()
        rest_s = max(0.0, deadline_s - time.monotonic())
        self._thread.join(rest_s - min(_GRACE_S, rest_s / 4))
        if self._thread.is_alive():
            self._give_up.set()
            self.interrupt()
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        return self._queue.rows

    def interrupt(self) -> None:
        """Ends the SQLite call that the thread may be stuck in; it opens the file anew and tries again."""
        self._days.interrupt()

    def reopen(self) -> None:
        """Makes the thread open every file anew before it goes on, after an interrupt."""
        self._reopen.set()
        self.interrupt()

    def retire(self) -> None:
        """Another writer takes over: this thread must not begin another commit, whenever it wakes up."""
        self._give_up.set()
        self.interrupt()

    @property
    def native_id(self) -> int | None:
        """The kernel's number of the thread."""
        return self._thread.native_id

    def pop_commits(self) -> list[Commit]:
        """The commits since the last call."""
        return _popped(self._commits)

    def pop_gap_events(self) -> list[Gap]:
        """The gaps that opened or closed since the last call, as committed."""
        return _popped(self._gap_events)

    def take_over(self, retired: Writer) -> None:
        """Shares with a retired writer what passes between its thread and the event loop: nothing of it is lost.

        To be called before `start`; the retired thread may still end its last commit.
        """
        self._commits, self._gap_events, self._reconciled = retired._commits, retired._gap_events, retired._reconciled
        self._beside = retired._beside

    def reconcile(self, day: int, rows: list[Reconciled]) -> None:
        """Has these rows stored in a day's file, once no tick waits."""
        self._reconciled.append((day, rows))

    def keep_beside(self, beside: Beside) -> None:
        """Has rows of the predecessor stored beside the ticks of a day, and its `on_commit` called then."""
        self._beside.append(beside)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._give_up.is_set():
                if self._waits_for_copy():
                    continue
                chunks = self._take()
                self._stats.writer_alive_ms = self._now_ms()
                if chunks:
                    self._store(chunks)
                moved = self._store_held() or self._store_beside()
                self._held.tell_safe()
                if not chunks and not moved and self._may_end():
                    break
                if not (chunks or moved) or time.monotonic() >= self._tend_at_s:
                    self._tend_at_s = time.monotonic() + _TEND_EVERY_S
                    self._tend()
        except Exception:  # noqa: BLE001 - the thread's boundary: the service sees it dead and ends the process
            log.bug("writer_failed")
        finally:
            self._copy_hold.close()
            self._days.close_all(self._give_up.is_set)

    def _may_end(self) -> bool:
        """Whether a stop was asked for, and nothing is left that could be stored now."""
        return self._closing.is_set() and self._queue.rows == self._queue.held_rows and self._held.all_bad

    def _waits_for_copy(self) -> bool:
        """Whether nothing may be committed now, because a copy of the day would start over; a stop has precedence."""
        if self._closing.is_set():
            self._copy_hold.close()
            return False
        if not self._copy_hold.lasts():
            return False
        self._stats.writer_alive_ms = self._now_ms()
        self._closing.wait(POLL_S)
        return True

    def _take(self) -> list[Chunk]:
        # As long as the promise allows, with twice what the last commit took in reserve: fewer commits are less work
        # and fewer bytes written.
        promised_s = self._options.max_wait_ms / 1000
        linger_s, idle_s = max(promised_s * _LINGER_LEAST, promised_s * _LINGER_MOST - 2 * self._took_s), _IDLE_S
        if not self._held.all_bad:
            linger_s = idle_s = 0.0  # the rows of another day have their turn next
        elif self._more_to_seal:
            idle_s = 0.0
        elif self._held.days():
            idle_s = _HELD_IDLE_S
        try:
            return self._queue.take(self._options.batch_rows, linger_s, idle_s)
        except OSError as error:  # the spool cannot be read now; what is in it stays there
            self._note_trouble(market.day_number(self._now_ms()), error, 1)
            self._give_up.wait(_BACKOFF_S[-1])
            return []

    def _store(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            self._unfiled.rejected += chunk.rejected
            self._unfiled.dropped += chunk.dropped
            self._unfiled.links.extend(chunk.links)
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
        if not self._store_unfiled() or self._give_up.is_set():
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
            if not self._store_held(day):
                return False  # what is in front of them
        if self._held.must_wait(day) and self._held.hold(day, part, on_disk=on_disk):
            return True
        return self._commit(day, part, on_disk=on_disk)

    def _store_unfiled(self) -> bool:
        """Stores links and counts that no rows took along, in today's file; they wait for it when it is held."""
        home = self._days.home()
        waits = self._held.is_bad(self._days.current()) or (home is not None and self._held.is_bad(home))
        if home is None or waits or not self._has_unfiled():
            return True
        return self._commit(home, Part.of([]))

    def _store_held(self, day: int | None = None) -> bool:
        """One commit for a day that waits for its turn or for its file, when one is due; whether there was one."""
        day = self._held.next_day(self._days.current()) if day is None else day
        if day is None or self._give_up.is_set():
            return False
        try:
            part = self._held.first(day, self._options.batch_rows, is_today=day == self._days.current())
        except OSError as error:  # its spool cannot be read now
            self._held.fail(day, error)
            return True
        if self._commit(day, part, was_held=True) and not self._held.is_bad(day):
            self._store_unfiled()
        return True

    def _has_unfiled(self) -> bool:
        held = self._unfiled
        return bool(held.links or held.rejected or held.duplicate or held.dropped)

    def _commit(self, day: int, part: Part, *, on_disk: bool = False, was_held: bool = False) -> bool:
        """Stores what belongs to one day, however often that must be tried; False when the service gives up instead.

        Where the day's own file is at fault it is held, and other days go on: that is no failure.
        """
        attempt = 0
        while not self._give_up.is_set():
            started_s = time.monotonic()
            if self._reopen.is_set():
                self._reopen.clear()
                self._days.abandon(day)
            try:
                file = self._days.file(day)
                is_home = day == self._days.home()
                batch = self._unfiled if is_home else Batch()
                waiting = self._queue.waiting_rows - was_held * len(part.rows) if is_home else 0
                batch = replace(batch, **part._asdict(), reconciled=self._reconciling, waiting=waiting)
                if self._keeping is not None:
                    batch.beside, batch.meta = self._keeping.rows, self._keeping.meta
                written = self._write(day, file, batch)
            except SealedDayError:
                self._refuse(day, part.rows)
                self._note_held(day, part.rows, was_held=was_held)
                return True
            except DISK_ERRORS as error:
                attempt += 1
                is_alone = self._days.is_alone(day, error, attempt)
                if is_alone and self._hold(day, part, error, on_disk=on_disk, was_held=was_held):
                    return True
                self._note_trouble(day, error, attempt)
                if self._stats.writer_trouble == "busy":
                    self._queue.wait_safely(_IN_MEMORY_S)  # somebody else's lock may last: on disk it costs no tick
                self._give_up.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S)) - 1])
            else:
                if is_home:
                    self._unfiled = Batch()
                self._note_held(day, part.rows, was_held=was_held)
                self._note_success(day, part.rows, written, started_s)
                return True
        return False

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
        if self._stats.writer_day == market.day_name(day):
            self._forget_trouble()
        return True

    def _note_held(self, day: int, rows: list[TickRow], *, was_held: bool) -> None:
        """Rows that were held are committed, or refused for good."""
        if was_held and not self._give_up.is_set() and self._held.done(day, len(rows)):
            self._on_fresh(day)

    def _refuse(self, day: int, rows: list[TickRow]) -> None:
        """Ticks of a finished day: those it has are duplicates, the others are rejected."""
        name = market.day_name(day)
        try:
            with DayReader(path_of(self._options.data_root, name)) as reader:
                late, conflicts = reader.compare(rows)
        except DISK_ERRORS:
            late, conflicts = rows, []
        duplicate = len(rows) - len(late) - len(conflicts)
        backfilled = [row for row in late if row[8] == PUSH_BACKFILL]
        pushed = [row for row in late if row[8] != PUSH_BACKFILL] if backfilled else late
        self._reject("sealed_day", name, pushed)
        # OpenD's latest ticks of a quiet symbol reach back to days that are over: nobody missed them.
        if backfilled:
            self._rejections.count("sealed_day_backfill", map(_SYMBOL, backfilled))
        self._note_conflicts(name, conflicts)
        self._unfiled.rejected += len(late) + len(conflicts)
        self._unfiled.duplicate += duplicate
        self._stats.sealed_day += len(pushed)
        self._stats.sealed_day_backfill += len(backfilled)
        self._stats.duplicate += duplicate

    def _note_conflicts(self, day: str, rows: Sequence[TickRow]) -> None:
        """Ticks under whose key another one is stored: that was first and stays, these are rejected."""
        stats = self._stats
        news = self._refused.rows(rows)
        stats.rejected_again += len(rows) - len(news)
        rows = news
        if not rows:
            return
        unnumbered = [row for row in rows if row[1] == 0]
        numbered = [row for row in rows if row[1] != 0] if unnumbered else rows
        if numbered:
            self._reject("conflict", day, numbered)
            self._conflicts.add(map(_SYMBOL, numbered))
            stats.conflicts += len(numbered)
            stats.conflicts_symbols = self._conflicts.symbols
            stats.conflicts_most, stats.conflicts_most_ticks = self._conflicts.most()
        if unnumbered:
            self._reject("no_sequence", day, unnumbered)
            self._unnumbered.add(map(_SYMBOL, unnumbered))
            stats.no_sequence += len(unnumbered)
            stats.no_sequence_symbols = self._unnumbered.symbols
            stats.no_sequence_most, stats.no_sequence_most_ticks = self._unnumbered.most()

    def _reject(self, cause: str, day: str, rows: Sequence[TickRow]) -> None:
        """Tells of rejected ticks: the first of a cause whole, the others as a count."""
        whole = self._rejections.whole(cause, len(rows))
        for row in rows[:whole]:
            log.warning("tick_rejected", cause=cause, day=day, **Tick(*row)._asdict())
        if rows[whole:]:
            self._rejections.count(cause, map(_SYMBOL, rows[whole:]))

    def _note_success(self, day: int, rows: list[TickRow], written: Written, started_s: float) -> None:
        stats, now_ms = self._stats, self._now_ms()
        stats.stored += written.stored
        stats.duplicate += written.duplicate
        stats.commits += 1
        stats.last_commit_ms = stats.writer_alive_ms = now_ms
        self._days.touch(day)
        if rows:
            self._took_s = time.monotonic() - started_s
            commit = Commit(len(rows), self._took_s * 1000, now_ms - min(map(_RECV_TS_MS, rows)))
            self._commits.append(commit)
            stats.commit_times.add(commit.write_ms)
            stats.row_ages.add(commit.age_ms)
        self._gap_events.extend(written.gaps)
        for what in written.mended:
            log.warning("day_schema_mended", day=market.day_name(day), what=what)
        self._note_conflicts(market.day_name(day), written.conflicts)
        self._rejections.tell()
        self._note_recovery()

    def _note_recovery(self) -> None:
        stats = self._stats
        if stats.writer_trouble:
            log.info("writer_recovered", cause=stats.writer_trouble, waiting_rows=self._queue.rows)
            self._forget_trouble()

    def _forget_trouble(self) -> None:
        stats = self._stats
        stats.writer_trouble = stats.writer_detail = stats.writer_day = ""
        stats.writer_trouble_since_ms = stats.writer_holder_pid = None
        stats.writer_holder = ""

    def _note_trouble(self, day: int, error: Exception, attempt: int) -> None:
        cause, reopen = diagnose(error)
        if reopen:
            self._days.abandon(day)
        stats = self._stats
        stats.writer_alive_ms = self._now_ms()
        if stats.writer_trouble != cause:
            stats.writer_trouble_since_ms = self._now_ms()
            self._held_back = log.Repeated(_LOG_EVERY_S)
        stats.writer_trouble, stats.writer_detail, stats.writer_day = cause, in_words(error), market.day_name(day)
        held_back = self._held_back.allow(time.monotonic())
        if cause != "busy" or held_back is not None:
            self._note_holder(day, is_locked=cause == "busy")
        if held_back is not None:
            wait_ms = _BACKOFF_S[min(attempt, len(_BACKOFF_S)) - 1] * 1000
            say = log.warning if cause == "busy" else log.error
            say(
                "sqlite_busy_backoff" if cause == "busy" else "persist_failed",
                cause=cause,
                day=market.day_name(day),
                attempt=attempt,
                wait_ms=wait_ms,
                repeats=held_back,
                queue_rows=self._queue.rows,
                detail=in_words(error),
                **({"holder": stats.writer_holder} if stats.writer_holder else {}),
            )

    def _note_holder(self, day: int, *, is_locked: bool) -> None:
        """Who holds the lock that the writer waits for, where the kernel tells it."""
        holder = day_holder(path_of(self._options.data_root, market.day_name(day))) if is_locked else None
        self._stats.writer_holder_pid = holder.pid if holder else None
        self._stats.writer_holder = holder.words() if holder else ""

    def _tend(self) -> None:
        """What is due beside the ticks: today's file, a reconciliation, files of other days, sealing."""
        for gone in self._days.take_gone():
            self._begin_day(gone)
        if self.open_day is not None:
            day, self.open_day = self.open_day, None
            if not self._begin_day(day):
                self.open_day = day
        self._store_reconciled()
        self._days.close_idle()
        if self.seal_before is not None and not self._queue.spooled_rows:
            self._more_to_seal = self._days.seal_before(self.seal_before, self._held.days())

    def _begin_day(self, day: int) -> bool:
        """Makes sure that the file of a day is open; False when that must be tried again."""
        if day in self._days or self._held.is_bad(day):
            return True
        try:
            self._days.file(day)
        except SealedDayError:
            log.warning("day_sealed_early", day=market.day_name(day))
        except DISK_ERRORS as error:
            if self._days.is_alone(day, error, 1):
                self._held.fail(day, error)
                return True
            self._note_trouble(day, error, 1)
            return False
        else:
            self._note_recovery()
        return True

    def _store_reconciled(self) -> None:
        for _ in range(len(self._reconciled)):
            day, rows = self._reconciled.popleft()
            if not self._held.is_bad(day):
                self._reconciling = rows
                self._commit(day, Part.of([]))
                self._reconciling = []
            if self._held.is_bad(day):
                self._reconciled.append((day, rows))  # once its file can be written

    def _store_beside(self) -> bool:
        """Stores one lot of rows beside the ticks of their day; whether there was one that could be."""
        if not self._beside or self._held.is_bad(self._beside[0].day):
            return False
        self._keeping = beside = self._beside.popleft()
        try:
            stored = self._commit(beside.day, Part.of([])) and not self._held.is_bad(beside.day)
        finally:
            self._keeping = None
        if stored:
            beside.on_commit()
        else:
            self._beside.appendleft(beside)
        return stored


def _popped(events: deque[_Event]) -> list[_Event]:
    """What is in there now, taken out one by one; the other thread may go on appending."""
    return [events.popleft() for _ in range(len(events))]


def _by_day(rows: list[TickRow]) -> dict[int, list[TickRow]]:
    """Rows by the Hong Kong day of their own time; nearly always that is one day, told by two figures."""
    if not rows:
        return {}
    first, last = market.day_number(min(map(_TS_MS, rows))), market.day_number(max(map(_TS_MS, rows)))
    if first == last:
        return {first: rows}
    days: dict[int, list[TickRow]] = {}
    for row in rows:
        days.setdefault(market.day_number(row[2]), []).append(row)
    return days

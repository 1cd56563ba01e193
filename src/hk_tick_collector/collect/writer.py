"""The writer: the one thread that commits what the queue holds to day files.

Enters: chunks from the queue. Leaves: committed rows, each in the file of its own Hong Kong day; Stats. It alone
decides what an error of the disk means: wait and try again, the cause named, for as long as it takes. A batch is in its
hands until it is committed or refused for good, so nothing is lost while the process lives.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.errors import SealedDayError, StoreError
from hk_tick_collector.model import GAP_OPEN, Tick
from hk_tick_collector.store.dayfile import Batch, Written
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose
from hk_tick_collector.store.query import DayReader, path_of

from .commithold import POLL_S, CommitHold
from .days import OpenDays
from .options import GATHER_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import Gap, Reconciled, Stats, TickRow
    from hk_tick_collector.store.dayfile import DayFile

    from .chunk import Chunk
    from .options import WriterOptions
    from .queue import TickQueue

_IDLE_S: Final = 1.0  # how long the thread sleeps at most: its heartbeat
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_GRACE_S: Final = 1.0  # of the time for a stop, to end after an interrupt
_TEND_EVERY_S: Final = 5.0  # also while ticks keep coming
# Of MAX_WAIT_MS: so long ticks wait for company where commits are short, and where they are long.
_LINGER_MOST: Final = 0.95 - GATHER_SHARE
_LINGER_LEAST: Final = 0.5
_LOG_EVERY_S: Final = 10.0  # a fault that repeats is logged so often, with a count

_TS_MS = itemgetter(2)
_RECV_TS_MS = itemgetter(9)
_ROWS = attrgetter("rows")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, for the summaries."""

    rows: int
    write_ms: float  # from BEGIN to the return of COMMIT
    age_ms: int  # from the socket to the commit, of the batch's oldest row


class Writer:
    """Commits what the queue holds. Made and stopped by the service; everything else happens on its own thread.

    `now_ms` is the wall clock in UTC epoch ms. `on_fresh` is called, on the thread, with a day whose damaged file was
    set aside for a fresh one. Set `open_day` to the day whose file must exist, `seal_before` to the day before which
    finished days may be sealed: the thread sees to both within seconds.
    """

    def __init__(
        self,
        queue: TickQueue,
        stats: Stats,
        options: WriterOptions,
        now_ms: Callable[[], int],
        on_fresh: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.open_day: int | None = None
        self.seal_before: int | None = None
        self._queue = queue
        self._stats = stats
        self._options = options
        self._now_ms = now_ms
        self._days = OpenDays(options, stats, now_ms, on_fresh)
        copied_to = options.data_root, options.snapshot_dir
        self._hold = CommitHold(queue, stats, *copied_to, self._days.__contains__, now_ms)
        self._unfiled = Batch()  # links and counts that wait for a file to be written to
        self._took_s = 0.0  # how long the last commit of ticks took
        self._commits: list[Commit] = []
        self._gap_events: list[Gap] = []  # gaps that opened or closed with a commit
        self._reconciled: tuple[int, list[Reconciled]] | None = None
        self._tend_at_s = 0.0
        self._held_back = log.Repeated(_LOG_EVERY_S)
        self._closing = threading.Event()
        self._give_up = threading.Event()
        self._reopen = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def prepare(self, day: int) -> None:
        """Opens the file of a day before the thread starts, so that a start fails at once where it must.

        Raises StoreError, or a subclass, for a file or a directory that cannot be used.
        """
        try:
            self._days.file(day)
        except StoreError:
            raise
        except DISK_ERRORS as error:
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
        commits, self._commits = self._commits, []
        return commits

    def pop_gap_events(self) -> list[Gap]:
        """The gaps that opened or closed since the last call, as committed."""
        events, self._gap_events = self._gap_events, []
        return events

    def reconcile(self, day: int, rows: list[Reconciled]) -> None:
        """Has these rows stored in a day's file, once no tick waits."""
        self._reconciled = day, rows

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
                elif self._closing.is_set() and not self._queue.rows:
                    break
                if not chunks or time.monotonic() >= self._tend_at_s:
                    self._tend_at_s = time.monotonic() + _TEND_EVERY_S
                    self._tend()
        except Exception:  # noqa: BLE001 - the thread's boundary: the service sees it dead and ends the process
            log.bug("writer_failed")
        finally:
            self._hold.close()
            self._days.close_all()

    def _waits_for_copy(self) -> bool:
        """Whether nothing may be committed now, because a copy of the day would start over; a stop has precedence."""
        if self._closing.is_set():
            self._hold.close()
            return False
        if not self._hold.lasts():
            return False
        self._stats.writer_alive_ms = self._now_ms()
        self._closing.wait(POLL_S)
        return True

    def _take(self) -> list[Chunk]:
        # As long as the promise allows, with twice what the last commit took in reserve: fewer commits are less work
        # and fewer bytes written.
        promised_s = self._options.max_wait_ms / 1000
        linger_s = max(promised_s * _LINGER_LEAST, promised_s * _LINGER_MOST - 2 * self._took_s)
        try:
            return self._queue.take(self._options.batch_rows, linger_s, _IDLE_S)
        except OSError as error:  # the spool cannot be read now; what is in it stays there
            self._note_trouble(market.day_number(self._now_ms()), error, 1)
            self._give_up.wait(_BACKOFF_S[-1])
            return []

    def _store(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            self._unfiled.rejected += len(chunk.rejected)
            self._unfiled.dropped += chunk.dropped
            self._unfiled.links.extend(chunk.links)
        rows = _by_day(list(chain.from_iterable(map(_ROWS, chunks))))
        gaps: dict[int, list[Gap]] = {}
        for chunk in chunks:
            for change in chunk.gaps:
                gaps.setdefault(change.day, []).append(change.gap)
        for day in sorted(rows.keys() | gaps.keys()):
            if not self._commit(day, rows.get(day, []), gaps.get(day, [])):
                return
        newest = self._days.newest()
        if newest is not None and self._has_unfiled() and not self._commit(newest, [], []):
            return
        self._queue.done(chunks)

    def _has_unfiled(self) -> bool:
        held = self._unfiled
        return bool(held.links or held.rejected or held.duplicate or held.dropped)

    def _commit(self, day: int, rows: list[TickRow], gaps: list[Gap]) -> bool:
        """Stores rows of one day, however often that must be tried; False when the service gives up instead."""
        attempt = 0
        while not self._give_up.is_set():
            started_s = time.monotonic()
            if self._reopen.is_set():
                self._reopen.clear()
                self._days.abandon(day)
            try:
                file = self._days.file(day)
                known_gaps = dict(file.open_gaps) if gaps else {}
                batch = replace(self._unfiled, rows=rows, gaps=gaps, waiting=self._queue.waiting_rows)
                written = self._write(day, file, batch)
            except SealedDayError:
                self._refuse(day, rows)
                return True
            except DISK_ERRORS as error:
                attempt += 1
                self._note_trouble(day, error, attempt)
                self._give_up.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S)) - 1])
            else:
                self._unfiled = Batch()
                self._note_success(day, rows, written, started_s)
                last = {gap.id: gap for gap in gaps}.values()
                self._gap_events += [gap for gap in last if (gap.id in known_gaps) != (gap.status == GAP_OPEN)]
                return True
        return False

    def _write(self, day: int, file: DayFile, batch: Batch) -> Written:
        """One transaction; recognises a commit whose error hid that it had happened."""
        known = self._days.known[day]
        if file.ledger.commits == known.commits + 1:
            written = Written(file.ledger.stored - known.stored, file.ledger.duplicate - known.duplicate)
        else:
            written = file.write(batch, self._now_ms())
        self._days.known[day] = file.ledger
        return written

    def _refuse(self, day: int, rows: list[TickRow]) -> None:
        """Ticks of a finished day: those it has are duplicates, the others are rejected and logged whole."""
        name = market.day_name(day)
        try:
            with DayReader(path_of(self._options.data_root, name)) as reader:
                late = reader.not_stored(rows)
        except DISK_ERRORS:
            late = rows
        for row in late:
            log.warning("tick_rejected", cause="sealed_day", day=name, **Tick(*row)._asdict())
        self._unfiled.rejected += len(late)
        self._unfiled.duplicate += len(rows) - len(late)
        self._stats.sealed_day += len(late)
        self._stats.duplicate += len(rows) - len(late)

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
        self._note_recovery()

    def _note_recovery(self) -> None:
        stats = self._stats
        if stats.writer_trouble:
            log.info("writer_recovered", cause=stats.writer_trouble, waiting_rows=self._queue.rows)
            stats.writer_trouble = stats.writer_detail = ""
            stats.writer_trouble_since_ms = None

    def _note_trouble(self, day: int, error: Exception, attempt: int) -> None:
        cause, reopen = diagnose(error)
        if reopen:
            self._days.abandon(day)
        stats = self._stats
        stats.writer_alive_ms = self._now_ms()
        if stats.writer_trouble != cause:
            stats.writer_trouble_since_ms = self._now_ms()
            self._held_back = log.Repeated(_LOG_EVERY_S)
        stats.writer_trouble, stats.writer_detail = cause, str(error)
        held_back = self._held_back.allow(time.monotonic())
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
                detail=error,
            )

    def _tend(self) -> None:
        """What is due beside the ticks: today's file, a reconciliation, files of other days, sealing."""
        for gone in self._days.take_gone():
            self.open_day = gone
        if self.open_day is not None and self.open_day not in self._days:
            day, self.open_day = self.open_day, None
            try:
                self._days.file(day)
            except SealedDayError:
                log.warning("day_sealed_early", day=market.day_name(day))
            except DISK_ERRORS as error:
                self.open_day = day
                self._note_trouble(day, error, 1)
            else:
                self._note_recovery()
        if self._reconciled is not None:
            (day, self._unfiled.reconciled), self._reconciled = self._reconciled, None
            self._commit(day, [], [])
            self._unfiled.reconciled = []
        self._days.close_idle()
        if self.seal_before is not None:
            self._days.seal_before(self.seal_before)


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

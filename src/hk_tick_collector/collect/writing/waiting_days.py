"""Ticks that wait for the file of their day, because it cannot be written or because another day is written first.

Enters: rows and changes of `gaps` of one day. Leaves: the same rows, oldest first, when the day can be written. The
rows of a day that cannot be written are in its own spool, a directory `RUN.YYYYMMDD` beside this run's spool. The next
run replays it like any other spool. Changes of `gaps` wait in memory: after a crash they are computed from the rows
again. Rows that only wait for another day stay in memory and count as rows of the queue.

Only the current writer's thread may call methods here. Any thread may read the counts.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.collect.buffer.chunk import Chunk, Part
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose
from hk_tick_collector.store.query import path_of
from hk_tick_collector.store.spool import Spool

from .held_repeats import HeldRepeats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.model import Gap, RuleChange, TickRow
    from hk_tick_collector.stats import Stats

_LATER_ROWS: Final = 20_000  # most rows of all days that wait in memory only because another day is first
_MEMORY_ROWS: Final = 50_000  # most rows that wait in memory because their day's spool cannot be written
_GAP_CHANGES: Final = 100_000  # most changes of one day; with more, the day is rebuilt from its file instead
_RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
_LOOK_EVERY_S: Final = 1.0  # between checks whether the file at a day's path was changed or replaced
_LOG_EVERY_S: Final = 600.0
_SPOOL_LOG_EVERY_S: Final = 10.0
_HINT: Final = "hk-tick-collector status names the remedy"

_Place = tuple[int, ...] | None  # identity, mode and owner of the file at a path; None if there is no file


@dataclass(slots=True)
class _Held:
    """One day. Its older rows are in the spool, the newer ones in memory."""

    chunk: Chunk = field(default_factory=Chunk)  # the rows in memory; the same object while the day is held
    gaps: dict[int, Gap] = field(default_factory=dict)  # by id: a later change replaces an earlier one
    rules: dict[str, RuleChange] = field(default_factory=dict)  # by symbol
    recount: bool = False  # the day must be rebuilt: changes of `gaps` or rows were lost
    cause: str = ""  # why the file cannot be written; empty if the day only waits for its turn
    detail: str = ""
    since_s: float = 0.0
    failures: int = 0
    retry_at_s: float = 0.0
    first_rows: int = 0  # rows of the failed commit, which may have succeeded: the same rows must be tried again
    place: _Place = None
    began_with: _Place = None  # the file that existed at the first failure
    spool: Spool | None = None
    spooled_rows: int = 0
    ticks: HeldRepeats = field(default_factory=HeldRepeats)
    in_spool: threading.Lock = field(default_factory=threading.Lock)  # a replaced writer may be blocked in it
    log_limit: log.Repeated = field(default_factory=lambda: log.Repeated(_LOG_EVERY_S))

    @property
    def rows(self) -> int:
        return self.spooled_rows + len(self.chunk.rows)

    @property
    def again(self) -> int:
        """How many waiting rows repeat a tick. They are found to be duplicates when they are stored."""
        return min(self.ticks.again, self.rows)


class WaitingDays:
    """The days whose rows wait, by day number.

    `spool_dir` is this run's own; the spools of days are created beside it. None keeps all rows in memory.
    """

    def __init__(self, queue: TickQueue, stats: Stats, data_root: Path, spool_dir: Path | None) -> None:
        self._queue = queue
        self._stats = stats
        self._data_root = data_root
        self._spool_dir = spool_dir
        self._days: dict[int, _Held] = {}
        self._waiting_for: list[Callable[[], None]] = []
        self._look_at_s = 0.0
        self._spool_log_limits: dict[int, log.Repeated] = {}  # by day: a day that could not be held is forgotten
        self.lost_rows = 0  # rows of damaged spools that are in no ledger yet
        queue.held_chunks = self.chunks
        queue.spooled_days = self.spooled_days

    def __contains__(self, day: int) -> bool:
        return day in self._days

    def is_bad(self, day: int) -> bool:
        """Whether the file of a day cannot be written."""
        held = self._days.get(day)
        return held is not None and bool(held.cause)

    def must_wait(self, day: int) -> bool:
        """Whether new rows of a day must wait: rows before them are spooled, or its file cannot be written."""
        held = self._days.get(day)
        return held is not None and bool(held.cause or held.spooled_rows)

    @property
    def all_bad(self) -> bool:
        """Whether no waiting row can be written now, because every waiting day has a file that cannot be written."""
        return all(held.cause for held in self._days.values())

    def has_room(self, rows: int) -> bool:
        """Whether there is space in memory for `rows` more deferred rows."""
        return sum(len(held.chunk.rows) for held in self._days.values()) + rows <= _LATER_ROWS

    def defer(self, day: int, part: Part) -> None:
        """Adds rows of a day that is written later."""
        held = self._days.setdefault(day, _Held())
        held.chunk.rows += part.rows
        held.ticks.add(part.rows)
        self._add_changes(held, part)
        self._count()

    def hold(self, day: int, part: Part, *, on_disk: bool) -> bool:
        """Adds rows of a day whose file cannot be written. Returns False when there is no space for them.

        `on_disk` says that the rows are in another spool, from which the caller will delete them. So they must be
        written to this day's spool and not only be kept in memory.
        """
        held, rows = self._days.setdefault(day, _Held()), part.rows
        self._spool(day, held)
        if rows and not held.chunk.rows and self._append(day, held, rows):
            held.spooled_rows += len(rows)
        elif rows:
            in_memory = sum(len(other.chunk.rows) for other in self._days.values())
            if on_disk or in_memory + len(rows) > _MEMORY_ROWS:
                self._drop_empty(day)
                self._count()
                return False
            held.chunk.rows += rows
        held.ticks.add(rows)
        self._add_changes(held, part)
        self._count()
        return True

    def fail(self, day: int, error: Exception, tried_rows: int = 0) -> None:
        """Records and logs that a commit of `tried_rows` rows to the file of a day failed.

        The day is tried again at increasing intervals, and soon after the file at its path has changed.
        """
        held, path = self._days.setdefault(day, _Held()), self._path(day)
        cause, now_s = diagnose(error)[0], time.monotonic()
        if not held.cause:
            held.since_s, held.began_with = now_s, _place(path)
        held.first_rows = held.first_rows or tried_rows
        held.retry_at_s = now_s + _RETRY_S[min(held.failures, len(_RETRY_S) - 1)]
        held.failures += 1
        held.place = _place(path)
        if cause != held.cause:
            held.log_limit = log.Repeated(_LOG_EVERY_S)
        held.cause, held.detail = cause, str(error)
        held_back = held.log_limit.allow(now_s)
        if held_back is not None:
            name = market.day_name(day)
            log.error(
                "day_held",
                day=name,
                cause=cause,
                rows=held.rows,
                path=path,
                repeats=held_back,
                detail=error,
                hint=_HINT,
            )
        self._count()

    def hurry(self) -> None:
        """Makes every day due now. Any thread may call it."""
        for held in list(self._days.values()):
            held.retry_at_s = 0.0

    def next_day(self, current: int) -> int | None:
        """The day to try now: the current one first, then those without a failure; None if none is due."""
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_EVERY_S
            for day, held in self._days.items():
                if held.cause and _place(self._path(day)) != held.place:
                    held.retry_at_s = 0.0
        due = [day for day, held in self._days.items() if not held.cause or now_s >= held.retry_at_s]
        return min(due, key=lambda day: (day != current, bool(self._days[day].cause)), default=None)

    def first(self, day: int, max_rows: int, *, is_today: bool) -> Part:
        """The oldest rows of a day. The last part also has the changes of `gaps` and rules, if they are valid.

        The changes are not valid any more if the file was read again after they were made. That is possible for a day
        other than today, which must then be rebuilt. Raises OSError when the day's spool cannot be read now.
        """
        held = self._days[day]
        if not is_today and held.since_s and held.gaps:
            held.recount = True
        max_rows = held.first_rows or max_rows
        rows = self._first_spooled(held, max_rows) if held.spooled_rows else []
        rows = rows or held.chunk.rows[:max_rows]
        ends = len(rows) == held.rows and not held.recount
        return Part(rows, list(held.gaps.values()), list(held.rules.values())) if ends else Part.of(rows)

    def done(self, day: int, rows: int) -> bool:
        """So many rows returned by `first` are committed. Returns whether the day must be rebuilt from its file."""
        held = self._days[day]
        if held.spooled_rows and rows:
            if held.spool:
                held.spool.forget()
            held.spooled_rows -= rows
        else:
            del held.chunk.rows[:rows]
        held.failures, held.first_rows, held.retry_at_s = 0, 0, 0.0
        was_bad, held.cause = held.cause, ""
        if was_bad and _is_another(held.began_with, _place(self._path(day))):
            held.recount = True  # the ticks of the file that was moved away are missing in this one
        ended = not held.rows
        if was_bad:
            log.info("day_writable", day=market.day_name(day), rows=held.rows + rows, held_s=_age_s(held), was=was_bad)
        if ended:
            del self._days[day]
        else:
            self._days[day] = self._days.pop(day)  # moves it to the end, after every other day
        self._count()
        return ended and held.recount

    def when_safe(self, on_commit: Callable[[], None]) -> None:
        """Calls `on_commit` later, when no waiting row is only in memory."""
        self._waiting_for.append(on_commit)

    def call_when_safe(self) -> None:
        """Calls the functions given to `when_safe` if no waiting row is only in memory."""
        if self._waiting_for and not self.chunks():
            told, self._waiting_for = self._waiting_for, []
            for on_commit in told:
                on_commit()

    def chunks(self) -> list[Chunk]:
        """The rows that are only in memory, one chunk for each day. Each call returns the same objects."""
        return [held.chunk for held in list(self._days.values()) if held.chunk.rows]

    def spooled_days(self) -> set[int]:
        """The days with rows in their spool. Any thread may call it."""
        return {day for day, held in list(self._days.items()) if held.spooled_rows}

    def days(self) -> set[int]:
        """The days with waiting rows."""
        return set(self._days)

    def _add_changes(self, held: _Held, part: Part) -> None:
        held.gaps.update((gap.id, gap) for gap in part.gaps)
        held.rules.update((rule.symbol, rule) for rule in part.rules)
        if len(held.gaps) > _GAP_CHANGES:
            held.gaps.clear()
            held.recount = True

    def _spool(self, day: int, held: _Held) -> None:
        """Writes the rows in memory to the spool. The rows of a failed commit become a record of their own."""
        while held.chunk.rows:
            rows = held.chunk.rows[: held.first_rows or None]
            if held.spooled_rows:
                rows = held.chunk.rows[:]
            if not self._append(day, held, rows):
                return
            held.spooled_rows += len(rows)
            del held.chunk.rows[: len(rows)]

    def _append(self, day: int, held: _Held, rows: list[TickRow]) -> bool:
        """Appends rows to the day's spool; returns whether that succeeded."""
        if self._spool_dir is None or not held.in_spool.acquire(blocking=False):
            return False
        try:
            if held.spool is None:
                held.spool = Spool(self._spool_dir.with_name(f"{self._spool_dir.name}.{market.day_name(day)}"))
            held.spool.append(rows)
        except DISK_ERRORS as error:
            log_limit = self._spool_log_limits.setdefault(day, log.Repeated(_SPOOL_LOG_EVERY_S))
            held_back = log_limit.allow(time.monotonic())
            if held_back is not None:
                cause = diagnose(error)[0]
                log.error("spool_failed", cause=cause, rows=len(rows), buffer_rows=len(held.chunk.rows), detail=error)
            return False
        finally:
            held.in_spool.release()
        return True

    def _first_spooled(self, held: _Held, max_rows: int) -> list[TickRow]:
        if held.spool is None:
            return []
        rows = held.spool.first(max_rows, patient=held.failures < len(_RETRY_S)) or []
        for damage in held.spool.pop_damage():
            log.error("spool_damaged", **damage._asdict())
        lost = held.spooled_rows - held.spool.rows if rows else held.spooled_rows
        if lost > 0:
            held.spooled_rows -= lost
            held.recount = True
            self.lost_rows += lost
            self._queue.storing.lost_rows += lost
            self._stats.spool_lost += lost
            log.error("ticks_dropped", rows=lost, dropped_total=self._stats.dropped, cause="spool_damaged")
            self._count()
        return rows

    def _drop_empty(self, day: int) -> None:
        held = self._days[day]
        if not held.rows and not held.gaps and not held.cause:
            del self._days[day]

    def _count(self) -> None:
        days, bad = self._days, {day: held for day, held in sorted(self._days.items()) if held.cause}
        self._queue.held_rows = sum(held.rows for held in days.values())
        self._queue.held_safe_rows = sum(held.spooled_rows for held in days.values())
        stats = self._stats
        stats.held_rows = {market.day_name(day): held.rows - held.again for day, held in bad.items()}
        stats.held_again = {market.day_name(day): held.again for day, held in bad.items()}
        stats.held_causes = {market.day_name(day): held.cause for day, held in bad.items()}
        stats.held_details = {market.day_name(day): held.detail for day, held in bad.items()}

    def _path(self, day: int) -> Path:
        return path_of(self._data_root, market.day_name(day))


def _age_s(held: _Held) -> float:
    return round(time.monotonic() - held.since_s, 1)


def _place(path: Path) -> _Place:
    try:
        found = os.stat(path)  # noqa: PTH116 - faster
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid


def _is_another(before: _Place, now: _Place) -> bool:
    """Whether the file at a path is another one than before, not only with another mode or owner."""
    return before is not None and (now is None or now[:2] != before[:2])

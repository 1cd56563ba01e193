"""The reason why the writer waits: the cause, since when, and which process holds the lock.

Enters: disk errors. Leaves: Stats, log lines. Only the writer thread uses this module.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.store.faults import diagnose, in_words
from hk_tick_collector.store.lock_holder import day_holder
from hk_tick_collector.store.query import path_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.stats import Stats

_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
LONGEST_BACKOFF_S: Final = _BACKOFF_S[-1]
_LOG_EVERY_S: Final = 10.0  # between log lines about a repeated fault


def backoff_s(attempt: int) -> float:
    """How long to wait after the n-th failure, which counts from 1."""
    return _BACKOFF_S[min(attempt, len(_BACKOFF_S)) - 1]


class Trouble:
    """The current trouble of the writer, if any. `now_ms` is the wall clock in UTC epoch ms."""

    def __init__(self, queue: TickQueue, stats: Stats, data_root: Path, now_ms: Callable[[], int]) -> None:
        self._queue = queue
        self._stats = stats
        self._data_root = data_root
        self._now_ms = now_ms
        self._storing = queue.storing
        self._day: int | None = None  # the day whose file has the trouble
        self._held_back = log.Repeated(_LOG_EVERY_S)

    def note(self, day: int, error: Exception, attempt: int) -> None:
        """Records an error of a day's file, after which the writer waits and retries. `attempt` counts from 1."""
        cause, _ = diagnose(error)
        stats = self._stats
        self._storing.writer_alive_ms = self._now_ms()
        if self._storing.writer_trouble != cause:
            stats.writer_trouble_since_ms = self._now_ms()
            self._held_back = log.Repeated(_LOG_EVERY_S)
        self._storing.writer_trouble, self._day = cause, day
        stats.writer_detail, stats.writer_day = in_words(error), market.day_name(day)
        held_back = self._held_back.allow(time.monotonic())
        if cause != "busy" or held_back is not None:
            self._note_holder(day, is_locked=cause == "busy")
        if held_back is not None:
            say = log.warning if cause == "busy" else log.error
            say(
                "sqlite_busy_backoff" if cause == "busy" else "persist_failed",
                cause=cause,
                day=market.day_name(day),
                attempt=attempt,
                wait_ms=backoff_s(attempt) * 1000,
                repeats=held_back,
                queue_rows=self._queue.rows,
                detail=in_words(error),
                **({"holder": stats.writer_holder} if stats.writer_holder else {}),
            )

    def over(self) -> None:
        """The trouble has ended: logs that."""
        if self._storing.writer_trouble:
            log.info("writer_recovered", cause=self._storing.writer_trouble, waiting_rows=self._queue.rows)
            self.forget()

    def forget(self) -> None:
        """The writer waits for nothing; not logged."""
        stats = self._stats
        self._storing.writer_trouble, self._day = "", None
        stats.writer_detail = stats.writer_day = stats.writer_holder = ""
        stats.writer_trouble_since_ms = stats.writer_holder_pid = None

    def forget_day(self, day: int) -> None:
        """The ticks of a day are held from now on: the writer no longer waits for its file."""
        if self._day == day:
            self.forget()

    def _note_holder(self, day: int, *, is_locked: bool) -> None:
        """Records which process holds the lock that the writer waits for, if the kernel shows it."""
        holder = day_holder(path_of(self._data_root, market.day_name(day))) if is_locked else None
        self._stats.writer_holder_pid = holder.pid if holder else None
        self._stats.writer_holder = holder.words() if holder else ""

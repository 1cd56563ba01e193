"""Commits parts, again until the disk accepts them; seals finished days. Only one thread uses this module.

Enters: parts with their position, sums, the time. Leaves: committed day files, and what happened in `MergeState`.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from hk_tick_collector import log, market
from hk_tick_collector.errors import NoDayError
from hk_tick_collector.model import PUSH_REALTIME, Tick, push_type_of, recv_ts_ms_of
from hk_tick_collector.stats import percentile
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose, in_words
from hk_tick_collector.store.query import list_days

from .days import begun_day, expected_sources, known_sources
from .merger import DISAGREEMENT_NAME, Merger
from .parts import SOURCE_OPEN, StartOverError
from .sums import Lacking, lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from threading import Event

    from hk_tick_collector.jetstream.message import SumsMessage
    from hk_tick_collector.model import TickRow
    from hk_tick_collector.ops.live.merge_state import MergeState
    from hk_tick_collector.store.dayfile import StoreOptions

    from .days import MergedDays, Stored
    from .parts import Part, Position

_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_LOG_EVERY_S: Final = 10.0
_WHOLE_LINES: Final = 20  # rejected ticks that are logged with all fields, per minute
_SAMPLES: Final = 8  # rows of a commit whose delay is measured
_WINDOW_MS: Final = 60_000
_ASKED_DAYS: Final = 31  # collectors are asked for days that are not older
_SEAL_EVERY_S: Final = 60.0
# After so many days a day is sealed without the collectors that have not reported, because the stream no longer has its
# first messages. Of a day that arrives late they are counted from the creation of its merged file.
_GIVE_UP_DAYS: Final = 7
_ABSENT_DAYS: Final = 3  # the same for a collector that has sent nothing of that day, and may have nothing

_T = TypeVar("_T")


class GaveUpError(Exception):
    """The service stops before a commit succeeded; its ticks are still in the stream."""


class Committing:
    """The day files of a merge. `stopping` ends every wait. `now_ms` is the wall clock in UTC epoch ms."""

    def __init__(
        self, make: Callable[[], Merger], root: Path, status: MergeState, stopping: Event, now_ms: Callable[[], int]
    ) -> None:
        self._make = make
        self._root = root
        self._status = status
        self._stopping = stopping
        self._now_ms = now_ms
        self._merger: Merger | None = None
        self._delays: deque[tuple[int, int]] = deque(maxlen=20_000)  # when committed, delay in ms
        self._stored: deque[tuple[int, int]] = deque(maxlen=20_000)  # when committed, rows
        self._trouble = log.Repeated(_LOG_EVERY_S)
        self._seal_s = 0.0  # when finished days are looked for next, monotonic
        self._whole: dict[str, tuple[float, int]] = {}  # cause of rejected ticks → since when, how many

    def begin(self) -> Position | None:
        """Opens the directory; returns the position from which the stream must be read. Raises GaveUpError."""
        self.close(None)
        merger = self._merger = self._patiently(self._make)
        position = self._patiently(merger.resume)
        found = merger.disagreement
        self._status.disagreement = "" if found is None else str(found.get("symbol", DISAGREEMENT_NAME))
        if found is not None and self._status.disagreement_ms is None:
            self._status.disagreement_ms = self._now_ms()
        return position

    def merge(self, parts: Sequence[Part], position: Position) -> None:
        """Commits parts; all of the stream up to `position` is then stored.

        Raises StartOverError, and GaveUpError when the service stops before that.
        """
        merger = self._opened()
        for step in list(self._patiently(lambda: merger.prepare(parts, position))):
            day = market.day_name(step.prepared.day)
            stored = self._patiently(step.commit, day)
            if step.is_union:
                self._count(day, step.prepared.batch.rows, stored)
        merger.note_whole(position)
        newest = merger.union.newest()
        if newest is not None:
            self._status.newest_day, self._status.newest_ts_ms = newest.day_name, newest.newest_ts_ms or None
            self._status.gaps_open, self._status.gaps_missing = newest.gaps_open, newest.gaps_missing

    def compare(self, sums: SumsMessage) -> Lacking:
        """The symbols of which a collector seems to have ticks that are not merged. Raises GaveUpError."""
        days = self._opened().days_of(sums.source)
        path = days.path(market.parse_day(sums.day))

        def compared() -> Lacking:
            try:
                return lacking(path, sums.sums)
            except NoDayError:
                return Lacking([symbol for symbol, (rows, _) in sums.sums.items() if rows], [])

        return self._patiently(compared, sums.day)

    def note_sums(self, sums: SumsMessage, *, is_whole: bool) -> None:
        """Records what a collector says that it has, and what OpenD's totals then show. Raises GaveUpError.

        `is_whole`: the union has all of it.
        """
        number, is_over = market.parse_day(sums.day), is_whole and sums.sealed
        self._seal_s = 0.0 if is_over else self._seal_s
        merger = self._opened()
        for days in dict.fromkeys((merger.union, merger.days_of(sums.source))):
            if days.path(number).exists():
                self._patiently(partial(days.note_sums, number, sums, is_over=is_over), sums.day)

    def unsealed(self) -> dict[str, dict[str, str]]:
        """The days that are not sealed, with their collectors and whether their own files are. Raises GaveUpError.

        Without days that cannot be read now: nothing waits for them here.
        """
        union = self._opened().union
        found = {}
        for day in self._patiently(union.positions).unsealed:
            with suppress(*DISK_ERRORS):
                found[market.day_name(day)] = expected_sources(union, day)
        return found

    def unread(self) -> tuple[list[str], set[str]]:
        """The days of which messages may be missing, and the collectors that may have them. Raises GaveUpError.

        They are the days that are not sealed, and the days after the newest one, during which this merge may not have
        run.
        """
        union = self._opened().union

        def found() -> tuple[list[str], set[str]]:
            names = list_days(self._root)
            days = list(union.positions().unsealed)
            sources = {source for day in days for source in known_sources(union, day)}
            if names:
                newest, today = market.parse_day(names[-1]), market.day_number(self._now_ms())
                sources |= known_sources(union, newest).keys()
                after = range(max(newest + 1, today - _ASKED_DAYS), today + 1)
                days += [day for day in after if market.is_weekday(day)]
            return [market.day_name(day) for day in days], sources

        return self._patiently(found)

    def upkeep(self, position: Position | None) -> None:
        """Closes the files of past days and seals those that are finished. Raises GaveUpError and StartOverError."""
        merger, now_ms = self._opened(), self._now_ms()
        today = market.day_number(now_ms)
        self._measure(now_ms)
        is_due = time.monotonic() >= self._seal_s
        if is_due:
            self._seal_s = time.monotonic() + _SEAL_EVERY_S
        not_sealed: dict[str, str] = {}
        for days in merger.all_days():
            self._patiently(partial(days.close_idle, today, position))
            if is_due and market.may_seal(today - 1, now_ms):
                self._seal_finished(days, today, position, not_sealed)
        if is_due:
            self._status.not_sealed = not_sealed

    def close(self, position: Position | None) -> None:
        """Closes every file."""
        if self._merger is not None:
            self._merger.close(position)
            self._merger = None

    def _opened(self) -> Merger:
        assert self._merger is not None, "begin comes first"
        return self._merger

    # --- finished days ---

    def _seal_finished(
        self, days: MergedDays, today: int, position: Position | None, not_sealed: dict[str, str]
    ) -> None:
        for name in self._patiently(partial(list_days, days.root)):
            day = market.parse_day(name)
            if day >= today:
                continue
            label = name if days.root == self._root else f"{days.root.name} {name}"
            try:
                if not days.path(day).stat().st_mode & 0o200:
                    continue
                if waits := _waits_for(days, day, today):
                    not_sealed[label] = f"waits for {', '.join(waits)}"
                elif days.seal(day, position):
                    log.info("day_sealed", day=name)
                else:
                    not_sealed[label] = "a reader has it open"
            except DISK_ERRORS as error:
                not_sealed[label] = in_words(error)
                log.error("day_seal_failed", file=f"{name}.db", repeats=0, detail=error)

    # --- results ---

    def _count(self, day: str, rows: Sequence[TickRow], stored: Stored) -> None:
        status, now_ms = self._status, self._now_ms()
        written = stored.written
        status.received += len(rows)
        status.stored += written.stored
        status.duplicate += written.duplicate
        status.conflicts += len(written.conflicts)
        status.late += len(stored.late)
        if written.conflicts and not status.conflicts_first:
            status.conflicts_first = f"{written.conflicts[0][0]} {written.conflicts[0][1]} of {day}"
            status.conflicts_day = day
        status.last_commit_ms = now_ms
        self._stored.append((now_ms, written.stored))
        for row in rows[:: max(1, len(rows) // _SAMPLES)]:
            if push_type_of(row) == PUSH_REALTIME:
                self._delays.append((now_ms, now_ms - recv_ts_ms_of(row)))
        self._log_rejected("conflict", day, written.conflicts)
        self._log_rejected("sealed_day", day, stored.late)

    def _log_rejected(self, cause: str, day: str, rows: Sequence[TickRow]) -> None:
        """Logs rejected ticks: the first ones of a minute, with all fields. The others are only counted."""
        if not rows:
            return
        since_s, count = self._whole.get(cause, (float("-inf"), 0))
        now_s = time.monotonic()
        if now_s - since_s > 60:
            since_s, count = now_s, 0
        for row in rows[: max(0, _WHOLE_LINES - count)]:
            log.warning("tick_rejected", cause=cause, day=day, **Tick(*row)._asdict())
        self._whole[cause] = since_s, count + len(rows)

    def _measure(self, now_ms: int) -> None:
        for kept in (self._delays, self._stored):
            while kept and now_ms - kept[0][0] > _WINDOW_MS:
                kept.popleft()
        status, delays = self._status, [delay for _, delay in self._delays]
        status.persisted_rows_per_min = sum(rows for _, rows in self._stored)
        status.delay_ms_p50 = percentile(delays, 50)
        status.delay_ms_p99 = percentile(delays, 99)

    # --- the disk ---

    def _patiently(self, act: Callable[[], _T], day: str = "") -> _T:
        """Repeats `act` until no disk error stops it. Raises StartOverError, and GaveUpError when the service stops."""
        attempt = 0
        while True:
            try:
                result = act()
            except StartOverError:
                raise
            except DISK_ERRORS as error:
                attempt += 1
                self._note_trouble(day, error, attempt)
                if self._stopping.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S)) - 1]):
                    raise GaveUpError from error
            else:
                if attempt:
                    log.info("writer_recovered", cause=self._status.trouble, waiting_rows=0)
                    self._status.trouble = self._status.trouble_detail = self._status.trouble_day = ""
                    self._status.trouble_since_ms = None
                return result

    def _note_trouble(self, day: str, error: Exception, attempt: int) -> None:
        status, (cause, _) = self._status, diagnose(error)
        if status.trouble != cause:
            status.trouble_since_ms, self._trouble = self._now_ms(), log.Repeated(_LOG_EVERY_S)
        status.trouble, status.trouble_detail, status.trouble_day = cause, in_words(error), day
        repeats = self._trouble.allow(time.monotonic())
        if repeats is not None:
            log.error("merge_waits", cause=cause, day=day, attempt=attempt, repeats=repeats, detail=in_words(error))


def _waits_for(days: MergedDays, day: int, today: int) -> list[str]:
    """The collectors without which a day is not sealed yet. Raises as DayReader."""
    sources, begun = days.sources(day), begun_day(days.path(day), day)
    age = today - (begun if day <= begun <= today else day)  # the clock may have been years ahead
    if not sources and age <= _GIVE_UP_DAYS:
        return ["its collectors"]
    opened = [source for source, state in expected_sources(days, day).items() if state == SOURCE_OPEN]
    return [source for source in opened if age <= (_GIVE_UP_DAYS if source in sources else _ABSENT_DAYS)]


def make_merger(root: Path, options: StoreOptions, version: str, now_ms: Callable[[], int]) -> Callable[[], Merger]:
    """A function that opens the merger, also again after StartOverError."""
    return lambda: Merger(root, options, version, now_ms)

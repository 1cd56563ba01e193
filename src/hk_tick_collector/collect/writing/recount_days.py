"""Days whose file is to be read once more: it was begun afresh after damage, the spool lost rows, or it was unreadable.

Enters: the days that a writer began afresh, losses of the spool, days whose file could not be read at first. Leaves:
what each lacks is looked up anew in its file, and told.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hk_tick_collector import log, market
from hk_tick_collector.store.faults import DISK_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.collect.storing_state import StoringState

    from .current_writer import CurrentWriter


class RecountDays:
    """`rebuild` looks what a day's file lacks, False when it must wait; `open_days` gives the days that a loss of the
    spool may concern, and `unread_days` those whose file could not be read at first.
    """

    def __init__(
        self,
        storing: StoringState,
        current_writer: CurrentWriter,
        rebuild: Callable[[int], bool],
        open_days: Callable[[], Iterable[int]],
        unread_days: Callable[[], Iterable[int]],
    ) -> None:
        self._storing = storing
        self._current_writer = current_writer
        self._rebuild = rebuild
        self._open_days = open_days
        self._unread_days = unread_days
        self._late_days: deque[int] = deque()
        self._thinned_days: deque[int] = deque()  # the spool lost rows, and these days may lack them
        self._lost_rows = 0  # how many, when that was last noticed

    def look(self) -> None:
        """Has every such day looked up that may be now."""
        if self._storing.lost_rows != self._lost_rows:
            self._lost_rows = self._storing.lost_rows
            self._thinned_days.extend(day for day in self._open_days() if day not in self._thinned_days)
        self._look_at(self._current_writer.fresh_days, "day_begun_afresh")
        self._look_at(self._thinned_days, "day_recounted")
        self._look_at_unread()

    def _look_at(self, days: deque[int], event: str) -> None:
        while days:
            try:
                if not self._rebuild(days[0]):
                    days.rotate(-1)  # it may have to wait for long, until its file can be written
                    return
            except DISK_ERRORS as error:
                log.warning("day_not_rebuilt", day=market.day_name(days[0]), detail=error)
                days.rotate(-1)  # another day's may be there
                return  # a fresh file is not there yet: again in a second
            log.warning(event, day=market.day_name(days.popleft()))

    def _look_at_unread(self) -> None:
        """Has a file that could not be read at first read as soon as it can be. That it cannot was told already."""
        days = self._late_days
        days.extend(day for day in self._unread_days() if day not in days)
        if not days:
            return
        day = days.popleft()
        try:
            if not self._rebuild(day):
                days.append(day)
                return
        except DISK_ERRORS:
            return  # again in a second
        log.warning("day_resumed", day=market.day_name(day))

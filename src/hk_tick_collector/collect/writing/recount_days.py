"""Days whose file must be read again: it was replaced after damage, the spool lost rows, or it could not be read.

Enters: the days whose file was replaced, losses of the spool, days whose file could not be read at first. Leaves: the
days are rebuilt from their files, with a log line for each.
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
    """Call `check` once a second.

    `rebuild` rebuilds a day from its file; it returns False if that must wait. `open_days` returns the days that a loss
    of the spool may affect, `unread_days` those whose file could not be read at first.
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
        self._thinned_days: deque[int] = deque()  # days that may miss rows lost by the spool
        self._lost_rows = 0  # the count of such rows at the last call

    def check(self) -> None:
        """Rebuilds each such day as soon as possible."""
        if self._storing.lost_rows != self._lost_rows:
            self._lost_rows = self._storing.lost_rows
            self._thinned_days.extend(day for day in self._open_days() if day not in self._thinned_days)
        self._rebuild_first(self._current_writer.fresh_days, "day_begun_afresh")
        self._rebuild_first(self._thinned_days, "day_recounted")
        self._rebuild_unread()

    def _rebuild_first(self, days: deque[int], event: str) -> None:
        while days:
            try:
                if not self._rebuild(days[0]):
                    days.rotate(-1)  # it may have to wait long, until its file can be written
                    return
            except DISK_ERRORS as error:
                log.warning("day_not_rebuilt", day=market.day_name(days[0]), detail=error)
                days.rotate(-1)  # the file of another day may be readable
                return  # the new file does not exist yet: try again in a second
            log.warning(event, day=market.day_name(days.popleft()))

    def _rebuild_unread(self) -> None:
        """Rebuilds a day whose file could not be read, as soon as it can be read. The failure was logged before."""
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
            return  # try again in a second
        log.warning("day_resumed", day=market.day_name(day))

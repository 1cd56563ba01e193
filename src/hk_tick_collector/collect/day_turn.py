"""The change of the day: today's file exists from the first second, and finished days are sealed.

Enters: OpenD's clock and calendar. Leaves: two values for the writer: the day whose file must exist, and the day before
which all days may be sealed; and the worst drift of our clock, for today's file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms

if TYPE_CHECKING:
    from hk_tick_collector.collect.writing.current_writer import CurrentWriter

    from .opend_state import OpenDState


class DayTurn:
    """Tells the writer about new and finished days."""

    def __init__(self, opend: OpenDState, current_writer: CurrentWriter) -> None:
        self._opend = opend
        self._current_writer = current_writer
        self._opened_day: int | None = None
        self._today: int | None = None  # by OpenD's clock if it is known
        self._drift: tuple[int, float] | None = None  # the day and the worst drift that was given to the writer

    @property
    def expects_today(self) -> bool:
        """Whether today has, or should have, a file."""
        return self._today is not None and self._opened_day == self._today

    def check(self) -> None:
        """Checks for a new day. Call it once a second."""
        moment_ms = self._opend.opend_time_ms if self._opend.connected and self._opend.opend_time_ms else now_ms()
        today = self._today = market.day_number(moment_ms)
        if today != self._opened_day and self._is_trading_day(today):
            self._opened_day = self._current_writer.writer.open_day = today
        self._note_drift(today)
        # Only after every symbol was compared: missing ticks of an earlier day may still be in OpenD's window.
        known = self._opend.connected and self._opend.all_checked and self._opend.opend_time_ms is not None
        self._current_writer.writer.seal_before = market.finished_before(moment_ms, now_ms()) if known else None

    def _note_drift(self, today: int) -> None:
        """Has the worst drift of our clock kept in today's file: a past day is judged by it."""
        drift_s = self._opend.drift_s
        if drift_s is None or not self.expects_today:
            return
        if self._drift is None or self._drift[0] != today or abs(drift_s) > abs(self._drift[1]):
            self._drift = (today, drift_s)
            self._current_writer.keep_drift(today, drift_s)

    def _is_trading_day(self, day: int) -> bool:
        calendar = self._opend.calendar
        return market.day_name(day) in calendar if calendar else market.is_weekday(day)

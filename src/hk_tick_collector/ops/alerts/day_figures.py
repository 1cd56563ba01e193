"""The day's figures for the digest that no day file has: busiest minute, largest lag, number of alerts.

Input: the live state, once a second; the messages about findings. Output: the figures, by the exchange's date. They are
saved with the memory of the alerts, so a restart keeps them. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from hk_tick_collector import market
from hk_tick_collector.ops.findings.market_silence import judged_lag_s

from .message import Kind

if TYPE_CHECKING:
    from hk_tick_collector.ops.live.status import LiveStatus

    from .message import Message


@dataclass(frozen=True, slots=True)
class DayFigures:
    """Times are UTC epoch ms by the exchange's clock, 0 when there is none."""

    day: str = ""  # 20261120
    peak_rows: int = 0  # the most rows stored within one minute
    peak_ms: int = 0  # the end of that minute
    lag_ms: int = 0  # the largest lag during continuous trading
    lag_at_ms: int = 0
    warnings: int = 0  # messages about findings, whether or not a destination took them
    criticals: int = 0
    resolved: int = 0

    @classmethod
    def from_fields(cls, raw: dict[str, Any]) -> DayFigures:
        """As saved. TypeError or ValueError for other values."""
        figures = cls(**raw)
        numbers = [getattr(figures, spec.name) for spec in fields(cls) if spec.name != "day"]
        if not isinstance(figures.day, str) or not all(type(value) is int for value in numbers):
            raise ValueError("a figure of the day is not a number")
        return figures

    def noted(self, status: LiveStatus) -> DayFigures:
        """The figures with the live state of this second. A new day begins them anew."""
        now_ms = exchange_ms(status)
        day = market.day_name(market.day_number(now_ms))
        # Without OpenD only this host's clock tells the date: it does not begin another day.
        figures = self if day == self.day or (self.day and not status.connected) else DayFigures(day)
        if status.persisted_rows_per_min > figures.peak_rows:
            figures = replace(figures, peak_rows=status.persisted_rows_per_min, peak_ms=now_ms)
        lag_ms = int(judged_lag_s(status, status.written_ms) * 1000)
        return replace(figures, lag_ms=lag_ms, lag_at_ms=now_ms) if lag_ms > figures.lag_ms else figures

    def counted(self, message: Message) -> DayFigures:
        """The figures with a message about a finding."""
        return replace(
            self,
            warnings=self.warnings + (message.kind is Kind.WARNING),
            criticals=self.criticals + (message.kind is Kind.CRITICAL),
            resolved=self.resolved + (message.kind is Kind.RESOLVED),
        )


def exchange_ms(status: LiveStatus) -> int:
    """The time of a live state by the exchange's clock; by this host's clock while OpenD is away."""
    shift_ms = int(status.drift_s * 1000) if status.connected and status.drift_s is not None else 0
    return status.written_ms - shift_ms

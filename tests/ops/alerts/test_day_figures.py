"""The day's figures that no file has, from one live state a second."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector.ops.alerts.day_figures import DayFigures
from hk_tick_collector.ops.alerts.message import Kind, Message
from hk_tick_collector.ops.alerts.rules import Memory

if TYPE_CHECKING:
    from tests.ops.conftest import MakeStatus

DAY_MS = 86_400_000


def test_the_busiest_minute_and_the_largest_lag(make_status: MakeStatus) -> None:
    """The maxima of the day with their times; outside continuous trading there is no lag."""
    figures = DayFigures()
    for second, (rows, lag_s, state) in enumerate(((10, 1, "morning"), (900, 7, "morning"), (20, 2, "morning"))):
        now_ms = NOW_MS + second * 1000
        figures = figures.noted(
            make_status(
                written_ms=now_ms,
                newest_ts_ms=now_ms - lag_s * 1000,
                persisted_rows_per_min=rows,
                market_state=state,
                drift_s=0.0,
            )
        )
    lunch = {"market_state": "rest", "trading": False, "written_ms": NOW_MS + 9_000, "drift_s": 0.0}
    figures = figures.noted(make_status(newest_ts_ms=NOW_MS - 3_600_000, **lunch))
    assert (figures.day, figures.peak_rows, figures.peak_ms) == ("20261120", 900, NOW_MS + 1000)
    assert (figures.lag_ms, figures.lag_at_ms) == (7000, NOW_MS + 1000)


def test_a_new_day_begins_anew_by_the_exchanges_date(make_status: MakeStatus) -> None:
    """Without OpenD this host's clock alone does not begin one."""
    figures = DayFigures().noted(make_status(persisted_rows_per_min=900))
    away = make_status(written_ms=NOW_MS + DAY_MS, connected=False, persisted_rows_per_min=5)
    assert figures.noted(away).day == "20261120"
    assert figures.noted(make_status(written_ms=NOW_MS + DAY_MS, drift_s=86_400.0)).day == "20261120"
    tomorrow = figures.noted(make_status(written_ms=NOW_MS + DAY_MS, persisted_rows_per_min=5))
    assert (tomorrow.day, tomorrow.peak_rows) == ("20261121", 5)


def test_messages_are_counted_and_kept_over_a_restart() -> None:
    """By kind; the saved memory has them, and one of an earlier version has none."""
    figures = DayFigures("20261120")
    for kind in (Kind.WARNING, Kind.CRITICAL, Kind.CRITICAL, Kind.RESOLVED):
        figures = figures.counted(Message(kind, "x", "", ""))
    assert (figures.warnings, figures.criticals, figures.resolved) == (1, 2, 1)
    memory = Memory({}, [], today=figures, heartbeat_ms=7)
    assert Memory.from_json(memory.to_json()) == memory
    assert Memory.from_json('{"open": {}, "stalls_ms": [], "digest_day": ""}').today == DayFigures()


@pytest.mark.parametrize("change", [{"day": 3}, {"warnings": "1"}, {"peak_rows": None}, {"more": 1}])
def test_figures_that_are_none_are_refused(change: dict[str, Any]) -> None:
    """A damaged memory is an error, as for open findings."""
    with pytest.raises((ValueError, TypeError)):
        DayFigures.from_fields(asdict(DayFigures()) | change)

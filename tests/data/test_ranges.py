"""Days and times as callers write them: what each means, and one line for what means nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from hk_tick_collector import market
from hk_tick_collector.data.ranges import Bound, read_day, read_days, read_time, read_times
from hk_tick_collector.errors import UsageError

DAY = market.parse_day("20261120")
NINE_THIRTY = 34_200_000


@pytest.mark.parametrize("value", [date(2026, 11, 20), "2026-11-20", "20261120", " 20261120 "])
def test_a_day_is_written_in_any_usual_way(value: Any) -> None:
    assert read_day(value, "day") == DAY


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("2026-11-31", "write a day like"),
        ("20-11-2026", "write a day like"),
        ("", "write a day like"),
        (20261120, "write a day like"),
        (datetime(2026, 11, 20, 9, 30, tzinfo=UTC), "from_time"),
    ],
)
def test_what_is_no_day_is_refused(value: Any, hint: str) -> None:
    """The line names the argument and says what is allowed."""
    with pytest.raises(UsageError, match="since") as told:
        read_day(value, "since")
    assert hint in told.value.hint


def test_a_range_has_both_its_ends() -> None:
    """`until` is included; an end that is not given is open; a day is a range of one."""
    found = read_days(None, "20261119", date(2026, 11, 20))
    assert [day in found for day in (DAY - 2, DAY - 1, DAY, DAY + 1)] == [False, True, True, False]
    assert DAY + 1000 in read_days(None, "20261119", None)
    assert [day in read_days("20261120", None, None) for day in (DAY - 1, DAY, DAY + 1)] == [False, True, False]


@pytest.mark.parametrize("given", [("20261120", "20261119", None), (None, "20261120", "20261119")])
def test_a_range_that_means_nothing_is_refused(given: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UsageError):
        read_days(*given)


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        ("09:30", Bound(NINE_THIRTY, of_each_day=True)),
        ("9:30:00.5", Bound(NINE_THIRTY + 500, of_each_day=True)),
        (time(9, 30, 0, 7000), Bound(NINE_THIRTY + 7, of_each_day=True)),
        ("24:00", Bound(market.DAY_MS, of_each_day=True)),
        (datetime(2026, 11, 20, 1, 30, tzinfo=UTC), Bound(market.day_start_ms(DAY) + NINE_THIRTY, of_each_day=False)),
        ("2026-11-20 09:30", Bound(market.day_start_ms(DAY) + NINE_THIRTY, of_each_day=False)),
        ("2026-11-20T01:30:00+00:00", Bound(market.day_start_ms(DAY) + NINE_THIRTY, of_each_day=False)),
    ],
)
def test_a_time_is_of_each_day_or_one_moment(value: Any, bound: Bound) -> None:
    """A time without a date is Hong Kong time of each day; everything else is one moment, to the millisecond."""
    assert read_time(value, "from_time") == bound


@pytest.mark.parametrize(
    "value",
    ["25:00", "09:61", "24:01", "930", "soon", 9.5, datetime(2026, 11, 20, 9, 30), time(9, 30, tzinfo=UTC)],  # noqa: DTZ001
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    """A datetime without a time zone as well: it would mean another moment on another host."""
    with pytest.raises(UsageError, match="to_time"):
        read_time(value, "to_time")


def test_times_choose_days() -> None:
    """A moment leaves out the days before or after it; a time of each day leaves out none."""
    times = read_times("2026-11-20 09:30", None)
    assert [times.touch(day) for day in (DAY - 1, DAY, DAY + 1)] == [False, True, True]
    assert times.on(DAY) == (market.day_start_ms(DAY) + NINE_THIRTY, None)
    assert read_times("09:30", "10:00").touch(DAY - 1)
    with pytest.raises(UsageError):
        read_times("10:00", "09:30")

"""Hong Kong's days and sessions: exact at every midnight, in any time zone of the host."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector import market

MOMENTS = st.integers(946_684_800_000, 4_102_444_800_000)  # 2000 to 2100


@given(MOMENTS)
def test_a_moment_belongs_to_its_hong_kong_date(ts_ms: int) -> None:
    """The name of the day is the date that a clock in Hong Kong shows, by the system's own zone data."""
    seconds, ms = divmod(ts_ms, 1000)
    wall = datetime.fromtimestamp(seconds, ZoneInfo("Asia/Hong_Kong")) + timedelta(milliseconds=ms)
    day = market.day_number(ts_ms)
    assert market.day_name(day) == wall.strftime("%Y%m%d")
    assert market.day_date(day) == wall.date()
    assert market.is_weekday(day) is (wall.isoweekday() <= 5)
    assert market.hkt(ts_ms) == wall


@pytest.mark.parametrize("name", ["00010101", "09991231", "99991231"])
def test_the_name_of_a_day_always_has_eight_digits(name: str) -> None:
    """Also of a year that strftime does not pad."""
    assert market.day_name(market.parse_day(name)) == name


@given(MOMENTS)
def test_a_day_begins_at_midnight_and_ends_a_millisecond_before_the_next(ts_ms: int) -> None:
    """Its start, its last millisecond and its name all belong to the same day."""
    day = market.day_number(ts_ms)
    start_ms = market.day_start_ms(day)
    assert start_ms <= ts_ms < market.day_start_ms(day + 1)
    assert market.day_number(start_ms) == market.day_number(market.day_start_ms(day + 1) - 1) == day
    assert market.hkt(start_ms).time().isoformat() == "00:00:00"
    assert market.parse_day(market.day_name(day)) == market.parse_day(market.day_date(day).isoformat()) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026112",
        "202611200",
        "20261320",
        "20260230",
        "2026-1-20",
        "20-261120",
        "abcdefgh",
        "２０２６１１２０",
        "20-26-1120",
        "2026112-0-",
        "-20261120-",
        "20261120\n",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    """A file name or an argument that only looks like a day is refused."""
    with pytest.raises(ValueError, match=r"date|day|month|range"):
        market.parse_day(text)


@pytest.mark.parametrize(
    ("hkt", "may"),
    [
        ("2026-11-20 23:59", False),
        ("2026-11-21 00:00", False),
        ("2026-11-21 05:59", False),
        ("2026-11-21 06:00", True),
        ("2026-11-22 03:00", False),
        ("2026-11-23 09:30", True),
        ("2026-11-20 09:30", False),
        ("2026-11-19 09:30", False),
    ],
)
def test_a_day_may_be_sealed_from_six_in_the_morning(hkt: str, *, may: bool) -> None:
    """Only by OpenD's date, only a day before that date, and never before 06:00 in Hong Kong."""
    now = datetime.fromisoformat(hkt).replace(tzinfo=timezone(timedelta(hours=8)))
    day = market.parse_day("20261120")
    assert market.day_date(day) == date(2026, 11, 20)
    assert market.may_seal(day, int(now.timestamp() * 1000)) is may
    six = datetime(2026, 11, 21, 6, tzinfo=now.tzinfo)
    assert market.sealing_ms(day) == int(six.timestamp() * 1000)


@pytest.mark.parametrize(
    ("opend", "ours", "limit"),
    [
        ("2026-11-20 09:30", "2026-11-20 09:30", "20261120"),
        ("2026-11-21 09:30", "2026-11-20 09:30", "20261120"),
        ("2026-11-20 09:30", "2026-11-21 09:30", "20261120"),
        ("2026-11-20 05:59", "2026-11-20 06:01", None),
        ("2026-11-21 05:59", "2026-11-20 05:59", None),
    ],
)
def test_the_current_day_ends_only_by_both_clocks(opend: str, ours: str, limit: str | None) -> None:
    """Row 18: the current day ends only when this host's clock and OpenD's clock both say so."""
    zone = timezone(timedelta(hours=8))
    opend_ms, our_ms = (
        int(datetime.fromisoformat(hkt).replace(tzinfo=zone).timestamp() * 1000) for hkt in (opend, ours)
    )
    assert market.finished_before(opend_ms, our_ms) == (market.parse_day(limit) if limit else None)


def test_states_have_the_names_of_the_sessions() -> None:
    """Hong Kong's market states by name; an unknown number is kept, and no ticks are expected in it."""
    assert [market.state_name(state) for state in (1, 2, 3, 4, 5, 6, 19)] == [
        "auction",
        "waiting_open",
        "morning",
        "rest",
        "afternoon",
        "closed",
        "closing_auction",
    ]
    assert market.state_name(77) == "state_77"
    assert {state for state in range(100) if market.is_trading(state)} == {1, 3, 5, 19}

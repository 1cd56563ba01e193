"""Reads days and times as a caller writes them. Pure functions; no clock is read here.

A day is a Hong Kong date: a `date`, `"2026-11-20"` or `"20261120"`. A time is `"09:30"`, `"09:30:15.250"` or a `time`,
and then means that time of each day in Hong Kong; or a `datetime` with a time zone, which is one moment. A text with a
date and without an offset, like `"2026-11-20 09:30"`, is Hong Kong time.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError

Day: TypeAlias = date | str
Time: TypeAlias = time | datetime | str

_CLOCK: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,3}))?)?")
_DAY_HINT: Final = "write a day like 2026-11-20 or 20261120"
_TIME_HINT: Final = "write a time like 09:30, or give a datetime with a time zone"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DayRange(NamedTuple):
    """Day numbers, both included; None where the range is open."""

    since: int | None
    until: int | None

    def __contains__(self, day: object) -> bool:
        return (
            isinstance(day, int)
            and (self.since is None or day >= self.since)
            and (self.until is None or day <= self.until)
        )

    def __str__(self) -> str:
        first, last = (market.day_name(day) if day is not None else "" for day in (self.since, self.until))
        if first == last and first:
            return first
        return f"{first or 'the first day'} to {last or 'the last day'}"


class Bound(NamedTuple):
    """A time: of each day (ms since midnight in Hong Kong), or one moment (UTC epoch ms)."""

    ms: int
    of_each_day: bool

    def on(self, day: int) -> int:
        """The same as UTC epoch ms, on a day."""
        return market.day_start_ms(day) + self.ms if self.of_each_day else self.ms


class Times(NamedTuple):
    """The times of a request: `from_` is included, `to` is not; None where there is no bound."""

    from_: Bound | None = None
    to: Bound | None = None

    def is_empty(self) -> bool:
        """Whether no time is within the bounds, on any day."""
        if self.from_ is None or self.to is None:
            return False
        return self.from_.of_each_day == self.to.of_each_day and self.from_.ms >= self.to.ms

    def on(self, day: int) -> tuple[int | None, int | None]:
        """The bounds on one day, UTC epoch ms."""
        return (self.from_.on(day) if self.from_ else None, self.to.on(day) if self.to else None)

    def touch(self, day: int) -> bool:
        """Whether a tick of this day can be within the bounds."""
        from_ms, to_ms = self.on(day)
        start = market.day_start_ms(day)
        return (from_ms is None or from_ms < start + market.DAY_MS) and (to_ms is None or to_ms > start)


def read_days(day: Day | None, since: Day | None, until: Day | None) -> DayRange:
    """The range that `day`, or `since` and `until`, name. UsageError for what is no day, and for an empty range."""
    if day is not None and (since is not None or until is not None):
        raise UsageError("day is given together with since or until", hint="give one day, or a range")
    if day is not None:
        number = read_day(day, "day")
        return DayRange(number, number)
    found = DayRange(
        None if since is None else read_day(since, "since"), None if until is None else read_day(until, "until")
    )
    if found.since is not None and found.until is not None and found.since > found.until:
        raise UsageError(f"since={since} is later than until={until}", hint="give the earlier day as since")
    return found


def read_day(value: Day, name: str) -> int:
    """A day number. UsageError, with the name of the argument, for what is no day."""
    if isinstance(value, datetime):
        raise UsageError(f"{name}={value} is a time, not a day", hint="give times with from_time and to_time")
    if isinstance(value, date):
        return (value - _EPOCH.date()).days
    if not isinstance(value, str):
        raise UsageError(f"{name}={value!r} is not a day", hint=_DAY_HINT)
    try:
        return market.parse_day(value.strip())
    except ValueError:
        raise UsageError(f"{name}={value} is not a day", hint=_DAY_HINT) from None


def read_times(from_time: Time | None, to_time: Time | None) -> Times:
    """The bounds of a request. UsageError for what is no time, and for bounds between which there is none."""
    times = Times(
        None if from_time is None else read_time(from_time, "from_time"),
        None if to_time is None else read_time(to_time, "to_time"),
    )
    if times.is_empty():
        raise UsageError(
            f"from_time={from_time} is not earlier than to_time={to_time}", hint="the end is not included in the range"
        )
    return times


def read_time(value: Time, name: str) -> Bound:
    """One bound. UsageError, with the name of the argument, for what is no time."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UsageError(f"{name}={value} has no time zone", hint=_TIME_HINT)
        return Bound((value - _EPOCH) // timedelta(milliseconds=1), of_each_day=False)
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise UsageError(f"{name}={value} has a time zone and no date", hint=_TIME_HINT)
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return Bound(seconds * 1000 + value.microsecond // 1000, of_each_day=True)
    if not isinstance(value, str):
        raise UsageError(f"{name}={value!r} is not a time", hint=_TIME_HINT)
    text = value.strip()
    if match := _CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in match.groups()[:3])
        if hour * 60 + minute <= 24 * 60 and minute < 60 and second < 60:
            millis = int((match[4] or "0").ljust(3, "0"))
            return Bound(((hour * 60 + minute) * 60 + second) * 1000 + millis, of_each_day=True)
    try:
        moment = datetime.fromisoformat(text) if len(text) > 10 else None
    except ValueError:
        moment = None
    if moment is None:
        raise UsageError(f"{name}={value} is not a time", hint=_TIME_HINT)
    return read_time(moment if moment.tzinfo else moment.replace(tzinfo=market.HKT), name)

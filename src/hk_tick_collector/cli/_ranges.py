"""`--since` and `--until` of a verb that prints ticks: each is a day, a time, or both, in Hong Kong."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError

from ._options import day_named

_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,3}))?)?")
_HINT: Final = "write a day like 20261120, a time like 09:30, or both: '20261120 09:30'"


class Range(NamedTuple):
    """What is printed: days by name, both included, and times as UTC epoch ms, `from_ms` <= ts_ms < `to_ms`."""

    since: str | None
    until: str | None
    from_ms: int | None
    to_ms: int | None

    def days(self, there: list[str]) -> list[str]:
        """Those of `there` that are in the range."""
        return [day for day in there if (self.since or "") <= day <= (self.until or "99999999")]


def range_named(day: str | None, since: str | None, until: str | None) -> Range:
    """The range of --day, --since and --until. A time without a day is one of --day, or of today.

    UsageError for what is neither day nor time, for a day that is named twice, and for a range without any time.
    """
    first, from_ms = _end("--since", since, day)
    last, to_ms = _end("--until", until, day)
    if since is None and day is not None:
        first = day_named(day)
    if until is None and (day is not None or (since is not None and _TIME.fullmatch(since.strip()))):
        last = day_named(day)
    if since is None and first is None and until is not None and _TIME.fullmatch(until.strip()):
        first = last
    if first and last and first > last:
        raise UsageError(f"--since {since} is later than --until {until}", hint="give the earlier day as --since")
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        words = f"--since {since} is not earlier than --until {until}"
        raise UsageError(words, hint="--until is exclusive: give a later time")
    return Range(first, last, from_ms, to_ms)


def _end(option: str, text: str | None, day: str | None) -> tuple[str | None, int | None]:
    """The day of one end, and its time as UTC epoch ms if it has one."""
    if text is None:
        return None, None
    words = text.strip().replace("T", " ").split()
    time = _TIME.fullmatch(words[-1]) if words else None
    date = words[0] if len(words) - bool(time) == 1 else None
    if not words or len(words) > 2 or (time is None and len(words) == 2):
        raise UsageError(f"{option} {text} is neither a day nor a time", hint=_HINT)
    if date is not None and day is not None:
        raise UsageError(f"--day and {option} both name a day", hint="leave out one of them")
    try:
        number = market.parse_day(date) if date is not None else market.parse_day(day_named(day))
    except ValueError:
        raise UsageError(f"{option} {text} is neither a day nor a time", hint=_HINT) from None
    if time is None:
        return market.day_name(number), None
    hour, minute, second = (int(part or 0) for part in time.groups()[:3])
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and (minute or second)):
        raise UsageError(f"{option} {text} is no time of a day", hint=_HINT)
    ms = ((hour * 60 + minute) * 60 + second) * 1000 + int((time[4] or "0").ljust(3, "0"))
    return market.day_name(number), market.day_start_ms(number) + ms

"""The Hong Kong trading day: dates, sessions and market states. Pure functions; no clock is read here.

The clock and the calendar only explain why no ticks arrive. They never decide whether a tick is stored.

Hong Kong has had no daylight saving time since 1979, so a fixed offset of eight hours is exact.
The sessions are those of HKEX's securities market. The states are OpenD's `QotMarketState`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

HKT: Final = timezone(timedelta(hours=8), "HKT")
HKT_OFFSET_MS: Final = 8 * 3_600_000
DAY_MS: Final = 86_400_000

SEALING_HOUR: Final = 6  # a day is sealed from 06:00 on the next morning: no tick of it can arrive after that

_DAY: Final = re.compile("[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STATES: Final = {
    0: "none",
    1: "auction",
    2: "waiting_open",
    3: "morning",
    4: "rest",
    5: "afternoon",
    6: "closed",
    19: "closing_auction",
}
STATE_NAMES: Final = tuple(_STATES.values())  # every name that `state_name` returns for a known state
_TRADING_STATES: Final = frozenset({1, 3, 5, 19})
_CONTINUOUS_STATES: Final = frozenset({3, 5})
_OVER_AT: Final = {
    1: 9 * 60 + 30,
    2: 9 * 60 + 30,
    3: 12 * 60,
    4: 13 * 60,
    5: 16 * 60,
    19: 16 * 60 + 10,
}  # state of a session or a wait → the last end, minute of the day


def day_number(ts_ms: int) -> int:
    """The Hong Kong date at a UTC epoch in milliseconds, as days since 1970-01-01."""
    return (ts_ms + HKT_OFFSET_MS) // DAY_MS


def day_start_ms(day: int) -> int:
    """The start of a day, midnight in Hong Kong, UTC epoch ms."""
    return day * DAY_MS - HKT_OFFSET_MS


def day_name(day: int) -> str:
    """`20261120` for a day number: the name of its file without `.db`."""
    return day_date(day).isoformat().replace("-", "")  # strftime does not pad years before 1000


def day_date(day: int) -> date:
    """The calendar date of a day number."""
    return date(1970, 1, 1) + timedelta(days=day)


def parse_day(text: str) -> int:
    """A day number from `20261120` or `2026-11-20`. Raises ValueError for anything else."""
    if _DAY.fullmatch(text) is None:
        raise ValueError(f"not a date: {text!r}")
    digits = text.replace("-", "")
    return (date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) - date(1970, 1, 1)).days


def hkt(ts_ms: int) -> datetime:
    """A UTC epoch in milliseconds as a Hong Kong datetime."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(HKT)


def clock_text(ts_ms: int) -> str:
    """A UTC epoch in milliseconds as the time of day in Hong Kong, like `09:30:00 HKT`."""
    return f"{hkt(ts_ms):%H:%M:%S} HKT"


def moment_text(ts_ms: int) -> str:
    """A UTC epoch in milliseconds as date and time in Hong Kong, like `2026-11-20 09:30:00 HKT`."""
    return f"{hkt(ts_ms):%Y-%m-%d} {clock_text(ts_ms)}"


def is_weekday(day: int) -> bool:
    """Monday to Friday: used for a day before OpenD's trading calendar is known."""
    return (day + 3) % 7 < 5  # day 0, 1 January 1970, was a Thursday


def state_name(state: int) -> str:
    """The name of an OpenD `QotMarketState`; `state_n` for a number that the Hong Kong market does not use."""
    return _STATES.get(state, f"state_{state}")


def is_trading(state: int) -> bool:
    """Whether ticks are expected in this `QotMarketState`: the sessions and the auctions around them."""
    return state in _TRADING_STATES


def is_continuous(state: int) -> bool:
    """Whether this `QotMarketState` is continuous trading. In an auction all trades happen at its end."""
    return state in _CONTINUOUS_STATES


def is_outdated(state: int, told_ms: int, now_ms: int) -> bool:
    """Whether a `QotMarketState` of `told_ms` says nothing about `now_ms`: another day, or its session is over."""
    moment = hkt(now_ms)
    is_over = moment.hour * 60 + moment.minute >= _OVER_AT.get(state, 24 * 60)
    return is_over or day_number(told_ms) != day_number(now_ms)


def close_ms(day: int) -> int:
    """The earliest end of the closing auction of a full trading day, 16:08, UTC epoch ms."""
    return day_start_ms(day) + (16 * 60 + 8) * 60_000


def may_seal(day: int, opend_now_ms: int) -> bool:
    """Whether a day is finished: OpenD's date is later, and by OpenD's clock it is 06:00 in Hong Kong or later."""
    return day < day_number(opend_now_ms) and hkt(opend_now_ms).hour >= SEALING_HOUR


def sealing_ms(day: int) -> int:
    """06:00 in Hong Kong on the morning after a day, from which on it is sealed; UTC epoch ms."""
    return day_start_ms(day + 1) + SEALING_HOUR * 3_600_000


def finished_before(opend_now_ms: int, our_now_ms: int) -> int | None:
    """All days before the returned day are finished. None before 06:00, when yesterday may not be finished.

    It uses the earlier of OpenD's date and this host's date: a clock that is a day ahead must not end the current day.
    """
    today = day_number(min(opend_now_ms, our_now_ms))
    return today if may_seal(today - 1, opend_now_ms) else None

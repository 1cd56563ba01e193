"""Converts the vendor's Ticker to our tick. Only this module uses the fields of Ticker.

Enters: the ticks of one message. Leaves: rows for the table `ticks`, and a Rejected for each tick that cannot be
stored. A bad tick does not affect the others.

The time of a trade is taken from these fields:

1. `timestamp` (epoch s) is the exchange's date and time. If it has only whole seconds, the text `time` adds the
   milliseconds.
2. Without `timestamp`, the text `time` is read as Hong Kong time. Its date is taken from the sequence, whose high 32
   bits are the second of the tick, or else from the time of receipt.

Forms of `time` that were observed: `HH:MM:SS`, the same with `.fff` or `:fff`, with a date before it, and with
milliseconds without leading zeros (`.8` meant `.008`).

`recvTime` is kept in ms. It is 0 on ticks from OpenD's cache and on requested ones: those have no time of receipt.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import inf, isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import PUSH_CACHE, PUSH_REALTIME, PUSH_REFILL, SEQ_NEAR_S, Rejected, TickRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from . import opend_pb2 as pb

_DAY_MS: Final = 86_400_000
_HKT_MS: Final = 8 * 3_600_000
_EARLIEST_S: Final = 946_684_800  # 2000-01-01: OpenD has nothing older, so an earlier time is invalid
_LATEST_S: Final = 4_102_444_800  # 2100-01-01
_AHEAD_MS: Final = 2 * 3_600_000  # how far this host's clock may be behind; with more, a tick gets yesterday's date
DETAILS_MOST: Final = 100  # rejected ticks of one message and cause that are logged in full
_DETAIL_CHARS: Final = 500  # a tick has 300
_TIME_CHARS: Final = 64  # longer texts that are not a time are not logged

# More shares than any company has, and small enough for the sum of a day to fit in SQLite's 64 bits. An overflow there
# would make a whole batch fail.
_MAX_SHARES: Final = 2**40
_STORED: Final = (
    "sequence",
    "dir",
    "price",
    "turnover",
)  # required fields; for `time` and `volume` there is another field


class _Texts(dict[int, str]):
    """The texts of a field's numbers. An unknown number gets `unknown`, with the number in place of `{}`.

    A subscript costs less than a call of `get`, for each tick of a burst.
    """

    def __init__(self, texts: Mapping[int, str], unknown: str) -> None:
        super().__init__(texts)
        self._unknown = unknown

    def __missing__(self, number: int) -> str:
        return self._unknown.format(number)


_DIRECTIONS: Final = _Texts({1: "BUY", 2: "SELL", 3: "NEUTRAL"}, "UNKNOWN")
_PUSH_TYPES: Final = _Texts({1: PUSH_REALTIME, 2: PUSH_REFILL, 3: PUSH_CACHE}, PUSH_REALTIME)

# The constants of the official SDK's `TickerType`, in its spelling, by the numbers of `Qot_Common.TickerType`.
TICK_TYPES: Final = dict(
    enumerate(
        (
            "UNKNOWN",
            "AUTO_MATCH",
            "LATE",
            "NON_AUTO_MATCH",
            "INTER_AUTO_MATCH",
            "INTER_NON_AUTO_MATCH",
            "ODD_LOT",
            "AUCTION",
            "BULK",
            "CRASH",
            "CROSS_MARKET",
            "BULK_SOLD",
            "FREE_ON_BOARD",
            "RULE127_OR_155",
            "DELAY",
            "MARKET_CENTER_CLOSE_PRICE",
            "NEXT_DAY",
            "MARKET_CENTER_OPENING",
            "PRIOR_REFERENCE_PRICE",
            "MARKET_CENTER_OPEN_PRICE",
            "SELLER",
            "T",
            "EXTENDED_TRADING_HOURS",
            "CONTINGENT",
            "AVERAGE_PRICE",
            "OTC_SOLD",
            "ODD_LOT_CROSS_MARKET",
            "DERIVATIVELY_PRICED",
            "REOPENINGP_RICED",
            "CLOSING_PRICED",
            "COMPREHENSIVE_DELAY_PRICE",
            "OVERSEAS",
        )
    )
)

_TYPES: Final = _Texts(TICK_TYPES, "TYPE_{}")
# `typeSign` is the ASCII code of the exchange's letter. 0 is sent, or nothing, when there is none.
_TYPE_SIGNS: Final = _Texts({code: chr(code) for code in range(32, 127)}, "SIGN_{}")

_TIME = re.compile(
    r"(?:(?P<date>\d{4}-?\d\d-?\d\d)[ T])?(?P<h>\d{1,2}):(?P<m>\d\d):(?P<s>\d\d)(?:[.:](?P<fraction>\d{1,6}))?",
    re.ASCII,
)


# One call for all fields takes less time than a statement for each.
_FIELDS: Final = attrgetter(
    *("sequence", "dir", "price", "volume", "turnover", "timestamp"),
    *("hpVolume", "type", "typeSign", "recvTime", "pushDataType"),
)


def convert(
    symbol: str,
    tickers: Sequence[pb.Ticker],
    recv_ts_ms: int,
    rows: list[TickRow],
    rejected: list[Rejected],
    push_type: str | None = None,
) -> None:
    """Appends each of `tickers` to `rows` or to `rejected`.

    `recv_ts_ms` is when the message reached our socket, UTC epoch ms. `push_type` is given for ticks that were
    requested; a pushed tick has its own.

    The loop runs for every tick of a burst, so it must be fast: each field is read once.
    """
    append, fields = rows.append, _FIELDS
    alike: dict[str, int] | None = None  # cause → ticks rejected for it
    last_s = 0.0  # the ticks of a message mostly have the same recvTime
    opend_ms: int | None = None
    for ticker in tickers:
        seq, direction, price, volume, turnover, stamp_s, precise_volume, kind, sign, opend_s, pushed = fields(ticker)
        if opend_s != last_s:
            opend_ms = int(opend_s * 1000 + 0.5) if _EARLIEST_S < opend_s < _LATEST_S else None
            last_s = opend_s
        if precise_volume and precise_volume != volume:
            volume = _volume(precise_volume, volume)
        # An unusual tick (no time, whole seconds, zero, negative, NaN, a missing field) is checked by slower functions.
        if not (
            _EARLIEST_S < stamp_s < _LATEST_S
            and (ts_ms := int(stamp_s * 1000 + 0.5)) % 1000
            and 0 < price < inf
            and 0 < turnover < inf
            and 0 < volume <= _MAX_SHARES
            and seq
            and direction
        ):
            traded_ms = _traded_ms(ticker, recv_ts_ms)
            cause = _cause_to_reject(ticker, traded_ms, volume)
            if traded_ms is None or cause:
                alike = {} if alike is None else alike
                alike[cause] = alike.get(cause, 0) + 1
                detail = _in_words(ticker) if alike[cause] <= DETAILS_MOST else ""
                rejected.append(Rejected(symbol, seq, cause, detail, recv_ts_ms))
                continue
            ts_ms = traded_ms
        append(
            (
                symbol,
                seq,
                ts_ms,
                price,
                volume,
                turnover,
                _DIRECTIONS[direction],
                _TYPES[kind],
                push_type or _PUSH_TYPES[pushed],
                recv_ts_ms,
                opend_ms,
                _TYPE_SIGNS[sign] if sign else None,
            )
        )


def _cause_to_reject(ticker: pb.Ticker, ts_ms: int | None, volume: int) -> str:
    """Why a tick cannot be stored, empty if it can. Zero and negative figures are stored as the exchange sends them."""
    if not (all(map(ticker.HasField, _STORED)) and (volume or ticker.HasField("volume"))):
        return "incomplete"
    if ts_ms is None:
        return "bad_time"
    if not (isfinite(ticker.price) and isfinite(ticker.turnover)):
        return "non_finite"
    return "" if abs(volume) <= _MAX_SHARES else "out_of_range"


def _in_words(ticker: pb.Ticker) -> str:
    """All fields of a tick on one line. Of a long invalid `time`, only the length is shown."""
    if len(ticker.time) > _TIME_CHARS:
        ticker.time = f"({len(ticker.time):,} characters)"
    return " ".join(str(ticker).split())[:_DETAIL_CHARS]


def _volume(precise: float, plain: int) -> int:
    """The high-precision volume if it is a whole number, else the plain one: Hong Kong has no fractional shares."""
    return int(precise) if precise.is_integer() and abs(precise) <= _MAX_SHARES else plain


def _traded_ms(ticker: pb.Ticker, recv_ts_ms: int) -> int | None:
    """The time of any tick, UTC epoch ms; None if it has no valid one."""
    stamp_s = ticker.timestamp
    if _EARLIEST_S < stamp_s < _LATEST_S:
        return _with_milliseconds(int(stamp_s * 1000 + 0.5), ticker.time)
    return _moment(ticker.time, ticker.sequence, recv_ts_ms)


def _with_milliseconds(ts_ms: int, text: str) -> int:
    """A time in whole seconds with the milliseconds of its text added, if both are the same second."""
    _, time_ms = _read_time(text)
    if ts_ms % 1000 or time_ms is None or (ts_ms + _HKT_MS) % _DAY_MS != time_ms - time_ms % 1000:
        return ts_ms
    return ts_ms + time_ms % 1000


def _moment(text: str, seq: int, recv_ts_ms: int) -> int | None:
    """The time of a tick without `timestamp`, UTC epoch ms; None if its text is not a time."""
    date, time_ms = _read_time(text)
    if time_ms is None:
        return None
    if date:
        return _with_date(date, time_ms)
    second = seq >> 32
    if _EARLIEST_S < second < _LATEST_S:
        near = _on_day_of(second * 1000, time_ms)
        if abs(near - second * 1000) <= SEQ_NEAR_S * 1000:
            return near
    # A tick cannot be from the future: its day is the latest one for which the time is not after the receipt.
    latest = recv_ts_ms + _AHEAD_MS
    today = (latest + _HKT_MS) // _DAY_MS * _DAY_MS - _HKT_MS + time_ms
    return today if today <= latest else today - _DAY_MS


def _read_time(text: str) -> tuple[str, int | None]:
    """The date before the time, empty if there is none, and the milliseconds since midnight, None if it is no time."""
    # A string that is not valid UTF-8 comes as bytes (proto2 allows it): it is not a time.
    match = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        return "", None
    hour, minute, second = int(match["h"]), int(match["m"]), int(match["s"])
    if hour > 23 or minute > 59 or second > 59:
        return "", None
    fraction = match["fraction"] or "0"
    ms = int(fraction) if len(fraction) <= 3 else int(fraction.ljust(6, "0")) // 1000
    return match["date"] or "", ((hour * 60 + minute) * 60 + second) * 1000 + ms


def _on_day_of(moment_ms: int, time_ms: int) -> int:
    """The time nearest to `moment_ms` that has this time of day in Hong Kong."""
    midnight = (moment_ms + _HKT_MS) // _DAY_MS * _DAY_MS - _HKT_MS
    return min((midnight + shift + time_ms for shift in (-_DAY_MS, 0, _DAY_MS)), key=lambda ms: abs(ms - moment_ms))


def _with_date(text: str, time_ms: int) -> int | None:
    """The UTC epoch ms of a date and a time of day in Hong Kong; None for an invalid or impossible date."""
    digits = text.replace("-", "")
    try:
        midnight = datetime(int(digits[:4]), int(digits[4:6]), int(digits[6:]), tzinfo=UTC)
    except ValueError:
        return None
    ts_ms = int(midnight.timestamp()) * 1000 - _HKT_MS + time_ms
    return ts_ms if _EARLIEST_S * 1000 < ts_ms < _LATEST_S * 1000 else None

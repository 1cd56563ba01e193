"""The arguments of `stream`, checked: where the ticks come from, and the position at which the stream begins.

Enters: what a caller wrote, and the time. Leaves: an `Asked`, or one UsageError that names the argument. No file is
read.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.data.days import demand_local
from hk_tick_collector.data.ranges import read_day, read_time
from hk_tick_collector.data.requests import read_symbols
from hk_tick_collector.errors import UsageError

from .bound import Bound
from .position import Position, read_position

if TYPE_CHECKING:
    from os import PathLike

    from hk_tick_collector.data.ranges import Day
    from hk_tick_collector.data.requests import Symbols
    from hk_tick_collector.jetstream.connect import Servers

Start: TypeAlias = "str | int | time | datetime | Position"

_START_HINT: Final = 'write start="new", "day", a time like "09:30", a sequence, or a saved position'
_SYMBOL: Final = re.compile(r"\s*(?:HK[.:])?[0-9]{1,5}\s*", re.IGNORECASE)
_PLAIN_DAY: Final = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")


class Asked(NamedTuple):
    """A stream that was asked for."""

    data_root: Path | None
    archive: Path | None
    servers: Servers | None  # instead of directories
    position: Position
    only: int | None  # the only day
    speed: float | None


def read_source(source: object) -> Path | None:
    """The directory of day files that `source` names; None if it names nothing. UsageError for what is neither."""
    if source is None:
        return None
    text = str(source)
    if isinstance(source, str) and _SYMBOL.fullmatch(text):
        raise UsageError(
            f"source={source!r} is a symbol", hint=f"the first argument is a directory: stream(symbols={source!r})"
        )
    if not isinstance(source, str | Path) and not hasattr(source, "__fspath__"):
        raise UsageError(
            f"source={source!r} is no directory",
            hint="name DATA_ROOT, or servers like nats://HOST:4222, or leave it out",
        )
    if not text or "://" in text:
        raise UsageError(
            f"source={source!r} is no directory",
            hint="name DATA_ROOT, or servers like nats://HOST:4222, or leave it out",
        )
    return Path(text)


def read_archive(archive: str | PathLike[str] | None) -> Path | None:
    """The directory of the archive. UsageError for one that is elsewhere."""
    if archive is None:
        return None
    if not isinstance(archive, str) and not hasattr(archive, "__fspath__"):
        raise UsageError(f"archive={archive!r} is no directory", hint="name the directory of the archive")
    demand_local(archive)
    return Path(archive)


def read_arguments(
    symbols: Symbols, start: Start | None, day: Day | None, speed: float | None, now_ms: int
) -> tuple[Position, int | None, float | None]:
    """The position, the only day, the speed. UsageError for an argument that means nothing."""
    names = read_symbols(symbols)
    only = None if day is None else read_day(day, "day")
    today = market.day_number(now_ms)
    if only is not None and only > today + 1:
        raise UsageError(f"day={day} is in the future", hint="leave it out to follow every day from now on")
    if start is None:
        start = "new" if only is None else "day"
    position = _position(names, start, only, today)
    if only is not None and (position.bound.day != only or any(number != only for number in position.days)):
        raise UsageError(f"start is not in the day {market.day_name(only)}", hint="leave out day, or begin in that day")
    if speed is not None:
        if position.bound.only_new:
            raise UsageError(
                f'speed={speed} is given together with start="new"', hint="new ticks come as they are stored"
            )
        speed = _speed(speed)
    return position, only, speed


def _position(names: tuple[str, ...], start: Start, only: int | None, today: int) -> Position:
    if isinstance(start, str) and start.lstrip().startswith("{"):
        start = read_position(start)
    if isinstance(start, Position):
        if names and set(names) != set(start.symbols):
            shown = ", ".join(start.symbols[:3]) + (" …" if len(start.symbols) > 3 else "") or "all symbols"
            raise UsageError(f"the position is of {shown}", hint="give the same symbols, or leave them out")
        return start
    bound = _bound(start, only, today)
    if bound.day > today + 1:
        raise UsageError(f"start={start} is in the future", hint=_START_HINT)
    return Position(names, bound, {})


def _bound(start: object, only: int | None, today: int) -> Bound:
    if start == "new":
        # Yesterday's file may still get ticks before it is sealed.
        return Bound(today - 1 if only is None else only, only_new=True)
    first = today if only is None else only
    if start == "day":
        return Bound(first)
    if isinstance(start, bool) or not isinstance(start, Integral | str | time | datetime):
        if isinstance(start, date):
            return Bound(read_day(start, "start"))
        raise UsageError(f"start={start!r} is not a place to begin", hint=_START_HINT)
    if isinstance(start, Integral):  # also one of numpy, from a frame
        return _bound_of_seq(int(start), only, today)
    if isinstance(start, str) and _PLAIN_DAY.fullmatch(start.strip()):
        return Bound(read_day(start, "start"))
    try:
        moment = read_time(start, "start")
    except UsageError as error:
        raise UsageError(str(error), hint=_START_HINT if isinstance(start, str) else error.hint) from None
    if moment.of_each_day:
        return Bound(first, from_ms=moment.on(first))
    return Bound(market.day_number(moment.ms), from_ms=moment.ms)


def _bound_of_seq(seq: int, only: int | None, today: int) -> Bound:
    """The day of a sequence is that of its high 32 bits, an epoch second; `day` says it for any other sequence."""
    if not -(2**63) <= seq < 2**63:
        raise UsageError(f"start={seq} is no sequence", hint="a sequence has 64 bits")
    number = market.day_number((seq >> 32) * 1000)
    if only is not None:
        return Bound(only, from_seq=seq)
    if not today - 366 * 50 < number <= today + 1:
        raise UsageError(f"start={seq} does not say which day it is of", hint="give day=... too")
    return Bound(number, from_seq=seq)


def _speed(speed: Any) -> float | None:
    found, is_number = 0.0, isinstance(speed, Real)  # of any kind
    if is_number and speed is not True:
        try:
            found = float(speed)
        except OverflowError:
            found = math.copysign(math.inf, 1 if speed > 0 else -1)
    if not found > 0:
        raise UsageError(
            f"speed={speed!r} is not a speed",
            hint="1 is as it happened, 60 an hour in a minute; leave it out for all at once",
        )
    return None if math.isinf(found) else found

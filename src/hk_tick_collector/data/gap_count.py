"""The open gaps in what was asked for: counted, and told as a warning or raised as an error.

A gap is counted if it may touch the range: where one of its times is unknown, it counts.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import GapsError, UsageError
from hk_tick_collector.frames.extras import need

from .days import missing_weekdays
from .tables import of_symbols, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .days import Source
    from .ranges import DayRange, Times

Gaps: TypeAlias = Literal["warn", "raise", "ignore"]
_SHOWN: Final = 5  # days in one line


class GapWarning(UserWarning):
    """What was asked for is not complete, or it is not known whether it is."""


class OpenGaps(NamedTuple):
    """The open gaps of the days of a request."""

    gaps: int
    missing: int  # ticks, as far as their number is known
    days: tuple[int, ...]  # days with an open gap
    unknown: tuple[int, ...]  # days whose gaps are not known: their book is missing
    command: str = ""  # shows the gaps of the first day that has any

    def told(self) -> str:
        """The line with the command that shows more of it, for a terminal; empty if there is nothing to say."""
        return " -> ".join(filter(None, (self.line(), self.command)))

    def line(self) -> str:
        """One line for people; empty if there is nothing to say."""
        said = []
        if self.gaps:
            gaps = "1 open gap" if self.gaps == 1 else f"{self.gaps:,} open gaps"
            ticks = "1 tick is" if self.missing == 1 else f"{self.missing:,} ticks are"
            said.append(f"{gaps} in the range, {ticks} known to be missing ({_named(self.days)})")
        if self.unknown:
            said.append(f"the gaps of {_named(self.unknown)} are not known: the book of the day is missing")
        return "; ".join(said)


def demand_choice(gaps: str) -> None:
    """Raises UsageError for another value than those of `Gaps`."""
    if gaps not in ("warn", "raise", "ignore"):
        raise UsageError(f"gaps={gaps!r} is not known", hint='give "warn", "raise" or "ignore"')


def count(sources: Sequence[Source], symbols: Sequence[str], times: Times) -> OpenGaps:
    """Counts the open gaps. Reads only the table `gaps` of each day."""
    gaps, missing, days, unknown, command = 0, 0, [], [], ""
    for source in sources:
        found = _of_day(source, symbols, *times.on(source.day))
        if found is None:
            unknown.append(source.day)
        elif found[0]:
            gaps, missing = gaps + found[0], missing + found[1]
            days.append(source.day)
            # `gaps` reads day files only; the file of an archived day may be gone.
            verb = "quality" if source.is_archived else "gaps --open"
            command = command or f"hk-tick-collector {verb} --day {source.name}"
    return OpenGaps(gaps, missing, tuple(days), tuple(unknown), command)


def report(found: OpenGaps, sources: Sequence[Source], days: DayRange, gaps: Gaps, *, stacklevel: int) -> None:
    """Warns of open gaps and of weekdays without data, or raises GapsError for gaps."""
    line = found.line()
    if gaps == "raise" and line:
        shown = f"{found.command} shows them; " if found.command else ""
        raise GapsError(line, hint=f'{shown}gaps="warn" reads all the same')
    if away := missing_weekdays(sources, days):
        words = "weekday" if len(away) == 1 else "weekdays"
        absent = f"no data of {len(away)} {words} of the range, holidays or not collected ({_named(away)})"
        line = f"{line}; {absent}" if line else absent
    if line:
        warnings.warn(line, GapWarning, stacklevel=stacklevel + 1)


def _of_day(source: Source, symbols: Sequence[str], from_ms: int | None, to_ms: int | None) -> tuple[int, int] | None:
    pa = need("pyarrow", "data")
    terms, values = [of_symbols(symbols), "status = 'open'"], list[str | int](symbols)
    for term, bound in (("to_ts_ms >= ?", from_ms), ("from_ts_ms < ?", to_ms)):
        if bound is not None:
            terms.append(f"ifnull({term}, 1)")
            values.append(bound)
    sql = f"SELECT count(*), ifnull(sum(missing), 0) FROM gaps WHERE {' AND '.join(terms)}"  # noqa: S608 - our own names
    figures = pa.schema([("gaps", pa.int64()), ("missing", pa.int64())])
    found = read(source, sql, values, figures)
    return None if found is None else (found["gaps"][0].as_py(), found["missing"][0].as_py())


def _named(days: Sequence[int]) -> str:
    shown = ", ".join(market.day_name(day) for day in days[:_SHOWN])
    return f"{shown} and {len(days) - _SHOWN} more" if len(days) > _SHOWN else shown

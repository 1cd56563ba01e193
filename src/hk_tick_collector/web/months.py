"""Days → the months of a calendar. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector import market

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .days import DayRow


class Cell(NamedTuple):
    """A date in a month; `row` is None without a day of ours."""

    number: int  # of the month
    row: DayRow | None
    is_missing: bool  # a weekday between the first and the last day: a holiday, or nobody collected


class Month(NamedTuple):
    """A month of a calendar."""

    name: str  # 2026-11
    weekdays: int  # columns: 5, or 7 if any day of the calendar is on a weekend
    weeks: list[list[Cell | None]]  # None: no date of this month


def months(rows: Sequence[DayRow]) -> list[Month]:
    """Each month from the first day to the last one, the newest first."""
    by_day = {row.day: row for row in rows}
    columns = 5 if all(market.is_weekday(market.parse_day(day)) for day in by_day) else 7
    names = sorted({day[:6] for day in by_day})
    if not names:
        return []
    found, name = [], names[0]
    while name <= names[-1]:
        found.append(_month(name, by_day, columns))
        year, month = int(name[:4]), int(name[4:])
        name = f"{year + month // 12:04}{month % 12 + 1:02}"
    return found[::-1]


def _month(name: str, by_day: dict[str, DayRow], columns: int) -> Month:
    number = market.parse_day(f"{name}01")
    first, last = min(by_day), max(by_day)
    cells: list[Cell | None] = [None] * market.day_date(number).weekday()
    while (day := market.day_name(number))[:6] == name:
        is_missing = day not in by_day and market.is_weekday(number) and first <= day <= last
        cells.append(Cell(int(day[6:]), by_day.get(day), is_missing))
        number += 1
    cells += [None] * (-len(cells) % 7)
    weeks = [cells[at : at + 7][:columns] for at in range(0, len(cells), 7)]
    return Month(f"{name[:4]}-{name[4:]}", columns, [week for week in weeks if any(week)])

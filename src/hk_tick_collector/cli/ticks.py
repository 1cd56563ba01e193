"""`ticks`: prints or follows the ticks of symbols."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError, StoreError, UsageError
from hk_tick_collector.model import Tick
from hk_tick_collector.store.follow import Follower
from hk_tick_collector.store.query import DayReader, demand_own_day, list_days, path_of

from ._options import AsJson, Day, EnvFile, day_named, settings_in_force, symbols_named, today
from ._patience import demand_readable, each_in_child, in_child
from ._ranges import range_named
from ._show import show_json_list, warn
from ._table import print_table
from ._tick_lines import HEADER, RIGHT, SPARE, WIDTHS, Format, print_ticks, row_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ._ranges import Range

_TABLE_ROWS: Final = 20
_FEW: Final = 1000  # up to this number the last ticks are sorted in memory, without a scan of the day
_LOOK_EVERY_S: Final = 0.5
_LATER_DAYS: Final = 3  # each poll opens every file again


def ticks(  # noqa: PLR0917 - typer makes an option of each argument
    symbols: Annotated[list[str] | None, typer.Argument(metavar="SYMBOL", help="like HK.00700; default: all")] = None,
    day: Day = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="from this day, time or both on: 20261120, 09:30, '20261120 09:30'"
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="until this day, which is included, or before this time"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="keep printing new ticks as they are stored")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            min=0,
            metavar="N",
            help="only the latest N; default: 20 in a table or with --follow, otherwise all",
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", metavar="FORMAT", help="table, csv or jsonl")] = Format.TABLE,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Prints the ticks of a day, or of several, in the order of their time, or follows them as they are stored.

    --since and --until choose days, times, or both, in Hong Kong; several days are printed one after the other.
    Times in a table are Hong Kong time. csv, jsonl and --json have the columns of the table `ticks`: ts_ms, recv_ts_ms
    and opend_recv_ts_ms are UTC epoch milliseconds. The last two columns have no value where OpenD sent none.
    seq is above 2^53: read it as a 64-bit integer, never as a float.
    A file with a value that no collector wrote: nothing is printed, one line on stderr names it, exit code 1.

    \b
    Examples:
      hk-tick-collector ticks HK.00700
      hk-tick-collector ticks HK.00700 HK.09988 --follow
      hk-tick-collector ticks --day 20261120 --format csv > 20261120.csv
      hk-tick-collector ticks HK.00700 --since '20261118 15:30' --until 20261120 --limit 100
    """
    if as_json and (follow or form is not Format.TABLE):
        raise UsageError(
            "--json prints one complete document", hint="use --format jsonl with --follow, and one format at a time"
        )
    wanted = symbols_named(symbols or [])
    if since is not None or until is not None:
        if follow:
            raise UsageError("--follow begins with the latest ticks", hint="leave out --since and --until")
        asked = range_named(day, since, until)
        _print_range(settings_in_force(env_file).data_root, asked, wanted, limit, form, as_json=as_json)
        return
    data_root = settings_in_force(env_file).data_root
    name = day_named(day)
    try:
        path = path_of(data_root, name)
        if follow:
            demand_readable(path)
            _follow(data_root, name, wanted, limit=_TABLE_ROWS if limit is None else limit, form=form, roll=day is None)
        _refuse_nothing(path, name, wanted)
        if limit is None and form is Format.TABLE and not as_json:
            limit = _TABLE_ROWS
        found = map(Tick._make, each_in_child(lambda: _ticks(path, wanted, limit), path))
        if as_json:
            document: dict[str, object] = {"day": name, "file": str(path)}
            show_json_list(document, "ticks", (tick._asdict() for tick in found))
        else:
            print_ticks(form, found)
    except NoDayError as error:
        if name > today():
            raise UsageError(f"{name} is in the future", hint=error.hint) from None
        raise


def _ticks(path: Path, wanted: tuple[str, ...], limit: int | None) -> Iterator[tuple[object, ...]]:
    """Ticks as plain tuples, which go to another process for a tenth of the cost."""
    with DayReader(path) as reader:
        demand_own_day(reader)
        if limit is not None and limit <= _FEW:
            yield from map(tuple, reader.latest(limit, wanted))
        else:
            yield from map(tuple, reader.ticks(wanted, last=limit))


def _print_range(
    data_root: Path, asked: Range, wanted: tuple[str, ...], limit: int | None, form: Format, *, as_json: bool
) -> None:
    """Prints the ticks of each day of a range, the latest `limit` of them in all."""
    there = in_child(lambda: list_days(data_root), data_root)
    days = asked.days(there)
    if not days:
        known = f"days with a file: {there[0]} to {there[-1]}" if there else f"no day was collected in {data_root} yet"
        hint = f"{known}; hk-tick-collector export reads archived days"
        raise NoDayError("there is no day file in the range", hint=hint)
    if limit is None and form is Format.TABLE and not as_json:
        limit = _TABLE_ROWS
    found = _range(data_root, asked, days, wanted) if limit is None else _latest(data_root, asked, days, wanted, limit)
    if as_json:
        show_json_list({"days": days}, "ticks", (tick._asdict() for tick in found))
        return
    first = next(found, None)
    if first is None:
        raise StoreError("no tick is in the range", hint="check the symbols and the times")
    if form is Format.TABLE and len(days) > 1:
        rows = ((market.hkt(tick.ts_ms).strftime("%Y-%m-%d"), *row_of(tick)) for tick in chain([first], found))
        print_table(("date", *HEADER), rows, right=RIGHT, spare=SPARE, least=(10, *WIDTHS))
    else:
        print_ticks(form, chain([first], found))


def _range(data_root: Path, asked: Range, days: list[str], wanted: tuple[str, ...]) -> Iterator[Tick]:
    for name in days:
        yield from _of_day(path_of(data_root, name), asked, wanted, None)


def _latest(data_root: Path, asked: Range, days: list[str], wanted: tuple[str, ...], limit: int) -> Iterator[Tick]:
    """The latest ticks of a range. The newest days are read first, and only as many as needed."""
    parts: list[list[Tick]] = []
    for name in reversed(days):
        if (left := limit - sum(map(len, parts))) > 0:
            parts.append(list(_of_day(path_of(data_root, name), asked, wanted, left)))
    return chain.from_iterable(reversed(parts))


def _of_day(path: Path, asked: Range, wanted: tuple[str, ...], last: int | None) -> Iterator[Tick]:
    def read() -> Iterator[tuple[object, ...]]:
        with DayReader(path) as reader:
            demand_own_day(reader)
            yield from map(tuple, reader.ticks(wanted, last=last, times=(asked.from_ms, asked.to_ms)))

    return map(Tick._make, each_in_child(read, path))


def _symbols(path: Path, wanted: tuple[str, ...]) -> set[str]:
    with DayReader(path) as reader:
        demand_own_day(reader)
        return {symbol.symbol for symbol in reader.symbols(wanted)}


def _refuse_nothing(path: Path, day: str, wanted: tuple[str, ...]) -> None:
    """Raises an error with the reason if there is nothing to print. Warns if only some of the symbols have no ticks."""
    there = in_child(lambda: _symbols(path, wanted), path)
    if not there and not wanted:
        raise StoreError(f"{path} has no tick yet", hint="hk-tick-collector status shows whether ticks should arrive")
    missing = [symbol for symbol in wanted if symbol not in there]
    names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    if not there:
        raise StoreError(f"no tick of {names} on {day}", hint="check FUTU_SYMBOLS: hk-tick-collector config")
    if missing:
        warn(f"no tick of {names} on {day}")


def _follow(data_root: Path, day: str, wanted: tuple[str, ...], *, limit: int, form: Format, roll: bool) -> NoReturn:
    """Prints the latest ticks, then new ones until Ctrl-C; with `roll` those of later days' files as well."""
    followed = _Followed(data_root, day, wanted, roll=roll)
    print_ticks(form, iter(followed.begin(limit)), follow=True)
    while True:
        found = followed.poll()
        print_ticks(form, iter(found), follow=True, header=False)
        sys.stdout.flush()
        if not found:
            time.sleep(_LOOK_EVERY_S)


class _Followed:
    """Follows a day's file, and with `roll` those of later days: a tick dated tomorrow does not end the day."""

    def __init__(self, data_root: Path, day: str, wanted: tuple[str, ...], *, roll: bool) -> None:
        self._data_root = data_root
        self._day = day
        self._wanted = wanted
        self._roll = roll
        self._followers: dict[str, Follower] = {}
        self._refused: set[str] = set()  # later days whose file cannot be read

    def begin(self, limit: int) -> list[Tick]:
        """The latest ticks of the day; everything else in its file and in later ones counts as already printed."""
        for later in self._later():
            with suppress(StoreError):  # `poll` reports it
                self._follower(later).begin(0)
        return self._follower(self._day).begin(limit)

    def poll(self) -> list[Tick]:
        """The ticks that are new since the last poll, each day's in the order of their time."""
        found: list[Tick] = []
        for name in [self._day, *self._later()]:
            try:
                demand_readable(path_of(self._data_root, name))
                found += self._follower(name).poll()
            except NoDayError:  # a damaged file is renamed and a new one created: the next poll finds it
                continue
            except StoreError as error:
                if name == self._day:
                    raise
                warn(f"{error.one_line()}; {name} is not followed")
                self._refused.add(name)
        return found

    def _later(self) -> list[str]:
        """The days after the followed day. Once the date is two days after it, the next day is followed instead."""
        if not self._roll:
            return []
        later = [name for name in list_days(self._data_root) if name > self._day and name not in self._refused]
        if later and market.parse_day(today()) > market.parse_day(self._day) + 1:
            self._followers.pop(self._day, None)
            self._day = later.pop(0)
        return later[:_LATER_DAYS]

    def _follower(self, name: str) -> Follower:
        if name not in self._followers:
            self._followers[name] = Follower(path_of(self._data_root, name), self._wanted)
        return self._followers[name]

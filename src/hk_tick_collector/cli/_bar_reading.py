"""Shared by `bars`: which days and symbols are read, and the reading in a child process."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.bars import TICK_COLUMNS, BarSpec, bar_schema
from hk_tick_collector.bars import bars as bars_of
from hk_tick_collector.data import days as day_sources
from hk_tick_collector.data import gap_count, tables
from hk_tick_collector.data.ranges import Bound, DayRange, Times
from hk_tick_collector.errors import StoreError, UsageError

from ._missing import no_file
from ._options import day_named
from ._patience import each_in_child
from ._show import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from hk_tick_collector.data.days import Archive

    from ._ranges import Range


class Plan(NamedTuple):
    """What is read."""

    sources: tuple[day_sources.Source, ...]
    symbols: tuple[str, ...]  # empty: all
    gaps: str  # a line about open gaps and the command that shows them, empty if there is none
    times: Times = Times()
    ticks: int = 0  # as the counters of the days say; 0 for a day without its book


class _Unknown(NamedTuple):
    """The last message of the child."""

    types: Counter[str]  # unknown type → its ticks
    line: str


def make_plan(places: tuple[Path, Archive | None], wanted: tuple[str, ...], chosen: Range, *, one_symbol: bool) -> Plan:
    """Finds the days (today if none is named), the open gaps in them and the number of their ticks.

    `one_symbol`: if none is named, the one with the most ticks on the last day.
    """
    days, times = _days(chosen), Times(_bound(chosen.from_ms), _bound(chosen.to_ms))
    sources = tuple(source for source in day_sources.find(*places, days) if times.touch(source.day))
    if not sources:
        if days.since == days.until and days.since is not None and places[1] is None:
            raise no_file(places[0], market.day_name(days.since))
        raise day_sources.no_day(*places, days)
    if one_symbol and not wanted:
        wanted = _busiest(sources[-1])
    gaps = gap_count.count(sources, wanted, times).told()
    return Plan(sources, wanted, gaps, times, sum(_ticks_of(source, wanted) for source in sources))


def _days(chosen: Range) -> DayRange:
    if chosen.since is None and chosen.until is None:
        today = market.parse_day(day_named(None))
        return DayRange(today, today)
    return DayRange(*(None if day is None else market.parse_day(day) for day in (chosen.since, chosen.until)))


def _bound(ms: int | None) -> Bound | None:
    return None if ms is None else Bound(ms, of_each_day=False)


def _ticks_of(source: day_sources.Source, wanted: Sequence[str]) -> int:
    import pyarrow as pa

    sql = f"SELECT ifnull(sum(rows), 0) AS ticks FROM symbols WHERE {tables.of_symbols(wanted)}"  # noqa: S608 - our own names
    found = tables.read(source, sql, wanted, pa.schema([("ticks", pa.int64())]))
    return 0 if found is None else int(found["ticks"][0].as_py() or 0)


def _busiest(source: day_sources.Source) -> tuple[str, ...]:
    import pyarrow as pa

    sql = "SELECT symbol FROM symbols WHERE rows > 0 ORDER BY rows DESC, symbol LIMIT 1"
    found = tables.read(source, sql, (), pa.schema([("symbol", pa.string())]))
    if found is None:
        raise UsageError(f"{source.name} has no book that lists its symbols", hint="name one: HK.00700")
    if not found.num_rows:
        raise StoreError(
            f"{source.path} has no tick yet", hint="hk-tick-collector status shows whether ticks should arrive"
        )
    return (str(found["symbol"][0].as_py()),)


def _read(plan: Plan, spec: BarSpec) -> Iterator[pa.RecordBatch | _Unknown]:
    """The bars, then what is known of unknown types. Runs in the child."""
    found = bars_of(_ticks(plan), spec)
    yield from found
    yield _Unknown(found.unknown_types, found.unknown_line())


def _ticks(plan: Plan) -> Iterator[pa.RecordBatch]:
    for source in plan.sources:
        with closing(source.ticks(plan.symbols, plan.times, TICK_COLUMNS, dictionaries=True)) as batches:
            yield from batches


class Reading:
    """The bars of a plan while a child process makes them, and what is known once all have been read."""

    def __init__(self, plan: Plan, spec: BarSpec, data_root: Path) -> None:
        self.plan = plan
        self.spec = spec
        self.schema = bar_schema(spec)
        self.bars = 0
        self.unknown: Counter[str] = Counter()
        self._unknown_line = ""
        self._symbols: set[str] = set()
        network = any(source.is_remote for source in plan.sources)
        self._messages = each_in_child(lambda: _read(plan, spec), data_root, at_once=1, network=network)

    def close(self) -> None:
        """Ends the child."""
        self._messages.close()

    @property
    def days(self) -> list[str]:
        """The days that are read, as `20261120`."""
        return [source.name for source in self.plan.sources]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches of bars. StoreError if there is no tick at all."""
        for message in self._messages:
            if isinstance(message, _Unknown):
                self.unknown, self._unknown_line = message
                break
            self.bars += message.num_rows
            self._symbols.update(map(str, message.column("symbol").unique().to_pylist()))
            yield message
        if not self.bars:
            first, *_, last = self.days * 2
            days = first if first == last else f"the {len(self.days)} days {first} to {last}"
            who = _listed(self.plan.symbols) or "any symbol"
            if times := _clock(self.plan.times):
                raise StoreError(f"no tick of {who} on {days}{times}", hint="choose other times")
            raise StoreError(f"no tick of {who} on {days}", hint="check FUTU_SYMBOLS: hk-tick-collector config")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The bars one by one, with times like 2026-11-20T09:30:00.000+08:00."""
        import pyarrow as pa

        plain = pa.schema([_with_number(field) for field in self.schema])
        times = [name for name in ("time", "end") if name in self.schema.names]
        for batch in self.batches():
            for row in batch.cast(plain).to_pylist():
                for name in times:
                    row[name] = market.hkt(row[name]).isoformat(timespec="milliseconds")
                yield row

    def warn_of_rest(self) -> None:
        """Warns of symbols without a tick and of unknown types."""
        if missing := [symbol for symbol in self.plan.symbols if symbol not in self._symbols]:
            warn(f"no tick of {_listed(missing)}")
        if self._unknown_line:
            warn(self._unknown_line)


def _clock(times: Times) -> str:
    """The times of day that were chosen, like ` from 09:30 to 10:00`; empty if none were."""
    ends = (("from", times.from_), ("to", times.to))
    return "".join(f" {word} {market.hkt(end.ms):%H:%M}" for word, end in ends if end is not None)


def _with_number(field: pa.Field[Any]) -> pa.Field[Any]:
    import pyarrow as pa

    return field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

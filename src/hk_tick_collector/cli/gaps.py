"""`gaps`: the gaps of a day as the day file records them, and their totals."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError, UsageError
from hk_tick_collector.model import GAP_OPEN, Gap
from hk_tick_collector.store.merged_rows import MergedReader
from hk_tick_collector.store.query import demand_own_day, path_of

from ._options import AsJson, Day, EnvFile, day_named, settings_in_force, symbols_named, today
from ._patience import each_in_child
from ._show import show, show_json_list
from ._table import print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_HEADER: Final = ("symbol", "from", "to", "missing", "cause", "status", "opened", "closed", "from_seq", "to_seq")
_WIDTHS: Final = (8, 12, 12, 9, 12, 6, 12, 12, 19, 19)
_RIGHT: Final = frozenset({"missing", "from_seq", "to_seq"})
_SPARE: Final = ("to_seq", "from_seq", "closed", "opened")
_NO_END: Final = 2**63 - 1  # the end of the gap is unknown


def gaps(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="SYMBOL", help="like HK.00700; default: all")] = None,
    day: Day = None,
    only_open: Annotated[bool, typer.Option("--open", help="only gaps whose ticks are still missing")] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Lists the gaps of a day: which ticks of a symbol are missing, why, and whether they have been backfilled.

    Times are Hong Kong time. A gap is open while its ticks are missing, and healed once they are stored, or once it is
    known that none can be filled in: those with the cause rejected were received and cannot be stored. Exit code 0,
    with gaps or without. In a merged day a healed gap names the collector that had its last tick.
    A file with a value that no collector wrote: nothing is printed, one line on stderr names it, exit code 1.

    \b
    Examples:
      hk-tick-collector gaps --open
      hk-tick-collector gaps HK.00700 --day 20261120 --json
    """
    wanted = symbols_named(symbols or [])
    name = day_named(day)
    path = path_of(settings_in_force(env_file).data_root, name)
    try:
        rows = each_in_child(lambda: _gaps(path, wanted, only_open=only_open), path)
        witnesses = _Witnesses()
        _print(name, path, map(witnesses.note, rows), witnesses, as_json=as_json)
    except NoDayError as error:
        if name > today():
            raise UsageError(f"{name} is in the future", hint=error.hint) from None
        raise


def _gaps(path: Path, wanted: tuple[str, ...], *, only_open: bool) -> Iterator[tuple[object, ...]]:
    """Gaps as plain tuples, which go to another process for a tenth of the cost."""
    with MergedReader(path) as reader:
        demand_own_day(reader)
        witnesses = reader.witnesses()
        yield from ((*gap, witnesses.get(gap.id, "")) for gap in reader.each_gap(wanted, only_open=only_open))


class _Witnesses:
    """Who filled the gaps that are being printed, in a merged day; empty for a collector's own day."""

    def __init__(self) -> None:
        self._by_id: dict[int, str] = {}

    def note(self, row: tuple[object, ...]) -> Gap:
        """The gap of a row of `_gaps`."""
        gap = Gap._make(row[:-1])
        if row[-1]:
            self._by_id[gap.id] = str(row[-1])
        return gap

    def take(self, gap: Gap) -> str:
        """The collector that filled a gap, asked for once."""
        return self._by_id.pop(gap.id, "")


def _print(day: str, path: Path, found: Iterator[Gap], witnesses: _Witnesses, *, as_json: bool) -> None:
    """Prints gaps while they are read: a bad day can have a million of them."""
    sums = _Sums()
    if as_json:
        items = (_document(gap, witnesses.take(gap)) for gap in sums.count(found))
        document: dict[str, object] = {"day": day, "file": str(path)}
        show_json_list(document, "gaps", items, after=lambda: {"sums": sums.document()})
        return
    if first := next(found, None):
        rows = (_row(gap, witnesses.take(gap)) for gap in sums.count(chain([first], found)))
        print_table(_HEADER, rows, right=_RIGHT, spare=_SPARE, least=_WIDTHS)
    for line in _sum_lines(day, sums.document()):
        show(line)


class _Sums:
    """How many gaps and missing ticks there are, in all and per cause; `unknown` counts gaps of unknown size."""

    def __init__(self) -> None:
        self._all = _no_gap()  # `missing` and `unknown` count only open gaps
        self._causes: dict[str, Counter[str]] = {}

    def count(self, gaps: Iterable[Gap]) -> Iterator[Gap]:
        """The same gaps; each is counted when it is read."""
        for gap in gaps:
            of_cause = self._causes.setdefault(gap.cause, _no_gap())
            for count in (of_cause, self._all):
                count[gap.status] += 1
                if count is of_cause or gap.status == GAP_OPEN:
                    count["missing"] += gap.missing or 0
                    count["unknown"] += gap.missing is None
            yield gap

    def document(self) -> dict[str, Any]:
        """The sums of the gaps read so far."""
        return {**self._all, "causes": {cause: dict(self._causes[cause]) for cause in sorted(self._causes)}}


def _no_gap() -> Counter[str]:
    return Counter(open=0, healed=0, missing=0, unknown=0)


def _sum_lines(day: str, sums: dict[str, Any]) -> list[str]:
    if not sums["causes"]:
        return [f"{day}: no gap"]
    lines = [f"{day}: {_sum(sums)}"]
    return lines + [f"  {cause}: {_sum(count)}" for cause, count in sums["causes"].items()]


def _sum(count: dict[str, int]) -> str:
    unknown = f" ({count['unknown']:,} of unknown size)" if count["unknown"] else ""
    return f"{count['open']:,} open{unknown}, {count['missing']:,} ticks missing; {count['healed']:,} healed"


def _document(gap: Gap, witness: str) -> dict[str, object]:
    return {**gap._asdict(), "witness": witness} if witness else gap._asdict()


def _row(gap: Gap, witness: str) -> tuple[str, ...]:
    return (
        gap.symbol,
        _time(gap.from_ts_ms),
        _time(gap.to_ts_ms),
        "unknown" if gap.missing is None else f"{gap.missing:,}",
        f"{gap.cause}, {witness} had it" if witness else gap.cause,
        gap.status,
        _time(gap.opened_ms),
        _time(gap.closed_ms),
        "" if gap.from_seq is None else str(gap.from_seq),
        "" if gap.to_seq in (None, _NO_END) else str(gap.to_seq),
    )


def _time(ts_ms: int | None) -> str:
    return "" if ts_ms is None else market.hkt(ts_ms).strftime("%H:%M:%S.") + f"{ts_ms % 1000:03}"

"""`gaps`: the gaps of a day as the day file records them, and their totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError, UsageError
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.store.query import DayReader, path_of

from ._options import AsJson, Day, EnvFile, day_named, settings_in_force, symbols_named, today
from ._patience import in_child
from ._show import show, show_json
from ._table import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.model import Gap

_HEADER: Final = ("symbol", "from", "to", "missing", "cause", "status", "opened", "closed", "from_seq", "to_seq")
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

    Times are Hong Kong time. A gap is open while its ticks are missing, and healed once they are stored. A gap with the
    cause rejected was received and cannot be stored, so it is not requested again. Exit code 0, with gaps or without.

    \b
    Examples:
      hk-tick-collector gaps --open
      hk-tick-collector gaps HK.00700 --day 20261120 --json
    """
    wanted = symbols_named(symbols or [])
    name = day_named(day)
    path = path_of(settings_in_force(env_file).data_root, name)
    try:
        found = in_child(lambda: _read(path, wanted, only_open=only_open), path)
    except NoDayError as error:
        if name > today():
            raise UsageError(f"{name} is in the future", hint=error.hint) from None
        raise
    sums = summed(found)
    if as_json:
        document = {
            "day": name,
            "file": str(path),
            "gaps": [gap._asdict() for gap in found],
            "sums": sums,
        }
        show_json(document)
        return
    if found:
        print_table(_HEADER, [_row(gap) for gap in found], right=_RIGHT, spare=_SPARE)
    for line in _sum_lines(name, sums):
        show(line)


def _read(path: Path, wanted: Sequence[str], *, only_open: bool) -> list[Gap]:
    with DayReader(path) as reader:
        return reader.gaps(wanted, only_open=only_open)


def summed(gaps: Sequence[Gap]) -> dict[str, Any]:
    """The number of gaps and missing ticks, in total and by cause; `unknown` counts gaps of unknown size."""
    opened = [gap for gap in gaps if gap.status == GAP_OPEN]
    causes: dict[str, Counter[str]] = {}
    for gap in gaps:
        count = causes.setdefault(gap.cause, Counter(open=0, healed=0, missing=0, unknown=0))
        count[gap.status] += 1
        count["missing"] += gap.missing or 0
        count["unknown"] += gap.missing is None
    return {
        "open": len(opened),
        "healed": len(gaps) - len(opened),
        "missing": sum(gap.missing or 0 for gap in opened),
        "unknown": sum(gap.missing is None for gap in opened),
        "causes": {cause: dict(causes[cause]) for cause in sorted(causes)},
    }


def _sum_lines(day: str, sums: dict[str, Any]) -> list[str]:
    if not sums["causes"]:
        return [f"{day}: no gap"]
    lines = [f"{day}: {_sum(sums)}"]
    return lines + [f"  {cause}: {_sum(count)}" for cause, count in sums["causes"].items()]


def _sum(count: dict[str, int]) -> str:
    unknown = f" ({count['unknown']:,} of unknown size)" if count["unknown"] else ""
    return f"{count['open']:,} open{unknown}, {count['missing']:,} ticks missing; {count['healed']:,} healed"


def _row(gap: Gap) -> tuple[str, ...]:
    return (
        gap.symbol,
        _time(gap.from_ts_ms),
        _time(gap.to_ts_ms),
        "unknown" if gap.missing is None else f"{gap.missing:,}",
        gap.cause,
        gap.status,
        _time(gap.opened_ms),
        _time(gap.closed_ms),
        "" if gap.from_seq is None else str(gap.from_seq),
        "" if gap.to_seq in (None, _NO_END) else str(gap.to_seq),
    )


def _time(ts_ms: int | None) -> str:
    return "" if ts_ms is None else market.hkt(ts_ms).strftime("%H:%M:%S.") + f"{ts_ms % 1000:03}"

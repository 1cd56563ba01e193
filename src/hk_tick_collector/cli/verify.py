"""The verb `verify`: compares a collector's day files with a simulator's truth file; exit code 0 if they agree."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import astuple, fields
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hk_tick_collector.errors import UsageError
from hk_tick_collector.store.query import DayReader, list_days, path_of

from ._options import AsJson, Day, EnvFile, day_named, settings_in_force
from ._patience import in_child
from ._show import show, show_json
from ._table import print_table

if TYPE_CHECKING:
    from hk_tick_collector.simulator.truth.verdict import StoredDay, Verdict


def verify(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="DAYFILE", help="day files; default: those of DATA_ROOT")
    ] = None,
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="the file written by `simulate --truth`")] = None,
    day: Day = None,
    acked: Annotated[
        Path | None, typer.Option(metavar="FILE", help="keys that must be stored, one a line: SYMBOL, a tab, SEQ")
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> int:
    """Compares a collector's day files with the ticks that the simulator sent, tick by tick.

    Every day in the truth file must have a day file; with --day only that day is compared. Let the collector store
    everything first: a tick that is not stored yet counts as missing.

    Example: hk-tick-collector verify --truth truth.tsv demo-data/20261120.db
    """
    from hk_tick_collector.simulator.truth.truth import read_outliers, read_rejects, read_truth
    from hk_tick_collector.simulator.truth.truth_arrays import Truth
    from hk_tick_collector.simulator.truth.verdict import judge

    if truth is None:
        raise UsageError("there is nothing to compare with", hint="name the file of simulate --truth: --truth FILE")
    if day is not None and files:
        raise UsageError(
            "--day cannot be combined with files: each file is of one day", hint="leave out --day, or the files"
        )
    only = None if day is None else frozenset({day_named(day)})
    try:
        made = Truth(read_truth(truth), read_rejects(truth), only, read_outliers(truth))
        promised = _read_keys(acked) if acked else []
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{truth if acked is None else acked} cannot be read ({error})", hint="check the path and its permissions"
        ) from None
    paths = files or _of_data_root(env_file, made.days)

    def verdict_of_all() -> Verdict:
        with ExitStack() as stack:
            return judge(made, (_stored_day(stack, path) for path in paths), promised)

    verdict = in_child(verdict_of_all, paths[0] if len(paths) == 1 else paths[0].parent) if paths else verdict_of_all()
    if as_json:
        show_json(verdict.document())
    else:
        _print(verdict)
    return 0 if verdict.ok else 1


def _of_data_root(env_file: Path | None, days: list[str]) -> list[Path]:
    """The day files that exist for these days."""
    data_root = settings_in_force(env_file).data_root
    there = set(list_days(data_root))
    return [path_of(data_root, day) for day in days if day in there]


def _stored_day(stack: ExitStack, path: Path) -> StoredDay:
    from hk_tick_collector.simulator.truth.verdict import StoredDay

    reader = stack.enter_context(DayReader(path))
    stack.enter_context(reader.snapshot())
    return StoredDay(
        name=reader.meta().get("trading_day", path.stem),
        ticks=reader.ticks_by_key(),
        gaps=reader.gaps(),
        runs=reader.ledger(),
        counts=reader.symbols(),
        integrity=reader.integrity(),
    )


def _read_keys(path: Path) -> list[tuple[str, int]]:
    lines = path.read_text("ascii").splitlines()
    return [(symbol, int(seq)) for symbol, seq in (line.split("\t") for line in lines)]


def _print(verdict: Verdict) -> None:
    names = [field.name for field in fields(verdict.days[0])] if verdict.days else []
    if names:
        rows = [[str(value) for value in astuple(day)] for day in verdict.days]
        print_table(names, rows, right=frozenset(names[1:]))
    show(verdict.line())

"""`export`: ticks of any symbols and days as one file, or one for each symbol, complete or not at all."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from hk_tick_collector import __version__
from hk_tick_collector.archive.remote import Remote, RemoteFile
from hk_tick_collector.clock import now_ms
from hk_tick_collector.data.complete import demand_free, write_file
from hk_tick_collector.data.export import (
    Plan,
    demand_finished,
    demand_some,
    make_plan,
    read_source,
    received,
    write_split,
)
from hk_tick_collector.data.formats import Format
from hk_tick_collector.data.ranges import DayRange, Times, read_day, read_time
from hk_tick_collector.errors import UsageError
from hk_tick_collector.frames.extras import need

from ._archives import readable_archive
from ._options import AsJson, EnvFile, settings_in_force, symbols_named
from ._patience import demand_writable, each_in_child, in_child
from ._progress import Watch
from ._show import show, show_json, warn

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pyarrow as pa

    from hk_tick_collector.data.days import Source


class Split(StrEnum):
    """How the rows are divided into files."""

    SYMBOL = "symbol"


class Target(NamedTuple):
    """Where an export goes."""

    path: Path  # the file, or the directory with --split
    form: Format
    split: bool
    columns: tuple[str, ...]
    replace: bool


def export(  # noqa: PLR0917 - typer makes an option of each argument
    symbols: Annotated[
        list[str] | None,
        typer.Option("--symbols", metavar="LIST", help="like HK.00700,HK.09988, or @FILE; default: all"),
    ] = None,
    day: Annotated[str | None, typer.Option("--day", metavar="YYYYMMDD", help="one Hong Kong trading day")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="YYYYMMDD", help="the first day")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="YYYYMMDD", help="the last day, included")] = None,
    from_time: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="ticks of each day from this time on, like 09:30; Hong Kong time"),
    ] = None,
    to_time: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="ticks of each day before this time, like 16:00")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="LIST", help="like symbol,ts,price,volume; default: all")
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", metavar="FORMAT", help="parquet, csv, csv.zst, arrow, jsonl; default: as --out ends"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="the file, or the directory with --split; default: ./ticks-DAYS…"),
    ] = None,
    split: Annotated[
        Split | None, typer.Option("--split", metavar="symbol", help="one file for each symbol, in a directory")
    ] = None,
    partial_days: Annotated[
        bool, typer.Option("--partial", help="also a day that may still get ticks; the name must contain `partial`")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="replace a file of that name, once the new one is complete")
    ] = False,
    archive: Annotated[
        str | None,
        typer.Option("--archive", metavar="DIR|s3://…", help="where archived days are; default: ARCHIVE_DIR"),
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Writes ticks into files for other programs: of any symbols and days, from day files and the archive alike.

    Rows are in the order of day, symbol and sequence. Times in csv and jsonl are Hong Kong time with its offset; seq is
    above 2^53: read it as a 64-bit integer. A file appears only when it is complete and on the disk, and never replaces
    another one unless you say so. A day that may still get ticks is read from one moment; Parquet and Arrow files say
    in their metadata which day that is, and until when. Open gaps are reported on stderr.

    Exit code 0 written, 1 not written, 2 wrong usage.

    \b
    Examples:
      hk-tick-collector export --day 20261120 --out 20261120.parquet
      hk-tick-collector export --symbols HK.00700 --since 20261102 --until 20261120 --from 09:30 --to 16:00 --format csv
      hk-tick-collector export --day 20261120 --split symbol --out 20261120
    """
    for module in ("pyarrow", "adbc_driver_sqlite.dbapi"):
        need(module, "data")
    wanted = symbols_named(symbols or [])
    days, times = _days(day, since, until), _times(from_time, to_time)
    chosen = _columns(columns)
    settings = settings_in_force(env_file)
    at_ms = now_ms()
    places = (settings.data_root, readable_archive(archive, settings, env_file))
    plan = in_child(
        lambda: make_plan(places, wanted, days, times, at_ms),
        settings.data_root,
        network=isinstance(places[1], Remote),
    )
    demand_some(plan, split=split is not None)
    target = _target(plan, out, form, Target(Path(), Format.PARQUET, split is not None, chosen, replace))
    if not target.split:
        demand_free(target.path, replace=replace)
    demand_finished(
        plan, partial=partial_days, name=target.path.name, suggestion=str(_marked(target.path, target.form))
    )
    if not target.split:
        demand_writable(target.path.parent)
    _warn(plan)
    began_s = time.monotonic()
    files = _write(plan, target, plan.about(__version__, at_ms))
    _show_result(plan, files, time.monotonic() - began_s, as_json=as_json)


def _write(plan: Plan, target: Target, about: dict[str, str]) -> dict[Path, int]:
    watch = Watch("no file was left")
    request = plan.request._replace(symbols=plan.symbols) if target.split else plan.request
    names = tuple(dict.fromkeys((*target.columns, "symbol"))) if target.split else target.columns
    plan = plan._replace(request=request)
    from hk_tick_collector.frames.columns import schema

    try:
        with closing(_batches(plan, names, watch)) as batches:
            if target.split:
                return write_split(
                    target.path,
                    target.form,
                    target.columns,
                    batches,
                    symbols=plan.symbols,
                    about=about,
                    replace=target.replace,
                )
            rows = write_file(
                target.path, target.form, schema(target.columns), batches, about=about, replace=target.replace
            )
            return {target.path: rows}
    finally:
        watch.clear()


def _batches(plan: Plan, names: tuple[str, ...], watch: Watch) -> Generator[pa.RecordBatch, None, None]:
    """The ticks of every day, read in a child process while this one writes."""
    from hk_tick_collector.frames.columns import schema

    target, done, total = schema(names), 0, sum(plan.rows)
    for source, rows in zip(plan.request.sources, plan.rows, strict=True):
        read = 0
        messages = each_in_child(
            partial(read_source, plan.request, source, names),
            _read_at(source),
            at_once=1,
            network=source.is_remote,
        )
        with closing(messages):
            for message in messages:
                watch.about = f"{source.name} "
                watch.show("write", done + min(read, rows), total)
                batch = received(message, target)
                read += batch.num_rows
                yield batch
        done += rows
    watch.about = ""
    watch.show("write", total, total)


def _read_at(source: Source) -> Path:
    """What the child reads on this host, for messages about its disk."""
    if isinstance(source.path, RemoteFile):
        return Path(tempfile.gettempdir())
    return source.path.parent if source.is_archived else source.path


def _days(day: str | None, since: str | None, until: str | None) -> DayRange:
    if day is None and since is None and until is None:
        raise UsageError("no day is given", hint="--day 20261120, or --since and --until")
    if day is not None and (since is not None or until is not None):
        raise UsageError("--day is given together with --since or --until", hint="give one day, or a range")
    first, last = (day, day) if day is not None else (since, until)
    found = DayRange(
        None if first is None else read_day(first, "--day" if day else "--since"),
        None if last is None else read_day(last, "--day" if day else "--until"),
    )
    if found.since is not None and found.until is not None and found.since > found.until:
        raise UsageError(f"--since {since} is later than --until {until}", hint="give the earlier day as --since")
    return found


def _times(from_time: str | None, to_time: str | None) -> Times:
    times = Times(
        None if from_time is None else read_time(from_time, "--from"),
        None if to_time is None else read_time(to_time, "--to"),
    )
    if times.is_empty():
        raise UsageError(f"--from {from_time} is not earlier than --to {to_time}", hint="the end is not included")
    return times


def _columns(text: str | None) -> tuple[str, ...]:
    from hk_tick_collector.frames.columns import NAMES

    if text is None:
        return NAMES
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in NAMES]:
        raise UsageError(f"--columns: there is no column {unknown[0]!r}", hint=f"columns are {', '.join(NAMES)}")
    if len(set(names)) < len(names):
        raise UsageError("--columns names a column twice", hint="name each once")
    return names


def _target(plan: Plan, out: Path | None, form: Format | None, target: Target) -> Target:
    if form is None and out is not None and not target.split:
        form = _format_of(out)
    form = form or Format.PARQUET
    path = out if out is not None else Path(_default_name(plan, form, split=target.split))
    if target.split and path.exists() and not path.is_dir():
        raise UsageError(f"{path} is not a directory", hint="--split symbol writes into a directory")
    return target._replace(path=path, form=form)


def _format_of(out: Path) -> Format:
    """The format that a name ends with. UsageError for none: the longest suffix counts, as in `.csv.zst`."""
    for form in sorted(Format, key=len, reverse=True):
        if out.name.endswith(f".{form}"):
            return form
    raise UsageError(f"--out {out} ends like no format", hint=f"add --format: {', '.join(Format)}")


def _default_name(plan: Plan, form: Format, *, split: bool) -> str:
    names = [source.name for source in plan.request.sources]
    days = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
    mark = ".partial" if plan.live else ""
    return f"ticks-{days}{mark}" if split else f"ticks-{days}{mark}.{form}"


def _marked(out: Path, form: Format) -> Path:
    """The name with `.partial` before its suffix."""
    stem = out.name.removesuffix(f".{form}")
    return out.with_name(f"{stem}.partial{out.name[len(stem) :]}")


def _warn(plan: Plan) -> None:
    if line := plan.gaps.told():
        warn(line)
    if plan.missing_days:
        warn(f"no data of these weekdays, holidays or not collected: {_listed(plan.missing_days)}")
    if plan.absent:
        warn(f"no tick of {_listed(plan.absent)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _show_result(plan: Plan, files: dict[Path, int], took_s: float, *, as_json: bool) -> None:
    sizes = {path: path.stat().st_size for path in files}
    rows, size = sum(files.values()), sum(sizes.values())
    names = [source.name for source in plan.request.sources]
    if as_json:
        show_json(
            {
                "files": [{"file": str(path), "rows": files[path], "bytes": sizes[path]} for path in files],
                "days": names,
                "partial_days": plan.live,
                "not_sealed": plan.unsealed,
                "rows": rows,
                "bytes": size,
                "open_gaps": plan.gaps.gaps,
                "missing": plan.gaps.missing,
                "seconds": round(took_s, 3),
            }
        )
        return
    where = str(next(iter(files))) if len(files) == 1 else f"{len(files):,} files in {next(iter(files)).parent}"
    days = "1 day" if len(names) == 1 else f"{len(names)} days"
    show(f"{where}: {rows:,} ticks of {days}, {size / 2**20:,.1f} MB, in {took_s:.1f} s")

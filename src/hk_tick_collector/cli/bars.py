"""`bars`: open, high, low, close and volumes of any symbols and days, by time, ticks, volume or turnover."""

from __future__ import annotations

import sys
from contextlib import closing
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector import __version__
from hk_tick_collector.archive.remote import Remote
from hk_tick_collector.bars import BarSpec
from hk_tick_collector.data.complete import demand_free, write_file
from hk_tick_collector.data.formats import Format as FileFormat
from hk_tick_collector.errors import UsageError
from hk_tick_collector.frames.extras import need

from ._archives import readable_archive
from ._bar_reading import Reading, make_plan
from ._options import AsJson, EnvFile, settings_in_force, symbols_named
from ._patience import demand_writable, in_child
from ._progress import Watch
from ._ranges import range_named
from ._show import show, show_csv, show_json, show_json_list, warn
from ._table import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

_RIGHT: Final = frozenset(
    {"open", "high", "low", "close", "volume", "turnover", "vwap", "trades", "buy", "sell", "late"}
)
_SPARE: Final = ("late", "sell", "buy", "turnover", "session", "trades", "vwap", "end")


class Prices(StrEnum):
    """Which ticks form prices."""

    FORMING = "forming"
    ALL = "all"


class Format(StrEnum):
    """How bars are printed, or written with --out."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def bars(  # noqa: PLR0917 - typer makes an option of each argument
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL", help="like HK.00700; default: all, in a table the one with the most ticks"),
    ] = None,
    day: Annotated[
        str | None, typer.Option("--day", metavar="YYYYMMDD", help="one trading day; default: today")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DAY", help="the first day, or a time like 09:30")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DAY", help="the last day, or a time")] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="LENGTH", help="like 1s, 30s, 1m, 5m, 1h, 1d; default: 1m")
    ] = None,
    ticks: Annotated[int | None, typer.Option("--ticks", metavar="N", help="a bar of N ticks instead")] = None,
    volume: Annotated[int | None, typer.Option("--volume", metavar="N", help="a bar of N shares or more")] = None,
    turnover: Annotated[float | None, typer.Option("--turnover", metavar="N", help="a bar of N HKD or more")] = None,
    prices: Annotated[
        Prices,
        typer.Option(
            "--prices", metavar="WHICH", help="forming: trades that form prices; all: odd lots and others too"
        ),
    ] = Prices.FORMING,
    form: Annotated[
        Format | None, typer.Option("--format", metavar="FORMAT", help="table, csv, jsonl or parquet (with --out)")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write a file; its format is that of its suffix")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace FILE, once the new one is complete")] = False,
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="DIR|s3://…", help="the archive; default: ARCHIVE_DIR")
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Makes bars of the ticks of any days, archived or not: open, high, low, close, volume, turnover, vwap, trades.

    A bar's time is when it starts. Prices come from automatic matches and auctions in the order of their time; volume
    and turnover from every tick; late reports never form a price and are shown apart. A bar without a price has none.
    Bars are cut at the auctions and at lunch; a time without ticks has no bar. A bar of ticks, shares or HKD ends
    with the tick that reaches N. docs/bars.md has the rules and their sources.

    Exit code 0 printed or written, 1 not, 2 wrong usage.

    \b
    Examples:
      hk-tick-collector bars HK.00700
      hk-tick-collector bars HK.00700 HK.09988 --day 20261120 --every 5m --format csv
      hk-tick-collector bars --since 20261102 --until 20261120 --every 1m --out november.parquet
    """
    lengths = {"--every": every, "--ticks": ticks, "--volume": volume, "--turnover": turnover}
    given = [name for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", hint=f"give one of {', '.join(lengths)}")
    if not given:
        every = "1m"
    spec = BarSpec(every=every, ticks=ticks, volume=volume, turnover=turnover, prices=prices)
    wanted, chosen = symbols_named(symbols or []), range_named(day, since, until)
    form = _format(form, out, as_json=as_json)
    if out is not None:
        demand_free(out, replace=replace)
    for module in ("pyarrow", "numpy", "adbc_driver_sqlite.dbapi"):
        need(module, "data")
    settings = settings_in_force(env_file)
    places = (settings.data_root, readable_archive(archive, settings, env_file))
    plan = in_child(
        lambda: make_plan(places, wanted, chosen, one_symbol=form is Format.TABLE),
        settings.data_root,
        network=isinstance(places[1], Remote),
    )
    if plan.gaps:
        warn(plan.gaps)
    with closing(Reading(plan, spec, settings.data_root)) as reading:
        if out is not None:
            _write(reading, out, form, replace=replace, as_json=as_json)
        else:
            _print(reading, form, as_json=as_json)
        reading.warn_of_rest()
    if not wanted and plan.symbols:
        show(f"({plan.symbols[0]} has the most ticks; for others: hk-tick-collector bars SYMBOL)")


def _format(form: Format | None, out: Path | None, *, as_json: bool) -> Format:
    files = ", ".join(Format)[len("table, ") :]
    if out is None:
        if as_json and form is not None:
            raise UsageError("--json prints one complete document", hint="give --json or --format, not both")
        if form is Format.PARQUET:
            raise UsageError("--format parquet needs --out FILE", hint="only a file can be Parquet")
        return form or (Format.JSONL if as_json else Format.TABLE)
    if form is None and out.suffix[1:] in (Format.CSV, Format.JSONL, Format.PARQUET):
        return Format(out.suffix[1:])
    if form is None or form is Format.TABLE:
        raise UsageError(f"--out {out} needs a format", hint=f"a name that ends like one, or --format: {files}")
    return form


def _size(spec: BarSpec) -> dict[str, object]:
    found = {"every": spec.every, "ticks": spec.ticks, "volume": spec.volume, "turnover": spec.turnover}
    return {name: value for name, value in found.items() if value is not None}


def _write(reading: Reading, out: Path, form: Format, *, replace: bool, as_json: bool) -> None:
    demand_writable(out.parent)
    asked = {**_size(reading.spec), "prices": reading.spec.prices}
    about = {
        "version": __version__,
        "days": ",".join(reading.days),
        **{key: str(value) for key, value in asked.items()},
    }
    about = {f"hk_tick_collector.{name}": text for name, text in about.items()}
    watch = Watch("no file was left")
    try:
        batches = _shown(reading, watch)
        write_file(out, FileFormat(form), reading.schema, batches, about=about, replace=replace)
    finally:
        watch.clear()
    if as_json:
        show_json(
            {"file": str(out), "days": reading.days, **asked, "bars": reading.bars, "unknown_types": reading.unknown}
        )
    else:
        days = "1 day" if len(reading.days) == 1 else f"{len(reading.days)} days"
        show(f"{out}: {reading.bars:,} bars of {days}")


def _shown(reading: Reading, watch: Watch) -> Iterator[pa.RecordBatch]:
    """The batches, with a bar that shows how many ticks they are made of. A signal ends it."""
    import pyarrow.compute as pc

    done = 0
    for batch in reading.batches():
        done += pc.sum(batch.column("trades")).as_py() or 0
        watch.show("write", done, max(done, reading.plan.ticks))
        yield batch
    watch.show("write", done, done)


def _print(reading: Reading, form: Format, *, as_json: bool) -> None:
    if as_json:
        document = {"days": reading.days, **_size(reading.spec), "prices": reading.spec.prices}
        show_json_list(document, "bars", reading.rows(), after=lambda: {"unknown_types": reading.unknown})
    elif form is Format.JSONL:
        for row in reading.rows():
            show_json(row)
    elif form is Format.CSV:
        show_csv((tuple(row.values()) for row in reading.rows()), reading.schema.names)
    else:
        sys.stdout.flush()
        header = _header(reading)
        print_table(header, (_row(row, header) for row in reading.rows()), right=_RIGHT, spare=_SPARE)


def _header(reading: Reading) -> list[str]:
    names = [name.removesuffix("_volume") for name in reading.schema.names if name != "neutral_volume"]
    return [name for name in names if name != "symbol" or len(reading.plan.symbols) != 1]


def _row(row: dict[str, Any], header: list[str]) -> list[str]:
    return [_cell(name, row.get(name, row.get(f"{name}_volume"))) for name in header]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("time", "end"):
        return f"{value[:10]} {value[11:23]}"
    if name in ("open", "high", "low", "close"):
        return f"{value:.3f}"
    if name == "vwap":
        return f"{value:.4f}"
    if name == "turnover":
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)

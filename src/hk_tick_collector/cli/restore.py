"""The verb `restore`: archived days back as day files."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hk_tick_collector import market
from hk_tick_collector.errors import ArchiveError, CollectorError, UsageError
from hk_tick_collector.ops.findings.words import Words, counted

from ._archives import place_named
from ._options import AsJson, EnvFile, settings_in_force
from ._patience import demand_writable
from ._progress import Watch
from ._show import complain, show, show_json
from ._terminal import language_on

if TYPE_CHECKING:
    from hk_tick_collector.archive.certificate import Certificate
    from hk_tick_collector.archive.places import Place
    from hk_tick_collector.archive.restoring import Restored
    from hk_tick_collector.config import Settings


class _Asked(NamedTuple):
    place: Place
    day: str
    name: str = ""  # of the file in the archive that was named; empty for a day


class _Result(NamedTuple):
    day: str
    restored: Restored | None
    seconds: float
    error: CollectorError | None = None


def restore(
    days: Annotated[
        list[str], typer.Argument(metavar="DAY|FILE…", help="days like 20261120, or Parquet files of an archive")
    ],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="directory for the day files; default: DATA_ROOT")
    ] = None,
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="DIR|s3://…", help="the archive; default: ARCHIVE_DIR")
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Makes day files of archived days: YYYYMMDD.db, sealed, read-only, with all tables. Never over an existing file.

    Signature and files of the archive are checked first. The new file is read again and compared with the certificate
    before it gets its name. Its ticks and tables are those of the day that was archived; its bytes may differ, because
    SQLite lays out pages in another order. Archiving it again gives the same files.

    Exit code 0 all restored, 1 a day is not, 2 wrong usage.

    \b
    Examples:
      hk-tick-collector restore 20261120
      hk-tick-collector restore 20261119 20261120 --to /tmp/days
      hk-tick-collector restore /mnt/archive/ticks/date=2026-11-20/ticks-0123456789abcdef.parquet --to .
    """
    settings = settings_in_force(env_file)
    directory = to or settings.data_root
    asked = [_read(each, archive, settings, env_file) for each in days]
    demand_writable(directory)
    results = _restore(asked, directory)
    if as_json:
        show_json({"directory": str(directory), "days": list(map(_document, results))})
    else:
        lang = language_on(sys.stdout, env_file)
        for result in results:
            if result.restored is not None:
                show(_line(result.restored, result).of(lang))
            elif result.error is not None:
                complain(f"hk-tick-collector: {result.error.one_line()}")
    if any(result.error for result in results):
        raise typer.Exit(1)


def _read(text: str, archive: str | None, settings: Settings, env_file: Path | None) -> _Asked:
    """The archive and the day of an argument. UsageError for one that is neither a day nor a file of an archive."""
    from hk_tick_collector.archive import layout

    if text.isascii() and text.isdigit():
        try:
            day = market.day_name(market.parse_day(text))
        except ValueError:
            raise UsageError(f"{text} is not a date", hint="write a day like 20261120") from None
        return _Asked(place_named(archive, settings, "--archive", env_file), day)
    path = Path(text).absolute()
    for parent in list(path.parents)[1:3]:
        name = path.relative_to(parent).as_posix()
        found = layout.day_of(name)
        if found is not None:
            return _Asked(place_named(str(parent), settings, "--archive", env_file), found, name)
    raise UsageError(
        f"{text} is neither a day nor a file of an archive",
        hint="write a day like 20261120, or ARCHIVE/ticks/date=2026-11-20/ticks-….parquet",
    )


def _restore(asked: list[_Asked], directory: Path) -> list[_Result]:
    """Restores each day. If one cannot be restored, the others are still restored."""
    from hk_tick_collector.archive.chain import read_chain
    from hk_tick_collector.archive.restoring import restore_day
    from hk_tick_collector.archive.signers import known_signers

    watch = Watch("nothing of the unfinished day was left")
    results: list[_Result] = []
    try:
        for place, day, name in asked:
            watch.about = f"{day} "
            began_s = time.monotonic()
            try:
                chain, signers = read_chain(place), known_signers(place)
                _demand_certified(chain.by_day.get(day), name)
                restored = restore_day(place, chain, day, directory, signers, watch.show)
                results.append(_Result(day, restored, time.monotonic() - began_s))
            except CollectorError as error:
                if len(asked) == 1 and not isinstance(error, ArchiveError):
                    raise
                results.append(_Result(day, None, time.monotonic() - began_s, error))
    finally:
        watch.clear()
    return results


def _demand_certified(certificate: Certificate | None, name: str) -> None:
    """UsageError if a file was named that is not one of the day's certificate: the day would be made of another one."""
    from hk_tick_collector.archive import layout

    if certificate is None or not name:
        return
    own = layout.certificate_name(certificate.day)
    if name not in (*certificate.files, own, own + layout.SIGNATURE):
        raise UsageError(
            f"{name} is not in the certificate {own}", hint=f"the certificate is of {certificate.ticks_name}"
        )


def _document(result: _Result) -> dict[str, Any]:
    if result.restored is None:
        error = result.error
        return {"day": result.day, "restored": False, "error": str(error), "hint": error.hint if error else ""}
    found = result.restored
    return {
        "day": result.day,
        "restored": True,
        "file": str(found.path),
        "rows": found.rows,
        "bytes": found.size_bytes,
        "verdict": found.verdict,
        "signed_by": found.signer,
        "seconds": round(result.seconds, 3),
    }


def _line(found: Restored, result: _Result) -> Words:
    text = Words(
        "{path}: {ticks}, compared with the certificate ({verdict}), {size_mb:,.1f} MB in {seconds:.1f} s",
        "{path}：{ticks}，已與證書核對（{verdict}），{size_mb:,.1f} MB，需時 {seconds:.1f} 秒",
    )
    return text.filled(
        path=found.path,
        ticks=counted(found.rows, "tick", "ticks", "筆 tick"),
        verdict=found.verdict,
        size_mb=found.size_bytes / 2**20,
        seconds=result.seconds,
    )

"""The verb `archive`: sealed days as verified, signed files."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import ArchiveError, CollectorError, DiskHangsError, NoDayError
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, counted
from hk_tick_collector.store.query import DayReader, list_days, path_of

from ._archives import Since, Until, days_between, place_named, refuse_both
from ._missing import no_file
from ._options import AsJson, EnvFile, settings_in_force, today
from ._patience import demand_readable, demand_writable, in_child
from ._progress import Watch
from ._show import complain, show, show_json, warn
from ._terminal import language_on

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.archive.chain import Chain
    from hk_tick_collector.archive.day import Outcome, Run
    from hk_tick_collector.archive.delta import Registered
    from hk_tick_collector.archive.places import Place
    from hk_tick_collector.archive.sshsig import SigningKey
    from hk_tick_collector.config import Settings

_NOT_SEALED = "not_sealed"
_FAILED = "failed"


class _Asked(NamedTuple):
    days: list[str]
    by_name: bool  # --day or --replace: compared even if there is a certificate
    replace: bool
    delta: bool = False


class _Result(NamedTuple):
    day: str
    state: str  # archived, replaced, already, not_sealed, failed
    outcome: Outcome | None = None
    error: CollectorError | None = None


def archive(
    day: Annotated[
        str | None, typer.Option("--day", metavar="YYYYMMDD", help="one day; default: every sealed day without a copy")
    ] = None,
    since: Since = None,
    until: Until = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DIR|s3://…", help="the archive; default: ARCHIVE_DIR")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="archive a day anew whose content changed; the old files are kept aside")
    ] = False,
    delta: Annotated[
        bool, typer.Option("--delta", help="register all archived days in a Delta log, ticks/_delta_log, as well")
    ] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Archives sealed days: ticks as one Parquet file, the other tables as SQLite, and a signed certificate.

    Each file is read back and compared before the certificate is made, so a day with a certificate has all its files.
    A day that is archived already stays as it is. The day file is not changed; prune frees it. A first run makes the
    key of this host (CERTIFICATE_KEY). In the archive, sh verify.sh checks everything without this program.

    Exit code 0 everything asked for is archived, 1 something is not, 2 wrong usage.

    \b
    Examples:
      hk-tick-collector archive
      hk-tick-collector archive --day 20261120 --to /mnt/archive
      hk-tick-collector archive --since 20261101 --json
    """
    settings = settings_in_force(env_file)
    place = place_named(to, settings, "--to", env_file)
    asked = _asked(settings, refuse_both(day, since, until), since, until, replace=replace)._replace(delta=delta)
    if (root := getattr(place, "root", None)) is not None:
        demand_writable(root)
    results, registered, failure = _archive(settings, place, asked)
    if failure is not None and not any(result.outcome or result.error for result in results):
        raise failure
    if as_json:
        about: dict[str, Any] = {} if registered is None else {"delta": registered._asdict()}
        if failure is not None:
            about |= {"error": str(failure), "hint": failure.hint}
        show_json({"archive": place.where, "days": list(map(_document, results)), **about})
    else:
        lang = language_on(sys.stdout, env_file)
        _show_results(place, results, lang)
        if registered is not None and (registered.added or registered.removed):
            show(_REGISTERED.filled(**registered._asdict()).of(lang))
    if failure is not None:
        raise failure
    if any(result.state == _FAILED for result in results):
        raise typer.Exit(1)


def _asked(settings: Settings, day: str | None, since: str | None, until: str | None, *, replace: bool) -> _Asked:
    there = in_child(lambda: list_days(settings.data_root), settings.data_root)
    if day is not None:
        if day not in there:
            raise no_file(settings.data_root, day)
        return _Asked([day], by_name=True, replace=replace)
    chosen, now = days_between(there, since, until), today()
    if later := [each for each in chosen if each > now]:
        which = f"{later[0]} is" if len(later) == 1 else f"{len(later):,} days, {later[0]} first, are"
        them = "it is" if len(later) == 1 else "they are"
        words = f"{which} after today, {now}, by the clock of this host: {them} not archived"
        warn(f"{words} -> timedatectl status")
    return _Asked([each for each in chosen if each < now], by_name=replace, replace=replace)


def _archive(
    settings: Settings, place: Place, asked: _Asked
) -> tuple[list[_Result], Registered | None, CollectorError | None]:
    """Archives the days, then registers them. What was done before an error is returned with that error."""
    from hk_tick_collector.archive import delta, ticks
    from hk_tick_collector.archive.chain import read_chain
    from hk_tick_collector.archive.check import demand_continuable
    from hk_tick_collector.archive.day import ALREADY, Run
    from hk_tick_collector.archive.signers import place_helpers, signers_there

    ticks.spare_memory()
    watch = Watch("nothing of the unfinished day was left")
    results: list[_Result] = []
    registered = failure = None
    try:
        with place.hold() as workspace:
            chain = read_chain(place)
            key = _key(settings, place, chain)
            demand_continuable(place, chain, [key.public, *signers_there(place)])
            run = Run(place, workspace, key, settings.instance_id, watch.show, now_ms)
            place_helpers(place, workspace, key.public)
            for day in asked.days:
                watch.about = f"{day} "
                path = path_of(settings.data_root, day)
                if day in chain.by_day and not asked.by_name:
                    results.append(_Result(day, ALREADY))
                    continue
                results.append(_one(run, chain, path, asked))
            if asked.delta:
                names = [each.ticks_name for each in chain.by_day.values()]
                registered = delta.register(place, names, now_ms(), workspace)
    except CollectorError as error:
        failure = error
    finally:
        watch.clear()
    return results, registered, failure


def _key(settings: Settings, place: Place, chain: Chain) -> SigningKey:
    """The key of this host. The first run for an archive makes it; later ones never do, because it would be another."""
    from hk_tick_collector.archive.sshsig import SigningKey, make_key

    path = settings.certificate_key
    if not path.exists() and not chain.by_day and not chain.replaced and not chain.damaged:
        make_key(path, settings.data_root)
        warn(f"made the key {path}, which signs certificates: keep a copy of it, and of {place.where}/allowed_signers")
    return SigningKey(path, settings.instance_id)


def _one(run: Run, chain: Chain, path: Path, asked: _Asked) -> _Result:
    """Archives one day. After an error of this day the others are still archived; an error of the archive is raised."""
    from hk_tick_collector.archive.day import archive_day

    day = path.stem
    try:
        demand_readable(path)
        if not asked.by_name and not in_child(partial(_is_sealed, path), path):
            return _Result(day, _NOT_SEALED)
        outcome = archive_day(run, chain, path, replace=asked.replace)
    except DiskHangsError:
        raise
    except NoDayError as error:  # moved away meanwhile
        return _Result(day, _FAILED, error=error)
    except CollectorError as error:
        if len(asked.days) == 1 or (isinstance(error, ArchiveError) and not _is_of_day(error, chain, day)):
            raise
        return _Result(day, _FAILED, error=error)
    return _Result(day, outcome.state, outcome)


def _is_of_day(error: CollectorError, chain: Chain, day: str) -> bool:
    from hk_tick_collector.errors import OtherContentError

    return isinstance(error, OtherContentError) or day in chain.damaged


def _is_sealed(path: Path) -> bool:
    with DayReader(path) as reader:
        return reader.is_sealed()


def _document(result: _Result) -> dict[str, Any]:
    document: dict[str, Any] = {"day": result.day, "state": result.state}
    if result.outcome is not None:
        certificate = result.outcome.certificate
        document |= {
            "verdict": certificate.verdict,
            "rows": certificate.rows,
            "content_sha256": certificate.content,
            "certificate_sha256": certificate.sha256,
            "files": certificate.files,
            "bytes": result.outcome.size_bytes,
            "seconds": round(result.outcome.seconds, 3),
        }
    if result.error is not None:
        document |= {"error": str(result.error), "hint": result.error.hint}
    return document


def _show_results(place: Place, results: list[_Result], lang: str) -> None:
    for result in results:
        if result.error is not None:
            complain(f"{result.day}: {result.error.one_line()}")
        elif result.outcome is not None:
            show(_line(result.outcome).of(lang))
        elif result.state == _NOT_SEALED:
            show(_UNSEALED.filled(day=result.day).of(lang))
    before = sum(result.outcome is None and result.error is None and result.state != _NOT_SEALED for result in results)
    if before:
        days = counted(before, "day was", "days were", "日")
        show(
            Words("{days} archived before in {where}", "{days}先前已歸檔於 {where}")
            .filled(days=days, where=place.where)
            .of(lang)
        )
    elif not results:
        show(Words("no finished day to archive", "沒有已完結的日子可歸檔").of(lang))


_UNSEALED = Words("{day}: not sealed yet, so not archived", "{day}：尚未封存，故未歸檔")
_REGISTERED = Words(
    "Delta log version {version}: {added:,} added, {removed:,} removed",
    "Delta 記錄第 {version} 版：加入 {added:,} 個，移除 {removed:,} 個",
)
_STATES = {
    "already": Words("archived before with the same content", "先前已歸檔，內容相同"),
    "archived": Words("archived and verified", "已歸檔並驗證"),
    "replaced": Words("replaced and verified", "已取代並驗證"),
}


def _line(outcome: Outcome) -> Words:
    certificate, size = outcome.certificate, NO_WORDS
    if outcome.size_bytes:
        size = Words(", {size_mb:,.1f} MB in {seconds:.1f} s", "，{size_mb:,.1f} MB，需時 {seconds:.1f} 秒").filled(
            size_mb=outcome.size_bytes / 2**20, seconds=outcome.seconds
        )
    return Words("{day}: {state}: {ticks}, {verdict}{size}", "{day}：{state}：{ticks}，{verdict}{size}").filled(
        day=certificate.day,
        state=_STATES[outcome.state],
        ticks=counted(certificate.rows, "tick", "ticks", "筆 tick"),
        verdict=certificate.verdict,
        size=size,
    )

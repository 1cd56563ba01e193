"""The verb `report`: retention and disk, for the daily timer and for a person. It deletes and moves nothing."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector.config import operator_language
from hk_tick_collector.errors import DiskHangsError
from hk_tick_collector.ops.findings import health, retention
from hk_tick_collector.ops.findings.words import ENGLISH, Words
from hk_tick_collector.store.kept import GOOD, survey

from ._options import AsJson, EnvFile, settings_in_force, today
from ._patience import in_child
from ._show import show, show_json
from .status import hanging

if TYPE_CHECKING:
    from hk_tick_collector.config import Settings
    from hk_tick_collector.store.kept import Kept, KeptDay

_FINE: Final = Words("OK: nothing to do", "OK: 毋須處理")


def report(
    read: Annotated[
        bool, typer.Option("--read", help="also read every snapshot and compare it with its SHA-256: 1 GB in seconds")
    ] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> int:
    """What is kept, what is missing, and when the disk is full: one line, then the figures. Nothing is deleted.

    Days without a good snapshot or its SHA-256, days that are not sealed, damaged files, what a spool holds. What may
    be moved is named with the command.

    Exit code 0 fine, 1 warning, 2 critical.

    Example: hk-tick-collector report
    """
    settings = settings_in_force(env_file)
    try:
        found = in_child(
            lambda: survey(settings.data_root, settings.snapshot_dir, settings.spool_dir, read_snapshots=read),
            settings.data_root,
        )
    except DiskHangsError as error:
        return _tell_of_the_disk(error, ENGLISH if as_json else operator_language(env_file), as_json=as_json)
    day, min_free_bytes = today(), settings.disk_min_free_mb * 2**20
    findings = retention.check(found, day, min_free_bytes)
    lang = ENGLISH if as_json else operator_language(env_file)
    severity, line = health.Severity.OK, _FINE.of(lang)
    if findings:
        severity, line = health.summary(findings, lang=lang)
    forecast, movable = retention.forecast(found, day, min_free_bytes), retention.movable(found, day)
    if as_json:
        document = {
            "verdict": severity.name,
            "line": line,
            "findings": [finding.as_json() for finding in findings],
            **forecast._asdict(),
            "may_move": [each.day for each in movable],
            **_facts(found),
        }
        show_json(document)
    else:
        show(line)
        for finding in findings[1:]:
            show(f"  {health.line_of(finding, lang=lang)}")
        for name, text in [*_lines(found, forecast), *_move_lines(movable, settings)]:
            show(f"{name:12}{text}")
    return int(severity)


def _tell_of_the_disk(error: DiskHangsError, lang: str, *, as_json: bool) -> int:
    finding = hanging(error)
    severity, line = health.summary([finding], lang=lang)
    document = {"verdict": severity.name, "line": line, "findings": [finding.as_json()]}
    if as_json:
        show_json(document)
    else:
        show(line)
    return int(severity)


def _facts(found: Kept) -> dict[str, Any]:
    lists = {
        name: list(map(str, getattr(found, name))) for name in ("damaged", "partial", "not_imported", "imported")
    } | {"data_root": str(found.data_root)}
    return {**found._asdict(), **lists, "days": [day._asdict() for day in found.days]}


def _lines(found: Kept, forecast: retention.Forecast) -> list[tuple[str, str]]:
    days = found.days
    span = f", {days[0].day} to {days[-1].day}" if days else ""
    sealed, good = sum(day.sealed for day in days), sum(day.snapshot == GOOD for day in days)
    day_mb = sum(day.size_bytes for day in days) / 2**20
    snapshot_mb = sum(day.snapshot_bytes for day in days) / 2**20
    grows = "not known before the first finished day"
    if forecast.bytes_per_day is not None:
        grows = f"{forecast.bytes_per_day / 2**20:,.1f} MB a trading day"
        if forecast.days_until_full is not None:
            grows += f": DISK_MIN_FREE_MB is reached in {forecast.days_until_full:,} trading days"
    return [
        ("days", f"{len(days):,}{span}, {sealed:,} sealed, {day_mb:,.1f} MB"),
        ("snapshots", f"{good:,} good, {snapshot_mb:,.1f} MB" + ("" if found.same_disk else ", on another disk")),
        ("growth", grows),
        ("disk", f"{found.free_bytes // 2**20:,} of {found.disk_bytes // 2**20:,} MB free"),
        ("set aside", f"{len(found.damaged):,} damaged files, {found.damaged_bytes / 2**20:,.1f} MB"),
        *(
            [("predecessor", f"{len(found.imported):,} files kept, imported, {found.imported_bytes / 2**20:,.1f} MB")]
            if found.imported
            else []
        ),
        ("spool", f"{found.spool_files:,} files, {found.spool_bytes / 2**20:,.1f} MB"),
    ]


def _move_lines(movable: list[KeptDay], settings: Settings) -> list[tuple[str, str]]:
    """What to type, for a person who decides; /ARCHIVE stands for a directory of his on another disk."""
    if not movable:
        return []
    size_mb = sum(day.size_bytes + day.snapshot_bytes for day in movable) / 2**20
    day, root, snapshots = movable[0].day, shlex.quote(str(settings.data_root)), shlex.quote(str(settings.snapshot_dir))
    command = f"sudo mv {root}/{day}.db {snapshots}/{day}.snapshot.db {snapshots}/{day}.snapshot.db.sha256 /ARCHIVE/"
    span = f"{movable[0].day} to {movable[-1].day}"
    return [("may move", f"{len(movable):,} sealed days with a good snapshot, {span}, {size_mb:,.1f} MB: {command}")]

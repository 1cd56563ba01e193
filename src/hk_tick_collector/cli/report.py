"""The verb `report`: retention and disk, for the daily timer and for people. It deletes and moves nothing."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from hk_tick_collector.errors import CollectorError, DiskHangsError
from hk_tick_collector.ops.findings import health, retention
from hk_tick_collector.ops.findings.words import ENGLISH, NO_WORDS, Words, counted, same
from hk_tick_collector.store.inventory import GOOD, KEEP_DAYS, NO_SNAPSHOT, survey

from ._options import AsJson, EnvFile, settings_in_force, today
from ._patience import in_child
from ._service_report import hanging
from ._show import padded, show, show_json
from ._terminal import language_on

if TYPE_CHECKING:
    from hk_tick_collector.config import Settings
    from hk_tick_collector.store.inventory import Kept, KeptDay


class _Archived(NamedTuple):
    """Which days the archive has."""

    days: frozenset[str]
    problem: str  # why it is not known


class _Prunable(NamedTuple):
    """What `prune` would free if its proofs succeed, by names and sizes alone."""

    days: list[str]
    snapshots: list[str]  # by their day
    size_bytes: int
    problem: str  # why it is not known which days are archived


_FINE: Final = Words("OK: nothing to do", "OK: 毋須處理")


def report(
    read: Annotated[
        bool, typer.Option("--read", help="also read every snapshot and compare it with its SHA-256: 1 GB in seconds")
    ] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> int:
    """What is kept, what is missing, and when the disk will be full: one line, then the figures. Nothing is deleted.

    It lists days without a valid snapshot or its SHA-256, days that are not sealed, damaged files, and what a spool
    holds. For days that can be moved it prints the command, and what prune would free, without reading the archive.

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
        return _show_disk_error(error, ENGLISH if as_json else language_on(sys.stdout, env_file), as_json=as_json)
    day, min_free_bytes = today(), settings.disk_min_free_mb * 2**20
    archived = _archived(settings, found)
    findings = retention.check(found, day, min_free_bytes, archived.days)
    lang = ENGLISH if as_json else language_on(sys.stdout, env_file)
    severity, line = health.Severity.OK, _FINE.of(lang)
    if findings:
        severity, line = health.summary(findings, lang=lang)
    forecast, movable = retention.forecast(found, day, min_free_bytes), retention.movable(found, day)
    prunable = _prunable(found, archived)
    if as_json:
        document = {
            "verdict": severity.name,
            "line": line,
            "findings": [finding.as_json() for finding in findings],
            **forecast._asdict(),
            "may_move": [each.day for each in movable],
            "prune": prunable._asdict(),
            **_facts(found),
        }
        show_json(document)
    else:
        show(line)
        for finding in findings[1:]:
            show(f"  {health.line_of(finding, lang=lang)}")
        for name, text in [*_lines(found, forecast), *_move_lines(movable, settings), *_prune_lines(prunable)]:
            show(f"{padded(name.of(lang), 12)}{text.of(lang)}")
    return int(severity)


def _show_disk_error(error: DiskHangsError, lang: str, *, as_json: bool) -> int:
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


def _lines(found: Kept, forecast: retention.Forecast) -> list[tuple[Words, Words]]:
    days = found.days
    first, last = (days[0].day, days[-1].day) if days else ("", "")
    kept = Words(
        "{count:,}{span}, {sealed:,} sealed, {size_mb:,.1f} MB",
        "{count:,} 日{span}，已封存 {sealed:,} 日，{size_mb:,.1f} MB",
    ).filled(
        count=len(days),
        span=Words(f", {first} to {last}", f"，{first} 至 {last}") if days else NO_WORDS,
        sealed=sum(day.sealed for day in days),
        size_mb=sum(day.size_bytes for day in days) / 2**20,
    )
    snapshots = Words(
        "{good:,} good, {size_mb:,.1f} MB{elsewhere}", "完好 {good:,} 個，{size_mb:,.1f} MB{elsewhere}"
    ).filled(
        good=sum(day.snapshot == GOOD for day in days),
        size_mb=sum(day.snapshot_bytes for day in days) / 2**20,
        elsewhere=NO_WORDS if found.same_disk else Words(", on another disk", "，在另一磁碟"),
    )
    free = Words("{free_mb:,} of {all_mb:,} MB free", "{all_mb:,} MB 中剩餘 {free_mb:,} MB")
    sized = Words("{files}, {size_mb:,.1f} MB", "{files}，{size_mb:,.1f} MB")
    damaged = counted(len(found.damaged), "damaged file", "damaged files", "個損壞檔案")
    imported = counted(len(found.imported), "imported file kept", "imported files kept", "個已匯入的原檔保留")
    spool = counted(found.spool_files, "file", "files", "個檔案")
    return [
        (Words("days", "日檔"), kept),
        (Words("snapshots", "快照"), snapshots),
        (Words("growth", "增長"), _growth(forecast)),
        (Words("disk", "磁碟"), free.filled(free_mb=found.free_bytes // 2**20, all_mb=found.disk_bytes // 2**20)),
        (Words("set aside", "改名保留"), sized.filled(files=damaged, size_mb=found.damaged_bytes / 2**20)),
        *(
            [
                (
                    Words("predecessor", "原有程式"),
                    sized.filled(files=imported, size_mb=found.imported_bytes / 2**20),
                )
            ]
            if found.imported
            else []
        ),
        (same("spool"), sized.filled(files=spool, size_mb=found.spool_bytes / 2**20)),
    ]


def _growth(forecast: retention.Forecast) -> Words:
    if forecast.bytes_per_day is None:
        return Words("unknown until the first day is finished", "首個完結的交易日之前不明")
    grows = Words("{size_mb:,.1f} MB a trading day", "每個交易日 {size_mb:,.1f} MB")
    grows = grows.filled(size_mb=forecast.bytes_per_day / 2**20)
    if forecast.days_until_full is None:
        return grows
    full = Words(
        "{grows}: DISK_MIN_FREE_MB is reached in {days:,} trading days",
        "{grows}：{days:,} 個交易日後達到 DISK_MIN_FREE_MB",
    )
    return full.filled(grows=grows, days=forecast.days_until_full)


def _move_lines(movable: list[KeptDay], settings: Settings) -> list[tuple[Words, Words]]:
    """The command to type, if the person decides to; it asks for a directory on another disk."""
    if not movable:
        return []
    day, root, snapshots = movable[0].day, shlex.quote(str(settings.data_root)), shlex.quote(str(settings.snapshot_dir))
    files = f"{root}/{day}.db {snapshots}/{day}.snapshot.db {snapshots}/{day}.snapshot.db.sha256"
    command = f"read -rp 'move to: ' to && sudo mv --no-clobber {files} \"$to/\""
    text = Words(
        "{days} with a good snapshot, {first} to {last}, {size_mb:,.1f} MB -> {command}",
        "{first} 至 {last} 有 {days}，{size_mb:,.1f} MB -> {command}",
    ).filled(
        days=counted(len(movable), "sealed day", "sealed days", "個已封存並有完好快照的日子"),
        first=day,
        last=movable[-1].day,
        size_mb=sum(day.size_bytes + day.snapshot_bytes for day in movable) / 2**20,
        command=command,
    )
    return [(same("may move"), text)]


def _archived(settings: Settings, found: Kept) -> _Archived:
    """The days that have a certificate, by names alone; none if the archive cannot be asked."""
    if not settings.archive_dir or not found.days:
        return _Archived(frozenset(), "")
    if "://" in settings.archive_dir:
        return _Archived(frozenset(), "ARCHIVE_DIR is an object store, which report does not ask")
    directory = Path(settings.archive_dir)
    try:
        return _Archived(frozenset(in_child(lambda: _certified(directory), directory)), "")
    except CollectorError as error:
        return _Archived(frozenset(), str(error))


def _prunable(found: Kept, archived: _Archived) -> _Prunable:
    """Counted by names: which of the older sealed days have a certificate, and which have a snapshot."""
    old = [day for day in found.days[:-KEEP_DAYS] if day.sealed and day.rows is not None]
    days = [day for day in old if day.day in archived.days]
    snapshots = [day for day in old if day.snapshot != NO_SNAPSHOT]
    size = sum(day.size_bytes for day in days) + sum(day.snapshot_bytes for day in snapshots)
    return _Prunable([day.day for day in days], [day.day for day in snapshots], size, archived.problem if old else "")


def _certified(archive: Path) -> set[str]:
    from hk_tick_collector.archive import layout  # imported late: only those who archive need it
    from hk_tick_collector.archive.places import Directory

    names = Directory(archive).list(layout.CERTIFICATES)
    return {day for name in names if name.endswith(".txt") and (day := layout.day_of(name))}


def _prune_lines(prunable: _Prunable) -> list[tuple[Words, Words]]:
    if not prunable.size_bytes and not prunable.problem:
        return []
    text = Words(
        "would free up to {size_mb:,.1f} MB: {days} and {snapshots}, all older than the newest {kept} days{problem}"
        " -> {command}",
        "最多可騰出 {size_mb:,.1f} MB：{days}及 {snapshots}，均早於最近 {kept} 日{problem} -> {command}",
    ).filled(
        size_mb=prunable.size_bytes / 2**20,
        days=counted(len(prunable.days), "day", "days", "個日檔"),
        snapshots=counted(len(prunable.snapshots), "snapshot", "snapshots", "個快照"),
        kept=KEEP_DAYS,
        problem=Words(
            f" (archived days are not counted: {prunable.problem})", f"（未計已歸檔的日子：{prunable.problem}）"
        )
        if prunable.problem
        else NO_WORDS,
        command="sudo -u hkcollector hk-tick-collector prune",
    )
    return [(same("prune"), text)]

"""What is kept + the day it is → findings on retention and disk, and what may be moved. Pure; nothing is deleted."""

from __future__ import annotations

import shlex
from statistics import fmean
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.store import kept
from hk_tick_collector.store.foreign import import_command

from . import remedies
from .finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hk_tick_collector.store.kept import Kept, KeptDay

_RECENT_DAYS: Final = 20  # a month of trading: what the growth is a mean of, and what always stays at hand
_FULL_WARN_DAYS: Final = 10
_FULL_CRITICAL_DAYS: Final = 2
_SEALED_WITHIN_DAYS: Final = 2  # a day is sealed the next morning, once OpenD's own date is later
_NAMED: Final = 3  # days that a line names


class Forecast(NamedTuple):
    """How the disk fills."""

    bytes_per_day: int | None  # of a finished trading day, its snapshot included where it shares the disk
    days_until_full: int | None  # trading days until DISK_MIN_FREE_MB is reached; None where nothing tells


def forecast(found: Kept, today: str, min_free_bytes: int) -> Forecast:
    """From the sizes of the latest finished days."""
    recent = [day for day in found.days if day.day < today][-_RECENT_DAYS:]
    if not recent:
        return Forecast(None, None)
    grows = int(fmean(day.size_bytes + (day.snapshot_bytes if found.same_disk else 0) for day in recent))
    return Forecast(grows, max(0, found.free_bytes - min_free_bytes) // grows if grows else None)


def movable(found: Kept, today: str) -> list[KeptDay]:
    """Days that are safe to move to another disk, oldest first: sealed, with a good snapshot, older than a month."""
    past = [day for day in found.days if day.day < today][:-_RECENT_DAYS]
    return [day for day in past if day.sealed and day.snapshot == kept.GOOD]


def check(found: Kept, today: str, min_free_bytes: int) -> list[Finding]:
    """What is wrong, the worst first. `today` is `YYYYMMDD`."""
    findings = [*_disk(found, today, min_free_bytes), *_days(found, today), *_left(found)]
    return sorted(findings, key=lambda finding: -finding.severity)


def _disk(found: Kept, today: str, min_free_bytes: int) -> Iterator[Finding]:
    free_mb, days = found.free_bytes // 2**20, forecast(found, today, min_free_bytes).days_until_full
    advice = "move old days to another disk (the line `may move` names them), or enlarge the disk"
    remedy = "df -h"
    if found.free_bytes < min_free_bytes:
        severity = Severity.CRITICAL if found.free_bytes < min_free_bytes / 4 else Severity.WARNING
        text = f"{free_mb:,} MB are free, less than DISK_MIN_FREE_MB ({min_free_bytes // 2**20:,} MB); {advice}"
        yield Finding("disk", severity, text, remedy)
    elif days is not None and days < _FULL_WARN_DAYS:
        severity = Severity.CRITICAL if days < _FULL_CRITICAL_DAYS else Severity.WARNING
        text = f"{free_mb:,} MB are free: enough for {days} trading days as they have been; {advice}"
        yield Finding("disk_fills", severity, text, remedy)


def _days(found: Kept, today: str) -> Iterator[Finding]:
    past = [day for day in found.days if day.day < today]
    if former := [day.day for day in found.days if day.is_predecessors]:
        text = remedies.predecessor_days(former)
        yield Finding("predecessor_days", Severity.WARNING, text, import_command(found.data_root))
    if broken := [day for day in found.days if day.rows is None and not day.is_predecessors]:
        text = f"{_named(broken)} cannot be read: {broken[0].problem}"
        more = "" if broken[0].remedy else "; bring it back from a copy (docs/sqlite-wal.md)"
        yield Finding("day_unreadable", Severity.CRITICAL, text + more, broken[0].remedy or remedies.DOCTOR)
    wrong = [day for day in found.days if day.snapshot in (kept.DIFFERS, kept.UNREADABLE)]
    if wrong:
        text = f"the snapshot of {_named(wrong)} is damaged"
        yield Finding("snapshot_damaged", Severity.CRITICAL, text, _take(wrong[0]))
    for word, code, text in _SNAPSHOTS:
        if days := [day for day in past if day.snapshot == word and day.rows is not None]:
            yield Finding(code, Severity.WARNING, f"{_named(days)}: {text}", _take(days[0]))
    number = market.parse_day(today)
    late = [
        day
        for day in past
        if not day.sealed and not day.is_predecessors and market.parse_day(day.day) <= number - _SEALED_WITHIN_DAYS
    ]
    if late:
        text = f"{_named(late)} not sealed yet: the collector does that from 06:00 once OpenD's date is later"
        remedy = "sudo journalctl -u hk-tick-collector --no-pager | grep day_seal_failed | tail"
        yield Finding("unsealed", Severity.WARNING, text, remedy)


def _left(found: Kept) -> Iterator[Finding]:
    if found.not_imported:
        text = f"the predecessor's {found.not_imported[0].name} was set aside and is not imported"
        more = f", as {len(found.not_imported) - 1} more" if len(found.not_imported) > 1 else ""
        yield Finding("predecessor_file", Severity.WARNING, text + more, import_command(found.data_root))
    if found.damaged:
        text = f"{len(found.damaged)} damaged day files are set aside, {found.damaged_bytes // 2**20:,} MB: "
        text += f"{found.damaged[-1].name}; save what can be saved (docs/sqlite-wal.md), then move them to another disk"
        yield Finding("damaged_files", Severity.WARNING, text, f"ls -l {shlex.quote(str(found.damaged[-1].parent))}")
    if found.spool_files:
        text = f"{found.spool_files} spool files, {found.spool_bytes / 2**20:,.1f} MB, wait for a day file;"
        text += " the collector stores them by itself, also at its next start"
        yield Finding("spool", Severity.WARNING, text, "hk-tick-collector status")
    if found.partial:
        text = f"a snapshot was killed and left {found.partial[0].name}, or is being taken now;"
        text += " the next snapshot of that day uses it up"
        yield Finding("partial", Severity.WARNING, text, "")


_SNAPSHOTS: Final = (
    (kept.NO_SNAPSHOT, "no_snapshot", "no snapshot"),
    (kept.NO_SUM, "no_sum", "a snapshot without its SHA-256, so nothing tells that it was checked"),
    (kept.BEHIND, "snapshot_behind", "the snapshot has fewer ticks than the day file"),
)


def _take(day: KeptDay) -> str:
    return f"sudo hk-tick-collector snapshot --day {day.day}"


def _named(days: Sequence[KeptDay]) -> str:
    more = f" and {len(days) - _NAMED} more days" if len(days) > _NAMED else ""
    return ", ".join(day.day for day in days[:_NAMED]) + more

"""What the verbs know of the service: live state, findings, counters of the day file. Nothing is printed.

It sends the service no request. What may wait for a disk is read through a `Disk`, so that it always returns.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hk_tick_collector import clock
from hk_tick_collector.config import ENVIRONMENT, Settings, settings_file
from hk_tick_collector.errors import (
    BusyFileError,
    CollectorError,
    DiskHangsError,
    NoDayError,
    PredecessorFileError,
    StoreError,
    UsageError,
)
from hk_tick_collector.model import MATCHING, UNEXPLAINED
from hk_tick_collector.ops.findings import health, remedies
from hk_tick_collector.ops.findings.completeness import check_completeness, lost_ticks
from hk_tick_collector.ops.findings.day_files import PREDECESSOR_DAYS
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.host import DAY_FILE, DISK_HANGS
from hk_tick_collector.ops.findings.market_silence import silence
from hk_tick_collector.ops.findings.not_reporting import UNIT_PROPERTIES, Host, is_late, is_silent
from hk_tick_collector.ops.findings.remedies import Remedy
from hk_tick_collector.ops.findings.service import LIVE_STATE, NOT_TAKEN_OVER, SETTINGS, SETTINGS_UNREADABLE
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, cause_of, joined, line_of
from hk_tick_collector.ops.live.record import newest_of
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY, STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.ops.live.systemd_unit import (
    SERVICE,
    not_taken_over,
    place_trouble,
    process_state,
    show_unit,
    systemd_runs,
)
from hk_tick_collector.store.foreign import list_waiting
from hk_tick_collector.store.inventory import still_predecessors
from hk_tick_collector.store.locks import describe
from hk_tick_collector.store.query import DayReader, list_days, path_of

from ._options import limits, loaded_in_force, today
from ._patience import Disk
from ._refused_settings import blocked, refusals
from ._stream_report import Streams, is_merge_host, merging_words, streams_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.config import Loaded
    from hk_tick_collector.model import Reconciled
    from hk_tick_collector.ops.findings.spec import FindingSpec
    from hk_tick_collector.store.query import Completeness, Incomplete

    _Known: TypeAlias = tuple[Loaded | None, UsageError | None]  # the settings, or the reason why there are none

_SYSTEMD_S: Final = 2.0
_WORST: Final = 3  # how many symbols are listed: those with the most missing ticks
_LOST: Final = Words(
    "{lost:,} ticks of {day} are lost: hk-tick-collector gaps --open",
    "{day} 有 {lost:,} 筆 tick 已遺失：hk-tick-collector gaps --open",
)


@dataclass(frozen=True, slots=True)
class Report:
    """The service at one moment. Times are UTC epoch ms."""

    now_ms: int
    as_of_ms: int  # of the figures: the last live state if the service no longer reports, otherwise now
    findings: list[Finding]  # the most urgent first
    live: LiveStatus | None
    settings: Settings | None  # None if they are wrong
    day: dict[str, Any] | None  # the counters of the newest day file, None if they cannot be read
    quiet: Words  # why no ticks are expected now; empty if they are, or if it is not known
    lost: Words  # how many ticks of the day are lost; empty if none are
    is_live: bool  # whether the service reports
    streams: Streams  # publish and merge
    work: Words  # what the service does when nothing is wrong

    @property
    def explained(self) -> Words:
        """What the first line of `status` says although nothing is wrong."""
        return joined(self.quiet, self.lost)


def examine(env_file: Path | None, now_ms: int, disk: Disk, *, warns: bool = True) -> Report:
    """Examines the service that the settings in force describe. `warns`: prints warnings about wrong names.

    Raises UsageError if the error is in the caller's own input: the file of --env-file, or the environment.
    """
    loaded, wrong = known = known_settings(env_file, warns=warns)
    settings = loaded.settings if loaded else None
    live, unread = _live(settings.data_root if settings else None, disk)
    live = _with_holder(_with_imported(live, disk)) if live else None
    streams = streams_of(settings, now_ms, disk) if settings else Streams()
    merges_only = settings is not None and live is None and is_merge_host(streams.merge, settings)
    findings = [unread] if unread else [] if merges_only else _check(live, env_file, known, now_ms, disk)
    # Before a takeover the day files belong to the program that was here before.
    waits = any(finding.code == NOT_TAKEN_OVER.code for finding in findings)
    if wrong and _is_unreadable(wrong) and not waits:  # without the right to read, other causes are unknown
        findings = [SETTINGS_UNREADABLE.found(Severity.UNKNOWN, error=cause_of(wrong))]
    data_root = Path(streams.merge.data_root) if streams.merge and merges_only else settings and settings.data_root
    newest = streams.merge.newest_day if streams.merge and merges_only else live.newest_day if live else ""
    day = day_figures(data_root, live, findings, disk, newest) if data_root and not unread and not waits else None
    findings += streams.findings
    if disk.error and not any(finding.code == "disk_hangs" for finding in findings):
        findings.append(hanging(disk.error))
    silent = is_silent(live, now_ms)
    return Report(
        now_ms=now_ms,
        as_of_ms=live.written_ms if live and silent else now_ms,
        findings=health.in_order(findings),
        live=live,
        settings=settings,
        day=day,
        quiet=silence(live, now_ms) if live and not silent else NO_WORDS,
        lost=_LOST.filled(lost=day["lost"], day=day["day"]) if day and day["lost"] else NO_WORDS,
        is_live=not silent,
        streams=streams,
        work=merging_words(streams) if merges_only else health.COLLECTING,
    )


def known_settings(env_file: Path | None, *, warns: bool = True) -> _Known:
    """The settings, or the error in the settings file. That error may explain why the service does not run, so `status`
    reports it.

    Raises UsageError if the error is in this command's own input: the file of --env-file, or the environment.
    """
    try:
        return loaded_in_force(env_file, warns=warns), None
    except UsageError as error:
        if isinstance(error.__cause__, FileNotFoundError) or f"(from {ENVIRONMENT})" in str(error):
            raise
        return None, error


def _is_unreadable(wrong: UsageError) -> bool:
    return isinstance(wrong.__cause__, PermissionError)


def hanging(error: DiskHangsError) -> Finding:
    """The finding for a disk that does not answer readers."""
    kind = "frozen" if error.is_frozen else ""
    return DISK_HANGS.found(Severity.CRITICAL, kind, remedy=Remedy(error.hint), place=error.place)


def _live(data_root: Path | None, disk: Disk) -> tuple[LiveStatus | None, Finding | None]:
    """The newest live state, of this DATA_ROOT if it is known; a finding if it cannot be read."""
    try:
        return (live_status(data_root, disk) if data_root else read_status(RUNTIME_DIRECTORY / STATUS_NAME)), None
    except DiskHangsError as error:
        return None, hanging(error)
    except StoreError as error:
        return None, finding_of(LIVE_STATE, error)


def finding_of(spec: FindingSpec, error: CollectorError) -> Finding:
    """The finding for an error."""
    remedy = remedies.for_hint(error.hint, remedies.DOCTOR, error.hint_zh)
    return spec.found(Severity.UNKNOWN, remedy=remedy, error=cause_of(error))


def _with_holder(live: LiveStatus) -> LiveStatus:
    """Adds a description of the process whose lock the writer waits for. The service cannot see other processes."""
    pid = live.writer_holder_pid
    return replace(live, writer_holder=describe(pid).words()) if pid and pid > 0 else live


def _with_imported(live: LiveStatus, disk: Disk) -> LiveStatus:
    """Removes the days that `import` has imported since the service last checked."""
    if not live.predecessor_days:
        return live
    root = Path(live.data_root)
    with suppress(DiskHangsError):  # `disk` has the error
        left = disk.read(lambda: still_predecessors(root, live.predecessor_days), root)
        return replace(live, predecessor_days=left)
    return live


def _check(live: LiveStatus | None, env_file: Path | None, known: _Known, now_ms: int, disk: Disk) -> list[Finding]:
    """Findings from the live state; the host is examined only if a report is overdue."""
    loaded, wrong = known
    host, refused = Host(), NO_WORDS
    if is_silent(live, now_ms) or is_late(live, now_ms):
        host = _host(live, env_file, known, disk)
    elif live and loaded:
        refused = _refused(loaded, disk, given_only=True, started_ms=live.started_ms)
    findings = health.check(live, now_ms, limits(loaded.settings if loaded else Settings.model_validate({})), host)
    refused = line_of(wrong) if wrong else refused
    if refused and not is_silent(live, now_ms):
        findings.append(SETTINGS.found(Severity.WARNING, error=refused, file=settings_file(env_file)))
    return findings


def _host(live: LiveStatus | None, env_file: Path | None, known: _Known, disk: Disk) -> Host:
    """What systemd, the kernel and the settings say about a service that does not report."""
    loaded, wrong = known
    settings = loaded.settings if loaded else None
    unit = show_unit(SERVICE, UNIT_PROPERTIES, _SYSTEMD_S) if systemd_runs() else None
    installed = unit is not None and unit["LoadState"] == "loaded"
    take_over = not_taken_over(unit)
    place, refused, stopped = "", NO_WORDS, None
    with suppress(DiskHangsError, BusyFileError):  # `disk` has the error; a locked day file is reported later
        place = disk.read(lambda: place_trouble(Path(live.data_root)), Path(live.data_root)) if live else ""
        if loaded:
            refused = _refused(loaded, disk, given_only=not installed)
        if settings and take_over is None:
            stopped = disk.read(lambda: blocked(settings), settings.data_root)
    if wrong:
        refused = NO_WORDS if take_over is not None and _is_unreadable(wrong) else line_of(wrong)
    return Host(
        process=process_state(live.pid) if live else "",
        unit=unit,
        place=place,
        settings_error=refused,
        settings_file=str(settings_file(env_file)),
        blocked=stopped,
        data_root=str(settings.data_root) if settings else "",
        take_over=take_over,
    )


def _refused(loaded: Loaded, disk: Disk, *, given_only: bool = False, started_ms: int | None = None) -> Words:
    """Why `run` would refuse to start, although each setting alone is valid; empty if it would start.

    ALERT_URLS is not checked if the service has started with this file: the check takes half a second, and the
    service has made it.

    """
    leave_out = ("ALERT_URLS",) if started_ms and not _changed_since(loaded, started_ms) else ()
    try:
        found = disk.read(
            lambda: [line_of(error) for error in refusals(loaded, given_only=given_only, leave_out=leave_out).values()],
            loaded.settings.data_root,
        )
    except DiskHangsError:  # `disk` has the error
        return NO_WORDS
    return reduce(joined, found, NO_WORDS)


def _changed_since(loaded: Loaded, moment_ms: int) -> bool:
    """Whether the settings file may have changed since `moment_ms`. Compares its ctime, which no user can set."""
    try:
        return loaded.env_file is None or loaded.env_file.stat().st_ctime_ns // 1_000_000 >= moment_ms
    except OSError:
        return True


def live_status(data_root: Path, disk: Disk | None = None) -> LiveStatus | None:
    """The live state of the service that writes to this DATA_ROOT: of the one that runs, else the newest. Raises
    StoreError if none can be read.

    A disk that does not answer raises DiskHangsError only if no other place has a live state; `disk` remembers the
    hang.
    """
    disk = disk or Disk()
    found: list[LiveStatus] = []
    errors: list[StoreError] = []
    for directory in (RUNTIME_DIRECTORY, data_root):
        try:
            live = disk.read(partial(read_status, directory / STATUS_NAME), directory)
            is_ours = live and (
                live.data_root == str(data_root) or disk.read(partial(_is_same, live, data_root), data_root)
            )
        except StoreError as error:
            errors.append(error)
            continue
        if live and is_ours:
            found.append(live)
    if errors and not found:
        raise errors[0]
    return newest_of(found, clock.now_ms())


def _is_same(live: LiveStatus, data_root: Path) -> bool:
    return os.path.realpath(live.data_root) == os.path.realpath(data_root)


def day_figures(
    data_root: Path, live: LiveStatus | None, findings: list[Finding], disk: Disk, newest_day: str = ""
) -> dict[str, Any] | None:
    """The counters of the newest day's file; an error while reading, or a fault in the file, is added to `findings`."""
    name = newest_day or (live.newest_day if live else "") or today()
    healing = live.ticks_healing if live and live.state != "stopped" else 0
    try:
        path = path_of(data_root, name)
        day, reconciled, complete, incomplete = disk.read(partial(_read_day, path, name, healing), path)
        importing = disk.read(lambda: _waits_for_import(path), path)
    except (NoDayError, DiskHangsError):  # `disk` has the error
        return None
    except PredecessorFileError as error:
        remedy = Remedy(error.hint)
        findings.append(PREDECESSOR_DAYS.found(Severity.WARNING, "read", remedy=remedy, error=cause_of(error)))
        return None
    except CollectorError as error:
        findings.append(finding_of(DAY_FILE, error))
        return None
    findings += health.check_totals(reconciled)
    if name == today():
        findings += check_completeness(name, complete, incomplete, healing, importing=importing)
    if importing:
        day["lost"] = 0
    return {**day, "importing": importing}


def _waits_for_import(path: Path) -> bool:
    """Whether a file of the predecessor was renamed and not all of its ticks are in the day's file yet."""
    with suppress(OSError):
        return any(kept.name.startswith(f"{path.name}.") for kept in list_waiting(path.parent))
    return False


def _read_day(path: Path, name: str, healing: int) -> tuple[dict[str, Any], list[Reconciled], Completeness, Incomplete]:
    """Reads counters only: no table is scanned, however long the day is."""
    with DayReader(path) as reader, reader.snapshot():
        totals, complete = reader.totals(), reader.completeness()
        worst, reconciled = reader.least_complete(_WORST), reader.reconciliation()
        without_rule = reader.without_rule(_WORST)
        incomplete = reader.incomplete(first_day=name == min(list_days(path.parent), default=name))
    day = {
        "day": name,
        "path": str(path),
        "bytes": path.stat().st_size,
        **totals._asdict(),
        "completeness": {**complete._asdict(), "percent": complete.percent, "without_rule": without_rule},
        "worst": [
            {"symbol": symbol.symbol, "missing": (symbol.expected or 0) - symbol.rows, "expected": symbol.expected}
            for symbol in worst
        ],
        "reconciliation": _reconciliation(reconciled),
        "lost": lost_ticks(incomplete, healing),
    }
    return day, reconciled, complete, incomplete


def _reconciliation(rows: Sequence[Reconciled]) -> dict[str, Any] | None:
    if not rows:
        return None
    differing = [row for row in rows if row.explained not in MATCHING]
    worst = max(differing, key=lambda row: (row.explained == UNEXPLAINED, row.difference), default=None)
    return {
        "session": rows[0].session,
        "at_ms": rows[0].at_ms,
        "symbols": len(rows),
        "matching": len(rows) - len(differing),
        "explained": dict(sorted(Counter(row.explained for row in rows).items())),
        "worst": {"symbol": worst.symbol, "shares": worst.difference, "explained": worst.explained} if worst else None,
    }

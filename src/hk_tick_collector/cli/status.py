"""The verb `status`: the 30-second check, from the live state and the day file's counters; asks the service nothing."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError, NoDayError, StoreError
from hk_tick_collector.ops import health
from hk_tick_collector.ops.health import Finding, Limits, Severity
from hk_tick_collector.ops.status import STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.store.query import DayReader, path_of

from ._options import AsJson, EnvFile, settings_in_force, today

if TYPE_CHECKING:
    from hk_tick_collector.config import Settings

RUNTIME_DIRECTORY: Final = Path("/run/hk-tick-collector")  # systemd's, see the unit


def status(env_file: EnvFile = None, as_json: AsJson = False) -> int:
    """The 30-second check: one line that says what is wrong and what to do, then the figures behind it.

    Exit code 0 fine, 1 warning, 2 critical, 3 unknown.

    Example: hk-tick-collector status
    """
    settings = settings_in_force(env_file)
    now_ms = time.time_ns() // 1_000_000
    live: LiveStatus | None = None
    try:
        live = _live_status(settings.data_root)
        findings = health.check(live, now_ms, _limits(settings))
    except StoreError as error:
        findings = [Finding("live_state", Severity.UNKNOWN, str(error), error.hint)]
    day = _day(settings.data_root, live, findings)
    severity, line = health.summary(findings)
    if as_json:
        document = {
            "verdict": severity.name,
            "line": line,
            "findings": [{**asdict(finding), "severity": finding.severity.name} for finding in findings],
            "lag_s": health.lag_s(live, now_ms) if live else None,
            "live": asdict(live) if live else None,
            "day": day,
        }
        print(json.dumps(document, ensure_ascii=False))
    else:
        print(line)
        for finding in findings[1:]:
            print(f"  {finding.severity.name}: {finding.text} -> {finding.remedy}")
        for name, text in _lines(live, day, now_ms):
            print(f"{name:11}{text}")
    return int(severity)


def _live_status(data_root: Path) -> LiveStatus | None:
    """The newest live state of a service that writes to this DATA_ROOT."""
    found = [
        live
        for directory in (RUNTIME_DIRECTORY, data_root)
        if (live := read_status(directory / STATUS_NAME)) and Path(live.data_root) == data_root
    ]
    return max(found, key=lambda live: live.written_ms, default=None)


def _limits(settings: Settings) -> Limits:
    return Limits(
        drift_warn_s=settings.drift_warn_sec,
        lag_critical_s=settings.lag_critical_sec,
        disk_min_free_mb=settings.disk_min_free_mb,
        queue_warn_rows=settings.watchdog_queue_threshold_rows,
    )


def _day(data_root: Path, live: LiveStatus | None, findings: list[Finding]) -> dict[str, Any] | None:
    """What the newest day's file says of itself; a file that cannot be read becomes a finding."""
    name = max(live.newest_day if live else "", "") or today()
    path = path_of(data_root, name)
    try:
        with DayReader(path) as reader:
            totals = reader.totals()
    except NoDayError:
        return None
    except CollectorError as error:
        findings.append(Finding("day_file", Severity.UNKNOWN, str(error), error.hint))
        findings.sort(key=lambda finding: -finding.severity)
        return None
    return {"day": name, "path": str(path), "bytes": path.stat().st_size, **totals._asdict()}


def _lines(live: LiveStatus | None, day: dict[str, Any] | None, now_ms: int) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    if live:
        lines += _live_lines(live, now_ms)
    if day:
        size_mb, wal_mb = day["bytes"] / 2**20, (live.wal_bytes if live else 0) / 2**20
        lines.append(("gaps", f"{day['gaps_open']} open, {day['missing']} ticks missing"))
        lines.append(("day file", f"{day['path']}, {day['rows']:,} rows, {size_mb:,.1f} MB and WAL {wal_mb:,.1f} MB"))
    if live and live.disk_free_mb is not None:
        lines.append(("disk", f"{live.disk_free_mb:,} MB free"))
    return lines


def _live_lines(live: LiveStatus, now_ms: int) -> list[tuple[str, str]]:
    up_min = (now_ms - live.started_ms) // 60_000
    behind_s = health.lag_s(live, now_ms)
    link = f"{live.address}, {live.program}" if live.connected else f"{live.address}, away: {live.link_reason}"
    if live.connected and live.drift_s is not None:
        link += f", our clock {live.drift_s:+.1f} s"
    lag = "no tick yet"
    if behind_s is not None and live.newest_ts_ms is not None:
        lag = f"{behind_s:.1f} s, newest tick {market.hkt(live.newest_ts_ms):%Y-%m-%d %H:%M:%S} HKT"
    quota = "" if live.quota_used is None else f", quota {live.quota_used} used, {live.quota_remaining} left"
    commit = "" if live.commit_ms_p99 is None else f", commit p50 {live.commit_ms_p50} ms, p99 {live.commit_ms_p99} ms"
    account = f"{live.received:,} received = {live.stored:,} stored + {live.duplicate:,} duplicate"
    account += f" + {live.rejected:,} rejected + {live.dropped:,} dropped + {live.waiting:,} waiting"
    return [
        ("service", f"{live.state}, pid {live.pid}, version {live.version}, up {up_min // 60} h {up_min % 60} min"),
        ("OpenD", link),
        ("market", live.market_state + (", trading" if live.trading else "")),
        ("symbols", f"{live.subscribed} of {live.symbols} subscribed{quota}"),
        ("lag", lag),
        ("rows/min", f"{live.persisted_rows_per_min:,}"),
        ("queue", f"{live.waiting:,} of {live.max_queue_rows:,} rows{commit}"),
        ("ledger", account),
    ]

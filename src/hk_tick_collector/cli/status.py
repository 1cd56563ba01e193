"""The verb `status`: the 30-second check, from the live state and the day file's counters; asks the service nothing."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import market
from hk_tick_collector.collect import clock
from hk_tick_collector.errors import CollectorError, NoDayError, StoreError
from hk_tick_collector.model import MATCHING, UNEXPLAINED
from hk_tick_collector.ops import health
from hk_tick_collector.ops.health import Finding, Severity
from hk_tick_collector.ops.lately import times
from hk_tick_collector.ops.status import STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.store.query import DayReader, path_of

from ._options import AsJson, EnvFile, limits, settings_in_force, today

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.config import Settings
    from hk_tick_collector.model import Reconciled
    from hk_tick_collector.store.query import Completeness

_WORST: Final = 3  # symbols that are named, those that miss the most
RUNTIME_DIRECTORY: Final = Path("/run/hk-tick-collector")  # systemd's, see the unit


def status(env_file: EnvFile = None, as_json: AsJson = False) -> int:
    """The 30-second check: one line that says what is wrong and what to do, then the figures behind it.

    Exit code 0 fine, 1 warning, 2 critical, 3 unknown.

    Example: hk-tick-collector status
    """
    settings = settings_in_force(env_file)
    now_ms = clock.now_ms()
    live: LiveStatus | None = None
    try:
        live = live_status(settings.data_root)
        findings = health.check(live, now_ms, limits(settings))
    except StoreError as error:
        findings = [Finding("live_state", Severity.UNKNOWN, str(error), error.hint)]
    day = _day(settings.data_root, live, findings)
    exposure = _exposure(live, settings) if live else None
    severity, line = health.summary(findings)
    if as_json:
        document = {
            "verdict": severity.name,
            "line": line,
            "findings": [{**asdict(finding), "severity": finding.severity.name} for finding in findings],
            "lag_s": health.lag_s(live, now_ms) if live else None,
            "live": asdict(live) if live else None,
            "exposure": exposure,
            "day": day,
        }
        print(json.dumps(document, ensure_ascii=False))
    else:
        print(line)
        for finding in findings[1:]:
            print(f"  {finding.severity.name}: {finding.text} -> {finding.remedy}")
        for name, text in _lines(live, day, exposure, now_ms):
            print(f"{name:12}{text}")
    return int(severity)


def live_status(data_root: Path) -> LiveStatus | None:
    """The newest live state of a service that writes to this DATA_ROOT."""
    found = [
        live
        for directory in (RUNTIME_DIRECTORY, data_root)
        if (live := read_status(directory / STATUS_NAME))
        and os.path.realpath(live.data_root) == os.path.realpath(data_root)
    ]
    return max(found, key=lambda live: live.written_ms, default=None)


def _day(data_root: Path, live: LiveStatus | None, findings: list[Finding]) -> dict[str, Any] | None:
    """What the newest day's file says of itself; a file that cannot be read becomes a finding, as what is wrong in it.

    Counters alone: nothing is scanned, however long the day.
    """
    name = max(live.newest_day if live else "", "") or today()
    path = path_of(data_root, name)
    try:
        with DayReader(path) as reader, reader.snapshot():
            totals, complete = reader.totals(), reader.completeness()
            worst, reconciled = reader.least_complete(_WORST), reader.reconciliation()
    except NoDayError:
        return None
    except CollectorError as error:
        findings.append(Finding("day_file", Severity.UNKNOWN, str(error), error.hint))
        findings.sort(key=lambda finding: -finding.severity)
        return None
    findings += health.check_totals(reconciled)
    findings.sort(key=lambda finding: -finding.severity)
    return {
        "day": name,
        "path": str(path),
        "bytes": path.stat().st_size,
        **totals._asdict(),
        "completeness": {**complete._asdict(), "percent": _percent(complete)},
        "worst": [
            {"symbol": symbol.symbol, "missing": (symbol.expected or 0) - symbol.rows, "expected": symbol.expected}
            for symbol in worst
        ],
        "reconciliation": _reconciliation(reconciled),
    }


def _percent(complete: Completeness) -> float | None:
    """The share that is stored, cut and not rounded: one tick of ten million shows, 100 is without any missing."""
    return complete.rows * 10**7 // complete.expected / 10**5 if complete.expected else None


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


def _exposure(live: LiveStatus, settings: Settings) -> dict[str, Any]:
    """What would have to be fetched again if the process died now, and what a power cut may cost beyond that."""
    cost = "nothing that is committed"
    if live.synchronous == "NORMAL":
        pages = settings.sqlite_wal_autocheckpoint
        cost = f"commits since the last checkpoint, at most the {live.wal_bytes / 2**20:.1f} MB of the WAL"
        cost += f" (one every {pages:,} pages)"
    return {"rows": live.exposed_rows, "seconds": live.exposed_s, "synchronous": live.synchronous, "power_cut": cost}


def _lines(
    live: LiveStatus | None, day: dict[str, Any] | None, exposure: dict[str, Any] | None, now_ms: int
) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    if live:
        lines += _live_lines(live, now_ms)
    if exposure:
        again = f"{exposure['rows']:,} rows, {exposure['seconds']:.1f} s: to be fetched again if the process died now"
        cut = f"a power cut costs {exposure['power_cut']} ({exposure['synchronous']})"
        lines.append(("exposed", f"{again}; {cut}"))
    if day:
        lines += _day_lines(day, live)
    if live and live.disk_free_mb is not None:
        lines.append(("disk", f"{live.disk_free_mb:,} MB free"))
    return lines


def _day_lines(day: dict[str, Any], live: LiveStatus | None) -> list[tuple[str, str]]:
    complete = day["completeness"]
    share = "no tick yet" if day["rows"] == 0 else "unknown: no sequence tells how many ticks there are"
    if complete["percent"] is not None:
        share = f"{complete['percent']:.5f} %, {complete['rows']:,} of {complete['expected']:,} ticks"
        share += f" of {complete['symbols']:,} symbols"
        if complete["without_pattern"]:
            share += f"; of {complete['without_pattern']:,} it is unknown"
    gaps = f"{day['gaps_open']:,} open, {day['missing']:,} ticks missing"
    if live and day["gaps_open"]:
        healing = min(live.gaps_healing, day["gaps_open"])
        gaps += f"; {healing:,} healing, {day['gaps_open'] - healing:,} beyond reach"
    size_mb, wal_mb = day["bytes"] / 2**20, (live.wal_bytes if live else 0) / 2**20
    worst = [f"{each['symbol']} -{each['missing']:,}" for each in day["worst"]]
    return [
        ("complete", share),
        *([("worst", ", ".join(worst))] if worst else []),
        ("gaps", gaps),
        ("totals", _totals_line(day["reconciliation"])),
        ("day file", f"{day['path']}, {day['rows']:,} rows, {size_mb:,.1f} MB and WAL {wal_mb:,.1f} MB"),
    ]


def _totals_line(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not yet compared with OpenD's own: at lunch and after the close"
    words = ", ".join(f"{count:,} {word}" for word, count in found["explained"].items())
    line = f"{found['matching']:,} of {found['symbols']:,} symbols agree with OpenD's own at {found['session']}"
    line += f" ({market.hkt(found['at_ms']):%H:%M} HKT): {words}"
    if found["worst"]:
        line += f"; worst {found['worst']['symbol']} by {found['worst']['shares']:,} shares"
    return line


def _link_line(live: LiveStatus, now_ms: int) -> str:
    """For how long the link has been up or away, and when and why one broke: no finding where it came back soon."""
    since_min = (now_ms - (live.link_since_ms or live.started_ms)) // 60_000
    line = f"{'up' if live.connected else 'away'} {since_min // 60} h {since_min % 60} min"
    if live.link_breaks_lately:
        line += f", broke {times(live.link_breaks_lately)} in the last 15 minutes"
    if live.link_break_ms is not None:
        line += f"; last broken {market.hkt(live.link_break_ms):%Y-%m-%d %H:%M:%S} HKT: {live.link_break_reason}"
    return line


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
    budget = "not known yet"
    if live.outage_budget_s is not None:
        budget = (
            f"{live.outage_budget_s:,.0f} s, then {live.busiest_symbol}, the busiest, has more ticks than OpenD keeps"
        )
    account = f"{live.received:,} received = {live.stored:,} stored + {live.duplicate:,} duplicate"
    account += f" + {live.rejected:,} rejected + {live.dropped:,} dropped + {live.waiting:,} waiting"
    return [
        ("service", f"{live.state}, pid {live.pid}, version {live.version}, up {up_min // 60} h {up_min % 60} min"),
        ("OpenD", link),
        ("link", _link_line(live, now_ms)),
        ("market", live.market_state + (", trading" if live.trading else "")),
        ("symbols", f"{live.subscribed} of {live.symbols} subscribed{quota}"),
        ("lag", lag),
        ("rows/min", f"{live.persisted_rows_per_min:,}"),
        ("queue", f"{live.waiting:,} of {live.max_queue_rows:,} rows{commit}"),
        ("ledger", account),
        ("may be away", budget),
    ]

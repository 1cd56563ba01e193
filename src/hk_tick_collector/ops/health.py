"""Live state + now → findings: what is wrong, how bad it is, what to type next. Pure.

The calendar and the market's state only explain silence here; they decide nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import UNEXPLAINED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hk_tick_collector.model import Reconciled

    from .status import LiveStatus

_STALE_MS: Final = 10_000  # the live state is written every second
_START_GRACE_MS: Final = 60_000  # OpenD may be away for so long before it is more than a warning
_WRITER_STUCK_MS: Final = 30_000
# A WAL is begun anew at its first checkpoint; one that is many times longer has a reader that keeps it from that. Not
# below a size that a single transaction of a long backlog may have.
_WAL_LARGE_TIMES: Final = 16
_WAL_LARGE_BYTES: Final = 64 * 2**20
_LAG_WARN_S: Final = 60.0

_JOURNAL: Final = "sudo journalctl -u hk-tick-collector --since '10 minutes ago' --no-pager"
_OPEND_STATUS: Final = "sudo systemctl status futu-opend --no-pager"
_GAPS: Final = "hk-tick-collector gaps --open"


class Severity(IntEnum):
    """As the exit codes of `status`."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `code` names it for machines, `remedy` is what to type or do next."""

    code: str
    severity: Severity
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a figure is a finding; the settings of the same names."""

    drift_warn_s: float
    lag_critical_s: float
    disk_min_free_mb: int
    queue_warn_rows: int


def lag_s(status: LiveStatus, now_ms: int) -> float | None:
    """Now minus the newest stored tick, in seconds; None before the first one."""
    return None if status.newest_ts_ms is None else (now_ms - status.newest_ts_ms) / 1000


def check(status: LiveStatus | None, now_ms: int, limits: Limits) -> list[Finding]:
    """What is wrong, the worst first. `status` is None when there is no live state at all."""
    if status is None:
        return [
            Finding(
                "service_down",
                Severity.CRITICAL,
                "the collector has left no live state: it is not running here",
                "sudo systemctl start hk-tick-collector",
            )
        ]
    gone = _gone(status, now_ms)
    if gone:
        return [gone]
    findings = [*_opend(status, now_ms), *_writer(status, now_ms), *_data(status, now_ms, limits), *_losses(status)]
    return sorted(findings, key=lambda finding: -finding.severity)


def summary(findings: list[Finding]) -> tuple[Severity, str]:
    """The one line that says why and what to do."""
    if not findings:
        return Severity.OK, "OK: collecting, nothing to do"
    worst = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return worst.severity, f"{worst.severity.name}: {worst.text}{more} -> {worst.remedy}"


def _gone(status: LiveStatus, now_ms: int) -> Finding | None:
    age_s = (now_ms - status.written_ms) / 1000
    if status.state == "stopped":
        return Finding(
            "service_stopped",
            Severity.CRITICAL,
            f"the collector was stopped {age_s:.0f} s ago",
            "sudo systemctl start hk-tick-collector",
        )
    if now_ms - status.written_ms > _STALE_MS:
        return Finding(
            "service_hung",
            Severity.CRITICAL,
            f"the collector (pid {status.pid}) has not reported for {age_s:.0f} s: it died or hangs",
            "sudo systemctl restart hk-tick-collector",
        )
    return None


def _opend(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    if not status.connected:
        since_ms = status.link_since_ms or status.started_ms
        severity = Severity.CRITICAL if now_ms - since_ms > _START_GRACE_MS else Severity.WARNING
        away_s = (now_ms - since_ms) / 1000
        yield Finding(
            "opend_away", severity, f"no connection to OpenD for {away_s:.0f} s: {status.link_reason}", _OPEND_STATUS
        )
        return
    for kind, words in status.trouble.items():
        yield Finding(
            f"opend_{kind}",
            Severity.CRITICAL,
            f"OpenD reports {kind.replace('_', ' ')} {words}".rstrip(),
            _remedy(kind),
        )
    if not status.quote_logged_in or status.program != "ready":
        detail = status.program_detail or "not logged in to the quote server"
        yield Finding(
            "opend_not_ready", Severity.CRITICAL, f"OpenD is {status.program}: {detail}", _remedy(status.program)
        )
    elif status.subscribed == 0:
        severity = Severity.CRITICAL if status.refused else Severity.WARNING
        words = next(iter(status.refused.values()), "still subscribing")
        yield Finding("not_subscribed", severity, f"no symbol is subscribed: {words}", _JOURNAL)
    elif status.refused:
        symbol, words = next(iter(status.refused.items()))
        yield Finding(
            "symbols_refused",
            Severity.WARNING,
            f"OpenD refused {len(status.refused)} of {status.symbols} symbols, {symbol} first: {words}",
            "check FUTU_SYMBOLS and the account's quota (retried every minute)",
        )


def _writer(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    if status.writer_trouble:
        since_s = (now_ms - (status.writer_trouble_since_ms or now_ms)) / 1000
        waits = status.writer_trouble == "busy" and since_s < 60
        yield Finding(
            f"writer_{status.writer_trouble}",
            Severity.WARNING if waits else Severity.CRITICAL,
            f"the writer waits for {since_s:.0f} s: {status.writer_trouble} ({status.writer_detail})",
            _WRITER_REMEDIES.get(status.writer_trouble, _JOURNAL),
        )
    elif status.writer_alive_ms is not None and now_ms - status.writer_alive_ms > _WRITER_STUCK_MS:
        yield Finding(
            "writer_stuck",
            Severity.CRITICAL,
            f"the writer has not moved for {(now_ms - status.writer_alive_ms) / 1000:.0f} s",
            "sudo systemctl restart hk-tick-collector",
        )

    if status.stalls and status.waiting:
        yield Finding(
            "persistent_stall",
            Severity.CRITICAL,
            f"the watchdog has met a stall {status.stalls} times: {status.waiting} rows wait",
            "docs/data-quality.md, and the lines WATCHDOG of " + _JOURNAL,
        )
    if status.spooled:
        yield Finding(
            "spooling",
            Severity.WARNING,
            f"{status.spooled} rows are spooled: the day file could not take them in time",
            "wait, they are stored as soon as it can; why it could not: " + _JOURNAL,
        )
    if status.damaged_files:
        yield Finding(
            "day_damaged",
            Severity.WARNING,
            f"a damaged day file was set aside as {status.damaged_files[-1]} and a fresh one begun",
            "keep it, see docs/sqlite-wal.md; what was lost: hk-tick-collector gaps --open",
        )


def _data(status: LiveStatus, now_ms: int, limits: Limits) -> Iterator[Finding]:
    drift_s = status.drift_s
    if drift_s is not None and abs(drift_s) > limits.drift_warn_s:
        yield Finding(
            "clock_drift", Severity.WARNING, f"this host's clock is {drift_s:+.1f} s off OpenD's", "timedatectl status"
        )
    behind_s = _judged_lag_s(status, now_ms, limits)
    if behind_s > _LAG_WARN_S:
        severity = Severity.CRITICAL if behind_s > limits.lag_critical_s else Severity.WARNING
        yield Finding(
            "lag", severity, f"the newest stored tick is {behind_s:.0f} s old while the market trades", _JOURNAL
        )
    if status.waiting > limits.queue_warn_rows:
        yield Finding(
            "queue", Severity.WARNING, f"{status.waiting} of {status.max_queue_rows} rows wait for the disk", _JOURNAL
        )
    if status.wal_bytes > max(_WAL_LARGE_BYTES, _WAL_LARGE_TIMES * status.wal_autocheckpoint_bytes):
        yield Finding(
            "wal_large",
            Severity.WARNING,
            f"the write-ahead log has {status.wal_bytes // 2**20} MB: a reader holds it",
            f"lsof {status.data_root}/{status.newest_day}.db-wal",
        )
    if status.disk_free_mb is not None and status.disk_free_mb < limits.disk_min_free_mb:
        severity = Severity.CRITICAL if status.disk_free_mb < limits.disk_min_free_mb / 4 else Severity.WARNING
        yield Finding(
            "disk", severity, f"{status.disk_free_mb} MB are free in {status.data_root}", f"df -h {status.data_root}"
        )


def _losses(status: LiveStatus) -> Iterator[Finding]:
    """What is missing: a warning while it is fresh or heals, afterwards only listed."""
    if status.sealed_day_lately:
        nothing_else = not status.persisted_rows_per_min
        yield Finding(
            "sealed_day",
            Severity.CRITICAL if nothing_else else Severity.WARNING,
            f"{'every tick is' if nothing_else else f'{status.sealed_day_lately} ticks were'} rejected:"
            f" their day is sealed ({status.sealed_day} since the start, each whole in the log)",
            f"ls -l {status.data_root}: only finished days may be read-only (docs/data-quality.md)",
        )
    if status.rejected_lately:
        yield Finding(
            "rejected",
            Severity.WARNING,
            f"{status.rejected_lately} ticks that cannot be stored came in the last 15 minutes",
            "sudo journalctl -u hk-tick-collector --no-pager | grep tick_rejected | tail",
        )
    if status.dropped_lately:
        yield Finding(
            "dropped",
            Severity.WARNING,
            f"{status.dropped_lately} ticks were dropped in the last 15 minutes, {status.dropped} since the start",
            f"{_GAPS}; why the disk was slow: {_JOURNAL}",
        )
    if status.gaps_lost_lately:
        yield Finding(
            "gaps_lost",
            Severity.WARNING,
            f"{status.gaps_lost_lately} gaps of the last 15 minutes can heal no more: OpenD has their ticks no longer",
            f"{_GAPS}; nothing can be done, the warning ends by itself",
        )
    if status.gaps_healing:
        yield Finding(
            "gaps_healing",
            Severity.WARNING,
            f"{status.gaps_healing} gaps are being fetched again",
            f"wait, they close by themselves; {_GAPS}",
        )


def check_totals(rows: Sequence[Reconciled]) -> list[Finding]:
    """What the day's reconciliation with OpenD's own totals says is wrong; nothing when there was none."""
    unexplained = [row for row in rows if row.explained == UNEXPLAINED]
    if not unexplained:
        return []
    worst = max(unexplained, key=lambda row: row.difference)
    text = f"{len(unexplained)} of {len(rows)} symbols differ from OpenD's own volume at {worst.session} without a"
    return [
        Finding(
            "totals_differ",
            Severity.WARNING,
            f"{text} known reason, {worst.symbol} by {worst.difference:,} shares",
            "docs/data-quality.md tells how to read the table reconciliation",
        )
    ]


def _judged_lag_s(status: LiveStatus, now_ms: int, limits: Limits) -> float:
    """How long ticks have been missing: only while the market trades, and not from before it began to."""
    if not (status.connected and status.trading and status.subscribed):
        return 0.0
    drift_s = status.drift_s or 0.0
    if abs(drift_s) > limits.drift_warn_s:
        now_ms -= int(drift_s * 1000)  # the exchange's time is OpenD's, not that of a wrong clock
    last_ms = max(status.newest_ts_ms or 0, status.trading_since_ms or 0)
    return max(0.0, (now_ms - last_ms) / 1000) if last_ms else 0.0


def _remedy(kind: str) -> str:
    return _OPEND_REMEDIES.get(kind.removeprefix("program_"), _OPEND_STATUS)


_RESTART: Final = "sudo systemctl restart futu-opend"
_PASSWORD: Final = f"check OpenD's account and password, then {_RESTART}"
_RIGHT: Final = "check the account's Hong Kong quote right; another terminal may hold it"
_DISCLAIMER: Final = f"agree to the API disclaimer in Futu's app, then {_RESTART}"

# By the words of opend.messages for program states and for what Notify tells.
_OPEND_REMEDIES: Final = {
    "loaded": f"wait a minute; if it stays so, {_RESTART}",
    "logging_in": f"wait a minute; if it stays so, {_RESTART}",
    "preparing": f"wait a minute; if it stays so, {_RESTART}",
    "needs_captcha": "enter the captcha in OpenD's console (docs/operations.md)",
    "needs_sms_code": "enter the SMS code in OpenD's console (docs/operations.md)",
    "device_lock_enabled": "enter the device's code in OpenD's console (docs/operations.md)",
    "login_failed": _PASSWORD,
    "password_changed": _PASSWORD,
    "trade_password_changed": f"ticks need no trade password: {_RESTART}",
    "login_banned": "the account may not log in: ask Futu's support",
    "forced_logout": f"OpenD was logged out, by another login or by Futu: {_RESTART}",
    "kicked_out": f"log out the other terminal of this account, then {_RESTART}",
    "needs_update": "install the current version of OpenD",
    "disclaimer_not_agreed": _DISCLAIMER,
    "disclaimer_unavailable": _DISCLAIMER,
    "config_load_failed": f"check OpenD.xml, then {_RESTART}",
    "network_config_missing": f"check OpenD.xml and the installation of OpenD, then {_RESTART}",
    "app_data_missing": f"install OpenD anew beside its data, then {_RESTART}",
    "data_missing": f"install OpenD anew beside its data, then {_RESTART}",
    "api_server_failed": "another program may hold OpenD's port: sudo ss -ltnp",
    "quote_link_lost": "OpenD lost Futu's servers: check this host's network; it comes back by itself",
    "quote_right_bmp": _RIGHT,
    "quote_right_none": _RIGHT,
}
_WRITER_REMEDIES: Final = {
    "busy": "find the other writer: sudo fuser -v the day file",
    "disk_full": "free space: df -h, then wait, it resumes by itself",
    "read_only": "mount | grep /data; remount read-write, it resumes by itself",
    "no_permission": "sudo chown -R hkcollector:hkcollector DATA_ROOT, it resumes by itself",
    "no_directory": "bring DATA_ROOT back (is its disk mounted?), it resumes by itself",
    "foreign_file": "move the foreign file away, it resumes by itself",
    "damaged": "see docs/sqlite-wal.md",
}

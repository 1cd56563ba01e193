"""Live state + now → findings: what is wrong, how bad it is, what to type next. Pure.

The calendar and the market's state only explain silence here; they decide nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import UNEXPLAINED
from hk_tick_collector.store.foreign import import_command

from . import remedies
from .finding import Finding, Severity
from .market_silence import check_silence
from .not_reporting import Host, check_gone
from .ordering import in_order, worst
from .recent import check_lately, times
from .refusals import groups
from .remedies import Remedy, advised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hk_tick_collector.model import Reconciled
    from hk_tick_collector.ops.live.status import LiveStatus

_START_GRACE_MS: Final = 60_000  # OpenD may be away for so long before it is more than a warning
_SUBSCRIBING_MS: Final = 10_000  # a connection older than this has its symbols subscribed
_WRITER_STUCK_MS: Final = 30_000
_STALLED_MS: Final = 3_000
_STALLS_CRITICAL: Final = 2  # so many within a quarter of an hour: the runbook's signal to escalate
_SLOW_DISK_S: Final = 2.0  # one wait of the writer inside the kernel
_SLOW_DISK_CRITICAL_S: Final = 30.0
_SLOW_DISK_WAITS: Final = 3  # shorter ones, of half a second and more, within a minute
_BACKFILL_FAILS_MS: Final = 60_000
_BACKFILL_REPEATED_MS: Final = 10_000  # a request that failed once, and was not needed again, is no finding
_DESCRIPTORS_WARN_SHARE: Final = 0.8
# A WAL is begun anew at its first checkpoint; one that is many times longer has a reader that keeps it from that. Not
# below a size that a single transaction of a long backlog may have.
_WAL_LARGE_TIMES: Final = 16
_WAL_LARGE_BYTES: Final = 64 * 2**20

NOTHING_KNOWN: Final = Host()

__all__ = [
    "Finding",
    "Limits",
    "Severity",
    "check",
    "check_totals",
    "descriptors_short",
    "in_order",
    "lag_s",
    "summary",
]


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


def descriptors_short(status: LiveStatus) -> bool:
    """Whether so few file descriptors are left that it should be told before there is none."""
    count, limit = status.descriptors, status.descriptors_limit
    return count is not None and limit is not None and count >= limit * _DESCRIPTORS_WARN_SHARE


def check(status: LiveStatus | None, now_ms: int, limits: Limits, host: Host = NOTHING_KNOWN) -> list[Finding]:
    """What is wrong, the one to act on first. `status` is None when there is no live state at all.

    `host` helps to say why a service does not report.
    """
    gone = check_gone(status, now_ms, host)
    if gone or status is None:
        return [gone] if gone else []
    findings = [
        *_opend(status, now_ms),
        *_writer(status, now_ms),
        *_copying(status),
        *_predecessors(status),
        *_data(status, now_ms, limits),
        *_backfill(status, now_ms),
        *check_lately(status),
    ]
    return in_order(findings)


def summary(findings: list[Finding], quiet: str = "") -> tuple[Severity, str]:
    """The severity of all, and the one line that says why and what to do; `quiet` is why no tick is to be expected.

    The line is about the first finding: they are in the order of `in_order`.
    """
    if not findings:
        return Severity.OK, "OK: collecting, nothing to do" + (f" ({quiet})" if quiet else "")
    first, severity = findings[0], worst(findings)
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return severity, line_of(replace(first, severity=severity), more)


def line_of(finding: Finding, more: str = "") -> str:
    """One finding in one line; what stands behind the arrow can be pasted."""
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.severity.name}: {finding.text}{more}{remedy}"


def _opend(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    if not status.connected:
        since_ms = status.link_since_ms or status.started_ms
        severity = Severity.CRITICAL if now_ms - since_ms > _START_GRACE_MS else Severity.WARNING
        away_s = (now_ms - since_ms) / 1000
        yield Finding(
            "opend_away",
            severity,
            *advised(
                f"no connection to OpenD for {away_s:.0f} s: {status.link_reason}",
                remedies.for_hint(status.link_hint, remedies.for_link(status.address)),
            ),
            since_ms,
        )
        yield from _bad_symbols(status)
        return
    for kind, words in status.trouble.items():
        told_ms = status.trouble_since_ms.get(kind)
        yield Finding(
            f"opend_{kind}",
            Severity.CRITICAL,
            *advised(_reported(kind, words, told_ms), remedies.for_opend(kind)),
            told_ms,
        )
    yield from _questions(status)
    yield from _bad_symbols(status)
    if status.program and (not status.quote_logged_in or status.program != "ready"):
        text, remedy = "OpenD is not logged in to the quote server", remedies.for_login()
        if status.program != "ready":
            detail = f": {status.program_detail}" if status.program_detail else ""
            text, remedy = (
                f"OpenD is not ready, {status.program.replace('_', ' ')}{detail}",
                remedies.for_opend(status.program),
            )
        if status.program != "ready" or not status.trouble:  # else that is why, and has its own remedy
            yield Finding("opend_not_ready", Severity.CRITICAL, *advised(text, remedy))
    elif status.subscribed == 0:
        severity = Severity.CRITICAL if status.refused else Severity.WARNING
        words, remedy = "still subscribing", Remedy(remedies.JOURNAL)
        if status.refused:
            words, cause, _ = groups(status.refused)[0]
            remedy = remedies.for_refusal(cause)
        yield Finding("not_subscribed", severity, *advised(f"no symbol is subscribed: {words}", remedy))
    else:
        yield from _some_not_subscribed(status, now_ms)


def _some_not_subscribed(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    """Symbols that OpenD refused, and symbols that are still being asked for."""
    if status.refused:
        largest, *others = groups(status.refused)
        also = "".join(f"; {group.symbols[0]}: {group.words}" for group in others[:2])
        yield Finding(
            "symbols_refused",
            Severity.WARNING,
            *advised(
                f"OpenD refused {len(status.refused)} of {status.symbols} symbols, {largest.symbols[0]} first:"
                f" {largest.words}{also}",
                remedies.for_refusal(largest.cause),
            ),
        )
    left, since_ms = status.symbols - status.subscribed - len(status.refused), status.link_since_ms
    if left > 0 and since_ms is not None and now_ms - since_ms > _SUBSCRIBING_MS:
        why = "OpenD refused requests that held them, for another symbol" if status.refused else "OpenD did not answer"
        yield Finding(
            "still_subscribing",
            Severity.WARNING,
            f"{left:,} of {status.symbols:,} symbols are not subscribed yet: {why}; they are asked for again in smaller"
            " groups, at a limited rate",
            remedies.grep("subscribing"),
        )


def _questions(status: LiveStatus) -> Iterator[Finding]:
    """What OpenD does not answer; ticks come all the same."""
    if status.questions_failed:
        kind, reason = next(iter(status.questions_failed.items()))
        others = f" (and {len(status.questions_failed) - 1} more)" if len(status.questions_failed) > 1 else ""
        yield Finding(
            "questions_failed",
            Severity.WARNING,
            *advised(
                f"OpenD does not answer {kind}{others}: {reason}; ticks are collected all the same",
                remedies.for_questions(),
            ),
        )


def _bad_symbols(status: LiveStatus) -> Iterator[Finding]:
    """Entries of FUTU_SYMBOLS that no start can subscribe; told until they are mended."""
    if status.bad_symbols:
        more = f" (and {len(status.bad_symbols) - 1} more)" if len(status.bad_symbols) > 1 else ""
        text = f"{status.bad_symbols[0]}{more}; the other {status.symbols:,} symbols are collected"
        yield Finding("bad_symbols", Severity.WARNING, text, remedies.CHECK_SETTINGS)


def _backfill(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    """Missing ticks that OpenD was asked for in vain, again and again for a minute."""
    failing = {
        symbol: since_ms
        for symbol, since_ms in status.backfill_failing_ms.items()
        if now_ms - since_ms >= _BACKFILL_FAILS_MS
        and status.backfill_failed_ms.get(symbol, 0) - since_ms >= _BACKFILL_REPEATED_MS
    }
    if not status.connected or not failing:
        return
    since_ms, first = min((since_ms, symbol) for symbol, since_ms in failing.items())
    yield Finding(
        "backfill_failing",
        Severity.WARNING,
        f"OpenD has not given the missing ticks of {len(failing):,} symbols for {(now_ms - since_ms) / 1000:.0f} s,"
        f" {first} first: {status.backfill_reason}; it is asked again",
        remedies.grep("backfill_failed"),
        since_ms,
    )


def _reported(kind: str, words: str, since_ms: int | None) -> str:
    """What OpenD told by itself and since when; its words, where they say more than our own for it."""
    told = kind.replace("_", " ")
    since = "" if since_ms is None else f" since {market.hkt(since_ms):%H:%M:%S} HKT"
    return f"OpenD reports: {told}{since}" + (f", {words}" if words and words.lower() not in told else "")


def _writer(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    if status.writer_trouble:
        since_s = (now_ms - (status.writer_trouble_since_ms or now_ms)) / 1000
        held = f", locked by {status.writer_holder}" if status.writer_holder else ""
        waits = status.writer_trouble == "busy" and since_s < 60
        yield Finding(
            f"writer_{status.writer_trouble}",
            Severity.WARNING if waits else Severity.CRITICAL,
            *advised(
                f"the writer waits for {since_s:.0f} s: {status.writer_trouble} ({status.writer_detail}){held}",
                remedies.for_writer(
                    status.writer_trouble,
                    status.data_root,
                    status.writer_day or status.newest_day,
                    status.account,
                    status.writer_holder_pid,
                ),
            ),
            status.writer_trouble_since_ms,
        )
    elif status.disk_wait_s >= _SLOW_DISK_S:
        severity = Severity.CRITICAL if status.disk_wait_s >= _SLOW_DISK_CRITICAL_S else Severity.WARNING
        text, remedy = (
            f"the writer has been waiting for the disk for {status.disk_wait_s:.0f} s; rows wait in memory",
            remedies.SLOW_DISK,
        )
        if status.disk_frozen:
            text = f"the disk of {status.data_root} is frozen (fsfreeze, as backups of this machine do it): {text}"
            remedy = remedies.for_frozen_disk(status.data_root)
        yield Finding("writer_slow_disk", severity, text, remedy)
    elif status.writer_alive_ms is not None and now_ms - status.writer_alive_ms > _WRITER_STUCK_MS:
        yield Finding(
            "writer_stuck",
            Severity.CRITICAL,
            f"the writer has not moved for {(now_ms - status.writer_alive_ms) / 1000:.0f} s",
            remedies.RESTART,
        )
    elif status.disk_wait_max_s >= _SLOW_DISK_S or status.disk_waits >= _SLOW_DISK_WAITS:
        text = f"the disk let the writer wait for {status.disk_wait_max_s:.1f} s and more within the last minute"
        yield Finding("writer_slow_disk", Severity.WARNING, text, remedies.SLOW_DISK)
    yield from _days(status, now_ms)
    yield from _stalls(status, now_ms)
    if status.spooled and not status.copy_held:
        yield Finding(
            "spooling",
            Severity.WARNING,
            f"{status.spooled} rows are spooled: the day file could not take them in time; they are stored as soon as"
            " it can",
            remedies.JOURNAL,
        )
    if status.damaged_files:
        yield Finding(
            "day_damaged",
            Severity.WARNING,
            f"a damaged day file was set aside as {status.damaged_files[-1]} and a fresh one begun;"
            " keep it (docs/sqlite-wal.md)",
            remedies.GAPS,
        )

    if status.gone_files:
        yield Finding(
            "day_gone",
            Severity.WARNING,
            f"{status.gone_files[-1]} was removed, moved or replaced while it was written: a fresh one was begun;"
            " if there is a copy, keep it",
            remedies.GAPS,
        )


def _days(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    """Files of single days that cannot be written or sealed, the latest day first: today's is the worst."""
    today = market.day_name(market.day_number(now_ms))
    for day, rows in sorted(status.held_rows.items(), reverse=True):
        cause = status.held_causes.get(day, "")
        yield Finding(
            "day_held",
            Severity.CRITICAL if status.newest_day <= day <= today else Severity.WARNING,
            f"{rows:,} ticks of {day} wait: {status.data_root}/{day}.db cannot be written, {cause}"
            f" ({status.held_details.get(day, '')}); other days are stored",
            remedies.for_held_day(cause, status.data_root, day, status.account),
        )
    for name, why in sorted(status.not_sealed.items(), reverse=True):
        text = f"{status.data_root}/{name} cannot be sealed: {why}"
        remedy = remedies.for_sealing(status.data_root, name)
        yield Finding("day_not_sealed", Severity.WARNING, *advised(text, remedy))


def _predecessors(status: LiveStatus) -> Iterator[Finding]:
    """Day files of the predecessor that are not ours yet."""
    if status.importing:
        added = f"{status.importing_done:,} of {status.importing_rows:,} rows are in"
        if status.importing_checked or status.importing_done >= status.importing_rows:
            added = f"all are in, {status.importing_checked:,} of {status.importing_rows:,} rows are checked"
        text = f"{status.importing[:8]} is being imported from the predecessor's file: {added}; it ends by itself"
        yield Finding("day_being_imported", Severity.OK, text, "")
    for name, why in sorted(status.predecessor_files.items(), reverse=True):
        if why:
            path = Path(status.data_root, name)
            text = f"the predecessor's {path} was set aside and is not imported: {why}"
            yield Finding("predecessor_file", Severity.WARNING, text, import_command(path))
    if status.predecessor_days:
        yield Finding(
            "predecessor_days",
            Severity.WARNING,
            remedies.predecessor_days(status.predecessor_days),
            import_command(Path(status.data_root)),
        )


def _queued(status: LiveStatus) -> int:
    """Rows that wait for the writer; those that wait for the file of their day have a finding of their own."""
    return status.waiting - sum(status.held_rows.values())


def _copying(status: LiveStatus) -> Iterator[Finding]:
    """A copy that `sqlite3` makes of a day that is being written: nothing is wrong, unless it does not end."""
    if status.copy_since_ms is None:
        return
    since = f"{market.hkt(status.copy_since_ms):%H:%M:%S} HKT"
    if status.copy_held:
        yield Finding(
            "day_being_copied",
            Severity.OK,
            f"a copy of the day is being made since {since}, {status.copy_path}: commits wait for it,"
            f" {status.waiting:,} ticks are kept in memory and spool and stored when it ends, after a minute at the"
            " latest",
            "",
        )
    else:
        yield Finding(
            "copy_too_slow",
            Severity.WARNING,
            *advised(
                f"commits no longer wait for the copy {status.copy_path}, being made since {since}:"
                " it starts over at each of them",
                remedies.SLOW_COPY,
            ),
        )


def _stalls(status: LiveStatus, now_ms: int) -> Iterator[Finding]:
    """One that lasts, or that came back, is critical; one that is over is a warning for a while."""
    still = _queued(status) and now_ms - (status.last_commit_ms or status.started_ms) > _STALLED_MS
    if status.stalls and still:
        text = f"the watchdog has met a stall {times(status.stalls)}: {_queued(status):,} rows wait"
        yield Finding("persistent_stall", Severity.CRITICAL, text, remedies.STALL)
    elif status.stalls_lately:
        severity = Severity.CRITICAL if status.stalls_lately >= _STALLS_CRITICAL else Severity.WARNING
        text = f"the watchdog met a stall {times(status.stalls_lately)} in the last 15 minutes; rows are stored again"
        text += " (docs/incident-watchdog-stall.md)"
        yield Finding("persistent_stall", severity, text, remedies.grep("WATCHDOG"))


def _data(status: LiveStatus, now_ms: int, limits: Limits) -> Iterator[Finding]:
    drift_s = status.drift_s
    if drift_s is not None and abs(drift_s) > limits.drift_warn_s:
        yield Finding(
            "clock_drift", Severity.WARNING, f"this host's clock is {drift_s:+.1f} s off OpenD's", "timedatectl status"
        )
    yield from check_silence(status, now_ms, limits.lag_critical_s)
    queued = _queued(status)
    if queued > limits.queue_warn_rows and not status.copy_held:
        yield Finding(
            "queue",
            Severity.WARNING,
            f"{queued} of {status.max_queue_rows} rows wait for the disk",
            remedies.JOURNAL,
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
    if descriptors_short(status):
        count, limit = status.descriptors or 0, status.descriptors_limit or 0
        yield Finding(
            "descriptors",
            Severity.CRITICAL if count >= limit else Severity.WARNING,
            f"{count:,} of {limit:,} file descriptors are open: without one no link and no file can be opened",
            f"sudo ls -l /proc/{status.pid}/fd; {remedies.RESTART}",
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
            f"{text} known reason, {worst.symbol} by {worst.difference:,} shares (docs/data-quality.md)",
            f"hk-tick-collector gaps {worst.symbol}",
        )
    ]

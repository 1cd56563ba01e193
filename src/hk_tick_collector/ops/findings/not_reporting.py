"""A service that does not report → the one finding that says why: stopped, refused its settings, died, hangs. Pure.

Enters: the last live state, if any, and what the host says of process and unit. What the host cannot say stays open in
the words.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Finding, Severity
from .remedies import advised

if TYPE_CHECKING:
    from hk_tick_collector.ops.live.status import LiveStatus

_STALE_MS: Final = 10_000  # the live state is written every second
_LATE_MS: Final = 3_000  # from then on it is worth a look whether its process lives
UNIT_PROPERTIES: Final = (
    "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts,StatusText,MainPID"
)
_HANGS: Final = ("lives", "frozen", "in_kernel", "disk_frozen")  # what a process that does not report can be, and lives
_EXITED: Final = "1"  # ExecMainCode: CLD_EXITED; other numbers mean that a signal ended it
_BAD_SETTINGS: Final = "2"  # the exit code of `run` for settings that cannot work
# How the words of a service that runs begin, as systemd has them; others say why it could not start (`run` sends them).
_RUNNING_WORDS: Final = ("health ", "starting: ", "stopping: ")
_RESTARTS: Final = 3  # so many in a row, and more, are no accident


@dataclass(frozen=True, slots=True)
class Host:
    """What this host says of a service that does not report. Empty fields: nobody can tell."""

    process: str = ""  # of the pid that reported last: lives, frozen, in_kernel, disk_frozen, gone
    unit: dict[str, str] | None = None  # UNIT_PROPERTIES by systemd; None where it knows of no such unit
    place: str = ""  # what keeps a live state from being written: disk_full, read_only
    settings_error: str = ""  # why the settings in force cannot work
    settings_file: str = remedies.INSTALLED_SETTINGS
    blocked: tuple[str, str] | None = None  # rights or a lock that a start would meet, and what mends them
    data_root: str = ""
    # Not None: installed beside another program, and not started yet; who runs under the service's name, or nobody.
    take_over: str | None = None


def is_silent(status: LiveStatus | None, now_ms: int) -> bool:
    """Whether no service reports: it never ran, has ended, or its last report is old, or of a later clock."""
    return status is None or status.state == "stopped" or abs(now_ms - status.written_ms) > _STALE_MS


def is_late(status: LiveStatus | None, now_ms: int) -> bool:
    """Whether a report is overdue, so that its process may be gone."""
    return status is None or now_ms - status.written_ms > _LATE_MS


def check_gone(status: LiveStatus | None, now_ms: int, host: Host) -> Finding | None:
    """Why no service reports; None when one does."""
    if not is_silent(status, now_ms) and not (is_late(status, now_ms) and host.process == "gone"):
        return None
    hangs = status is not None and status.state != "stopped" and host.process in _HANGS
    if status and hangs:
        return _unwritten(status, now_ms, host.place) if host.place else _hung(status, now_ms, host)
    if host.take_over is not None or host.settings_error or host.blocked:
        return _kept_out(status, now_ms, host)
    by_unit = _by_unit(host.unit) if host.unit and host.unit.get("LoadState") == "loaded" else None
    if by_unit:
        return by_unit
    if status is None:
        text = f"no collector is running for DATA_ROOT{f'={host.data_root}' if host.data_root else ''} (no status.json)"
        return Finding("service_down", Severity.CRITICAL, text, remedies.START)
    age_s = (now_ms - status.written_ms) / 1000
    if status.state == "stopped":
        text = f"the collector was stopped {_ago(age_s)} ago"
        return Finding("service_stopped", Severity.CRITICAL, text, remedies.START)
    if host.process == "gone":
        text = f"the collector (pid {status.pid}) died {_ago(age_s)} ago without a word"
        return Finding("service_died", Severity.CRITICAL, text, f"{remedies.LAST_LINES}; {remedies.START}")
    return _hung(status, now_ms, host)


def _kept_out(status: LiveStatus | None, now_ms: int, host: Host) -> Finding:
    """What has to be done before it can start. A takeover sets the rights itself: they keep nothing out."""
    if host.take_over is not None:
        return _not_taken_over(host.take_over, host)
    return _bad_settings(status, now_ms, host) if host.settings_error else _blocked(status, now_ms, host)


def _bad_settings(status: LiveStatus | None, now_ms: int, host: Host) -> Finding:
    """Whoever ended it: this keeps it from coming back."""
    ended = "does not run"
    if status and status.state == "stopped":
        ended = f"was stopped {_ago((now_ms - status.written_ms) / 1000)} ago"
    text = f"the collector {ended} and cannot start with these settings: {host.settings_error}"
    return Finding("service_settings", Severity.CRITICAL, text, f"sudo vim {host.settings_file}; {remedies.RESTART}")


def _not_taken_over(who: str, host: Host) -> Finding:
    """Whoever collects until the restart is the program that was here before."""
    text, severity = f"another program runs as hk-tick-collector, {who}", Severity.WARNING
    if not who:
        text, severity = (
            "nothing runs as hk-tick-collector, the program that was here before has ended",
            Severity.CRITICAL,
        )
    if host.settings_error:
        text = f"{text}; this version would not start with these settings: {host.settings_error}"
        return Finding("not_taken_over", Severity.CRITICAL, text, f"sudo vim {host.settings_file}")
    return Finding("not_taken_over", severity, f"{text}; the restart takes over", remedies.RESTART)


def _blocked(status: LiveStatus | None, now_ms: int, host: Host) -> Finding:
    """Whoever ended it: rights, or a lock, keep it from coming back."""
    why, remedy = host.blocked or ("", "")
    ended = "does not run"
    if status and status.state == "stopped":
        ended = f"was stopped {_ago((now_ms - status.written_ms) / 1000)} ago"
    text = f"the collector {ended} and cannot start: {why}"
    return Finding("service_blocked", Severity.CRITICAL, text, f"{remedy}; {remedies.START}")


def _by_unit(unit: dict[str, str]) -> Finding | None:
    """What systemd knows better than the last live state; None where that says all."""
    state, result, restarts = unit["ActiveState"], unit["Result"], int(unit["NRestarts"] or 0)
    ended = _ending(unit)
    refusal = _refusal(unit)
    if refusal and (state == "failed" or unit["SubState"] == "auto-restart"):
        remedy = f"{remedies.DOCTOR}; {remedies.RESTART}"
        return Finding("service_died", Severity.CRITICAL, f"the collector cannot start: {refusal}", remedy)
    if state in ("activating", "reloading") and unit["SubState"] == "auto-restart":
        text = f"the collector died, and systemd starts it again: {ended}"
        if restarts:
            text = f"the collector dies at every start, {restarts:,} restarts so far: {ended}"
        return Finding("service_died", Severity.CRITICAL, text, remedies.LAST_LINES)
    if state in ("active", "activating", "reloading"):
        if restarts >= _RESTARTS:
            text = f"the collector starts again, after {restarts} restarts, and has not reported yet"
            return Finding("service_died", Severity.CRITICAL, text, remedies.LAST_LINES)
        text = f"systemd says {state}, but nothing reports for this DATA_ROOT: it has just started, or uses another"
        return Finding("service_down", Severity.CRITICAL, text, "hk-tick-collector config | grep DATA_ROOT")
    if state == "failed" and unit["ExecMainCode"] == _EXITED and unit["ExecMainStatus"] == _BAD_SETTINGS:
        text = "the collector refused its settings (exit 2), which are right now"
        return Finding("service_settings", Severity.CRITICAL, text, remedies.RESTART)
    if state == "failed":
        text = f"the collector died and is not started again: {ended}"
        return Finding("service_died", Severity.CRITICAL, text, f"{remedies.LAST_LINES}; {remedies.START}")
    if state == "inactive" and result in ("success", ""):
        text = "the collector was stopped: systemd says inactive, and nothing failed"
        return Finding("service_stopped", Severity.CRITICAL, text, remedies.START)
    return None


def _refusal(unit: dict[str, str]) -> str:
    """Why the service ended its start, in its own last words to systemd; empty where it left none."""
    words = unit.get("StatusText", "")
    own_end = unit["ExecMainCode"] == _EXITED and unit["ExecMainStatus"] not in ("0", _BAD_SETTINGS)
    return words if own_end and not words.startswith(_RUNNING_WORDS) else ""


def _ending(unit: dict[str, str]) -> str:
    """How the last process ended, in systemd's words."""
    status, result = unit["ExecMainStatus"], unit["Result"] or "unknown"
    if unit["ExecMainCode"] == _EXITED:
        return f"{result}, exit code {status}"
    try:
        return f"{result}, {signal.Signals(int(status)).name}"
    except ValueError:
        return result


def _unwritten(status: LiveStatus, now_ms: int, place: str) -> Finding:
    """The collector lives and cannot say so: its live state lies on the disk that is full, or read-only."""
    age_s = (now_ms - status.written_ms) / 1000
    what = "is full" if place == "disk_full" else "is read-only"
    text = f"the disk of {status.data_root} {what}: the collector (pid {status.pid}) could not report for {age_s:.0f} s"
    text, remedy = advised(text, remedies.for_writer(place, status.data_root, status.newest_day))
    if place == "disk_full":
        return Finding("writer_disk_full", Severity.CRITICAL, text, remedy)
    return Finding("writer_read_only", Severity.CRITICAL, text, remedy)


def _hung(status: LiveStatus, now_ms: int, host: Host) -> Finding:
    age_s = (now_ms - status.written_ms) / 1000
    who = f"the collector (pid {status.pid})"
    remedy = remedies.HUNG
    if host.process == "frozen":
        text = f"{who} is frozen by a signal (SIGSTOP) and has not reported for {age_s:.0f} s"
        remedy = f"sudo kill -CONT {status.pid}"
    elif age_s < 0:  # a service that lives would have written anew, by the clock of now
        text = f"the live state is {-age_s:.0f} s in the future: the clock was set back and {who} does not report"
        remedy = f"timedatectl status; {remedies.RESTART}"
    elif host.process == "disk_frozen":
        text = (
            f"the disk of {status.data_root} is frozen (fsfreeze, as backups of this machine do it): {who} waits for it"
        )
        text += f" and has not reported for {age_s:.0f} s"
        remedy = remedies.for_frozen_disk(status.data_root)
    elif host.process == "in_kernel":
        text = f"{who} hangs in the kernel, as on a disk that does not answer, and has not reported for {age_s:.0f} s"
        remedy = remedies.DISK_MESSAGES
    elif host.process == "lives":
        text = f"{who} lives but has not reported for {age_s:.0f} s: it hangs"
    else:
        text = f"{who} has not reported for {age_s:.0f} s: it died or hangs"
    return Finding("service_hung", Severity.CRITICAL, text, remedy)


def _ago(age_s: float) -> str:
    """`12 s`, `34 min`, `5 h`: how long ago, as a person says it."""
    return f"{age_s:.0f} s" if age_s < 120 else f"{age_s // 60:.0f} min" if age_s < 7200 else f"{age_s // 3600:.0f} h"

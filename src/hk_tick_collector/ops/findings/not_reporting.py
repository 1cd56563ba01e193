"""A service that does not report → the one finding that explains it: stopped, settings refused, died, stuck. Pure.

Input: the last live state, if any, and what the host says about process and unit. What the host does not
know is not in the text.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .service import (
    NOT_TAKEN_OVER,
    SERVICE_BLOCKED,
    SERVICE_DIED,
    SERVICE_DOWN,
    SERVICE_HUNG,
    SERVICE_SETTINGS,
    SERVICE_STOPPED,
)
from .words import Words
from .writer import unwritten

if TYPE_CHECKING:
    from hk_tick_collector.ops.live.status import LiveStatus

    from .finding import Finding

_STALE_MS: Final = 10_000  # the live state is written every second
_LATE_MS: Final = 3_000  # after this time it is worth checking whether the process lives
UNIT_PROPERTIES: Final = (
    "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts,StatusText,MainPID"
)
_HANGS: Final = ("lives", "frozen", "in_kernel", "disk_frozen")  # states of a process that lives and does not report
_EXITED: Final = "1"  # ExecMainCode: CLD_EXITED; other numbers mean that a signal ended it
_BAD_SETTINGS: Final = "2"  # the exit code of `run` for wrong settings
# In systemd, the status text of a running service begins with one of these. Any other text says why `run` could not
# start.
_RUNNING_WORDS: Final = ("health ", "starting: ", "stopping: ")
_RESTARTS: Final = 3  # from this number of restarts in a row they are reported


@dataclass(frozen=True, slots=True)
class Host:
    """What this host says about a service that does not report. Empty fields are unknown."""

    process: str = ""  # of the pid that reported last: lives, frozen, in_kernel, disk_frozen, gone
    unit: dict[str, str] | None = None  # UNIT_PROPERTIES from systemd; None if it has no such unit
    place: str = ""  # what prevents the live state from being written: disk_full, read_only
    settings_error: Words | str = ""  # why the settings in force are refused
    settings_file: str = remedies.INSTALLED_SETTINGS
    blocked: tuple[Words | str, str] | None = None  # permissions or a lock that would prevent a start, and the remedy
    data_root: str = ""
    # Not None if the installed version was not started yet and must take over from another program. The value
    # describes the process that runs as the service; empty if there is none.
    take_over: str | None = None


def is_silent(status: LiveStatus | None, now_ms: int) -> bool:
    """Whether no service reports: it never ran, it has ended, or its last report is old or dated in the future."""
    return status is None or status.state == "stopped" or abs(now_ms - status.written_ms) > _STALE_MS


def is_late(status: LiveStatus | None, now_ms: int) -> bool:
    """Whether a report is overdue, so that the process may have ended."""
    return status is None or now_ms - status.written_ms > _LATE_MS


def check_gone(status: LiveStatus | None, now_ms: int, host: Host) -> Finding | None:
    """Why no service reports; None if one does."""
    if not is_silent(status, now_ms) and not (is_late(status, now_ms) and host.process == "gone"):
        return None
    hangs = status is not None and status.state != "stopped" and host.process in _HANGS
    if status and hangs:
        return _hung(status, now_ms, host)
    if host.take_over is not None or host.settings_error or host.blocked:
        return _kept_out(status, now_ms, host)
    by_unit = _by_unit(host.unit) if host.unit and host.unit.get("LoadState") == "loaded" else None
    if by_unit:
        return by_unit
    if status is None:
        return SERVICE_DOWN.found(Severity.CRITICAL, root=f"={host.data_root}" if host.data_root else "")
    ago = _ago((now_ms - status.written_ms) / 1000)
    if status.state == "stopped":
        return SERVICE_STOPPED.found(Severity.CRITICAL, ago=ago)
    if host.process == "gone":
        return SERVICE_DIED.found(Severity.CRITICAL, pid=status.pid, ago=ago)
    return _hung(status, now_ms, host)


def _kept_out(status: LiveStatus | None, now_ms: int, host: Host) -> Finding:
    """What must be done before the service can start: take over, correct settings, permissions, or release a lock.

    A takeover sets the permissions itself, so they do not prevent it.
    """
    if host.take_over is not None:
        return _not_taken_over(host.take_over, host)
    ended = Words("does not run", "沒有運行")
    if status and status.state == "stopped":
        ended = Words("was stopped {ago} ago", "已在 {ago}前被停止").filled(
            ago=_ago((now_ms - status.written_ms) / 1000)
        )
    if host.settings_error:
        why = host.settings_error
        return SERVICE_SETTINGS.found(Severity.CRITICAL, ended=ended, why=why, file=host.settings_file)
    why, command = host.blocked or ("", "")
    remedy = Remedy(f"{command}; {remedies.START}")
    return SERVICE_BLOCKED.found(Severity.CRITICAL, remedy=remedy, ended=ended, why=why)


def _not_taken_over(who: str, host: Host) -> Finding:
    """The finding that the installed version was not started yet: until the restart the previous program collects."""
    severity, runs = Severity.CRITICAL, _NOBODY_RUNS
    if who:
        severity, runs = Severity.WARNING, _ANOTHER_RUNS.filled(who=who)
    if host.settings_error:
        why, file = host.settings_error, host.settings_file
        return NOT_TAKEN_OVER.found(Severity.CRITICAL, "settings", runs=runs, why=why, file=file)
    return NOT_TAKEN_OVER.found(severity, runs=runs)


_ANOTHER_RUNS: Final = Words(
    "another program runs as hk-tick-collector, {who}", "服務 hk-tick-collector 名下運行的是另一程式，{who}"
)
_NOBODY_RUNS: Final = Words(
    "nothing runs as hk-tick-collector, the program that was here before has ended",
    "服務 hk-tick-collector 名下沒有程式運行，原有程式已結束",
)


def _by_unit(unit: dict[str, str]) -> Finding | None:
    """What systemd knows that is newer than the last live state; None if there is nothing."""
    state, result, restarts = unit["ActiveState"], unit["Result"], int(unit["NRestarts"] or 0)
    ended = _ending(unit)
    refusal = _refusal(unit)
    if refusal and (state == "failed" or unit["SubState"] == "auto-restart"):
        return SERVICE_DIED.found(Severity.CRITICAL, "refused", why=refusal)
    if state in ("activating", "reloading") and unit["SubState"] == "auto-restart":
        variant = "dies" if restarts else "restarted"
        return SERVICE_DIED.found(Severity.CRITICAL, variant, restarts=restarts, ended=ended)
    if state in ("active", "activating", "reloading"):
        if restarts >= _RESTARTS:
            return SERVICE_DIED.found(Severity.CRITICAL, "starts", restarts=restarts)
        return SERVICE_DOWN.found(Severity.CRITICAL, "elsewhere", state=state)
    if state == "failed" and unit["ExecMainCode"] == _EXITED and unit["ExecMainStatus"] == _BAD_SETTINGS:
        return SERVICE_SETTINGS.found(Severity.CRITICAL, "right_now")
    if state == "failed":
        return SERVICE_DIED.found(Severity.CRITICAL, "failed", ended=ended)
    if state == "inactive" and result in ("success", ""):
        return SERVICE_STOPPED.found(Severity.CRITICAL, "inactive")
    return None


def _refusal(unit: dict[str, str]) -> str:
    """Why the service did not start, from its last status text in systemd; empty if there is none."""
    own_end = unit["ExecMainCode"] == _EXITED and unit["ExecMainStatus"] not in ("0", _BAD_SETTINGS)
    return refusal_of(unit.get("StatusText", "")) if own_end else ""


def refusal_of(status_text: str) -> str:
    """The reason in the last status text of a service that could not start; empty for that of one that ran."""
    return "" if status_text.startswith(_RUNNING_WORDS) else status_text


def _ending(unit: dict[str, str]) -> str:
    """How the last process ended, as systemd reports it."""
    status, result = unit["ExecMainStatus"], unit["Result"] or "unknown"
    if unit["ExecMainCode"] == _EXITED:
        return f"{result}, exit code {status}"
    try:
        return f"{result}, {signal.Signals(int(status)).name}"
    except ValueError:
        return result


def _hung(status: LiveStatus, now_ms: int, host: Host) -> Finding:
    age_s = (now_ms - status.written_ms) / 1000
    if host.process in _HANGS and host.place:
        return unwritten(host.place, status.data_root, status.newest_day, status.pid, age_s)
    if host.process == "frozen":
        variant = "frozen"
    elif age_s < 0:  # the clock was set back, and the service has not reported since
        variant = "future"
    else:
        variant = host.process if host.process in ("disk_frozen", "in_kernel", "lives") else ""
    thaw = Remedy(remedies.for_frozen_disk(status.data_root)) if variant == "disk_frozen" else None
    shown_s = -age_s if variant == "future" else age_s
    return SERVICE_HUNG.found(
        Severity.CRITICAL, variant, remedy=thaw, pid=status.pid, age_s=shown_s, root=status.data_root
    )


def _ago(age_s: float) -> Words:
    """An age like `12 s`, `34 min` or `5 h`."""
    if age_s < 120:
        return Words(f"{age_s:.0f} s", f"{age_s:.0f} 秒")
    if age_s < 7200:
        return Words(f"{age_s // 60:.0f} min", f"{age_s // 60:.0f} 分鐘")
    return Words(f"{age_s // 3600:.0f} h", f"{age_s // 3600:.0f} 小時")

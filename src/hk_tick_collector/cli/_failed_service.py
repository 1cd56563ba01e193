"""`alerts --failed HOW`, for the unit hk-tick-collector-failed@.service: sends a notice that the service has ended.

It does not need the service: it reads the settings itself, also if they are wrong, asks systemd and the journal, and
sends to ALERT_URLS. Its own log says what it did.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import clock, log
from hk_tick_collector.config import notice_settings
from hk_tick_collector.errors import AlertError, CollectorError, StoreError
from hk_tick_collector.ops.alerts.failed_service import (
    FAILURES_NAME,
    Ending,
    Failures,
    failures_locked,
    job_notice,
    keep_failures,
    notice,
    trial,
)
from hk_tick_collector.ops.alerts.mutes import MUTES_NAME, in_force, is_muted, read_mutes
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.not_reporting import UNIT_PROPERTIES, refusal_of
from hk_tick_collector.ops.findings.service import JOB_FAILED, SERVICE_DIED
from hk_tick_collector.ops.findings.words import Words
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY
from hk_tick_collector.ops.live.systemd_unit import (
    SERVICE,
    not_taken_over,
    output,
    show_unit,
    systemd_runs,
    unit_environment,
)

from ._journal import read_line
from ._patience import Disk
from ._service_report import examine

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.config import NoticeSettings
    from hk_tick_collector.ops.alerts.destination import Destination
    from hk_tick_collector.ops.alerts.message import Message
    from hk_tick_collector.ops.findings.finding import Finding

_SETTLE_S: Final = 10.0  # how long systemd may take until the unit has ended
_ROUTINE: Final = ("health", "persist_summary", "persist_loop_heartbeat")
_READ_LINES: Final = 40
JOBS: Final = {
    f"hk-tick-{name}.service": words
    for name, words in {
        "collector-archive": Words("the daily archive", "每日封存"),
        "collector-snapshot": Words("the daily snapshot", "每日快照"),
        "collector-report": Words("the daily report", "每日報告"),
        "publish": Words("publish", "發布"),
        "merge": Words("merge", "合併"),
    }.items()
}
_WAITS_S: Final = (2.0, 5.0, 15.0, 30.0)  # before a message is tried again


def send_notice(how: str, env_file: Path | None) -> None:
    """Sends the notice, if one is due. CollectorError if no destination accepted it."""
    log.configure("INFO")
    if not_taken_over({}) is not None:  # the program that ran here before has ended for the takeover
        log.info("service_ended", finding="not_taken_over", how="for the takeover", notice=False, ends=0)
        return
    settings, ending = notice_settings(env_file, of_unit=unit_environment(SERVICE)), Ending.parsed(how)
    if settings.unread:
        log.warning("setting", detail=settings.unread)
    if how in JOBS:
        _tell_job(how, settings)
        return
    place = RUNTIME_DIRECTORY if RUNTIME_DIRECTORY.is_dir() else settings.data_root
    unit = _settled_unit()
    finding = _finding(ending, unit, env_file)
    if finding is None:
        _deliver(trial(settings.instance_id, settings.lang), settings)
        return
    is_final = unit["ActiveState"] == "failed" if unit else not ending.code
    before, is_sent = _noted(place, finding.code, is_final=is_final)
    log.info("service_ended", finding=finding.code, how=ending.words().en, notice=is_sent, ends=before.ends)
    if is_sent:
        message = notice(finding, ending, before, _log_lines(), settings.instance_id, settings.lang)
        try:
            _deliver(message, settings)
        except CollectorError:
            _take_back(place / FAILURES_NAME, before.ends)
            raise


def _tell_job(unit: str, settings: NoticeSettings) -> None:
    """The notice of a unit that is not started again by itself, or only the next day: so each failure is told."""
    name, now_ms = unit.removesuffix(".service"), clock.now_ms()
    finding = JOB_FAILED.found(Severity.WARNING, job=JOBS[unit], unit=name)
    place = RUNTIME_DIRECTORY if RUNTIME_DIRECTORY.is_dir() else settings.data_root
    muted = _is_muted(place, finding.code, now_ms)
    log.info("service_ended", finding=finding.code, how=name, notice=not muted, ends=1)
    if not muted:
        _deliver(job_notice(finding, now_ms, _log_lines(unit), settings.instance_id, settings.lang), settings)


def _noted(place: Path, code: str, *, is_final: bool) -> tuple[Failures, bool]:
    """Records the end. Returns the ends before the notice, and whether it is sent, which is then recorded too.

    If nothing can be recorded the notice is sent: one too many is better than none.
    """
    path, now_ms = place / FAILURES_NAME, clock.now_ms()
    muted = _is_muted(place, code, now_ms)
    try:
        with failures_locked(path) as earlier:
            ended = earlier.with_end(now_ms)
            is_due = ended.is_due(now_ms, is_final=is_final) and not muted
            keep_failures(path, ended.with_notice(code, now_ms) if is_due else ended)
            return ended, is_due
    except OSError as error:
        log.warning("alerts_not_kept", path=path, detail=error.strerror, repeats=0)
        return Failures().with_end(now_ms), not muted


def _is_muted(place: Path, code: str, now_ms: int) -> bool:
    try:
        return is_muted(in_force(read_mutes(place / MUTES_NAME), now_ms), code)
    except StoreError as error:
        log.warning("mutes_not_read", detail=error.one_line(), repeats=0)
        return False


def _take_back(path: Path, ends: int) -> None:
    try:
        with failures_locked(path) as failures:
            keep_failures(path, failures.without_notice(ends))
    except OSError as error:
        log.warning("alerts_not_kept", path=path, detail=error.strerror, repeats=0)


def _finding(ending: Ending, unit: dict[str, str] | None, env_file: Path | None) -> Finding | None:
    """What to say about the end: how it was if systemd starts the service again, otherwise what `status` says now.

    None if the service runs and nothing is known of an end: someone tries the unit.
    """
    if ending.code and (unit is None or unit["ActiveState"] != "failed"):
        why = refusal_of(unit["StatusText"]) if unit and ending.code == "exited" and ending.status != "0" else ""
        if why:
            return SERVICE_DIED.found(Severity.CRITICAL, "refused", why=why)
        return SERVICE_DIED.found(Severity.WARNING, "ended")
    try:
        found = [
            finding
            for finding in examine(env_file, clock.now_ms(), Disk()).findings
            if finding.code.startswith("service_")
        ]
    except CollectorError as error:  # a wrong setting in our own environment
        log.warning("setting", detail=error.one_line())
        found = []
    if not found and not ending.code and unit is not None and unit["ActiveState"] == "active":
        return None
    how = ending.words().en if ending.code else "see the last log lines"
    return found[0] if found else SERVICE_DIED.found(Severity.CRITICAL, "failed", ended=how)


def _settled_unit() -> dict[str, str] | None:
    """The unit of the service once it no longer stops; None if systemd does not say."""
    if not systemd_runs():
        return None
    deadline_s = time.monotonic() + _SETTLE_S
    while True:
        unit = show_unit(SERVICE, UNIT_PROPERTIES)
        if unit is None or unit["ActiveState"] != "deactivating" or time.monotonic() > deadline_s:
            return unit
        time.sleep(0.1)


def _log_lines(unit: str = SERVICE) -> list[str]:
    """The last lines of a unit's log without the routine ones; empty if the journal cannot be read."""
    said = output(["journalctl", f"--unit={unit}", f"--lines={_READ_LINES}", "--no-pager", "--output=cat", "--quiet"])
    found = []
    for raw in (said or "").splitlines():
        line = read_line(raw)
        if line is None or line.event not in _ROUTINE:
            found.append(raw)
    return found


def _deliver(message: Message, settings: NoticeSettings) -> None:
    """Sends to every destination at the same time. CollectorError if none took it."""
    from hk_tick_collector.ops.alerts.destination import open_supported

    if not settings.alert_urls:
        log.warning("alert_dropped", to="", title=message.title, why="ALERT_URLS is empty", dropped=1)
        return
    destinations, errors = open_supported(settings.alert_urls)
    for error in errors:
        log.warning("setting", detail=error.one_line())
    with ThreadPoolExecutor(max(1, len(destinations)), "notice") as threads:
        taken = list(threads.map(partial(_carry, message), destinations))
    if not any(taken):
        raise CollectorError("no destination accepted the notice", hint="sudo hk-tick-collector alerts --test")


def _carry(message: Message, destination: Destination) -> bool:
    for wait_s in (*_WAITS_S, None):
        try:
            destination.send(message)
        except AlertError as error:
            log.warning("alert_failed", to=destination.label, title=message.title, detail=error, repeats=0)
        else:
            log.info("alert_sent", to=destination.label, title=message.title)
            return True
        if wait_s is not None:
            time.sleep(wait_s)
    log.warning("alert_dropped", to=destination.label, title=message.title, why="it could not be sent", dropped=1)
    return False

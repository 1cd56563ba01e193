"""Checks of the host: SQLite, the runbook's programs, clock, units, metrics port. Each ends within seconds."""

from __future__ import annotations

import http.client
import re
import socket
from pathlib import Path
from shutil import which
from typing import Final

from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.live.systemd_unit import SERVICE, not_taken_over, output, show_unit, systemd_runs
from hk_tick_collector.store.versions import is_sound, library_version, reads_days

from . import opend_files
from .result import Check, failure, not_checked, ok, warning

INSTALLED: Final = Path("/opt/futu_tick_downloader")
OPEND: Final = "futu-opend.service"
TIMERS: Final = ("hk-tick-collector-snapshot.timer", "hk-tick-collector-report.timer")
_SHIPPED: Final = INSTALLED / "deploy" / "systemd"
_PROGRAMS: Final = {"sqlite3": "sqlite3", "lsof": "lsof", "fuser": "psmisc", "nc": "netcat-openbsd"}  # and packages
_HTTP_S: Final = 2.0
_INSTALL: Final = "sudo bash deploy/install.sh"
_PROPERTIES: Final = "LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,NeedDaemonReload,FragmentPath"


def check_sqlite() -> Check:
    """The SQLite that we write with, and the one that an operator's shell reads with."""
    ours = library_version()
    if not is_sound(ours):
        return failure(
            "SQLite",
            f"we write with {ours}, whose WAL can be corrupted by two writers",
            "install apsw anew: " + _INSTALL,
        )
    said = output(["sqlite3", "--version"])
    version = said.split()[0] if said and said.split() else ""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return ok("SQLite", f"we write with {ours}")
    if not reads_days(version):
        text = f"sqlite3 of this host is {version}, too old for day files: they need 3.37 or later"
        return warning("SQLite", text, "hk-tick-collector ticks")
    care = "" if is_sound(version) else ", so use it with mode=ro only"
    return ok("SQLite", f"we write with {ours}; sqlite3 of this host is {version}{care}")


def check_programs() -> Check:
    """What the runbook's commands need."""
    missing = [program for program in _PROGRAMS if which(program) is None]
    if missing:
        packages = " ".join(_PROGRAMS[program] for program in missing)
        return warning("programs", f"the runbook needs {', '.join(missing)}", f"sudo apt-get install {packages}")
    return ok("programs", f"{', '.join(_PROGRAMS)} are there")


def check_ntp() -> Check:
    """Whether this host's clock follows a time server."""
    said = output(["timedatectl", "show", "-p", "NTPSynchronized", "--value"]) if systemd_runs() else None
    if said is None:
        return not_checked("NTP", "there is no systemd here that could tell", "chronyc tracking, or ntpq -p")
    if said.strip() == "yes":
        return ok("NTP", "the clock is synchronised")
    return warning("NTP", "the clock is not synchronised", "sudo timedatectl set-ntp true; timedatectl status")


def check_units(*, local_opend: bool) -> list[Check]:
    """Installed, enabled, active, unchanged: the service, OpenD where it runs on this host, the timers."""
    if not systemd_runs():
        return [not_checked("units", "systemd does not run here", f"on the host itself: {_INSTALL}")]
    checks = [_service()]
    if local_opend:
        checks += _opend()
    return [*checks, _timers()]


def check_version(running: str, installed: str) -> Check:
    """Whether what runs (empty where nothing does) is what is installed, and no change of version was interrupted."""
    if (INSTALLED / ".upgrade").exists():
        text = f"a change of version was interrupted: {running or 'nothing'} runs, {installed} is installed"
        return failure("version", text, f"{_INSTALL} --upgrade")
    if running and running != installed:
        text = f"{running} runs and {installed} is installed: the service was not restarted"
        return warning("version", text, f"sudo systemctl restart {SERVICE}")
    return ok("version", f"{installed}{' runs' if running else ''}")


def check_metrics(host: str, port: int, *, running: bool) -> Check:
    """Whether the metrics port is free, or our own service's."""
    where = f"{host}:{port}"
    if port == 0:
        return ok("metrics", "a free port is taken at the start")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if running and _answers_metrics(host, port):
            return ok("metrics", f"the running service answers on {where}")
        remedy = f"sudo ss -ltnp 'sport = :{port}', or set another METRICS_ADDR (collection works without)"
        return warning("metrics", f"{where} cannot be taken: {error.strerror or error}", remedy)
    if running:
        return ok("metrics", f"{where} is free: the running service does not use it")
    return ok("metrics", f"{where} is free")


def check_takeover() -> Check | None:
    """What a takeover that waits for the restart says of the data; None where none waits."""
    who = not_taken_over(show_unit(SERVICE, "MainPID"))
    if who is None:
        return None
    text = f"another program runs as hk-tick-collector, {who}" if who else "this version has not been started yet"
    text += ": the restart takes over, and sets who owns the data"
    return warning("takeover", text, remedies.RESTART)


def _service() -> Check:
    name, unit = "unit", show_unit(SERVICE, _PROPERTIES)
    if unit is None:
        return not_checked(name, "systemctl does not answer", f"systemctl status {SERVICE}")
    state = f"{SERVICE} is {unit['ActiveState']} ({unit['SubState']}), {unit['UnitFileState'] or 'not enabled'}"
    if unit["LoadState"] != "loaded":
        return failure(name, f"{SERVICE} is {unit['LoadState']}", _INSTALL)
    if unit["ActiveState"] == "failed":
        remedy = f"sudo systemctl status {SERVICE} --no-pager; then sudo systemctl restart {SERVICE}"
        return failure(name, f"{state}: {unit['Result']}", remedy)
    if unit["NeedDaemonReload"] == "yes":
        return warning(name, f"{SERVICE} was changed on disk and not read", "sudo systemctl daemon-reload")
    if not unit["UnitFileState"].startswith("enabled"):
        return warning(name, f"{state}: it does not start with the host", f"sudo systemctl enable --now {SERVICE}")
    if unit["ActiveState"] != "active":
        return warning(name, state, f"sudo systemctl start {SERVICE}")
    changed = (
        "" if _is_as_shipped(unit["FragmentPath"]) else f"; {unit['FragmentPath']} is not as shipped in {_SHIPPED}"
    )
    return ok(name, f"{state}, {unit['NRestarts']} restarts{changed}")


def _opend() -> list[Check]:
    name, unit = "OpenD's unit", show_unit(OPEND, f"{_PROPERTIES},{opend_files.PROPERTIES}")
    if unit is None:
        return [not_checked(name, "systemctl does not answer", f"systemctl status {OPEND}")]
    if unit["LoadState"] == "masked":
        return [ok(name, f"{OPEND} is masked: OpenD is not run by this host's systemd")]
    if unit["LoadState"] != "loaded":
        return [warning(name, f"{OPEND} is {unit['LoadState']}: OpenD does not start with the host", _INSTALL)]
    return [_opend_unit(name, unit), opend_files.check_opend_files(unit)]


def _opend_unit(name: str, unit: dict[str, str]) -> Check:
    state = f"{OPEND} is {unit['ActiveState']}, {unit['UnitFileState'] or 'not enabled'}"
    if unit["ActiveState"] != "active" or not unit["UnitFileState"].startswith("enabled"):
        return warning(name, state, f"sudo systemctl enable --now {OPEND}; sudo systemctl status {OPEND} --no-pager")
    ours = opend_files.STARTER in unit["ExecStart"]
    return ok(name, state if ours else f"{state}; {unit['FragmentPath']} is not ours and is kept")


def _timers() -> Check:
    units = {timer: show_unit(timer, _PROPERTIES) for timer in TIMERS}
    idle = [timer for timer, unit in units.items() if unit is None or unit["ActiveState"] != "active"]
    if idle and not_taken_over(None) is not None:
        return ok("timers", "the restart that takes over enables them")
    if idle:
        return warning("timers", f"not active: {', '.join(idle)}", f"sudo systemctl enable --now {' '.join(idle)}")
    return ok("timers", "snapshot and report run daily")


def _is_as_shipped(unit_file: str) -> bool:
    """Whether the unit is the one that was installed; an operator may change it. True where one cannot be read."""
    try:
        return (_SHIPPED / SERVICE).read_bytes() == Path(unit_file).read_bytes()
    except OSError:
        return True


def _answers_metrics(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_HTTP_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

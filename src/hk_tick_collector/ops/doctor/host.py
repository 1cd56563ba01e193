"""Checks of the host: SQLite, the runbook's programs, clock, units, metrics port. Each ends within seconds."""

from __future__ import annotations

import http.client
import re
import socket
from pathlib import Path
from shutil import which
from typing import Final

from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.words import NO_WORDS, Words
from hk_tick_collector.ops.live.systemd_unit import SERVICE, not_taken_over, output, show_unit, systemd_runs
from hk_tick_collector.store.sqlite_versions import is_sound, library_version, reads_days

from . import opend_files
from .result import Check, failure, not_checked, ok, warning

INSTALLED: Final = Path("/opt/futu_tick_downloader")
OPEND: Final = "futu-opend.service"
MERGE: Final = "hk-tick-merge.service"
TIMERS: Final = tuple(f"hk-tick-collector-{name}.timer" for name in ("snapshot", "report", "archive"))
_SHIPPED: Final = INSTALLED / "deploy" / "systemd"
_PROGRAMS: Final = {
    "sqlite3": "sqlite3",
    "lsof": "lsof",
    "fuser": "psmisc",
    "nc": "netcat-openbsd",
}  # and their packages
_HTTP_S: Final = 2.0
_SILENT: Final = Words("systemctl does not answer", "systemctl 沒有回應")
_INSTALL: Final = "sudo bash deploy/install.sh"
_PROPERTIES: Final = "LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,NeedDaemonReload,FragmentPath"


def check_sqlite() -> Check:
    """The SQLite that the collector writes with, and the one of an operator's shell."""
    ours = library_version()
    if not is_sound(ours):
        return failure(
            "SQLite",
            Words(
                f"the collector writes with SQLite {ours}, in which two writers can corrupt the WAL",
                f"收集器使用 SQLite {ours}，兩個寫入者可令其 WAL 損壞",
            ),
            Words(f"install apsw again: {_INSTALL}", f"重新安裝 apsw：{_INSTALL}"),
        )
    said = output(["sqlite3", "--version"])
    version = said.split()[0] if said and said.split() else ""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return ok("SQLite", Words(f"the collector writes with {ours}", f"收集器使用 {ours}"))
    if not reads_days(version):
        text = Words(
            f"sqlite3 of this host is {version}, too old for day files: they need 3.37 or later",
            f"本機的 sqlite3 為 {version}，太舊而不能讀取日檔：須 3.37 或以上",
        )
        return warning("SQLite", text, "hk-tick-collector ticks")
    care = NO_WORDS if is_sound(version) else Words(", so use it with mode=ro only", "，只可以 mode=ro 使用")
    text = Words(
        "the collector writes with {ours}; sqlite3 of this host is {version}{care}",
        "收集器使用 {ours}；本機的 sqlite3 為 {version}{care}",
    )
    return ok("SQLite", text.filled(ours=ours, version=version, care=care))


def check_programs() -> Check:
    """The programs that the runbook's commands need."""
    missing = [program for program in _PROGRAMS if which(program) is None]
    if missing:
        packages = " ".join(_PROGRAMS[program] for program in missing)
        names = ", ".join(missing)
        text = Words(f"the runbook needs {names}", f"runbook 需要 {names}")
        return warning("programs", text, f"sudo apt-get install {packages}")
    names = ", ".join(_PROGRAMS)
    return ok("programs", Words(f"{names} are installed", f"已有 {names}"))


def check_ntp() -> Check:
    """Whether this host's clock is synchronised with a time server."""
    said = output(["timedatectl", "show", "-p", "NTPSynchronized", "--value"]) if systemd_runs() else None
    if said is None:
        text = Words("without systemd here, it is not known", "本機沒有 systemd，無從得知")
        return not_checked("NTP", text, Words("chronyc tracking, or ntpq -p", "chronyc tracking，或 ntpq -p"))
    if said.strip() == "yes":
        return ok("NTP", Words("the clock is synchronised", "時鐘已同步"))
    return warning(
        "NTP", Words("the clock is not synchronised", "時鐘未同步"), "sudo timedatectl set-ntp true; timedatectl status"
    )


def check_units(*, local_opend: bool) -> list[Check]:
    """Installed, enabled, active, unchanged: the service, OpenD if it runs on this host, the timers."""
    if not systemd_runs():
        return [_without_systemd(_INSTALL)]
    checks = [_service(SERVICE, _INSTALL)]
    if local_opend:
        checks += _opend()
    return [*checks, _timers()]


def check_merge_unit() -> list[Check]:
    """The same for the only unit of a host that merges."""
    install = f"{_INSTALL} --role merge"
    return [_service(MERGE, install) if systemd_runs() else _without_systemd(install)]


def _without_systemd(install: str) -> Check:
    text = Words("systemd does not run here", "這裏沒有運行 systemd")
    return not_checked("units", text, Words(f"on the host itself: {install}", f"在主機上執行：{install}"))


def check_version(running: str, installed: str, unit: str = SERVICE) -> Check:
    """Whether the running version (empty if none) is the installed one, and no change of version was interrupted."""
    if (INSTALLED / ".upgrade").exists():
        text = Words(
            f"a change of version was interrupted: {running or 'nothing'} runs, {installed} is installed",
            f"版本更換中斷了：運行中 {running or '沒有'}，已安裝 {installed}",
        )
        return failure("version", text, f"{_INSTALL} --upgrade")
    if running and running != installed:
        text = Words(
            f"{running} runs and {installed} is installed: the service was not restarted",
            f"運行中為 {running}，已安裝 {installed}：服務未重啟",
        )
        return warning("version", text, f"sudo systemctl restart {unit}")
    return ok("version", Words(f"{installed} runs", f"{installed} 運行中") if running else installed)


def check_metrics(host: str, port: int, *, running: bool) -> Check:
    """Whether the metrics port is free, or used by our own service."""
    where = f"{host}:{port}"
    if port == 0:
        return ok("metrics", Words("a free port is chosen at the start", "啟動時取用一個空閒連接埠"))
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if running and _answers_metrics(host, port):
            return ok("metrics", Words(f"the running service answers on {where}", f"運行中的服務在 {where} 回應"))
        look = f"sudo ss -ltnp 'sport = :{port}'"
        remedy = Words(
            f"{look}, or set another METRICS_ADDR (collection is not affected)",
            f"{look}，或設定另一 METRICS_ADDR（不影響收集）",
        )
        why = error.strerror or error
        text = Words(f"{where} cannot be used: {why}", f"{where} 不能使用：{why}")
        return warning("metrics", text, remedy)
    if running:
        return ok(
            "metrics",
            Words(f"{where} is free: the running service does not use it", f"{where} 空閒：運行中的服務沒有使用"),
        )
    return ok("metrics", Words(f"{where} is free", f"{where} 空閒"))


def check_takeover() -> Check | None:
    """The finding about a takeover that waits for the restart; None if there is none."""
    who = not_taken_over(show_unit(SERVICE, "MainPID"))
    if who is None:
        return None
    runs = Words("this version has not been started yet", "本版本仍未啟動")
    if who:
        runs = Words(
            f"another program runs as hk-tick-collector, {who}", f"服務 hk-tick-collector 名下運行的是另一程式，{who}"
        )
    text = Words(
        "{runs}: the restart takes over, and changes the owner of the data",
        "{runs}：重啟服務即由本版本接管，並設好資料的擁有者",
    )
    return warning("takeover", text.filled(runs=runs), remedies.RESTART)


def _service(service: str, install: str) -> Check:
    name, unit = "unit", show_unit(service, _PROPERTIES)
    if unit is None:
        return not_checked(name, _SILENT, f"systemctl status {service}")
    active, enabled = f"{unit['ActiveState']} ({unit['SubState']})", unit["UnitFileState"]
    state = _state(service, active, enabled)
    if unit["LoadState"] != "loaded":
        load = unit["LoadState"]
        return failure(name, Words(f"{service} is {load}", f"{service} 為 {load}"), install)
    if unit["ActiveState"] == "failed":
        look, restart = f"sudo systemctl status {service} --no-pager", f"sudo systemctl restart {service}"
        remedy = Words(f"{look}; then {restart}", f"{look}；再 {restart}")
        result = unit["Result"]
        return failure(name, Words(f"{state.en}: {result}", f"{state.zh}：{result}"), remedy)
    if unit["NeedDaemonReload"] == "yes":
        text = Words(f"{service} was changed on disk and not reloaded", f"磁碟上的 {service} 已更改，但未重新讀取")
        return warning(name, text, "sudo systemctl daemon-reload")
    if not unit["UnitFileState"].startswith("enabled"):
        text = Words(f"{state.en}: it does not start with the host", f"{state.zh}：不會隨主機啟動")
        return warning(name, text, f"sudo systemctl enable --now {service}")
    if unit["ActiveState"] != "active":
        return warning(name, state, f"sudo systemctl start {service}")
    changed, path = NO_WORDS, unit["FragmentPath"]
    if not _is_as_shipped(service, path):
        changed = Words(f"; {path} is not as shipped in {_SHIPPED}", f"；{path} 與 {_SHIPPED} 內的不同")
    text = Words("{state}, {restarts} restarts{changed}", "{state}，重啟 {restarts} 次{changed}")
    return ok(name, text.filled(state=state, restarts=unit["NRestarts"], changed=changed))


def _state(unit: str, active: str, enabled: str) -> Words:
    return Words(f"{unit} is {active}, {enabled or 'not enabled'}", f"{unit} 為 {active}，{enabled or '沒有 enable'}")


def _opend() -> list[Check]:
    name, unit = "OpenD's unit", show_unit(OPEND, f"{_PROPERTIES},{opend_files.PROPERTIES}")
    if unit is None:
        return [not_checked(name, _SILENT, f"systemctl status {OPEND}")]
    if unit["LoadState"] == "masked":
        return [
            ok(
                name,
                Words(
                    f"{OPEND} is masked: OpenD is not run by this host's systemd",
                    f"{OPEND} 為 masked：OpenD 不由本機的 systemd 運行",
                ),
            )
        ]
    if unit["LoadState"] != "loaded":
        load = unit["LoadState"]
        text = Words(
            f"{OPEND} is {load}: OpenD does not start with the host", f"{OPEND} 為 {load}：OpenD 不會隨主機啟動"
        )
        return [warning(name, text, _INSTALL)]
    return [_opend_unit(name, unit), opend_files.check_opend_files(unit)]


def _opend_unit(name: str, unit: dict[str, str]) -> Check:
    state = _state(OPEND, unit["ActiveState"], unit["UnitFileState"])
    if unit["ActiveState"] != "active" or not unit["UnitFileState"].startswith("enabled"):
        return warning(name, state, f"sudo systemctl enable --now {OPEND}; sudo systemctl status {OPEND} --no-pager")
    ours = opend_files.STARTER in unit["ExecStart"]
    path = unit["FragmentPath"]
    return ok(
        name,
        state
        if ours
        else Words(f"{state.en}; {path} is not ours and is kept", f"{state.zh}；{path} 不是本程式的，予以保留"),
    )


def _timers() -> Check:
    units = {timer: show_unit(timer, _PROPERTIES) for timer in TIMERS}
    idle = [timer for timer, unit in units.items() if unit is None or unit["ActiveState"] != "active"]
    if idle and not_taken_over(None) is not None:
        return ok("timers", Words("the restart that takes over enables them", "接管的重啟會啟用它們"))
    if idle:
        names = ", ".join(idle)
        text = Words(f"not active: {names}", f"沒有啟用：{names}")
        return warning("timers", text, f"sudo systemctl enable --now {' '.join(idle)}")
    return ok("timers", Words("snapshot, report and archive run daily", "snapshot、report 與 archive 每日執行"))


def _is_as_shipped(service: str, unit_file: str) -> bool:
    """Whether the unit is the installed one; an operator may change it. True if one of them cannot be read."""
    try:
        return (_SHIPPED / service).read_bytes() == Path(unit_file).read_bytes()
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

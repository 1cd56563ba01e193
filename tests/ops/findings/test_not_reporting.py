"""A service that does not report: stopped, settings refused, died, frozen, stuck; each has its own finding."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector.ops.findings.not_reporting import Host, check_gone
from hk_tick_collector.ops.live import systemd_unit
from hk_tick_collector.ops.live.systemd_unit import place_trouble, process_state

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ops.conftest import MakeStatus

NOW_MS: Final = 1_795_140_000_000
OLD: Final = {"written_ms": NOW_MS - 60_000, "pid": 4711}
STOPPED: Final = {**OLD, "state": "stopped"}


def unit(**changes: str) -> dict[str, str]:
    """The output of `systemctl show` for a unit that was stopped by hand; keywords are the differences."""
    return {
        "LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead", "Result": "success",
        "ExecMainCode": "1", "ExecMainStatus": "0", "NRestarts": "0",
    } | changes  # fmt: skip


LOOPING: Final = unit(
    ActiveState="activating", SubState="auto-restart", Result="exit-code", ExecMainStatus="1", NRestarts="7"
)
KILLED: Final = unit(ActiveState="failed", Result="signal", ExecMainCode="2", ExecMainStatus="9")
CLOSED: Final = "20261125.db may not be written: check rights and disk of DATA_ROOT"
HEALTH: Final = "health connected=True subscribed=3/3"
REFUSED: Final = unit(ActiveState="failed", Result="exit-code", ExecMainStatus="2")
OTHER: Final = "pid 633 (ticker: python -m collector)"
WRONG: Final = "FUTU_PORT=abc (from /opt/futu_tick_downloader/.env:3) is not a whole number: allowed is 1 to 65535"


@pytest.mark.parametrize(
    ("live", "host", "code", "words", "remedy"),
    [
        (None, Host(data_root="/d"), "service_down", "for DATA_ROOT=/d (no status.json)", "systemctl start"),
        (None, Host(unit=unit(LoadState="not-found")), "service_down", "no collector is running", "systemctl start"),
        (None, Host(unit=unit(ActiveState="active")), "service_down", "DATA_ROOT", "hk-tick-collector config"),
        (None, Host(unit=unit()), "service_stopped", "no failure", "systemctl start"),
        (STOPPED, Host(), "service_stopped", "stopped 60 s ago", "systemctl start"),
        (STOPPED, Host(settings_error=WRONG), "service_settings", WRONG, "vim /opt/futu_tick_downloader/.env"),
        (OLD, Host(unit=REFUSED, settings_error=WRONG), "service_settings", WRONG, "systemctl restart"),
        (OLD, Host(unit=REFUSED), "service_settings", "exit code 2", "systemctl restart"),
        (
            OLD,
            Host(unit=LOOPING, blocked=("a lock", "chown x")),
            "service_blocked",
            "a lock",
            "chown x; sudo systemctl",
        ),
        (STOPPED, Host(blocked=("a lock", "chown x")), "service_blocked", "stopped 60 s ago and cannot", "chown x"),
        (None, Host(take_over=OTHER, blocked=("a lock", "chown x")), "not_taken_over", OTHER, "systemctl restart"),
        (None, Host(take_over=OTHER, unit=unit(ActiveState="active")), "not_taken_over", OTHER, "systemctl restart"),
        (STOPPED, Host(take_over=""), "not_taken_over", "has ended", "systemctl restart"),
        (None, Host(take_over=OTHER, settings_error=WRONG), "not_taken_over", WRONG, "vim /opt/futu_tick"),
        (
            OLD,
            Host(process="lives", blocked=("a lock", "chown x")),
            "service_hung",
            "is running but",
            "systemctl restart",
        ),
        (OLD, Host(unit=KILLED, process="gone"), "service_died", "signal, SIGKILL", "journalctl"),
        (OLD, Host(unit=LOOPING, process="gone"), "service_died", "7 restarts", "journalctl"),
        (OLD, Host(unit=LOOPING | {"StatusText": CLOSED}, process="gone"), "service_died", CLOSED, "doctor"),
        (OLD, Host(unit=LOOPING | {"StatusText": HEALTH}, process="gone"), "service_died", "7 restarts", "journalctl"),
        (
            OLD,
            Host(unit=LOOPING | {"NRestarts": "0"}, process="gone"),
            "service_died",
            "is starting it again",
            "journalctl",
        ),
        (OLD, Host(unit=KILLED | {"StatusText": CLOSED}, process="gone"), "service_died", "SIGKILL", "journalctl"),
        (OLD, Host(process="gone"), "service_died", "pid 4711) died 60 s ago", "systemctl start"),
        (OLD, Host(process="frozen"), "service_hung", "frozen by a signal", "kill -CONT 4711"),
        (OLD, Host(process="lives"), "service_hung", "pid 4711) is running", "systemctl restart"),
        (OLD, Host(process="lives", settings_error=WRONG), "service_hung", "is running but", "systemctl restart"),
        (OLD, Host(process="in_kernel"), "service_hung", "in the kernel", "dmesg"),
        (OLD, Host(process="lives", place="disk_full"), "writer_disk_full", "is full", "df -h /data/sqlite/HK"),
        (OLD, Host(process="lives", place="read_only"), "writer_read_only", "is read-only", "remount,rw"),
        (OLD, Host(), "service_hung", "died or is stuck", "systemctl restart"),
        ({"written_ms": NOW_MS - 4_000}, Host(process="gone"), "service_died", "died 4 s ago", "systemctl start"),
    ],
)
def test_why_no_service_reports(
    make_status: MakeStatus, live: dict[str, Any] | None, host: Host, code: str, words: str, remedy: str
) -> None:
    """The true cause, and its command."""
    finding = check_gone(make_status(**live) if live else None, NOW_MS, host)
    assert finding
    assert finding.code == code
    assert words in finding.text
    assert remedy in finding.remedy


def test_a_takeover_waits_while_its_drop_in_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process running as the service is named; our first start ends the waiting."""
    drop_in = tmp_path / "take-over.conf"
    monkeypatch.setattr(systemd_unit, "TAKE_OVER", drop_in)
    assert systemd_unit.not_taken_over({"MainPID": str(os.getpid())}) is None
    drop_in.touch()
    assert f"pid {os.getpid()} (" in (systemd_unit.not_taken_over({"MainPID": str(os.getpid())}) or "")
    assert systemd_unit.not_taken_over({"MainPID": "0"}) == systemd_unit.not_taken_over(None) == ""


def test_a_service_that_reports_is_not_missing(make_status: MakeStatus) -> None:
    """One second without a report is normal, whatever /proc says about a pid of another namespace."""
    assert check_gone(make_status(written_ms=NOW_MS - 1_000), NOW_MS, Host(process="gone")) is None
    assert check_gone(make_status(written_ms=NOW_MS - 5_000), NOW_MS, Host(process="lives")) is None


def test_a_process_is_distinguished_from_another_with_its_pid() -> None:
    """Alive, frozen, dead; a program that is not a collector is not taken for one."""
    wait = [sys.executable, "-c", "print(flush=True); __import__('signal').pause()"]
    with subprocess.Popen([*wait, "hk-tick-collector"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert process_state(process.pid) == "lives"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert process_state(process.pid) == "frozen"
        process.kill()
        process.wait()
        assert process_state(process.pid) == "gone"
    with subprocess.Popen(wait, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert process_state(other.pid) == "gone"
        other.kill()


def test_a_place_without_a_problem_gives_no_reason(tmp_path: Path) -> None:
    """No reason if files can be written; a full disk is tested in tests/cli/test_status_causes.py."""
    assert place_trouble(tmp_path) == place_trouble(tmp_path / "gone") == ""

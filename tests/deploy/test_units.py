"""The unit files: systemd accepts them, they are restricted, and they agree with the code on names and times."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.nats.make_nkey import make_nkey
from tools.cluster.certificates import Authority

from hk_tick_collector.cli import VERBS
from hk_tick_collector.cli._failed_service import JOBS
from hk_tick_collector.config import load_settings
from hk_tick_collector.config.load import INSTALLED_ENV_FILE
from hk_tick_collector.jetstream.credentials import read_credentials
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "deploy" / "systemd"
SERVICES = {
    "hk-tick-collector": 1.5,
    "futu-opend": 4.0,
    "hk-tick-collector-snapshot": 1.5,
    "hk-tick-collector-report": 1.5,
    "hk-tick-collector-web": 2.0,
    "hk-tick-collector-archive": 2.5,  # it needs the network for an archive in an object store
    "hk-tick-collector-failed@": 2.5,  # it needs the network for alerts
    "hk-nats": 1.5,
    "hk-tick-publish": 1.5,
    "hk-tick-merge": 1.5,
}
TIMERS = ("hk-tick-collector-snapshot", "hk-tick-collector-report", "hk-tick-collector-archive")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here: apt-get install systemd"
)


def unit(name: str) -> dict[str, list[str]]:
    """A unit's values by key, in order."""
    lines: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text("utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            lines.setdefault(key, []).append(value)
    return lines


def seconds(text: str) -> float:
    """A time as the units write it."""
    match = re.fullmatch(r"(\d+)(min)?", text)
    assert match, text
    return int(match[1]) * (60 if match[2] else 1)


@needs_systemd
def test_systemd_accepts_every_unit(tmp_path: Path) -> None:
    """No unknown key, no bad value, every program exists; in a tree like an installed one."""
    installed = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS, installed)
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    opt = "opt/futu_tick_downloader"
    for program in (
        f"{opt}/.venv/bin/hk-tick-collector",
        f"{opt}/.venv/bin/nats-server",
        f"{opt}/deploy/run-opend.sh",
        "bin/sh",
        "bin/kill",
    ):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", path)
    names = sorted(path.name for path in installed.iterdir() if path.is_file())
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", *names], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if re.search("hk-tick|hk-nats|futu-opend", line)]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize(("name", "most"), SERVICES.items())
def test_the_exposure_is_low(name: str, most: float) -> None:
    """As `systemd-analyze security` rates it, from 0 to 10."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / f"{name}.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= most


def test_the_unit_and_the_code_have_the_same_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paths and times that are in both: settings file, live state, data, duration of a stop."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").touch()
    lines, settings = unit("hk-tick-collector.service"), load_settings(None, {}).settings
    assert lines["EnvironmentFile"] == [f"-{INSTALLED_ENV_FILE}"]
    assert lines["WorkingDirectory"] == [str(INSTALLED_ENV_FILE.parent)]
    assert lines["RuntimeDirectory"] == [RUNTIME_DIRECTORY.name]
    assert lines["ReadWritePaths"] == [f"-{settings.data_root}"]
    assert seconds(lines["TimeoutStopSec"][0]) > settings.stop_flush_timeout_sec + 10


def test_the_service_is_always_restarted_except_after_a_wrong_setting() -> None:
    """The restart settings that the issue demands."""
    lines = unit("hk-tick-collector.service")
    for key, value in {
        "Type": "notify",
        "NotifyAccess": "main",
        "Restart": "always",
        "RestartSec": "5",
        "StartLimitIntervalSec": "0",
        "RestartPreventExitStatus": "2",
        "RuntimeDirectoryPreserve": "yes",
        "RuntimeDirectoryMode": "0750",
        "UMask": "0027",
        "User": "hkcollector",
        "Group": "hkcollector",
    }.items():
        assert lines[key] == [value], key
    assert "ExecStartPre" not in lines, "it would run after the stop, which is too late"
    assert lines["ExecReload"][0].endswith("/hk-tick-collector config --check"), "it checks, and applies nothing"
    assert lines["ExecStart"][0].endswith("/hk-tick-collector run")
    assert "run" in VERBS


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_limit_of_memory(name: str) -> None:
    """A process that uses too much memory ends alone; the kernel would end the collector last."""
    assert re.fullmatch(r"\d+[MG]", unit(f"{name}.service")["MemoryMax"][0])


def test_the_service_continues_without_opend() -> None:
    """It starts after OpenD and is not bound to it."""
    lines = unit("hk-tick-collector.service")
    assert "futu-opend.service" in lines["After"][0].split()
    assert not {"Requires", "Requisite", "BindsTo", "PartOf"} & set(lines)


@pytest.mark.parametrize("name", TIMERS)
def test_timers_use_hong_kong_time_and_run_later_after_a_missed_time(name: str) -> None:
    """In any time zone of the host, and after a host was down; Hong Kong has no daylight saving time."""
    lines = unit(f"{name}.timer")
    assert lines["OnCalendar"][0].endswith(" Asia/Hong_Kong")
    assert lines["Persistent"] == ["yes"]
    assert unit(f"{name}.service")["Type"] == ["oneshot"]


def test_the_archive_waits_for_its_setting() -> None:
    """The timer runs from the installation on; without ARCHIVE_DIR the service is skipped, which is no failure."""
    condition = unit("hk-tick-collector-archive.service")["ExecCondition"][0]
    assert condition == """/bin/sh -c 'test -n "$ARCHIVE_DIR"'"""
    for value, code in (("", 1), ("/mnt/archive", 0)):
        done = subprocess.run(["/bin/sh", "-c", 'test -n "$ARCHIVE_DIR"'], env={"ARCHIVE_DIR": value}, check=False)
        assert done.returncode == code


@pytest.mark.parametrize(
    ("result", "code", "status", "started"),
    [
        ("success", "exited", "0", ""),
        ("exit-code", "exited", "2", ""),  # it is not started again, so OnFailure= tells it
        ("exit-code", "exited", "1", "exit-code:exited:1"),
        ("signal", "killed", "KILL", "signal:killed:KILL"),
        ("watchdog", "dumped", "ABRT", "watchdog:dumped:ABRT"),
        ("oom-kill", "killed", "KILL", "oom-kill:killed:KILL"),
    ],
)
def test_every_end_that_nobody_asked_for_is_told(
    tmp_path: Path, result: str, code: str, status: str, started: str
) -> None:
    """The unit of the notice gets how the service ended; a stop tells nothing."""
    lines = unit("hk-tick-collector.service")
    assert lines["OnFailure"] == ["hk-tick-collector-failed@%n.service"]
    prefix, _, command = lines["ExecStopPost"][0].partition("/bin/sh -c ")
    assert prefix == "-+", "as root, and a failure of it is none of the service"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "$*"\n')
    systemctl.chmod(0o755)
    environ = {"PATH": str(tmp_path), "SERVICE_RESULT": result, "EXIT_CODE": code, "EXIT_STATUS": status}
    done = subprocess.run(
        ["/bin/sh", "-c", command.strip("'")], env=environ, capture_output=True, text=True, check=True
    )
    wanted = f"start --no-block hk-tick-collector-failed@{started}.service\n" if started else ""
    assert done.stdout == wanted
    assert unit("hk-tick-collector-failed@.service")["ExecStart"][0].endswith("/hk-tick-collector alerts --failed %i")


@pytest.mark.parametrize("job", [*TIMERS, "hk-tick-publish", "hk-tick-merge"])
def test_a_unit_that_fails_starts_the_notice(job: str) -> None:
    """With its name, which `alerts --failed` knows."""
    assert unit(f"{job}.service")["OnFailure"] == ["hk-tick-collector-failed@%n.service"]
    assert f"{job}.service" in JOBS


def test_the_page_is_off_until_it_is_enabled_and_may_only_read() -> None:
    """An account of its own in the collector's group, no place to write, and no bond with the collector's unit."""
    lines = unit("hk-tick-collector-web.service")
    assert lines["DynamicUser"] == ["yes"]
    assert lines["SupplementaryGroups"] == ["hkcollector"]
    assert lines["ProtectSystem"] == ["strict"]
    assert lines["WantedBy"] == ["multi-user.target"]
    assert not {"EnvironmentFile", "ReadWritePaths", "StateDirectory", "User", "Requires", "BindsTo", "PartOf"} & set(
        lines
    )
    assert (
        "hk-tick-collector-web" not in (ROOT / "deploy" / "install.sh").read_text("utf-8").partition("uninstall()")[0]
    )


STREAM_UNITS = ("hk-nats", "hk-tick-publish", "hk-tick-merge")


@pytest.mark.parametrize("name", STREAM_UNITS)
def test_what_several_hosts_need_is_off_until_it_is_enabled(name: str) -> None:
    """A single host starts none of it: the installer enables nothing, and no unit of the collector wants it."""
    lines = unit(f"{name}.service")
    assert lines["WantedBy"] == ["multi-user.target"]
    assert lines["Restart"] == ["always"]
    assert lines["StartLimitIntervalSec"] == ["0"]
    assert not {"Requires", "BindsTo", "PartOf"} & set(lines)
    for path in UNITS.glob("hk-tick-collector*"):
        assert name not in path.read_text("utf-8")
    installer = (ROOT / "deploy" / "install.sh").read_text("utf-8")
    enabling = [line.strip() for line in installer.splitlines() if f"enable --now {name}" in line]
    assert [line for line in enabling if not line.startswith(("sudo ", "To send"))] == [], "printed, and never run"


def test_each_part_writes_only_its_own_directory() -> None:
    """publish may not touch the union, merge may not touch a collector's day files, the server neither."""
    assert "ReadWritePaths" not in unit("hk-tick-publish.service")
    assert unit("hk-tick-publish.service")["DynamicUser"] == ["yes"]
    assert unit("hk-tick-merge.service")["ReadWritePaths"] == ["-/data/sqlite/HK-merged"]
    assert "ReadWritePaths" not in unit("hk-nats.service")
    # On a host that only merges these work on the merged day files.
    for verb in ("archive", "report", "snapshot"):
        assert "-/data/sqlite/HK-merged" in unit(f"hk-tick-collector-{verb}.service")["ReadWritePaths"][0].split()
    assert unit("hk-nats.service")["User"] == ["hk-nats"]
    for name in STREAM_UNITS:
        assert unit(f"{name}.service")["ProtectSystem"] == ["strict"]


def test_the_settings_of_the_server_are_valid_and_sync_each_message(tmp_path: Path) -> None:
    """A real nats-server accepts deploy/nats/nats.conf as it is, and with every example in it switched on."""
    program = Path(sys.executable).parent / "nats-server"
    text = (ROOT / "deploy" / "nats" / "nats.conf").read_text("utf-8")
    assert "sync_interval: always" in text
    text = text.replace("/var/lib/hk-nats", str(tmp_path / "store")).replace("/etc/hk-nats", str(tmp_path))
    authority = Authority(tmp_path)
    authority.issue("server", ["127.0.0.1"])
    full = re.sub(r"^#(?=\S|  )", "", text, flags=re.MULTILINE)  # examples, not the sentences between them
    full = re.sub(r"nkey: U[^,]*,", lambda _: f"nkey: {make_nkey().public},", full)
    for number, settings in enumerate((text, full)):
        path = tmp_path / f"{number}.conf"
        path.write_text(settings)
        done = subprocess.run([program, "-t", "-c", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + settings
    assert "cluster {" in full.splitlines()
    assert "authorization {" in full.splitlines()


def test_an_nkey_is_made_without_a_network(tmp_path: Path) -> None:
    """The seed is in a new file that only owner and group may read; a file is never replaced."""
    program, file = ROOT / "deploy" / "nats" / "make_nkey.py", tmp_path / "a.nk"

    def make(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, program, *args], capture_output=True, text=True, check=False)

    done = make(str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o007 == 0
    assert read_credentials(file).public_key == done.stdout.strip()
    seed = file.read_bytes()
    again = make(str(file))
    assert (again.returncode, file.read_bytes()) == (1, seed)
    assert "File exists" in again.stderr
    assert make().returncode == 2

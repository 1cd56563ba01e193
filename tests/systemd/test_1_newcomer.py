"""From nothing to `active` with rows growing: the installer, the settings, the start, as README.md and the page say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import cargo

if TYPE_CHECKING:
    from .host import Host
    from .reader import Reader
    from .watching import Watch


def test_a_fresh_host_collects_after_the_installers_three_commands(watch: Watch, installed: str, started: str) -> None:
    """Installed, FUTU_SYMBOLS set, started: active, every symbol's rows grow, `status` is OK."""
    assert not re.search(r"WARNING|stopped at", installed), installed
    assert re.match(r"OK\b", started), started
    assert watch.show("ActiveState") == "active"
    assert watch.show("ActiveState", "futu-opend") == "active"
    assert watch.live()["subscribed"] == len(cargo.SYMBOLS)
    assert "Traceback" not in watch.journal()


def test_who_may_read_and_write_what(machine: Host, watch: Watch) -> None:
    """The contract's places: data 0750 and 0640 for the group, settings 0640 for root and the group, and no others."""
    where = "/data/sqlite/HK /data/sqlite/HK/2*.db /opt/futu_tick_downloader/.env /run/hk-tick-collector"
    modes = machine.run(f"stat -c '%A %U:%G %n' {where}").splitlines()
    assert [line.rpartition(" ")[0] for line in modes] == [
        "drwxr-x--- hkcollector:hkcollector",
        "-rw-r----- hkcollector:hkcollector",
        "-rw-r----- root:hkcollector",
        "drwxr-x--- hkcollector:hkcollector",
    ]
    assert machine.ask("runuser -u nobody -- ls /data/sqlite/HK").code != 0
    assert machine.ask("touch /data/sqlite/HK/mine", who="duty").code != 0
    assert watch.pid()


def test_the_process_reports_its_own_figures(machine: Host, watch: Watch) -> None:
    """Dashboards' `process_*`, under the unit, which hides most of /proc; its limit of memory is in force."""
    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9108/metrics').read().decode())"
    said = machine.quietly(f'python3 -c "{read}"').text
    found = dict(line.split(" ") for line in said.splitlines() if line.startswith("process_"))
    assert float(found["process_resident_memory_bytes"]) > 10e6
    assert float(found["process_cpu_seconds_total"]) > 0
    assert float(found["process_open_fds"]) > 3
    now_s = float(machine.quietly("date +%s").text)
    up_s = (
        float(machine.quietly("cut -d' ' -f1 /proc/uptime").text)
        - int(watch.show("ExecMainStartTimestampMonotonic")) / 1e6
    )
    assert abs(now_s - up_s - float(found["process_start_time_seconds"])) < 5
    assert watch.show("MemoryMax") == str(2**30)


def test_the_installer_can_be_run_again(machine: Host, watch: Watch) -> None:
    """It does not change what is right: same settings, same process."""
    settings, pid = machine.run("cat /opt/futu_tick_downloader/.env"), watch.pid()
    machine.run(
        f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --wheelhouse {cargo.WHEELHOUSE}", who="duty", cap_s=300
    )
    assert machine.run("cat /opt/futu_tick_downloader/.env") == settings
    assert watch.pid() == pid


def test_a_dry_run_prints_and_changes_nothing(machine: Host, watch: Watch) -> None:
    """Without root, and on a host that has it all."""
    releases = machine.run("ls /opt/futu_tick_downloader/releases")
    dry_run = f"cd {cargo.CHECKOUT} && bash deploy/install.sh --dry-run --wheelhouse {cargo.WHEELHOUSE}"
    said = machine.run(dry_run, who="duty")
    assert "nothing was changed" in said
    assert machine.run("ls /opt/futu_tick_downloader/releases") == releases
    assert watch.pid()


def test_status_needs_no_root(reader: Reader, watch: Watch) -> None:
    """`status` answers a member of the group, within half a second of its own time."""
    reader.paste("time hk-tick-collector status", codes=(0, 1))
    assert watch.status()[0] <= 1

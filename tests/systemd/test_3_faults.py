"""Each fault of the page: `status` names its true cause to a member of the group, and the commands of the page help."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from .cargo import TRUTH, edits
from .watching import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .host import Host
    from .reader import Reader
    from .watching import Watch

ENV: Final = "/opt/futu_tick_downloader/.env"
RESTART: Final = "sudo systemctl restart hk-tick-collector"
WARNING: Final = 1
CRITICAL: Final = 2


def test_the_collector_is_killed(machine: Host, watch: Watch) -> None:
    """SIGKILL: systemd starts it again, and the missed ticks are backfilled."""
    pid, rows = watch.pid(), watch.rows()
    machine.run(f"kill -KILL {pid}")
    machine.wait("another process", lambda: watch.pid() not in (0, pid))
    watch.collecting()
    assert watch.rows() > rows
    assert watch.show("Result") == "success"
    assert "status=9/KILL" in watch.journal()


def test_the_collector_is_stopped_and_forgotten(reader: Reader, watch: Watch) -> None:
    """`status` says so and names the command, which ends it."""
    reader.paste("sudo systemctl stop hk-tick-collector")
    said = watch.named(r"stopped", CRITICAL)
    reader.paste(_remedy(said))
    watch.collecting()


def test_opend_is_killed(machine: Host, watch: Watch) -> None:
    """SIGKILL: systemd starts it again; the collector keeps running and backfills the missed ticks."""
    pid, opend = watch.pid(), watch.pid("futu-opend")
    machine.run(f"kill -KILL {opend}")
    watch.named(r"no connection to OpenD", WARNING)
    watch.collecting()
    assert watch.pid() == pid
    assert "futu_disconnected" in watch.journal()


def test_opend_stays_down(machine: Host, reader: Reader, watch: Watch) -> None:
    """Section 4 C: `status` points at OpenD; the page's commands find it dead and bring it back."""
    machine.run("systemctl stop futu-opend")
    said = watch.named(r"no connection to OpenD", WARNING)
    assert "futu-opend" in _remedy(said)
    assert "inactive (dead)" in reader.paste("sudo systemctl status futu-opend --no-pager", codes=(3,))
    assert "refused" in reader.paste("nc -vz 127.0.0.1 11111", codes=(1,))
    reader.paste("sudo systemctl restart futu-opend")
    reader.paste(RESTART)
    watch.collecting()


def test_a_foreign_lock(machine: Host, reader: Reader, watch: Watch) -> None:
    """Section 4 B: busy in the journal and in `status`, the page's commands name the holder, then it catches up."""
    holding = f"(echo BEGIN IMMEDIATE\\;; sleep 600) | sqlite3 {_db()}"
    machine.run(f"systemd-run --unit=foreign --collect bash -c '{holding}'")
    watch.named(r"busy", WARNING)
    machine.wait("a line about it", lambda: "sqlite_busy_backoff" in watch.journal())
    for command in ("DAY=$(TZ=Asia/Hong_Kong date +%Y%m%d)", f"DB={DATA}/${{DAY}}.db"):
        reader.paste(command, who="root")
    holders = reader.paste('lsof "$DB" "$DB-wal" "$DB-shm" || true', who="root")
    assert re.search(r"^sqlite3 .*root", holders, re.MULTILINE)
    reader.paste('fuser "$DB" "$DB-wal" "$DB-shm" || true', who="root")
    assert "sqlite3" in reader.paste('lslocks | grep -E "$(basename "$DB")|sqlite" || true', who="root")
    reader.paste("sudo systemctl stop foreign")
    watch.collecting()


def test_the_collector_hangs(machine: Host, watch: Watch) -> None:
    """SIGSTOP: the watchdog is not served, `status` says that it is frozen, systemd starts another process."""
    pid = watch.pid()
    machine.run(f"kill -STOP {pid}")
    watch.named(r"frozen by a signal .*not reported", CRITICAL)
    machine.wait("another process", lambda: watch.pid() not in (0, pid), 120)
    watch.collecting()
    machine.run("journalctl -u hk-tick-collector --since=-3min --no-pager | grep -i watchdog")


@pytest.fixture
def small_disk(machine: Host, watch: Watch) -> Iterator[None]:
    """The data directory on a disk of its own, of 64 MB; its files move there and back, as when a disk is changed."""
    edits(machine, "$ a DISK_MIN_FREE_MB=1\n")
    machine.run(f"vim {ENV} && systemctl stop hk-tick-collector")
    machine.run(f"mount -t tmpfs -o size=64m,mode=750 tmpfs /mnt && cp -a {DATA}/. /mnt/")
    machine.run(f"mount --bind /mnt {DATA} && umount /mnt")
    machine.run(f"chown hkcollector:hkcollector {DATA} && systemctl start hk-tick-collector")
    watch.collecting()
    yield
    edits(machine, "/^DISK_MIN_FREE_MB=1$/d\n")
    machine.run(f"vim {ENV} && systemctl stop hk-tick-collector && rm -f {DATA}/filling")
    machine.run(f"mount --bind / /mnt && cp -a {DATA}/. /mnt{DATA}/ && umount /mnt && umount {DATA}")
    machine.run("systemctl start hk-tick-collector")


@pytest.mark.usefixtures("small_disk")
def test_the_disk_is_full(machine: Host, reader: Reader, watch: Watch) -> None:
    """`status` says disk full; when there is space it stores everything by itself."""
    pid = watch.pid()
    machine.run(f"cat /dev/zero > {DATA}/filling", codes=(1,))
    said = watch.named(r"disk_full|disk is full|No space", CRITICAL)
    assert "df" in _remedy(said)
    assert "100%" in reader.paste(f"df -h {DATA}")
    machine.run(f"rm {DATA}/filling")
    watch.collecting()
    assert watch.pid() == pid
    assert watch.live()["dropped"] == 0


@pytest.mark.usefixtures("small_disk")
def test_the_disk_is_read_only(machine: Host, reader: Reader, watch: Watch) -> None:
    """Killed and met by a read-only disk: `status` says so; remounted, it goes on by itself.

    The kernel refuses to remount while files are open for writing, so the disk turns read-only between two runs.
    """
    machine.run(f"systemctl stop hk-tick-collector && mount -o remount,ro {DATA}")
    try:
        machine.run("systemctl start hk-tick-collector", codes=(0, 1))
        watch.named(r"(?i)read.only", CRITICAL, 30)
        assert re.search(r"\bro\b", reader.paste("mount | grep /data"))
    finally:
        reader.paste(f"sudo mount -o remount,rw {DATA}")
    watch.collecting()


def test_the_permissions_are_wrong(machine: Host, reader: Reader, watch: Watch) -> None:
    """The day file belongs to root, as after a restore: `status` says so; after a chown it continues by itself."""
    machine.run(f"systemctl stop hk-tick-collector && chown root:root {_db()}")
    try:
        machine.run("systemctl start hk-tick-collector", codes=(0, 1))
        watch.named(r"(?i)permission|rights|not writable", CRITICAL, 30)
    finally:
        reader.paste(f"sudo chown -R hkcollector:hkcollector {DATA}")
    watch.collecting()


def test_the_machine_is_restarted(machine: Host, watch: Watch) -> None:
    """Power off and boot: OpenD and collector start by themselves, and the missed ticks are backfilled."""
    rows = watch.rows()
    machine.power_off()
    machine.boot()
    watch.collecting()
    assert watch.rows() > rows
    assert watch.show("NRestarts") == "0"


def test_after_these_faults_every_tick_is_accounted_for(machine: Host, watch: Watch) -> None:
    """The exchange's truth against the day files: each tick is stored once, or lies in a recorded gap."""
    machine.run("systemctl stop futu-opend", cap_s=60)
    watch.named(r"no connection to OpenD", WARNING)
    machine.run("systemctl stop hk-tick-collector")
    machine.run(f"cp {TRUTH} /tmp/truth && chmod 0644 /tmp/truth")
    machine.run("hk-tick-collector verify --truth /tmp/truth", who="duty")
    machine.run("systemctl start futu-opend hk-tick-collector")
    watch.collecting()


def _remedy(said: str) -> str:
    """The command behind the arrow of the one line."""
    line = said.partition("\n")[0]
    return line.rpartition(" -> ")[2].partition(";")[0].strip()


def _db() -> str:
    return f"{DATA}/$(TZ=Asia/Hong_Kong date +%Y%m%d).db"

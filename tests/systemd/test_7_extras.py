"""The extras and roles as an operator adds them, beside a service that collects: the archive's timer, the page, and
JetStream with publish and merge; afterwards they are removed.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest
from tests.archived_days import seal_day

from . import cargo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .host import Host
    from .reader import Reader
    from .watching import Watch

_DAY: Final = "20251120"
_ARCHIVER: Final = "hk-tick-collector-archive"
_ARCHIVE: Final = "/data/archive"
_WEB: Final = "hk-tick-collector-web"
_ASK: Final = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9110/').read().decode())"
_UNITS: Final = ("hk-nats", "hk-tick-publish", "hk-tick-merge")
_ENV: Final = "/opt/futu_tick_downloader/.env"
_SETTINGS: Final = "STREAM_URL=nats://127.0.0.1:4222\nMERGE_ROOT=/data/sqlite/HK-merged\nINSTANCE_ID=a\n"
_HEALTH: Final = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8222/healthz').read().decode())"
_ROWS: Final = "sqlite3 'file:'$(ls /data/sqlite/HK-merged/*.db | tail -n 1)'?mode=ro' 'SELECT count(*) FROM ticks'"
_WHEELS: Final = "/home/duty/wheels-extras"
# The minute for which a new version is watched is the subject of test_8_upgrade.py.
_INSTALLER: Final = f"cd {cargo.CHECKOUT} && sudo LOOK_S=10 bash deploy/install.sh --upgrade --wheelhouse"


@pytest.fixture(scope="module")
def extras(machine: Host, started: str) -> Iterator[None]:
    """All packages and roles, added to what is installed; afterwards they are removed."""
    assert started
    for extra in ("data", "web", "cluster"):
        shutil.copytree(cargo.wheelhouse(extra), machine.path(_WHEELS), dirs_exist_ok=True)
    machine.run(f"{_INSTALLER} {_WHEELS} --extras data,web,stream --role collector,merge,nats", who="duty", cap_s=400)
    machine.run(f"rm -rf {_WHEELS}")
    yield
    machine.run(f"{_INSTALLER} {cargo.WHEELHOUSE} --extras none --role collector", who="duty", cap_s=300)


@pytest.mark.usefixtures("extras")
def test_a_day_is_archived_pruned_and_restored(machine: Host, reader: Reader, watch: Watch) -> None:
    """As docs/archive.md says, with the unit's own account and limits."""
    machine.run(f"systemctl start {_ARCHIVER}")  # without ARCHIVE_DIR it does nothing
    assert watch.show("Result", f"{_ARCHIVER}.service") == "exec-condition"

    _bring_day(machine)
    machine.run(f"install -d -o hkcollector -g hkcollector -m 0750 {_ARCHIVE}")
    cargo.edits(machine, f"$ a ARCHIVE_DIR={_ARCHIVE}\n")
    reader.paste("sudo vim /opt/futu_tick_downloader/.env")
    reader.paste(f"sudo systemctl start {_ARCHIVER}")
    assert watch.show("Result", f"{_ARCHIVER}.service") == "success"
    assert f"{_DAY}: archived and verified: 60 ticks" in machine.run(f"journalctl -u {_ARCHIVER} -o cat --no-pager")
    assert f"archive         to {_ARCHIVE}" in machine.ask("hk-tick-collector doctor").text

    said = machine.run("hk-tick-collector certificate --check", who="duty")
    assert f"{_DAY}: as signed by ticks, 60 ticks" in said
    machine.run(f"cd {_ARCHIVE} && sha256sum --check certificates/2025-11-20.txt", who="duty")
    free = "sudo -u hkcollector hk-tick-collector prune --keep-days 1 --env-file /opt/futu_tick_downloader/.env"
    machine.run(free, who="duty")
    assert machine.path(f"/data/sqlite/HK/{_DAY}.db").exists()
    machine.run(f"{free} --yes", who="duty")
    assert not machine.path(f"/data/sqlite/HK/{_DAY}.db").exists()
    machine.run(f"sudo -u hkcollector hk-tick-collector restore {_DAY}", who="duty")
    assert machine.run(f"hk-tick-collector ticks --day {_DAY} --format csv", who="duty").count("\n") == 61

    machine.run(f"rm -rf /data/sqlite/HK/{_DAY}.db {_ARCHIVE}")
    cargo.edits(machine, "/^ARCHIVE_DIR=/ d\n")
    reader.paste("sudo vim /opt/futu_tick_downloader/.env")


def _bring_day(machine: Host) -> None:
    """A sealed day of last year, as the collector leaves it."""
    place = machine.path("/home/duty/day")
    place.mkdir()
    seal_day(place, _DAY)
    machine.run(f"mv /home/duty/day/{_DAY}.db /data/sqlite/HK/ && rmdir /home/duty/day")
    machine.run(f"chown hkcollector:hkcollector /data/sqlite/HK/{_DAY}.db")


def _page(machine: Host) -> str:
    return machine.quietly(f'python3 -c "{_ASK}"').text


@pytest.mark.usefixtures("extras")
def test_the_page_is_off_until_it_is_enabled(machine: Host, reader: Reader, watch: Watch) -> None:
    """As docs/web.md says: one command, and the verdict and the symbols are there.

    The collector is the same process from the first command to the last one.
    """
    assert watch.show("UnitFileState", _WEB) == "disabled"
    assert "Collecting" not in _page(machine)
    pid = watch.pid()
    reader.paste(f"sudo systemctl enable --now {_WEB}")
    machine.wait("the verdict", lambda: "Collecting, nothing to do" in _page(machine))
    machine.wait("the busiest symbols", lambda: "/symbol?symbol=HK." in _page(machine))
    _demand_it_may_only_read(machine, watch.pid(_WEB))
    machine.run(f"kill -KILL {watch.pid(_WEB)}")
    machine.wait("another process", lambda: "Collecting, nothing to do" in _page(machine))
    assert "Traceback" not in watch.journal(unit=_WEB)
    reader.paste(f"sudo systemctl disable --now {_WEB}")
    assert watch.pid() == pid


def _demand_it_may_only_read(machine: Host, pid: int) -> None:
    """Neither root nor the collector's account: a member of its group, which files and directories let read alone."""
    ids = machine.run(f"grep -E '^(Uid|Groups)' /proc/{pid}/status")
    uid, groups = (line.split()[1:] for line in ids.splitlines())
    assert uid[0] not in ("0", machine.run("id -u hkcollector").strip())
    assert machine.run("getent group hkcollector").split(":")[2] in groups


def _merged(machine: Host) -> int:
    said = machine.ask(_ROWS).text.strip()
    return int(said) if said.isdigit() else 0


@pytest.mark.usefixtures("extras")
def test_one_host_has_every_role(machine: Host, reader: Reader, watch: Watch) -> None:
    """As docs/cluster.md says: the union grows; killed services come back; the collector is the same process."""
    assert {watch.show("UnitFileState", unit) for unit in _UNITS} == {"disabled"}
    settings = machine.path(_ENV).read_bytes()
    machine.path(_ENV).write_bytes(settings + b"\n" + _SETTINGS.encode())
    pid = watch.pid()
    reader.paste("sudo systemctl enable --now hk-nats")
    machine.wait("JetStream", lambda: '"ok"' in machine.ask(f'python3 -c "{_HEALTH}"').text)
    reader.paste("sudo systemctl enable --now hk-tick-publish")
    reader.paste("sudo systemctl enable --now hk-tick-merge")
    machine.wait("the union", lambda: _merged(machine) > 0)
    for unit in _UNITS:
        machine.run(f"kill -KILL {watch.pid(unit)}")
    rows = _merged(machine)
    machine.wait("the union goes on", lambda: _merged(machine) > rows)
    for unit in _UNITS:
        assert "Traceback" not in watch.journal(unit=unit)
    assert machine.run("stat -c %U:%a /var/lib/hk-nats").strip() == "hk-nats:700"
    reader.paste(f"sudo systemctl disable --now {' '.join(_UNITS)}")
    assert watch.pid() == pid
    machine.path(_ENV).write_bytes(settings)
    machine.run("rm -rf /data/sqlite/HK-merged")

"""JetStream, publish and merge as services of one host: off until they are enabled, and apart from collection."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from . import cargo

if TYPE_CHECKING:
    from .host import Host
    from .reader import Reader
    from .watching import Watch

_UNITS: Final = ("hk-nats", "hk-tick-publish", "hk-tick-merge")
_WHEELS: Final = "/home/duty/wheels-cluster"
_INSTALLER: Final = f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --upgrade --wheelhouse"
_ENV: Final = "/opt/futu_tick_downloader/.env"
_SETTINGS: Final = "STREAM_URL=nats://127.0.0.1:4222\nMERGE_ROOT=/data/sqlite/HK-merged\nINSTANCE_ID=a\n"
_HEALTH: Final = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8222/healthz').read().decode())"
_ROWS: Final = "sqlite3 'file:'$(ls /data/sqlite/HK-merged/*.db | tail -n 1)'?mode=ro' 'SELECT count(*) FROM ticks'"


def _merged(machine: Host) -> int:
    said = machine.ask(_ROWS).text.strip()
    return int(said) if said.isdigit() else 0


def test_one_host_has_every_role(machine: Host, reader: Reader, watch: Watch) -> None:
    """As docs/cluster.md says: the union grows; killed services come back; the collector is the same process."""
    shutil.copytree(cargo.wheelhouse("cluster"), machine.path(_WHEELS))
    machine.run(f"{_INSTALLER} {_WHEELS} --role collector,merge,nats --extras stream", who="duty", cap_s=300)
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
    machine.run(f"rm -rf {_WHEELS} /data/sqlite/HK-merged")
    machine.run(f"{_INSTALLER} {cargo.WHEELHOUSE} --role collector --extras none", who="duty", cap_s=300)

"""A sealed day is archived by the timer's unit, checked, freed and restored, beside a service that collects."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from tests.archived_days import seal_day

from . import cargo

if TYPE_CHECKING:
    from .host import Host
    from .reader import Reader
    from .watching import Watch

_DAY: Final = "20251120"
_UNIT: Final = "hk-tick-collector-archive"
_WHEELS: Final = "/home/duty/wheels-data"
_INSTALLER: Final = f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --upgrade --wheelhouse"
_ARCHIVE: Final = "/data/archive"


def test_a_day_is_archived_pruned_and_restored(machine: Host, reader: Reader, watch: Watch) -> None:
    """As docs/archive.md says, with the unit's own account and limits; then the extra is removed again."""
    machine.run(f"systemctl start {_UNIT}")  # without ARCHIVE_DIR it does nothing
    assert watch.show("Result", f"{_UNIT}.service") == "exec-condition"

    shutil.copytree(cargo.wheelhouse("data"), machine.path(_WHEELS))
    machine.run(f"{_INSTALLER} {_WHEELS} --extras data", who="duty", cap_s=300)
    _bring_day(machine)
    machine.run(f"install -d -o hkcollector -g hkcollector -m 0750 {_ARCHIVE}")
    cargo.edits(machine, f"$ a ARCHIVE_DIR={_ARCHIVE}\n")
    reader.paste("sudo vim /opt/futu_tick_downloader/.env")
    reader.paste(f"sudo systemctl start {_UNIT}")
    assert watch.show("Result", f"{_UNIT}.service") == "success"
    assert f"{_DAY}: archived and verified: 60 ticks" in machine.run(f"journalctl -u {_UNIT} -o cat --no-pager")
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

    machine.run(f"rm -rf /data/sqlite/HK/{_DAY}.db {_ARCHIVE} {_WHEELS}")
    cargo.edits(machine, "/^ARCHIVE_DIR=/ d\n")
    reader.paste("sudo vim /opt/futu_tick_downloader/.env")
    machine.run(f"{_INSTALLER} {cargo.WHEELHOUSE} --extras none", who="duty", cap_s=300)


def _bring_day(machine: Host) -> None:
    """A sealed day of last year, as the collector leaves it."""
    place = machine.path("/home/duty/day")
    place.mkdir()
    seal_day(place, _DAY)
    machine.run(f"mv /home/duty/day/{_DAY}.db /data/sqlite/HK/ && rmdir /home/duty/day")
    machine.run(f"chown hkcollector:hkcollector /data/sqlite/HK/{_DAY}.db")

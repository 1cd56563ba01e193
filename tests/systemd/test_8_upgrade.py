"""A new version: a working one stays, a broken one is rolled back, and a killed upgrade is completed."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

from . import cargo
from .watching import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from .host import Host
    from .watching import Watch

NEWER: Final = "/home/duty/newer"
ENV: Final = "/opt/futu_tick_downloader/.env"
_UPGRADE: Final = "bash deploy/install.sh --upgrade --wheelhouse"
_DB: Final = f"{DATA}/$(TZ=Asia/Hong_Kong date +%Y%m%d).db"


def test_a_broken_version_is_rolled_back(machine: Host, watch: Watch) -> None:
    """It does not start: the old one runs again, and the installer reports what happened and fails."""
    before, rows = _version(machine), watch.rows()
    broken = cargo.new_version(machine, NEWER, "9.9.9") / "src/hk_tick_collector/collect/service.py"
    broken.write_text(f"raise RuntimeError('this version is broken')\n{broken.read_text('utf-8')}", "utf-8")
    answer = machine.ask(_upgrade(NEWER, look_s=10), who="duty", cap_s=400)
    assert answer.code == 1, answer.text
    assert "rolled back" in answer.text
    assert _version(machine) == before
    watch.collecting()
    assert watch.rows() > rows


@pytest.mark.parametrize(("fault_s", "look_s"), [(7, 20)])
def test_a_version_that_migrates_and_then_fails_is_rolled_back(
    machine: Host, watch: Watch, fault_s: int, look_s: int
) -> None:
    """It fails while it is watched: the old version opens today's file again, with the ticks of the new one."""
    before, rows = _version(machine), watch.rows()
    place = cargo.new_version(machine, NEWER, f"9.8.{fault_s}")
    _migrates(place)
    service = place / "src/hk_tick_collector/collect/service.py"
    fault = f"import os as _os, threading\nthreading.Timer({fault_s}, _os._exit, (9,)).start()\n"
    service.write_text(service.read_text("utf-8").replace("from __future__ import annotations\n", "", 1), "utf-8")
    service.write_text(f"from __future__ import annotations\n{fault}{service.read_text('utf-8')}", "utf-8")
    answer = machine.ask(_upgrade(NEWER, look_s=look_s), who="duty", cap_s=400)
    assert answer.code == 1, answer.text
    assert "without problems" not in answer.text
    assert "it came up and ended" in answer.text
    assert "rolled back" in answer.text
    newer = re.findall(r"the newer file is (\S+\.db\.newer-schema-\S+)", answer.text)
    assert newer, answer.text
    assert _version(machine) == before
    watch.collecting()
    assert watch.rows() > rows
    newer_rows = "SELECT symbol, seq FROM newer.ticks"
    sql = f"ATTACH '{DATA}/{newer[-1]}' AS newer; {newer_rows} EXCEPT SELECT symbol, seq FROM ticks"
    assert machine.run(f'sqlite3 -readonly {_DB} "{sql}"') == ""
    assert machine.ask(f"ls {DATA}/.before-upgrade").code != 0


def test_a_good_version_takes_over(machine: Host, watch: Watch) -> None:
    """It starts and keeps running; settings and ticks are as before; the old version is kept."""
    settings, rows = machine.path(ENV).read_bytes(), watch.rows()
    cargo.new_version(machine, NEWER, "9.9.10")
    said = machine.run(_upgrade(NEWER), who="duty", cap_s=400)
    assert "without problems for 70 s" in said
    assert "9.9.10" in _version(machine)
    assert watch.live()["version"] == "9.9.10"
    assert machine.path(ENV).read_bytes() == settings
    watch.collecting()
    assert watch.rows() > rows


def test_an_upgrade_that_is_killed_before_any_of_its_steps_is_finished_by_the_next(machine: Host, watch: Watch) -> None:
    """After the kill the old or the new version is completely in force; run again, the new one runs."""
    rows = watch.rows()
    places = {f"9.7.{n}": f"/home/duty/version{n}" for n in (0, 1)}
    for version, place in places.items():
        unit = cargo.new_version(machine, place, version) / "deploy/systemd/hk-tick-collector.service"
        unit.write_text(f"# of {version}\n{unit.read_text('utf-8')}", "utf-8")
        machine.run(_upgrade(place, look_s=4), who="duty", cap_s=400)
    for turn in count():
        step = 1 + turn * cargo.STRIDE
        version, place = [*places.items()][turn % 2]  # the one that does not run
        command = f"cd {place} && LOOK_S=4 {_UPGRADE} {cargo.WHEELHOUSE}"
        killed = cargo.killed_at(machine, command, step, "begin_change")
        assert machine.run("hk-tick-collector --version").split()[-1] in places
        assert watch.show("ActiveState") == "active"
        if killed.code == 0:
            break
        assert killed.code == 137, killed
        said = machine.run(command, cap_s=400)
        assert turn < 2 or "was interrupted" in said
        assert f"upgraded to {version}" in said
        assert version in machine.run("hk-tick-collector --version")
        assert watch.live()["version"] == version
        first_line = machine.run("head -n 1 /etc/systemd/system/hk-tick-collector.service")
        assert first_line == f"# of {version}\n"
        assert watch.show("NeedDaemonReload") == "no"
    assert step > 8
    watch.collecting()
    assert watch.rows() > rows


def test_after_the_upgrades_every_tick_is_accounted_for(machine: Host, watch: Watch) -> None:
    """The exchange's truth against the day files: each tick is stored once, or lies in a recorded gap."""
    machine.run("systemctl stop futu-opend", cap_s=60)
    watch.named(r"no connection to OpenD", 1)
    machine.run("systemctl stop hk-tick-collector")
    machine.run(f"cp {cargo.TRUTH} /tmp/truth && chmod 0644 /tmp/truth")
    machine.run("hk-tick-collector verify --truth /tmp/truth", who="duty")
    machine.run("systemctl start futu-opend hk-tick-collector")
    watch.collecting()


def _upgrade(place: str, look_s: int | None = None) -> str:
    shortened = f"LOOK_S={look_s} " if look_s else ""
    return f"cd {place} && sudo {shortened}{_UPGRADE} {cargo.WHEELHOUSE}"


def _version(machine: Host) -> str:
    return machine.run("hk-tick-collector --version", who="duty")


def _migrates(checkout: Path) -> None:
    """The version has a schema of its own, which changes each table that ticks go through."""
    schema = checkout / "src/hk_tick_collector/store/schema.py"
    text = schema.read_text("utf-8")
    version = int(re.findall(r"^VERSION: Final = (\d+)$", text, re.MULTILINE)[0])
    text = text.replace(f"VERSION: Final = {version}\n", f"VERSION: Final = {version + 1}\n")
    script = "ALTER TABLE meta ADD COLUMN note TEXT; CREATE TABLE more (x INTEGER) STRICT;"
    schema.write_text(f"{text}\nMIGRATIONS = (*MIGRATIONS, '{script}')  # type: ignore[misc]\n", "utf-8")

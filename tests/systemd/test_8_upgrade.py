"""A new version: one that works stays, one that does not goes back by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import cargo

if TYPE_CHECKING:
    from .host import Host
    from .watching import Watch

NEWER: Final = "/home/duty/newer"
_INIT: Final = "src/hk_tick_collector/__init__.py"
_UPGRADE: Final = f"cd {NEWER} && sudo bash deploy/install.sh --upgrade --wheelhouse {cargo.WHEELHOUSE}"


def test_a_broken_version_is_rolled_back(machine: Host, watch: Watch) -> None:
    """It does not start: the old one runs again, and the installer says what happened and fails."""
    before, rows = _version(machine), watch.rows()
    _new_version(machine, "9.9.9")
    broken = machine.path(f"{NEWER}/src/hk_tick_collector/collect/service.py")
    broken.write_text(f"raise RuntimeError('this version is broken')\n{broken.read_text('utf-8')}", "utf-8")
    answer = machine.ask(_UPGRADE, who="duty", cap_s=400)
    assert answer.code == 1, answer.text
    assert "rolled back" in answer.text
    assert _version(machine) == before
    watch.collecting()
    assert watch.rows() > rows


def test_a_good_version_takes_over(machine: Host, watch: Watch) -> None:
    """It comes up and stays; settings and ticks are as before; the old version is kept."""
    settings, rows = machine.path("/opt/futu_tick_downloader/.env").read_bytes(), watch.rows()
    _new_version(machine, "9.9.10")
    said = machine.run(_UPGRADE, who="duty", cap_s=400)
    assert "upgraded" in said
    assert "9.9.10" in _version(machine)
    assert watch.live()["version"] == "9.9.10"
    assert machine.path("/opt/futu_tick_downloader/.env").read_bytes() == settings
    watch.collecting()
    assert watch.rows() > rows


def _version(machine: Host) -> str:
    return machine.run("hk-tick-collector --version", who="duty")


def _new_version(machine: Host, version: str) -> None:
    """A checkout of our sources under another version."""
    machine.run(f"rm -rf {NEWER} && cp -a {cargo.CHECKOUT} {NEWER}")
    init = machine.path(f"{NEWER}/{_INIT}")
    lines = init.read_text("utf-8").splitlines()
    lines = [f'__version__ = "{version}"' if line.startswith("__version__") else line for line in lines]
    init.write_text("\n".join([*lines, ""]), "utf-8")

"""Removal: program, units and links are removed; ticks and settings stay, and a new installation uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import cargo

if TYPE_CHECKING:
    from .host import Host
    from .watching import Watch

_INSTALLER: Final = f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh"


def test_uninstalled_and_installed_again(machine: Host, watch: Watch) -> None:
    """Not a tick is lost between the two."""
    rows, settings = watch.rows(), machine.path("/opt/futu_tick_downloader/.env").read_bytes()
    machine.run(f"{_INSTALLER} --uninstall", who="duty")
    assert machine.ask("systemctl cat hk-tick-collector").code != 0
    assert machine.ask("systemctl cat hk-tick-collector-failed@x").code != 0
    assert machine.ask("command -v hk-tick-collector", who="duty").code != 0
    assert machine.path("/opt/futu_tick_downloader/.env").read_bytes() == settings
    assert watch.rows() >= rows
    _install_killed_before_its_steps(machine)
    for timer in ("snapshot", "report", "archive"):
        assert watch.show("UnitFileState", f"hk-tick-collector-{timer}.timer") == "enabled"
    machine.run("sudo systemctl enable --now futu-opend hk-tick-collector", who="duty")
    watch.collecting()
    assert watch.rows() > rows


def _install_killed_before_its_steps(machine: Host) -> None:
    """Each run is killed some steps later and continues from the one before; the last one ends by itself."""
    command = f"cd {cargo.CHECKOUT} && bash deploy/install.sh --wheelhouse {cargo.WHEELHOUSE}"
    step = 1
    while (answer := cargo.killed_at(machine, command, step, "secure_directories")).code != 0:
        assert answer.code == 137, answer
        step += cargo.STRIDE
    assert step > 15
    assert "The next three commands" in answer.text
    repeated = machine.run(command)
    assert "interrupted" not in repeated
    assert machine.run("ls /opt/futu_tick_downloader/releases").count("\n") == 1
    assert machine.run("find /etc/systemd/system /opt/futu_tick_downloader -name '*.new'") == ""

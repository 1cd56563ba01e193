"""The end: program, units and links go; ticks and settings stay, and a new installation goes on with them."""

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
    assert machine.ask("command -v hk-tick-collector", who="duty").code != 0
    assert machine.path("/opt/futu_tick_downloader/.env").read_bytes() == settings
    assert watch.rows() >= rows
    machine.run(f"{_INSTALLER} --wheelhouse {cargo.WHEELHOUSE}", who="duty", cap_s=300)
    machine.run("sudo systemctl enable --now futu-opend hk-tick-collector", who="duty")
    watch.collecting()
    assert watch.rows() > rows

"""One machine for all tests, installed as README.md says; each test leaves it collecting, as it was before."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from . import cargo
from .host import Host
from .reader import Reader
from .tree import fresh_tree
from .watching import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEEDED = ("systemd-nspawn", "debootstrap", "nsenter", "setpriv", "unshare")


@pytest.fixture(scope="session")
def machine() -> Iterator[Host]:
    """A booted Debian 12 that has only a checkout, wheels, and OpenD's program in its place."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.fail(f"this needs root and {', '.join(_NEEDED)}; missing: {', '.join(missing) or 'root'}")
    with fresh_tree("ticks") as tree:
        host = Host(tree)
        try:
            cargo.bring(host)
            host.boot()
            host.run(f"chown -R duty:duty {cargo.CHECKOUT} {cargo.WHEELHOUSE}")
            yield host
        finally:
            host.close()


@pytest.fixture(scope="session")
def installed(machine: Host) -> str:
    """The installer's output, run by the person on duty as in README.md; then that person gets read access."""
    install = f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --wheelhouse {cargo.WHEELHOUSE}"
    said = machine.run(install, who="duty", cap_s=300)
    machine.run("sudo usermod -aG hkcollector,systemd-journal duty", who="duty")
    return said


@pytest.fixture(scope="session")
def started(machine: Host, installed: str) -> str:
    """Runs the installer's last three commands: the answer of `status` when the service is healthy."""
    cargo.edits(machine, f"s/^FUTU_SYMBOLS=.*/FUTU_SYMBOLS={','.join(cargo.SYMBOLS)}/\n$ a HEALTH_INTERVAL_SEC=5\n")
    commands = cargo.next_commands(installed)
    reader, watch = Reader(machine), Watch(machine)
    reader.paste(commands[0])
    reader.paste(commands[1])
    watch.collecting()
    return reader.paste(commands[2])


@pytest.fixture
def watch(machine: Host, started: str) -> Iterator[Watch]:
    """The state of a collecting machine as seen from outside, at the start of the test and at its end."""
    assert started
    watch = Watch(machine)
    if watch.show("ActiveState") != "active":  # an earlier test has failed: this one must not fail because of it
        machine.ask("systemctl restart futu-opend hk-tick-collector")
    watch.collecting()
    yield watch
    watch.collecting()


@pytest.fixture
def reader(machine: Host) -> Reader:
    """A person on the machine who pastes the commands of a page."""
    return Reader(machine)

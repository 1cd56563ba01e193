"""The page as a service: off until it is enabled, then seen over HTTP; it cannot touch collection."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from . import cargo

if TYPE_CHECKING:
    from .host import Host
    from .reader import Reader
    from .watching import Watch

_UNIT: Final = "hk-tick-collector-web"
_WHEELS: Final = "/home/duty/wheels-web"
_INSTALLER: Final = f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --upgrade --wheelhouse"
_ASK: Final = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9110/').read().decode())"


def _page(machine: Host) -> str:
    return machine.quietly(f'python3 -c "{_ASK}"').text


def test_the_page_is_off_until_it_is_enabled(machine: Host, reader: Reader, watch: Watch) -> None:
    """As docs/web.md says: the packages, one command, and the verdict and the symbols are there; then all is removed.

    The collector is the same process from the first command to the last one.
    """
    shutil.copytree(cargo.wheelhouse("web"), machine.path(_WHEELS))
    machine.run(f"{_INSTALLER} {_WHEELS} --extras web", who="duty", cap_s=300)
    assert watch.show("UnitFileState", _UNIT) == "disabled"
    assert "Collecting" not in _page(machine)
    pid = watch.pid()
    reader.paste(f"sudo systemctl enable --now {_UNIT}")
    machine.wait("the verdict", lambda: "Collecting, nothing to do" in _page(machine))
    machine.wait("the busiest symbols", lambda: "/symbol?symbol=HK." in _page(machine))
    _demand_it_may_only_read(machine, watch.pid(_UNIT))
    machine.run(f"kill -KILL {watch.pid(_UNIT)}")
    machine.wait("another process", lambda: "Collecting, nothing to do" in _page(machine))
    assert "Traceback" not in watch.journal(unit=_UNIT)
    reader.paste(f"sudo systemctl disable --now {_UNIT}")
    assert watch.pid() == pid
    machine.run(f"rm -rf {_WHEELS}")
    machine.run(f"{_INSTALLER} {cargo.WHEELHOUSE} --extras none", who="duty", cap_s=300)


def _demand_it_may_only_read(machine: Host, pid: int) -> None:
    """Neither root nor the collector's account: a member of its group, which files and directories let read alone."""
    ids = machine.run(f"grep -E '^(Uid|Groups)' /proc/{pid}/status")
    uid, groups = (line.split()[1:] for line in ids.splitlines())
    assert uid[0] not in ("0", machine.run("id -u hkcollector").strip())
    assert machine.run("getent group hkcollector").split(":")[2] in groups

"""Where OpenD lies on this host: its program, its account, the login's device file. Names alone are read.

Without the device file in the home of its account OpenD asks for a new SMS code, in the middle of a session perhaps.
"""

from __future__ import annotations

import pwd
import re
from pathlib import Path
from typing import Final

from .result import Check, not_checked, ok, warning

PROPERTIES: Final = "ExecStart,User,Environment"
STARTER: Final = "run-opend.sh"  # what our own unit starts; it takes the program from _DEFAULTS
_DEFAULTS: Final = Path("/etc/default/futu-opend")
_DEVICE: Final = Path(".com.futunn.FutuOpenD/F3CNN/Device.dat")
_PLACES: Final = (Path("/opt/FutuOpenD"), Path("/opt/futu-opend"))
_HOMES: Final = (Path("/var/lib/futu-opend"),)
_ACCOUNTS: Final = ("futu", "futu-opend")
_NAME: Final = "OpenD's files"
_AS_ROOT: Final = "run it with sudo"


def check_opend_files(unit: dict[str, str]) -> Check:
    """Whether the unit's program is there, and the device file in the home of the unit's account.

    `unit` has systemd's PROPERTIES of futu-opend.service.
    """
    user = unit["User"] or "root"
    home = _home(user, unit["Environment"])
    try:
        program = _program(unit["ExecStart"])
        there = program is not None and program.is_file()
        device = home / _DEVICE
        has_device = device.exists()
        elsewhere = [path for path in _devices() if path != device]
    except PermissionError as error:
        return not_checked(_NAME, f"{error.filename} cannot be looked at", _AS_ROOT)
    if not there:
        return _no_program(program)
    text = f"{program} runs as {user}"
    if has_device:
        return ok(_NAME, f"{text}, the login's device file is {device}")
    if elsewhere:
        text += f", whose home {home} has no device file: OpenD asks for a new SMS code; one is {elsewhere[0]}"
        return warning(_NAME, text, "sudo bash deploy/install.sh; sudo systemctl restart futu-opend")
    return ok(_NAME, f"{text}; no device file at {device}: the next login asks for an SMS code")


def _no_program(program: Path | None) -> Check:
    found = next((path for place in _PLACES for path in sorted(place.glob("**/FutuOpenD")) if path.is_file()), None)
    text = f"futu-opend.service starts {program or 'no program'}, which is not there"
    if found is None:
        return warning(
            _NAME, f"{text}, and OpenD is in none of {', '.join(map(str, _PLACES))}", f"sudo vim {_DEFAULTS}"
        )
    correct = f"sudo sed -i 's|^OPEND_BIN=.*|OPEND_BIN={found}|' {_DEFAULTS}; sudo systemctl restart futu-opend"
    return warning(_NAME, f"{text}; OpenD is {found}", correct)


def _program(exec_start: str) -> Path | None:
    """The program that a unit starts, as `systemctl show` tells it; ours names it in a file of its own."""
    match = re.search(r"path=(\S+)", exec_start)
    if match is None:
        return None
    if not match[1].endswith(f"/{STARTER}"):
        return Path(match[1])
    try:
        lines = _DEFAULTS.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    return next((Path(line.partition("=")[2]) for line in reversed(lines) if line.startswith("OPEND_BIN=")), None)


def _home(user: str, environment: str) -> Path:
    """The home that the unit sets, else the account's."""
    given = re.findall(r"(?:^| )HOME=(\S+)", environment)
    if given:
        return Path(given[-1])
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except KeyError:
        return Path("/")


def _devices() -> list[Path]:
    """Device files in the homes where one may be."""
    homes = list(_HOMES)
    for account in _ACCOUNTS:
        try:
            homes.append(Path(pwd.getpwnam(account).pw_dir))
        except KeyError:
            continue
    return [home / _DEVICE for home in dict.fromkeys(homes) if (home / _DEVICE).exists()]

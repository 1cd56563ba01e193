"""OpenD's files on this host: its program, its account, the login's device file. Only names are read.

Without the device file in the home of its account OpenD asks for a new SMS code, perhaps during trading.
"""

from __future__ import annotations

import pwd
import re
from pathlib import Path
from typing import Final

from hk_tick_collector.ops.findings.words import Words

from .result import Check, not_checked, ok, warning

PROPERTIES: Final = "ExecStart,User,Environment"
STARTER: Final = "run-opend.sh"  # what our own unit starts; it reads the program's path from _DEFAULTS
_DEFAULTS: Final = Path("/etc/default/futu-opend")
_DEVICE: Final = Path(".com.futunn.FutuOpenD/F3CNN/Device.dat")
_PLACES: Final = (Path("/opt/FutuOpenD"), Path("/opt/futu-opend"))
_HOMES: Final = (Path("/var/lib/futu-opend"),)
_ACCOUNTS: Final = ("futu", "futu-opend")
_NAME: Final = "OpenD's files"
_AS_ROOT: Final = Words("run it with sudo", "以 sudo 執行")


_WITH_DEVICE: Final = Words(
    "{program} runs as {user}, the login's device file is {device}",
    "{program} 以 {user} 運行，登入的裝置檔案為 {device}",
)
_WITHOUT_DEVICE: Final = Words(
    "{program} runs as {user}; no device file at {device}: the next login asks for an SMS code",
    "{program} 以 {user} 運行；{device} 沒有裝置檔案：下次登入會要求短訊驗證碼",
)
_DEVICE_ELSEWHERE: Final = Words(
    "{program} runs as {user}, whose home {home} has no device file: OpenD asks for a new SMS code; "
    "there is one at {other}",
    "{program} 以 {user} 運行，其 home {home} 沒有裝置檔案：OpenD 會要求新的短訊驗證碼；{other} 有一個",
)


def check_opend_files(unit: dict[str, str]) -> Check:
    """Whether the unit's program exists, and the device file in the home of the unit's account.

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
        text = Words(f"{error.filename} cannot be examined", f"不能查看 {error.filename}")
        return not_checked(_NAME, text, _AS_ROOT)
    if not there:
        return _no_program(program)
    facts = {"program": program, "user": user, "device": device, "home": home}
    if has_device:
        return ok(_NAME, _WITH_DEVICE.filled(**facts))
    if elsewhere:
        text = _DEVICE_ELSEWHERE.filled(**facts, other=elsewhere[0])
        return warning(_NAME, text, "sudo bash deploy/install.sh; sudo systemctl restart futu-opend")
    return ok(_NAME, _WITHOUT_DEVICE.filled(**facts))


def _no_program(program: Path | None) -> Check:
    found = next((path for place in _PLACES for path in sorted(place.glob("**/FutuOpenD")) if path.is_file()), None)
    text = Words(
        f"futu-opend.service starts {program or 'no program'}, which does not exist",
        f"futu-opend.service 啟動的程式（{program or '沒有設定'}）不存在",
    )
    if found is None:
        places = ", ".join(map(str, _PLACES))
        text = Words(f"{text.en}, and OpenD is in none of {places}", f"{text.zh}，OpenD 亦不在 {places}")
        return warning(_NAME, text, f"sudo vim {_DEFAULTS}")
    correct = f"sudo sed -i 's|^OPEND_BIN=.*|OPEND_BIN={found}|' {_DEFAULTS}; sudo systemctl restart futu-opend"
    return warning(_NAME, Words(f"{text.en}; OpenD is {found}", f"{text.zh}；OpenD 在 {found}"), correct)


def _program(exec_start: str) -> Path | None:
    """The program that a unit starts, from `systemctl show`; our unit reads its path from a file."""
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
    """The home directory that the unit sets, otherwise the account's."""
    given = re.findall(r"(?:^| )HOME=(\S+)", environment)
    if given:
        return Path(given[-1])
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except KeyError:
        return Path("/")


def _devices() -> list[Path]:
    """Device files in the home directories where one may be."""
    homes = list(_HOMES)
    for account in _ACCOUNTS:
        try:
            homes.append(Path(pwd.getpwnam(account).pw_dir))
        except KeyError:
            continue
    return [home / _DEVICE for home in dict.fromkeys(homes) if (home / _DEVICE).exists()]

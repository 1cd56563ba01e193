"""What this host's systemd says about a unit, and the kernel about a process. With time limits; empty if unknown.

It changes nothing and needs no permissions.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Final

from hk_tick_collector.store.locks import describe

from .kernel_wait import is_frozen, state

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE: Final = "hk-tick-collector.service"
# While this file exists the installed version has not been started: the next start takes over (lib/predecessor.sh).
TAKE_OVER: Final = Path("/etc/systemd/system/hk-tick-collector.service.d/take-over.conf")
_OURS: Final = (b"hk-tick-collector", b"hk_tick_collector")  # one of these is in every command line of the collector
_COMMAND_S: Final = 5.0
_SMALL_FILE_BYTES: Final = 65_536
_STATES: Final = {"T": "frozen", "t": "frozen", "D": "in_kernel", "Z": "gone", "X": "gone"}


def systemd_runs() -> bool:
    """Whether systemd is this host's init."""
    return Path("/run/systemd/system").is_dir() and which("systemctl") is not None


def show_unit(unit: str, properties: str, within_s: float = _COMMAND_S) -> dict[str, str] | None:
    """Properties (comma-separated) of a unit, empty if systemd has none; None if it does not answer in time."""
    said = output(["systemctl", "show", "--no-pager", f"--property={properties}", unit], within_s)
    if not said:
        return None
    found = dict.fromkeys(properties.split(","), "")
    return found | dict(line.split("=", 1) for line in said.split("\n") if "=" in line)


def unit_environment(unit: str) -> dict[str, str]:
    """The variables of a unit's `Environment=`, drop-ins included; empty if systemd does not say."""
    shown = show_unit(unit, "Environment") if systemd_runs() else None
    return parsed_environment(shown["Environment"]) if shown else {}


def parsed_environment(text: str) -> dict[str, str]:
    """Variables as `systemctl show` prints them: `A=1 "B=two words"`, quoted as a shell reads it."""
    try:
        words = shlex.split(text)
    except ValueError:
        return {}
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def not_taken_over(unit: dict[str, str] | None) -> str | None:
    """Whether a takeover waits for the restart: None if not. Otherwise a description of the process that runs as the
    service, empty if there is none.

    `unit` has the property MainPID of the service.
    """
    try:
        TAKE_OVER.lstat()
    except OSError:
        return None
    pid = (unit or {}).get("MainPID", "")
    return describe(int(pid)).words() if pid.isdigit() and int(pid) else ""


def output(command: Sequence[str], within_s: float = _COMMAND_S) -> str | None:
    """The output of a program of this host; None if it does not exist, fails, or takes too long."""
    import subprocess  # imported late: `status` of a running service does not need it

    program = which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, and no shell
            [program, *command[1:]],
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=within_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def process_state(pid: int) -> str:
    """What happened to the collector with this pid; empty if it is not known.

    `lives`, `frozen` by a signal, `in_kernel`, `disk_frozen` if it waits in the kernel for a frozen file system,
    `gone`.

    A pid that now belongs to another program is gone: the command line must be a collector's.
    """
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        return ""
    directory = proc / str(pid)
    try:
        if not any(name in (directory / "cmdline").read_bytes() for name in _OURS):
            return "gone"
        tasks = sorted((directory / "task").iterdir())
        letters = [letter for letter in map(state, tasks) if letter]
    except (FileNotFoundError, ProcessLookupError):
        return "gone" if os.geteuid() == 0 or _shows_others() else ""
    except OSError:
        return ""
    found = [_STATES.get(letter, "lives") for letter in letters] or ["gone"]
    if found[0] in ("gone", "frozen"):
        return found[0]
    if "in_kernel" not in found:
        return "lives"
    return "disk_frozen" if any(map(is_frozen, tasks)) else "in_kernel"


def place_trouble(directory: Path) -> str:
    """Why a small file cannot be written there: `disk_full`, `read_only`; empty if no reason is known."""
    try:
        place = os.statvfs(directory)
    except OSError:
        return ""
    if place.f_flag & os.ST_RDONLY:
        return "read_only"
    is_full = place.f_bavail * place.f_frsize < _SMALL_FILE_BYTES or (place.f_files and not place.f_favail)
    return "disk_full" if is_full else ""


def _shows_others() -> bool:
    """Whether /proc shows the processes of other users: some hosts hide them."""
    return Path("/proc/1/cmdline").exists()

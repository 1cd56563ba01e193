"""What is copied to the machine: this checkout, the wheels for a host without a network, a substitute for OpenD."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .tree import cache_directory

if TYPE_CHECKING:
    from .host import Answer, Host

ROOT: Final = Path(__file__).parents[2]
CHECKOUT: Final = "/home/duty/hk-tick-collector"
WHEELHOUSE: Final = "/home/duty/wheelhouse"
SYMBOLS: Final = ("HK.00005", "HK.00700", "HK.09988")
RATE: Final = 30  # ticks per second: an outage of half a minute is backfilled
TRUTH: Final = "/var/lib/futu-opend/truth"

_DOWNLOAD_S: Final = 600
_PYTHON: Final = ("3.11", "cp311")  # Debian 12's
# A login without its device file asks for an SMS code, which the tests cannot give.
_OPEND: Final = """#!/bin/sh
# Replaces the vendor's program: an exchange that continues where it stopped when it is started again.
truth={truth}
[ -z "{device}" ] || [ -e "$HOME/{device}" ] || {{ echo "an SMS code is needed"; exit 1; }}
if [ -s "$truth" ]; then set -- --resume "$truth"; else set -- --truth "$truth"; fi
export PYTHONPATH={place}/lib
exec /usr/bin/python3 -m hk_tick_collector simulate --symbols {symbols} --rate {rate} "$@"
"""
# Instead of a person who edits a file, sed makes the edits of /etc/edits.
_EDITOR: Final = """#!/bin/sh
sed -i -f /etc/edits "$1"
"""


def bring(host: Host, *, opend: str = "/opt/FutuOpenD", truth: str = TRUTH, device: str = "") -> None:
    """Puts all of it on the machine's disk; `device` is a file that OpenD's login needs, in its account's home."""
    _bring_checkout(host.path(CHECKOUT))
    shutil.copytree(wheelhouse(), host.path(WHEELHOUSE))
    _bring_opend(host.path(opend))
    home = truth.rpartition("/")[0]
    symbols, at_home = ",".join(SYMBOLS), device.removeprefix(home).lstrip("/")
    program = _OPEND.format(place=opend, truth=truth, device=at_home, symbols=symbols, rate=RATE)
    host.path(f"{opend}/FutuOpenD").write_text(program, "ascii")
    host.path(f"{opend}/FutuOpenD").chmod(0o755)
    editor = host.path("/usr/local/bin/vim")
    editor.write_text(_EDITOR, "ascii")
    editor.chmod(0o755)
    host.path("/etc/edits").touch()


def new_version(host: Host, place: str, version: str) -> Path:
    """A checkout of our sources under another version, in a directory of the machine; where it is for us."""
    host.run(f"rm -rf {place} && cp -a {CHECKOUT} {place}")
    init = host.path(f"{place}/src/hk_tick_collector/__init__.py")
    lines = init.read_text("utf-8").splitlines()
    lines = [f'NEXT_VERSION = "{version}"' if line.startswith("NEXT_VERSION =") else line for line in lines]
    init.write_text("\n".join([*lines, ""]), "utf-8")
    return host.path(place)


# Sourced by bash before the installer: kills it before its step KILL_AT, counted from the function KILL_IN on.
_KILLER: Final = r"""
[ -n "${KILL_AT:-}" ] || return 0
step=0 begun=false
before_step() {
    [ "${FUNCNAME[1]:-}" != "$KILL_IN" ] || begun=true
    $begun || return 0
    case ${FUNCNAME[1]:-}/$1 in
        act/\"\$@\"* | */timeout\ * | begin_change/printf* | begin_change/mv*) ;;
        *) return 0 ;;
    esac
    step=$((step + 1))
    [ $step -ne "$KILL_AT" ] || { echo "killed before step $step: ${2}"; kill -KILL $$; }
}
set -o functrace
trap 'before_step "$BASH_COMMAND" "${*:-}"' DEBUG
"""


# A run that is killed takes half a minute: EVERY_STEP=1 in the environment tests every step.
STRIDE: Final = 1 if os.environ.get("EVERY_STEP") else 4


def killed_at(host: Host, command: str, step: int, function: str) -> Answer:
    """Runs an installer's command as root and kills it before the given step: exit code 137, or its own."""
    host.path("/root/killer.sh").write_text(_KILLER, "utf-8")
    return host.ask(f"export BASH_ENV=/root/killer.sh KILL_AT={step} KILL_IN={function}; {command}", cap_s=400)


def next_commands(said: str) -> list[str]:
    """The three commands that an installation ends with."""
    lines = said.partition("The next three commands:")[2].splitlines()
    commands = [line.strip() for line in lines if line.startswith("  ")][:3]
    assert len(commands) == 3, said
    return commands


def edits(host: Host, script: str) -> None:
    """What the next `vim` on the machine does, as sed commands."""
    host.path("/etc/edits").write_text(script, "utf-8")


def _bring_checkout(place: Path) -> None:
    """Every file that git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place / name)


def wheelhouse(what: str = "runtime") -> Path:
    """A directory with the wheels of a file of requirements/, for Debian 12's Python; cached by that file."""
    lock = ROOT / f"requirements/{what}.txt"
    place = cache_directory() / f"wheels-{what}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if place.exists():
        return place
    for old in cache_directory().glob(f"wheels-{what}-*"):
        shutil.rmtree(old)
    making = place.with_name("making-wheels")
    shutil.rmtree(making, ignore_errors=True)
    version, abi = _PYTHON
    target = ["--python-version", version, "--implementation", "cp", "--abi", abi, "--abi", "abi3", "--abi", "none"]
    for glibc in ("2_17", "2_28", "2_34"):
        target += ["--platform", f"manylinux_{glibc}_x86_64"]
    target += ["--platform", "manylinux2014_x86_64", "--platform", "any"]
    if sys.version_info[:2] == (3, 11):
        target = []
    _pip("download", *target, "--only-binary", ":all:", "--require-hashes", "-r", str(lock), "--dest", str(making))
    making.rename(place)
    return place


def _bring_opend(place: Path) -> None:
    """A program with its own copy of everything, so that an upgrade of the collector does not change it."""
    wheels = ["--no-index", "--find-links", str(wheelhouse()), "--require-hashes"]
    _pip("install", "--target", str(place / "lib"), *wheels, "-r", str(ROOT / "requirements/runtime.txt"))
    shutil.copytree(ROOT / "src/hk_tick_collector", place / "lib/hk_tick_collector")


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False)
    assert done.returncode == 0, f"pip {arguments[0]} failed:\n{done.stderr[-2000:]}"

"""Debian 12 as a directory: made once and cached by its recipe, copied for each run.

What enters: this machine's own Debian mirror, read from its apt sources and written nowhere but into the cached tree.
What leaves: a directory to boot, with no network: the packages that an installer may want lie in a repository inside.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASE: Final = "bookworm"
# What a Debian 12 host of an operator has before our installer comes.
BASE: Final = "systemd,systemd-sysv,dbus,python3,ca-certificates,iproute2,procps,sudo,less"
# What `apt-get install` finds there: the page's own commands, and what the installer itself needs.
OFFERED: Final = ("sqlite3", "lsof", "psmisc", "netcat-openbsd", "python3-venv")
REPOSITORY: Final = "srv/packages"  # inside the tree
_VERSION: Final = "1"  # of the steps below

_DEBOOTSTRAP_S: Final = 1200


def cache_directory() -> Path:
    """The directory that keeps trees and wheels between runs: outside the checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or "/var/cache"
    return Path(base) / "hk-tick-collector-tests"


@contextmanager
def fresh_tree(name: str) -> Iterator[Path]:
    """A copy of the cached tree, gone with the block."""
    base = base_tree()
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=cache_directory()) as directory:
        tree = Path(directory) / name
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(tree)], check=True)
        yield tree


def base_tree() -> Path:
    """The cached tree, made now if there is none of this recipe."""
    recipe = f"{_VERSION} {RELEASE} {BASE} {OFFERED} {REPOSITORY}"
    tree = cache_directory() / f"debian-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if tree.exists():
        return tree
    cache_directory().mkdir(parents=True, exist_ok=True)
    for old in cache_directory().glob("debian-*"):
        shutil.rmtree(old)
    making = tree.with_name(f"making-{os.getpid()}")
    try:
        _debootstrap(making)
        _fill_repository(making)
        _add_operator(making)
        making.rename(tree)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return tree


def _alone(*command: str) -> None:
    """Runs a command whose mounts end with it. AssertionError with its last lines when it fails."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEBOOTSTRAP_S,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        check=False,
    )
    tail = "\n".join(done.stdout.splitlines()[-15:])
    assert done.returncode == 0, f"{' '.join(command[:2])} failed:\n{tail}"


def _debootstrap(tree: Path) -> None:
    mirror = _mirror()
    command = ["debootstrap", "--variant=minbase", f"--include={BASE}", RELEASE, str(tree)]
    _alone(*command, *([mirror] if mirror else []))


def _mirror() -> str:
    """The mirror of this machine's own apt for this release; empty if it is not this Debian release."""
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    done = subprocess.run(wanted, capture_output=True, text=True, check=False)
    targets = [line.split() for line in done.stdout.splitlines()]
    return next((uri for uri, release, component in targets if (release, component) == (RELEASE, "main")), "")


def _fill_repository(tree: Path) -> None:
    """Fetches the offered packages with all that they need, and makes them the tree's only source."""
    _alone("chroot", str(tree), "apt-get", "clean")
    _alone("chroot", str(tree), "apt-get", "install", "--yes", "--download-only", "--no-install-recommends", *OFFERED)
    repository = tree / REPOSITORY
    repository.mkdir(parents=True)
    entries: list[str] = []
    for package in sorted((tree / "var/cache/apt/archives").glob("*.deb")):
        data = package.read_bytes()
        fields = subprocess.run(["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True)
        digest = hashlib.sha256(data).hexdigest()
        entries.append(f"{fields.stdout}Filename: ./{package.name}\nSize: {len(data)}\nSHA256: {digest}\n")
        shutil.move(package, repository / package.name)
    (repository / "Packages").write_text("\n".join(entries), "utf-8")
    shutil.rmtree(tree / "var/lib/apt/lists")
    shutil.rmtree(tree / "etc/apt/sources.list.d", ignore_errors=True)
    (tree / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{REPOSITORY} ./\n", "ascii")
    _alone("chroot", str(tree), "apt-get", "update")


def _add_operator(tree: Path) -> None:
    """Someone on duty: an ordinary account that may use sudo."""
    _alone("chroot", str(tree), "useradd", "--create-home", "--shell", "/bin/bash", "duty")
    (tree / "etc/sudoers.d/duty").write_text("duty ALL=(ALL) NOPASSWD: ALL\n", "ascii")
    (tree / "etc/sudoers.d/duty").chmod(0o440)
    (tree / "etc/hostname").write_text("ticks\n", "ascii")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost ticks\n", "ascii")

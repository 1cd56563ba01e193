"""Disks for tests that really become full or read-only, or get another owner. Needs root, else the tests are skipped.

A file system with files open for writing cannot be mounted read-only. `closed` does nearly the same: open files do not
change, and opening any file fails from then on.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from shutil import which
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOBODY: Final = 65_534


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """A file system at `place`, with these options of tmpfs."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"{options},mode=0750", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def disk_of_its_own(place: Path, size_mb: int = 64) -> Iterator[Path]:
    """An ext4 file system at `place` in a file beside it, as only one on a block device can be frozen."""
    image = place.with_name(f"{place.name}.img")
    with image.open("wb") as file:
        file.truncate(size_mb * 2**20)
    place.mkdir()
    make, mount = ["mkfs.ext4", "-q", "-F", str(image)], ["mount", "-o", "loop", str(image), str(place)]
    if os.geteuid() != 0 or not all(which(program) for program in ("mkfs.ext4", "fsfreeze")):
        pytest.skip("only root can mount a file system of its own")
    if any(subprocess.run(command, capture_output=True, check=False).returncode for command in (make, mount)):
        pytest.skip("mounting a file system from a file is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def frozen(place: Path) -> Iterator[None]:
    """A file system to which nothing can be written, as while a virtual machine is backed up; thawed at the end."""
    subprocess.run(["fsfreeze", "--freeze", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(place)], check=True)


def remount(place: Path, how: str) -> None:
    """`ro` or `rw`; no file of it may be open for writing."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


@contextmanager
def closed(place: Path, error: str) -> Iterator[None]:
    """Nothing in a directory can be opened for writing any more: EROFS, or EACCES for all but mighty processes."""
    if os.geteuid() != 0:
        pytest.skip("only root can take a directory away")
    if error == "EROFS":
        bind = subprocess.run(["mount", "--bind", str(place), str(place)], capture_output=True, check=False)
        if bind.returncode:
            pytest.skip("mounting is not permitted here")
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
    else:
        owner = place.stat()
        _give(place, _NOBODY, _NOBODY)
        try:
            yield
        finally:
            _give(place, owner.st_uid, owner.st_gid)


def _give(place: Path, user: int, group: int) -> None:
    """As `chown -R` does."""
    for path in (place, *place.rglob("*")):
        os.chown(path, user, group)

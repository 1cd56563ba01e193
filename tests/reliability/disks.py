"""Small disks for tests: file systems in memory that fill up and turn read-only for real. Needs root, else it skips."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


def remount(place: Path, how: str) -> None:
    """`ro` or `rw`; no file of it may be open for writing."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)

"""For the fault tests: disks that fail, and a path for the day file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .days import DAY
from .faulty_disk import FaultyDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's day file, which may not exist yet."""
    return tmp_path / f"{DAY}.db"


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    """A disk that works until a fault is injected."""
    with FaultyDisk("faulty") as disk:
        yield disk

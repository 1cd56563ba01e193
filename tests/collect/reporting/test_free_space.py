"""How much room is left, without waiting for the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.collect.conftest import wait_until

from hk_tick_collector.collect.reporting.free_space import FreeSpace

if TYPE_CHECKING:
    from pathlib import Path


def test_free_space_is_that_of_the_disk(tmp_path: Path) -> None:
    """Megabytes at once; None once the directory is gone, and megabytes again when it is back."""
    place = tmp_path / "place"
    place.mkdir()
    free = FreeSpace(place)
    assert free.mb() is not None
    place.rmdir()
    wait_until(lambda: free.mb() is None, "the directory is gone")
    place.mkdir()
    wait_until(lambda: free.mb() is not None, "the directory is back")

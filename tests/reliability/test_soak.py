"""Row 23: the soak's cut for every day. `make soak` runs the same for ten minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from .soak import soak

if TYPE_CHECKING:
    from pathlib import Path

SECONDS: Final = 40.0  # with its start, its calm and its verdict about a minute


@pytest.mark.early
@pytest.mark.parametrize("seed", [23])
def test_a_day_of_faults_loses_nothing(workdir: Path, seed: int) -> None:
    """Row 23: a trading day in less than a minute, faults at random: the verdict holds for a collector that
    lives through it and for those that are killed all the time, their files damaged in between; memory and descriptors
    stay flat. Beside it cuts of rows 6 and 7.
    """
    figures = soak(workdir, SECONDS, seed)
    assert figures.failures == []
    assert figures.lost == 0
    assert figures.kills >= 20
    assert figures.faults >= 10
    assert figures.damages > 0

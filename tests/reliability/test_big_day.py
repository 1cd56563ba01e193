"""A cut of the trial that `soak.py --big-day` makes at full size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .big_day import judge

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.early
def test_page_and_top_over_a_live_day(workdir: Path) -> None:
    """Each view becomes complete, ten viewers are served, memory is bounded, `top` draws the day."""
    found = judge(workdir, 200_000)
    assert len(found) == 7

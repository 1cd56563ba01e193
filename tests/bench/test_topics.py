"""Topics of `make bench` that write archived days themselves still work with the columns that the archive has now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bench.__main__ import Bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("topic", ["bars", "reading"])
def test_a_topic_gives_its_figures_at_a_hundredth_of_its_size(tmp_path: Path, topic: str) -> None:
    """Its figures have no meaning at this size, but each of them exists."""
    bench = Bench(tmp_path, 0.01)
    getattr(bench, topic)()
    assert len(bench.figures) >= 3
    assert all(figure.runs and min(figure.runs) > 0 for figure in bench.figures)

"""What the parts of the page are given, for tests of one part without the process around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import clock
from hk_tick_collector.cli._options import limits
from hk_tick_collector.config import Settings
from hk_tick_collector.ops.findings.words import NO_WORDS
from hk_tick_collector.web.site import Examination, Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.web.reading import Reading


def nothing_found() -> Examination:
    """An examination while no service reports."""
    return Examination([], NO_WORDS, {}, None, silent=True, at_ms=clock.now_ms())


def site_of(data_root: Path, reading: Reading, examine: Callable[[], Examination] = nothing_found) -> Site:
    """A site with the default settings and without an archive."""
    return Site(
        data_root=data_root,
        archive=None,
        instance="test",
        lang="en",
        limits=limits(Settings.model_validate({})),
        reading=reading,
        examine=examine,
    )

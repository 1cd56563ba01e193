"""Rows of a tick that is already held, distinguished from rows of new ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.collect.writing.held_repeats import HeldRepeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import TickRow


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_each_tick_counts_once(tick: Callable[..., TickRow], batch: int) -> None:
    """In any batches, in order or not: ticks that OpenD returns again are counted, for each symbol separately."""
    held = HeldRepeats()
    first = [tick(symbol, seq) for seq in range(1, 1200) for symbol in ("HK.00005", "HK.00700")]
    late, again = [tick("HK.00700", 0)], first[-2000:]
    for rows in (first, again, late, again, late):
        for start in range(0, len(rows), batch):
            held.add(rows[start : start + batch])
    assert held.again == 2 * len(again) + 1


def test_ticks_that_opend_can_return_again_are_known(tick: Callable[..., TickRow]) -> None:
    """The newest thousand ticks of each symbol."""
    held = HeldRepeats()
    for start in range(0, 20_000, 500):
        held.add([tick("HK.00700", seq) for seq in range(start, start + 500)])
    held.add([tick("HK.00700", seq) for seq in range(19_000, 20_000)])
    assert held.again == 1000

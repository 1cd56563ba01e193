"""A refused request is asked again in halves, down to single symbols."""

from __future__ import annotations

import pytest

from hk_tick_collector.collect.connection.ask_in_halves import halves


@pytest.mark.parametrize("count", range(1, 10))
def test_every_symbol_is_asked_for_alone_once_and_in_its_order(count: int) -> None:
    """Where each half is refused too."""
    symbols = [f"HK.{n:05}" for n in range(count)]
    waiting, alone = [symbols], []
    while waiting:
        batch = waiting.pop()
        waiting += halves(batch)
        if len(batch) == 1:
            alone += batch
    assert alone == symbols
    assert halves([]) == []

"""Rows 24 to 27 and 31: ten seeds of chaos. `make soak ARGS="--hostile"` runs a hundred longer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from .chaos import Chaos, run_seed

if TYPE_CHECKING:
    from .conftest import Begin, Crowd

SEEDS: Final = tuple(range(1001, 1011))
CHAOS: Final = Chaos(seconds=12.0, calm_s=8.0)


def one_seed(begin: Begin, seed: int) -> None:
    """One OpenD with mixed models of the sequence, one collector, twelve seconds of faults, then calm."""
    outcome = run_seed(begin, seed, CHAOS)
    print(outcome.line())
    assert outcome.failures == [], outcome.line()
    assert outcome.ticks > 0
    assert outcome.faults > 0


@pytest.mark.early(one_seed, SEEDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_sequences_and_answers_lose_and_invent_nothing(crowd: Crowd, seed: int) -> None:
    """Rows 24 to 27 and 31, whatever the model of the sequence: each tick is stored, inside an open gap, or rejected by
    name; no gap has a wrong number; what OpenD still holds in the end is stored.
    """
    crowd.judge(one_seed, SEEDS, seed)

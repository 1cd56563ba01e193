"""Rows 24 to 27 and 31: ten seeds of chaos. `make soak ARGS="--hostile"` runs a hundred longer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from .chaos import Chaos, run_seed

if TYPE_CHECKING:
    from .conftest import Begin

pytestmark = pytest.mark.early

SEEDS: Final = tuple(range(1001, 1011))
CHAOS: Final = Chaos(seconds=12.0, calm_s=14.0)  # a contradicted jump of a quiet symbol is one after ten seconds
HONEST_SEEDS: Final = (2001,)
HONEST: Final = Chaos(seconds=12.0, calm_s=8.0, model="counter", hostile=False)


@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_sequences_and_answers_lose_no_tick_and_open_no_false_gap(begin: Begin, seed: int) -> None:
    """Rows 24 to 27 and 31, for any model of the sequence: each tick is stored, in an open gap, or rejected with a log
    line; no gap has a wrong size; the ticks that OpenD still has at the end are stored.

    One OpenD with mixed models of the sequence, one collector, twelve seconds of faults, then none.
    """
    outcome = run_seed(begin, seed, CHAOS)
    print(outcome.line())
    assert outcome.failures == [], outcome.line()
    assert outcome.ticks > 0
    assert outcome.faults > 0


@pytest.mark.parametrize("seed", HONEST_SEEDS)
def test_normal_sequences_leave_no_gap_of_unknown_size(begin: Begin, seed: int) -> None:
    """Rows 1, 9, 11 to 13 and 16: connections cut, OpenD and the collector killed, pushes stopped, with sequences that
    follow the rule and correct answers, leave no gap of unknown size. So a failure above is not one of the test tools.
    """
    outcome = run_seed(begin, seed, HONEST)
    print(outcome.line())
    assert outcome.failures == [], outcome.line()
    assert outcome.gaps_unknown == 0

"""What OpenD says of the wanted symbols, and what the operator is told to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.errors import OpenDError
from hk_tick_collector.ops.doctor.opend import check_answers
from hk_tick_collector.ops.doctor.opend_probe import Answers
from hk_tick_collector.ops.findings import remedies

if TYPE_CHECKING:
    from hk_tick_collector.ops.doctor.result import Check

SYMBOLS = ("HK.00700", "HK.09988")


def symbols(answers: Answers) -> Check:
    found = check_answers(answers, SYMBOLS, 0, drift_warn_s=2.0, today=0)
    return next(check for check in found if check.name == "symbols")


@pytest.mark.parametrize(
    ("said", "outcome", "remedy"),
    [
        ("没有港股行情权限", "failure", remedies.TAKE_BACK),
        ("無權訂閱", "failure", remedies.TAKE_BACK),
        ("每30秒最多請求10次", "not checked", remedies.DOCTOR),
        ("Unknown stock HK.09988", "warning", "correct FUTU_SYMBOLS as OpenD's text says"),
    ],
)
def test_the_remedy_is_that_of_the_cause(said: str, outcome: str, remedy: str) -> None:
    """A missing quote right and a limit of requests are no mistake in FUTU_SYMBOLS."""
    found = symbols(Answers(failed={"symbols": OpenDError(said)}))
    assert (found.outcome, found.remedy) == (outcome, remedy)


@pytest.mark.parametrize(("unknown", "outcome"), [(SYMBOLS[1:], "warning"), (SYMBOLS, "failure")])
def test_without_any_known_symbol_nothing_is_collected(unknown: tuple[str, ...], outcome: str) -> None:
    """One unknown symbol is a warning. If all are unknown, it is the first thing to do."""
    assert symbols(Answers(unknown=list(unknown))).outcome == outcome


@pytest.mark.parametrize(("count", "outcome"), [(1, "warning"), (len(SYMBOLS), "failure")])
@pytest.mark.parametrize("said", ["xyz", "no quote right"])
def test_what_opend_refused_to_the_service_is_told(count: int, outcome: str, said: str) -> None:
    """A refusal whose text nobody knows is told with that text; if every symbol is refused, nothing is collected."""
    found = next(
        check
        for check in check_answers(
            Answers(), SYMBOLS, 0, drift_warn_s=2, today=0, refused=dict.fromkeys(SYMBOLS[:count], said)
        )
        if check.name == "symbols"
    )
    assert found.outcome == outcome
    assert f"refused {count} of {len(SYMBOLS)} symbols to the running service, {SYMBOLS[0]} first: {said}" in found.text

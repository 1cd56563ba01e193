"""The change of the trading day: which file must exist, and before which day days may be sealed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hk_tick_collector import market
from hk_tick_collector.collect import day_turn
from hk_tick_collector.collect.day_turn import DayTurn
from hk_tick_collector.collect.opend_state import OpenDState

FRIDAY = market.parse_day("20261120")


def at(day: int, hours: int = 10) -> int:
    """Hours after midnight of a day, UTC epoch ms."""
    return market.day_start_ms(day) + hours * 3_600_000


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The requests to the writer; this host's clock shows ten."""
    monkeypatch.setattr(day_turn, "now_ms", lambda: at(FRIDAY))
    return SimpleNamespace(open_day=None, seal_before=None, drifts=[])


def turn_of(opend: OpenDState, writer: Any) -> DayTurn:
    """A DayTurn with this writer as the current one."""
    current = SimpleNamespace(writer=writer, keep_drift=lambda *given: writer.drifts.append(given))
    return DayTurn(opend, current)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calendar", "day", "opened"),
    [
        ({}, FRIDAY, True),
        ({}, FRIDAY + 1, False),  # Saturday
        ({"20261120": "whole"}, FRIDAY, True),
        ({"20261123": "whole"}, FRIDAY, False),  # a holiday
        ({"20261121": "whole"}, FRIDAY + 1, True),  # what OpenD names counts, whatever the weekday
    ],
)
def test_a_trading_day_has_its_file_from_its_first_second(
    writer: Any, calendar: dict[str, str], day: int, opened: bool
) -> None:
    """By OpenD's clock and calendar; by the weekday where it has named no day."""
    opend = OpenDState(connected=True, opend_time_ms=at(day), calendar=calendar)
    turn = turn_of(opend, writer)
    turn.check()
    assert (writer.open_day, turn.expects_today) == (day if opened else None, opened)


def test_the_writer_is_asked_for_a_file_once_a_day(writer: Any) -> None:
    """The writer handles the request, and is not asked again."""
    turn = turn_of(OpenDState(), writer)
    turn.check()
    assert writer.open_day == FRIDAY
    writer.open_day = None
    turn.check()
    assert writer.open_day is None


def test_no_day_is_sealed_before_every_symbol_was_checked(writer: Any) -> None:
    """Missing ticks of an earlier day may still be at OpenD; and OpenD must have reported its clock."""
    opend = OpenDState(connected=True, opend_time_ms=at(FRIDAY))
    turn = turn_of(opend, writer)
    turn.check()
    assert writer.seal_before is None
    opend.all_checked = True
    turn.check()
    assert writer.seal_before == market.finished_before(at(FRIDAY), at(FRIDAY))
    opend.connected = False
    turn.check()
    assert writer.seal_before is None


def test_the_worst_drift_of_our_clock_is_kept_in_the_file_of_its_day(writer: Any) -> None:
    """Only what is further from zero than before is written; an unknown drift, and a day without a file, is none."""
    opend = OpenDState(connected=True, opend_time_ms=at(FRIDAY), drift_s=None)
    turn = turn_of(opend, writer)
    for drift_s in (None, 0.2, -0.1, -0.7, 0.7, None):
        opend.drift_s = drift_s
        turn.check()
    assert writer.drifts == [(FRIDAY, 0.2), (FRIDAY, -0.7)]
    for day, drift_s in ((FRIDAY + 1, 5.0), (FRIDAY + 3, 0.1)):  # a Saturday has no file
        opend.opend_time_ms, opend.drift_s = at(day), drift_s
        turn.check()
    assert writer.drifts[2:] == [(FRIDAY + 3, 0.1)]

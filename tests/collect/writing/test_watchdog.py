"""The watchdog's decisions: a stall is handled in steps, and nothing else is a stall."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from hk_tick_collector.collect.writing.watchdog import Action, Pressure, Verdict, Watchdog

STALL_S: Final = 180.0
ROWS: Final = 1000
STALL: Final = Pressure(queue_rows=ROWS, commit_age_s=STALL_S, upstream_age_s=STALL_S - 1, cause="")


def watchdog(max_failures: int = 3) -> Watchdog:
    """One with the defaults of the runbook."""
    return Watchdog(STALL_S, ROWS, max_failures)


def actions(dog: Watchdog, pressure: Pressure, seconds: int) -> list[tuple[int, Action]]:
    """The watchdog's actions during lasting pressure, judged once a second, and their times."""
    verdicts = [(second, dog.judge(pressure, float(second))) for second in range(seconds)]
    return [(second, verdict.action) for second, verdict in verdicts if verdict]


def test_a_stall_without_a_known_cause_is_handled_in_steps() -> None:
    """At its threshold exactly: interrupt, new connection, new writer, each given 30 s to help; then the end."""
    assert actions(watchdog(), STALL, 120) == [
        (0, Action.INTERRUPT),
        (30, Action.NEW_CONNECTION),
        (60, Action.NEW_WRITER),
        *((second, Action.EXIT) for second in range(90, 120)),
    ]


@pytest.mark.parametrize(
    "pressure",
    [
        pytest.param(replace(STALL, queue_rows=ROWS - 1), id="the queue below its threshold"),
        pytest.param(replace(STALL, commit_age_s=STALL_S - 0.1), id="a long fsync under the limit"),
        pytest.param(replace(STALL, commit_age_s=0.2), id="a minute of duplicates, which are committed too"),
        pytest.param(replace(STALL, queue_rows=0, commit_age_s=0.0, upstream_age_s=3600.0), id="lunch"),
        pytest.param(replace(STALL, queue_rows=0, commit_age_s=0.0, upstream_age_s=float("inf")), id="the night"),
        pytest.param(replace(STALL, upstream_age_s=STALL_S), id="rows that wait, but nothing arrives any more"),
    ],
)
def test_normal_waits_are_no_stall(pressure: Pressure) -> None:
    """After ten minutes of it nothing is logged and nothing is done."""
    assert actions(watchdog(), pressure, 600) == []


@pytest.mark.parametrize("cause", ["disk_full", "read_only", "busy", "slow_disk", "no_directory"])
def test_a_stall_with_a_known_cause_is_waited_for(cause: str) -> None:
    """For an hour: logged every minute, and the process is never ended because of it."""
    told = actions(watchdog(), replace(STALL, cause=cause), 3600)
    assert told == [(minute * 60, Action.WAIT) for minute in range(60)]


def test_a_commit_ends_the_count_of_failures() -> None:
    """A stall that a step ended is over: the next stall begins with the first step."""
    dog = watchdog()
    assert [action for _, action in actions(dog, STALL, 31)] == [Action.INTERRUPT, Action.NEW_CONNECTION]
    assert dog.judge(replace(STALL, commit_age_s=1.0), 40.0) is None
    assert dog.judge(STALL, 300.0) == Verdict(Action.INTERRUPT, 0)


def test_the_queue_below_its_threshold_for_a_moment_is_no_recovery() -> None:
    """Only a commit helps: a stall that is hidden for a second continues from where it was."""
    dog = watchdog()
    assert [action for _, action in actions(dog, STALL, 31)] == [Action.INTERRUPT, Action.NEW_CONNECTION]
    assert dog.judge(replace(STALL, queue_rows=0), 40.0) is None
    assert dog.judge(STALL, 70.0) == Verdict(Action.NEW_WRITER, 2)


@pytest.mark.parametrize("failures", [0, 1, 5])
def test_the_number_of_recoveries_is_as_set(failures: int) -> None:
    """WATCHDOG_RECOVERY_MAX_FAILURES: this many steps before the end; beyond three the last is repeated."""
    done = [action for _, action in actions(watchdog(failures), STALL, 30 * failures + 1)]
    steps = [Action.INTERRUPT, Action.NEW_CONNECTION, *[Action.NEW_WRITER] * 3]
    assert done == [*steps[:failures], Action.EXIT]

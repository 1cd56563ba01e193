"""The watchdog's judgement: is the writer stuck, and what is to be done about it. No I/O.

A stall is: the queue at or over its threshold, nothing committed for WATCHDOG_STALL_SEC, and ticks still arriving. A
stall with a named cause (no space, read-only, a lock, a disk that does not answer) is waited for: a restart would only
lose what memory holds. One without a name is met in steps, each given time to help: interrupt SQLite, open the files
anew, put a new writer in place; then, after WATCHDOG_RECOVERY_MAX_FAILURES of them, let the process be restarted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_STEP_SHARE: Final = 1 / 6  # of the stall time: how long a step may take to show an effect
_STEP_MIN_S: Final = 1.0
_STEP_MAX_S: Final = 30.0
_REPEAT_S: Final = 60.0  # how often a stall that is waited for is told again


class Action(StrEnum):
    """What a stall leads to."""

    WAIT = "wait"  # its cause has a name and passes by itself, or by the operator's hand
    INTERRUPT = "interrupt"
    NEW_CONNECTION = "new_connection"
    NEW_WRITER = "new_writer"
    EXIT = "exit"


_STEPS: Final = (Action.INTERRUPT, Action.NEW_CONNECTION, Action.NEW_WRITER)


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the watchdog looks at. Ages in seconds."""

    queue_rows: int
    commit_age_s: float  # since the last commit, or since rows began to wait where there was none
    upstream_age_s: float  # since the last tick arrived
    cause: str  # why the writer waits, empty where nothing tells


@dataclass(frozen=True, slots=True)
class Verdict:
    """A stall, and what to do now."""

    action: Action
    failures: int  # recoveries that did not help


class Watchdog:
    """Call `judge` about once a second. `stall_s` and `threshold_rows` define a stall."""

    def __init__(self, stall_s: float, threshold_rows: int, max_failures: int) -> None:
        self._stall_s = stall_s
        self._threshold_rows = threshold_rows
        self._max_failures = max_failures
        self._step_s = min(_STEP_MAX_S, max(_STEP_MIN_S, stall_s * _STEP_SHARE))
        self._failures = 0
        self._next_s = float("-inf")

    def judge(self, pressure: Pressure, now_s: float) -> Verdict | None:
        """What to do now; None while all is well, or while the last step is given its time."""
        stalled = (
            pressure.queue_rows >= self._threshold_rows
            and pressure.commit_age_s >= self._stall_s
            and pressure.upstream_age_s < self._stall_s
        )
        if not stalled:
            if pressure.commit_age_s < self._stall_s:
                self._failures = 0
                self._next_s = float("-inf")
            return None
        if now_s < self._next_s:
            return None
        if pressure.cause:
            self._next_s = now_s + _REPEAT_S
            return Verdict(Action.WAIT, self._failures)
        if self._failures >= self._max_failures:
            return Verdict(Action.EXIT, self._failures)
        self._next_s = now_s + self._step_s
        step = _STEPS[min(self._failures, len(_STEPS) - 1)]
        self._failures += 1
        return Verdict(step, self._failures - 1)

"""The watchdog: decides whether the writer is stalled and what to do about it. No I/O.

A stall means: the queue is at or over its threshold, nothing was committed for WATCHDOG_STALL_SEC, and ticks still
arrive. If the cause is known (no space, read-only, a lock, a disk that hangs), the watchdog waits: a restart would only
lose the rows in memory. If the cause is unknown, it acts in steps, and gives each step time to take effect: interrupt
SQLite, open the files again, replace the writer. After WATCHDOG_RECOVERY_MAX_FAILURES steps without success the process
exits, and systemd restarts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_STEP_SHARE: Final = 1 / 6  # of WATCHDOG_STALL_SEC: the time that a step has to take effect
_STEP_MIN_S: Final = 1.0
_STEP_MAX_S: Final = 30.0
_REPEAT_S: Final = 60.0  # between log lines about a stall with a known cause


class Action(StrEnum):
    """The reaction to a stall."""

    WAIT = "wait"  # the cause is known, and ends by itself or by an action of the operator
    INTERRUPT = "interrupt"
    NEW_CONNECTION = "new_connection"
    NEW_WRITER = "new_writer"
    EXIT = "exit"


_STEPS: Final = (Action.INTERRUPT, Action.NEW_CONNECTION, Action.NEW_WRITER)


@dataclass(frozen=True, slots=True)
class Pressure:
    """The input of the watchdog. Ages in seconds."""

    queue_rows: int
    commit_age_s: float  # since the last commit, or since rows began to wait if that is later
    upstream_age_s: float  # since the last tick arrived
    cause: str  # why the writer waits, empty if unknown


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
        """What to do now; None if there is no stall, or the last step still has time to take effect."""
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

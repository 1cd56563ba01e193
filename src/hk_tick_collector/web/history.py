"""The figures of the last hour, kept by the page itself: one value for each quarter of a minute. Pure, bounded.

What it does not know, because the page was not running or the collector did not report, is None.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STEP_S: Final = 15
STEPS: Final = 240  # an hour


def mean(values: Sequence[float]) -> float:
    """The average."""
    return sum(values) / len(values)


def last(values: Sequence[float]) -> float:
    """The newest."""
    return values[-1]


FOLDS: Final[dict[str, Callable[[Sequence[float]], float]]] = {  # how the seconds of a step become one value
    "rate": mean,
    "lag": max,
    "commit": max,
    "queue": max,
    "spool": max,
    "disk": last,
}


class Hour:
    """The last hour of each figure. `now_s` is a monotonic clock (s)."""

    def __init__(self, now_s: float) -> None:
        self.since_s = now_s
        self._step = int(now_s // STEP_S)
        self._open: dict[str, list[float]] = {name: [] for name in FOLDS}
        self._steps: dict[str, deque[float | None]] = {name: deque(maxlen=STEPS) for name in FOLDS}

    def add(self, now_s: float, values: Mapping[str, float | None]) -> None:
        """One second's values; a figure that is not known is None or absent."""
        self._close_until(int(now_s // STEP_S))
        for name, seconds in self._open.items():
            value = values.get(name)
            if value is not None and len(seconds) < 2 * STEP_S:
                seconds.append(float(value))

    def series(self, name: str, now_s: float) -> list[float | None]:
        """The values of the last hour, the oldest first, always STEPS of them; the last step is not complete yet."""
        self._close_until(int(now_s // STEP_S))
        values = self._open[name]
        known = [*self._steps[name], FOLDS[name](values) if values else None][-STEPS:]
        return [None] * (STEPS - len(known)) + known

    def known_s(self, now_s: float) -> float:
        """How much of the last hour the page has been watching (s)."""
        return min(now_s - self.since_s, float(STEP_S * STEPS))

    def _close_until(self, step: int) -> None:
        for number in range(min(step - self._step, STEPS + 1)):
            for name, values in self._open.items():
                self._steps[name].append(FOLDS[name](values) if values and number == 0 else None)
                values.clear()
        self._step = max(step, self._step)

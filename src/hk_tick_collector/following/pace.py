"""When each tick of a replay is due: `speed` times as fast as it happened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hk_tick_collector.model import Tick

_TOGETHER_S: Final = 0.01  # ticks that are due within this time come in one batch


class Pace:
    """The first tick of a day is due at once, any other after its time since the first / `speed`; None: at once."""

    def __init__(self, speed: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._speed = speed
        self._clock = clock
        self._day: int | None = None
        self._first_ms = 0
        self._begun_s = 0.0

    def parts(self, day: int, ticks: Sequence[Tick]) -> Iterator[float | Sequence[Tick]]:
        """The ticks in parts, each when it is due; until then the seconds to wait, each time it is asked."""
        if self._speed is None or not ticks:
            yield ticks
            return
        if day != self._day:
            self._day, self._first_ms, self._begun_s = day, ticks[0].ts_ms, self._clock()
        start = 0
        while start < len(ticks):
            end, now_s = start, self._clock()
            while end < len(ticks) and self._due_s(ticks[end]) <= now_s + (_TOGETHER_S if end > start else 0):
                end += 1
            if end == start:
                yield self._due_s(ticks[start]) - now_s
            else:
                yield ticks[start:end]
                start = end

    def _due_s(self, tick: Tick) -> float:
        assert self._speed is not None
        return self._begun_s + (tick.ts_ms - self._first_ms) / 1000 / self._speed

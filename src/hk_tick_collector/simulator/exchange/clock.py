"""The exchange's clock: real time, or a simulated time with a given start and speed.

Ticks are made in slots of a few milliseconds of real time. The slots are fixed in exchange time and do not depend on
when the process wakes up: a late slot is made late but has the same ticks, so the same seed, day and time give the same
bytes.
"""

from __future__ import annotations

import time
from typing import Final

_LONGEST_SLOT_S: Final = 0.01
_SHORTEST_SLOT_S: Final = 0.001
_SLOT_TICKS: Final = 400  # long enough to share the cost of a write, short enough to stay in the processor's cache


def slot_seconds(rate: float) -> float:
    """The length of a slot, in seconds of real time, at this many ticks per second."""
    return min(max(_SLOT_TICKS / rate, _SHORTEST_SLOT_S), _LONGEST_SLOT_S) if rate else _LONGEST_SLOT_S


class Clock:
    """Shows `start_ms` (UTC epoch ms) until it is started; without `start_ms` it is the wall clock."""

    def __init__(self, start_ms: int | None, speed: float, slot_s: float) -> None:
        self.simulated = start_ms is not None
        self._start_ms = start_ms if start_ms is not None else wall_ms()
        self._speed = speed
        self._slot_s = slot_s
        self._begun_s: float | None = None

    def begin(self) -> None:
        """Starts the clock and the sequence of slots."""
        if not self.simulated:
            self._start_ms = wall_ms()
        self._begun_s = time.monotonic()

    def now_ms(self) -> int:
        """Exchange time, UTC epoch ms."""
        if not self.simulated:
            return wall_ms()
        return self._start_ms + int(self.elapsed_s() * self._speed * 1000)

    def elapsed_s(self) -> float:
        """Seconds of real time since the clock started, 0 before."""
        return 0.0 if self._begun_s is None else time.monotonic() - self._begun_s

    def slot(self, number: int) -> tuple[int, int]:
        """The exchange time that slot `number` covers, UTC epoch ms, excluding its end."""
        width_ms = self._slot_s * self._speed * 1000
        return self._start_ms + int(number * width_ms), self._start_ms + int((number + 1) * width_ms)

    def slot_begins_s(self, number: int) -> float:
        """Seconds of real time from the start of the clock to slot `number`."""
        return number * self._slot_s

    def wait_s(self, number: int) -> float:
        """Seconds of real time until slot `number` is over, 0 if it is over."""
        return max(0.0, (number + 1) * self._slot_s - self.elapsed_s())

    def received_s(self, slot_end_ms: int) -> float:
        """When OpenD receives the ticks of a slot that is being sent now, epoch s, by OpenD's clock."""
        return slot_end_ms / 1000 if self.simulated else time.time()


def wall_ms() -> int:
    """The wall clock, UTC epoch ms."""
    return time.time_ns() // 1_000_000

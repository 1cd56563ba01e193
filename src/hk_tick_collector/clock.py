"""The wall clock, for timestamps. Deadlines use monotonic clocks instead."""

from __future__ import annotations

import time


def now_ms() -> int:
    """The current time, UTC epoch ms."""
    return time.time_ns() // 1_000_000

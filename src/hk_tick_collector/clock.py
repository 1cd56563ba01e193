"""The wall clock, for the parts that stamp what happens. Deadlines use monotonic clocks instead."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Now, UTC epoch ms."""
    return time.time_ns() // 1_000_000

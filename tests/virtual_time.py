"""An event loop that never waits: when nothing is to be done before some moment, that moment is now.

Both clocks of the host jump with it. For stories without sockets and threads: what those bring takes real time.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Coroutine


class _JumpingSelector(selectors.DefaultSelector):
    """Reports what is ready, and lets time jump instead of waiting for more."""

    def __init__(self, jump: list[float]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As a selector does, but for the wait."""
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0:
            self._jump[0] += timeout
        return ready


def run_at_once(story: Coroutine[Any, Any, None]) -> None:
    """Runs a story in asyncio's debug mode, without its waits."""
    jump, real, real_ns = [0.0], time.monotonic, time.time_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: real() + jump[0])
        patch.setattr(time, "time_ns", lambda: real_ns() + int(jump[0] * 1e9))
        with asyncio.Runner(
            debug=True, loop_factory=lambda: asyncio.SelectorEventLoop(_JumpingSelector(jump))
        ) as runner:
            runner.run(story)

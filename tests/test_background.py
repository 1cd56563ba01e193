"""Work in threads: its results and errors arrive, and a disk that hangs holds up neither other work nor the end."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from hk_tick_collector.background import in_thread


def test_an_error_of_the_thread_reaches_the_caller() -> None:
    """As if the caller had called the function itself."""

    def broken() -> None:
        raise OSError("no disk")

    async def story() -> None:
        assert await in_thread(lambda: 7) == 7
        with pytest.raises(OSError, match="no disk"):
            await in_thread(broken)

    asyncio.run(story())


def test_work_that_hangs_holds_up_neither_other_work_nor_the_end() -> None:
    """Also if it is more than a pool of asyncio would have threads for."""
    answers = threading.Event()  # of the disk

    async def story() -> int:
        for _ in range(4 * (os.cpu_count() or 1) + 32):
            in_thread(answers.wait).cancel()
        return await in_thread(lambda: 7)

    late = threading.Timer(60, answers.set)
    late.start()
    assert asyncio.run(story()) == 7
    assert not answers.is_set()
    late.cancel()
    answers.set()

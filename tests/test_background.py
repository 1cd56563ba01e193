"""Work in threads: its results and errors arrive, and a disk that hangs holds up neither other work nor the end."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import threading

import pytest

from hk_tick_collector import log
from hk_tick_collector.background import in_thread, log_end_of_task


def test_an_error_of_the_thread_reaches_the_caller() -> None:
    """As if the caller had called the function itself."""

    def broken() -> None:
        raise OSError("no disk")

    async def story() -> None:
        assert await in_thread(lambda: 7) == 7
        with pytest.raises(OSError, match="no disk"):
            await in_thread(broken)

    asyncio.run(story())


def test_without_a_free_thread_the_caller_gets_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of threads is handled like a disk that fails: nobody expects another error."""

    def limited(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def story() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", limited)
            reading = in_thread(lambda: 7)
        with pytest.raises(OSError, match="can't start new thread") as caught:
            await reading
        assert caught.value.errno == errno.EAGAIN
        assert await in_thread(lambda: 7) == 7

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


def test_a_task_that_ends_with_a_bug_is_logged() -> None:
    """With its traceback. One that ends normally, or is cancelled at the stop, is not."""
    written = io.StringIO()
    log.configure("DEBUG", written)

    async def broken() -> None:
        raise ValueError("no task")

    async def story() -> None:
        tasks = [asyncio.create_task(work) for work in (broken(), asyncio.sleep(0), asyncio.sleep(9))]
        for task in tasks:
            task.add_done_callback(log_end_of_task)
        await asyncio.wait(tasks[:2])
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        asyncio.run(story())
    finally:
        log.configure("INFO")
    first, *_, last = written.getvalue().splitlines()
    assert first.endswith("ERROR bug")
    assert last == "ValueError: no task"

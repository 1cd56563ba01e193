"""The process behind the Symbol view: one for all questions, and replaced when it ends or is stuck."""

from __future__ import annotations

import asyncio
import operator
import os
import signal
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.quality.days import Collected
from tests.reliability.disks import disk_of_its_own, frozen
from tests.web.inline import Inline

from hk_tick_collector.cli._patience import in_child
from hk_tick_collector.errors import DiskHangsError, StoreError
from hk_tick_collector.ops.live import kernel_wait
from hk_tick_collector.quality.places import DayLocation
from hk_tick_collector.web import worker
from hk_tick_collector.web.reading import Reading
from hk_tick_collector.web.symbol import list_symbols
from hk_tick_collector.web.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path()


class Counted(Inline):
    """Counts the questions that the worker did not answer."""

    def __init__(self) -> None:
        self.asked = 0

    async def read(self, work: Callable[[], worker._T], path: Path) -> worker._T:
        self.asked += 1
        return await super().read(work, path)


def test_one_process_answers_everything() -> None:
    """Values and errors come back from one process, also one that prints; it ends with the worker."""

    async def story() -> tuple[set[int], int]:
        reads = Counted()
        asked = Worker(reads)
        pids = {await asked.read(os.getpid, HERE) for _ in range(3)}
        await asked.read(partial(print, "no answer"), HERE)
        with pytest.raises(StoreError, match=r"there is no /nowhere/20261120\.db"):
            await asked.read(partial(list_symbols, DayLocation("20261120", Path("/nowhere/20261120.db"), None)), HERE)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            await asked.read(partial(operator.floordiv, 1, 0), HERE)
        asked.close()
        return pids, reads.asked

    pids, others = asyncio.run(story())
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert others == 0


def test_a_process_that_ended_or_is_stuck_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question is asked again elsewhere, which names the cause; after a while there is a new process."""

    async def story() -> None:
        reads = Counted()
        asked = Worker(reads)
        pid = await asked.read(os.getpid, HERE)
        os.kill(pid, signal.SIGKILL)
        assert await asked.read(os.getpid, HERE) == os.getpid()
        assert reads.asked == 1
        monkeypatch.setattr(worker, "_AGAIN_S", 0.0)
        asked._not_before_s = 0.0  # noqa: SLF001 - as if that time had passed
        pid = await asked.read(os.getpid, HERE)
        assert pid != os.getpid()
        os.kill(pid, signal.SIGSTOP)  # it does not answer; the kernel says D only of a process that waits for a disk
        monkeypatch.setattr(kernel_wait, "threads", lambda _pid: {"1": ("D", "the same wait")})
        monkeypatch.setattr(kernel_wait, "ONE_WAIT_S", 0.1)
        assert await asked.read(os.getpid, HERE) == os.getpid()
        assert reads.asked == 2
        asked.close()

    asyncio.run(story())


def test_a_browser_that_leaves_takes_no_answer_with_it() -> None:
    """A question that is cancelled does not give its answer to the next one."""

    async def story() -> None:
        asked = Worker(Inline())
        await asked.read(os.getpid, HERE)
        question = asyncio.ensure_future(asked.read(partial(operator.add, 1, 1), HERE))
        await asyncio.sleep(0)
        question.cancel()
        await asyncio.gather(question, return_exceptions=True)
        assert await asked.read(partial(operator.add, 2, 2), HERE) == 4
        asked.close()

    asyncio.run(story())


def test_it_ends_when_it_is_idle_and_not_during_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time without a question ends with the next question, not with its answer."""
    monkeypatch.setattr(worker, "_IDLE_S", 0.0)  # over as soon as the loop runs, so at the latest during a question

    async def story() -> None:
        reads, idle = Counted(), asyncio.Event()
        asked = Worker(reads)
        pid = await asked.read(os.getpid, HERE)
        assert await asked.read(os.getpid, HERE) == pid
        asyncio.get_running_loop().call_later(0.0, idle.set)
        await idle.wait()
        assert await asked.read(os.getpid, HERE) not in {pid, os.getpid()}
        assert reads.asked == 0
        asked.close()

    asyncio.run(story())


@pytest.mark.skipif(os.geteuid() != 0, reason="freezing a disk needs root")
def test_a_frozen_disk_is_named_and_thawed(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds after a disk froze the question has its cause; once it is thawed there are answers again."""
    monkeypatch.setattr("hk_tick_collector.web.reading._ENDS_S", 60.0)  # of the child that the disk held

    async def story(place: DayLocation) -> None:
        reading = Reading(in_child)
        asked = Worker(reading)
        try:
            assert len(await asked.read(partial(list_symbols, place), place.path)) == 1
            with frozen(workdir / "disk"), pytest.raises(DiskHangsError, match="frozen"):
                await asked.read(partial(list_symbols, place), place.path)
            assert len(await asked.read(partial(list_symbols, place), place.path)) == 1
        finally:
            asked.close()
            reading.close()

    with disk_of_its_own(workdir / "disk") as disk, closing(Collected(disk / "20261120.db")) as day:
        day.ticks("HK.00700", 5)
        asyncio.run(story(DayLocation("20261120", day.path, None)))

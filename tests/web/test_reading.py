"""Questions that children answer: real processes, forked by a process that was forked first."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector.cli._patience import in_child
from hk_tick_collector.errors import CollectorError, NoDayError
from hk_tick_collector.store.query import path_of
from hk_tick_collector.web.busiest import count_rows
from hk_tick_collector.web.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE: Final = Path(__file__).parent


@pytest.fixture
def reading() -> Iterator[Reading]:
    """A process that forks."""
    reading = Reading(in_child)
    yield reading
    reading.close()


def test_the_answer_comes_from_another_process(reading: Reading) -> None:
    """With or without the patience for a disk; many questions at once are answered, a few at a time."""

    async def ask() -> list[int]:
        questions = [reading.call(os.getpid), *(reading.read(os.getpid, HERE) for _ in range(20))]
        return await asyncio.gather(*questions)

    pids = asyncio.run(ask())
    assert len(set(pids)) == 21
    assert os.getpid() not in pids


def test_an_error_with_a_known_cause_is_raised_as_it_is(reading: Reading, tmp_path: Path) -> None:
    """With its hint."""
    path = path_of(tmp_path, "20261120")
    with pytest.raises(NoDayError) as raised:
        asyncio.run(reading.read(partial(count_rows, path), path))
    assert "20261120" in str(raised.value)


def test_whoever_is_cancelled_while_an_answer_arrives_ends(reading: Reading) -> None:
    """Python 3.11's `wait_for` would give the answer and lose the cancellation: the page then never ends at SIGTERM."""

    async def forever() -> None:
        while True:
            await reading.call(os.getpid)

    async def story() -> None:
        for _ in range(20):
            task, inner = asyncio.create_task(forever()), set[asyncio.Task[object]]()
            for _ in range(3000):
                await asyncio.sleep(0)
                inner |= asyncio.all_tasks() - {task, asyncio.current_task()}
                if any(each.done() for each in inner):
                    break
            task.cancel()
            assert (await asyncio.wait({task}, timeout=60))[0]

    asyncio.run(story())


def _end_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("work", [partial(int, "x"), partial(os._exit, 3), _end_oneself])
def test_a_bug_or_a_killed_child_is_an_error_of_its_question_alone(
    reading: Reading, work: Callable[[], object]
) -> None:
    """The next question is answered."""

    async def ask() -> int:
        with pytest.raises((RuntimeError, CollectorError)):
            await reading.call(work)
        return await reading.call(os.getpid)

    assert asyncio.run(ask()) != os.getpid()


def test_a_large_answer_arrives_whole(reading: Reading) -> None:
    """More than a pipe holds."""
    assert len(asyncio.run(reading.read(partial(bytes, 20_000_000), HERE))) == 20_000_000


def test_nothing_is_left_when_it_is_closed() -> None:
    """No process, and no descriptor."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    reading = Reading(in_child)
    asyncio.run(reading.call(os.getpid))
    reading.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

"""Questions that children answer: real processes, forked by a process that was forked first."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.quality.days import Collected
from tests.reliability.disks import disk_of_its_own, frozen

from hk_tick_collector.cli._patience import demand_writable, in_child
from hk_tick_collector.errors import CollectorError, DiskHangsError, NoDayError
from hk_tick_collector.store.query import path_of
from hk_tick_collector.web import reading as reading_module
from hk_tick_collector.web.busiest import count_rows
from hk_tick_collector.web.reading import Reading, StillHeldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE: Final = Path(__file__).parent
PLACES: Final = 4  # children at once


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


class Gate:
    """Children note that they began, and wait until they are let through. The pipe is named, so they can open it."""

    def __init__(self, place: Path) -> None:
        self._began, self._pipe = place / "began", place / "pipe"
        self._began.touch()
        os.mkfifo(self._pipe)
        self._end = os.open(self._pipe, os.O_RDWR)

    @property
    def work(self) -> Callable[[], None]:
        """What a child does."""
        return partial(_wait_for, self._began, self._pipe)

    @property
    def began(self) -> int:
        """How many children began until now."""
        return self._began.stat().st_size

    async def wait_until_began(self, children: int) -> None:
        """Until this many children began."""
        while self.began < children:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)

    def open(self, children: int) -> None:
        """Lets this many through."""
        os.write(self._end, b"x" * children)

    def close(self) -> None:
        """Lets all through."""
        self.open(100)
        os.close(self._end)


def _wait_for(began: Path, pipe: Path) -> None:
    with began.open("ab", buffering=0) as file:
        file.write(b"x")
    with pipe.open("rb", buffering=0) as file:
        file.read(1)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that is open at the end."""
    with closing(Gate(tmp_path)) as gate:
        yield gate


@pytest.mark.parametrize("cap_s", [60.0, 0.0])
def test_a_child_keeps_its_place_until_it_ends(
    reading: Reading, gate: Gate, cap_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its asker leaves or has waited to the cap: further questions start no child, and are told why."""

    async def leave(asking: asyncio.Task[None]) -> None:
        if cap_s:
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        else:
            with pytest.raises(CollectorError, match="within 0 s") as raised:
                await asking
            assert raised.value.hint == "sudo dmesg | tail"

    async def story() -> None:
        monkeypatch.setattr(reading_module, "_CAP_S", cap_s)
        for number in range(PLACES):
            asking = asyncio.create_task(reading.call(gate.work))
            await gate.wait_until_began(number + 1)
            await leave(asking)
        monkeypatch.setattr(reading_module, "_CAP_S", 0.0)
        for _ in range(3):
            with pytest.raises(CollectorError, match=f"all {PLACES} processes that read were busy for 0 s"):
                await reading.call(gate.work)
        monkeypatch.setattr(reading_module, "_CAP_S", 60.0)
        last = asyncio.create_task(reading.call(os.getpid))
        gate.open(1)
        assert await last != os.getpid()
        assert gate.began == PLACES

    asyncio.run(story())


def test_who_leaves_before_there_is_a_place_takes_none(reading: Reading, gate: Gate) -> None:
    """Its question is not asked, and the place that becomes free is that of the next one."""

    async def story() -> None:
        held = [asyncio.create_task(reading.call(gate.work)) for _ in range(PLACES)]
        await gate.wait_until_began(PLACES)
        waiting = [asyncio.create_task(reading.call(gate.work)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        last = asyncio.create_task(reading.call(os.getpid))
        await asyncio.sleep(0)
        gate.open(PLACES)
        assert await asyncio.gather(*held) == [None] * PLACES
        assert await last != os.getpid()
        assert gate.began == PLACES

    asyncio.run(story())


def test_the_end_does_not_wait_for_children(gate: Gate) -> None:
    """Whether somebody still waits for them or not; no task and no descriptor is left."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    reading = Reading(in_child)
    asking: list[asyncio.Task[None]] = []

    async def story() -> None:
        asking.extend(asyncio.create_task(reading.call(gate.work)) for _ in range(PLACES))
        await gate.wait_until_began(PLACES)
        asking[0].cancel()
        await asyncio.wait(asking[:1])

    asyncio.run(story(), debug=True)
    reading.close()
    assert all(task.cancelled() for task in asking)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names are enough
    assert gate.began == PLACES


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


def test_the_end_of_the_process_that_forks_is_told_once() -> None:
    """It was killed, for example for want of memory: whoever asks gets an error with a cause, not a broken pipe."""
    told: list[int] = []
    reading = Reading(in_child, lambda: told.append(1))
    forks = reading._pid  # noqa: SLF001 - the process that forks
    os.kill(forks, signal.SIGKILL)
    os.waitid(os.P_PID, forks, os.WEXITED | os.WNOWAIT)
    for _ in range(2):
        with pytest.raises(CollectorError, match="was killed"):
            asyncio.run(reading.call(os.getpid))
    reading.close()
    assert told == [1]


def held_by_disks(place: Path) -> int:
    """How many processes whose current directory this is wait for a disk in the kernel."""
    count = 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended
            if process.name.isdigit() and (process / "cwd").readlink() == place:
                state = (process / "stat").read_text("ascii").rpartition(")")[2].split()[0]
                count += state == "D"
    return count


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts disks")
def test_a_frozen_disk_holds_no_more_processes_with_each_question(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it holds one, others that would read there are told so; other disks are read, and this one again when it
    has thawed.
    """
    monkeypatch.setattr(reading_module, "_ENDS_S", 0.0)
    with disk_of_its_own(workdir / "disk") as disk, closing(Collected(disk / "20261120.db")) as day:
        day.ticks("HK.00700", 5)
        other = disk / "20261119.db"
        reading = Reading(in_child)

        async def ask_while_frozen() -> int:
            with pytest.raises(DiskHangsError, match="frozen"):
                await reading.read(partial(count_rows, day.path), day.path)
            held = held_by_disks(workdir)
            for path in (day.path, other, disk):
                with pytest.raises(DiskHangsError, match="frozen"):
                    await reading.read(partial(count_rows, path), path)
            assert await reading.read(os.getpid, workdir) != os.getpid()
            return held

        async def ask_when_thawed() -> None:
            while True:
                with suppress(DiskHangsError):
                    await reading.read(partial(count_rows, day.path), day.path)
                    return
                await asyncio.sleep(0.01)

        async def story() -> None:
            with frozen(workdir / "disk"):
                assert await ask_while_frozen() == held_by_disks(workdir) == 1
            await ask_when_thawed()

        asyncio.run(story())
        reading.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts disks")
def test_a_call_that_a_disk_holds_is_not_repeated(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that limits its own waits leaves a process behind too."""
    monkeypatch.setattr(reading_module, "_CALL_ENDS_S", 0.0)
    with disk_of_its_own(workdir / "disk") as disk:
        reading = Reading(in_child)

        async def story() -> None:
            with frozen(workdir / "disk"):
                assert await reading.call(partial(_is_frozen, disk))
                for _ in range(3):
                    with pytest.raises(StillHeldError):
                        await reading.call(partial(_is_frozen, disk))
                assert held_by_disks(workdir) == 1
            while True:
                with suppress(StillHeldError):
                    assert not await reading.call(partial(_is_frozen, disk))
                    return
                await asyncio.sleep(0.01)

        asyncio.run(story())
        reading.close()


def _is_frozen(disk: Path) -> bool:
    try:
        demand_writable(disk)
    except DiskHangsError:
        return True
    return False

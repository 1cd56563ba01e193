"""Threads in which files are read and written, so that a hanging disk stops neither the network nor a clean stop.

They are daemon threads. `asyncio.to_thread` is not used: the end of the event loop waits for its threads without limit,
and when all of them hang, nothing else begins.
"""

from __future__ import annotations

import asyncio
import errno
import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from hk_tick_collector import log

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def in_thread(work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    """The result of `work(*args)`, done in a thread of its own; its exception is raised where the future is awaited.

    That is an OSError if no thread can be started, because a limit of threads or memory is reached.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    name = getattr(work, "__name__", "reader")
    try:
        threading.Thread(target=_do, args=(lambda: work(*args), loop, done), name=name, daemon=True).start()
    except RuntimeError as error:
        done.set_exception(OSError(errno.EAGAIN, str(error)))
    return done


def log_end_of_task(task: asyncio.Task[None]) -> None:
    """Logs the exception that ended a task for which nobody waits: its `add_done_callback` gets this function."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.bug("bug", error)


class Background:
    """One daemon thread, which does one work after the other; the process can end while one does not return."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in the thread; its exception is raised here."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        self._work.put(lambda: _do(work, loop, done))
        return await done

    def post(self, work: Callable[[], None]) -> None:
        """Queues `work`, which must not raise, after all earlier work. It returns at once."""
        self._work.put(work)

    def _run(self) -> None:
        while True:
            self._work.get()()


def _do(work: Callable[[], T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[T]) -> None:
    """Does the work, and gives its result to the event loop, if that still waits."""
    result: T | None = None
    error: BaseException | None = None
    try:
        result = work()
    except BaseException as raised:  # noqa: BLE001 - raised again where it is waited for
        error = raised

    def deliver() -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    try:
        loop.call_soon_threadsafe(deliver)
    except RuntimeError:  # the loop has ended: nobody waits any more
        return

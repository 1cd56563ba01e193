"""A thread in which files are read and written, so that a hanging disk stops neither the network nor a clean stop."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Background:
    """One daemon thread, which does one work after the other; the process can end while one does not return."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in the thread; its exception is raised here."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def in_thread() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                self._deliver(loop, done, lambda error=error: done.set_exception(error))  # type: ignore[misc]
            else:
                self._deliver(loop, done, lambda: done.set_result(result))

        self._work.put(in_thread)
        return await done

    def post(self, work: Callable[[], None]) -> None:
        """Queues `work`, which must not raise, after all earlier work. It returns at once."""
        self._work.put(work)

    @staticmethod
    def _deliver(loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], deliver: Callable[[], None]) -> None:
        def unless_cancelled() -> None:
            if not done.done():
                deliver()

        try:
            loop.call_soon_threadsafe(unless_cancelled)
        except RuntimeError:  # the loop has ended: nobody waits any more
            return

    def _run(self) -> None:
        while True:
            self._work.get()()

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
    """One daemon thread: work that never returns does not keep the process from ending."""

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
        """Has `work`, which raises nothing, done after all that was asked for before. Nobody waits for it."""
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
